// Where a key stands in a state: read from logs and tables, without the engine and without a lock.

public import SedimentIO
public import SedimentStore

/// What a state holds of one key.
///
/// ```swift
/// let report = try KeyReport(of: CompositeKey("user", 17).bytes, at: "state")
/// print(report.text, terminator: "")
/// ```
public struct KeyReport: Sendable {
  /// An entry of the key.
  public struct Entry: Sendable, Equatable {
    /// When the key was first seen, put or removed, in ms.
    public var time: Int64
    public var kind: EntryKind
    /// When it expires: as soon as the watermark is as late. `nil` for never.
    public var expiry: Int64?
    /// Whether it has.
    public var isExpired: Bool
    public var value: [UInt8]
    /// The table or log it stands in.
    public var file: String
  }

  /// The encoded key.
  public var key: [UInt8]
  /// The keyspace that was searched.
  public var keyspace: String
  /// The newest first; empty when the state holds nothing of the key.
  public var entries: [Entry]

  /// Looks for a key.
  ///
  /// - Parameters:
  ///   - key: as `CompositeKey` encodes it, or whatever the keyspace was given.
  ///   - keyspace: may be `nil` where there is only one.
  /// - Throws: `notFound` without such a state or keyspace, `corrupted` …
  public init(
    of key: [UInt8], in keyspace: String? = nil, at path: String,
    fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) {
    self = try StateReader(path: path, fileSystem: fileSystem).read { stored in
      let found = try Self.keyspace(keyspace, of: stored)
      let search = KeySearch(key: key, keyspace: found, stored: stored)
      return KeyReport(key: key, keyspace: found.name, entries: try search.run())
    }
  }

  private init(key: [UInt8], keyspace: String, entries: [Entry]) {
    self.key = key
    self.keyspace = keyspace
    self.entries = entries
  }

  private static func keyspace(
    _ name: String?, of stored: StoredState
  ) throws(StoreError) -> KeyspaceState {
    let keyspaces = stored.state.keyspaces
    if let name {
      if let found = keyspaces.first(where: { $0.name == name }) { return found }
      throw StoreError(.notFound, "\(stored.path) has no keyspace \(name)")
    }
    guard let only = keyspaces.first else {
      throw StoreError(.notFound, "\(stored.path) has no keyspaces")
    }
    guard keyspaces.count == 1 else {
      let names = keyspaces.map(\.name).joined(separator: ", ")
      throw StoreError(.invalidArgument, "\(stored.path) has several keyspaces: name one of \(names)")
    }
    return only
  }
}

/// One search.
private struct KeySearch {
  let key: [UInt8]
  let keyspace: KeyspaceState
  let stored: StoredState
  let hash: KeyHash
  let watermark: Int64

  init(key: [UInt8], keyspace: KeyspaceState, stored: StoredState) {
    self.key = key
    self.keyspace = keyspace
    self.stored = stored
    hash = unsafe KeyHasher(seed: stored.state.seed).hash(key.span.bytes)
    watermark = StoreState.watermark(
      largestTime: keyspace.largestTime, options: keyspace.options)
  }

  /// The entries that count, newest first: nothing older than what hides it.
  func run() throws -> [KeyReport.Entry] {
    // What logs hold is in no table yet, so it is newer than all of them.
    var entries: [KeyReport.Entry] = []
    for log in keyspace.logs.reversed() { entries += try search(log).reversed() }
    for run in keyspace.shards.flatMap(\.runs) {
      for slice in run.tables where slice.clip.contains(hash.high) {
        entries += try search(slice.table)
      }
    }
    guard let hiding = entries.firstIndex(where: { $0.kind.hidesOlder }) else { return entries }
    return Array(entries[...hiding])
  }

  private func search(_ log: LogReference) throws -> [KeyReport.Entry] {
    var entries: [KeyReport.Entry] = []
    let name = FileNaming.state.name(of: log)
    let reader = LogEntries(log, layout: keyspace.options.layout)
    try reader.read(in: stored.directory) { entry in
      if isOfKey(entry) { entries.append(makeEntry(entry, file: name)) }
    }
    return entries
  }

  private func search(_ table: TableMetadata) throws -> [KeyReport.Entry] {
    // One lookup reads less than the filter that would save it.
    let reader = try TableReader(
      directory: stored.directory, metadata: table, filterByteBudget: 0)
    let (first, count) = reader.probe.pageUnits(for: hash)
    guard count > 0 else { return [] }
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: Int(count) * TableFormat.unitBytes, alignment: TableFormat.unitBytes)
    defer { unsafe memory.deallocate() }
    // SAFETY: the memory is as large as the page, and the view is not used beyond it.
    let page = unsafe try reader.readPage(first: first, count: count, into: memory)
    return page.range(of: hash).compactMap { index in
      let entry = page.entry(at: index)
      return isOfKey(entry) ? makeEntry(entry, file: reader.name) : nil
    }
  }

  private func isOfKey(_ entry: EntryReference) -> Bool {
    guard entry.hash == hash else { return false }
    if keyspace.options.keyMode == .fingerprint { return true }
    return unsafe entry.keyBytes.elementsEqual(key)
  }

  private func makeEntry(_ entry: EntryReference, file: String) -> KeyReport.Entry {
    var expiry: Int64?
    if case .milliseconds(let ttl) = keyspace.options.timeToLive, entry.kind == .insert {
      let (end, isBeyond) = entry.time.addingReportingOverflow(ttl)
      expiry = isBeyond ? nil : end
    }
    let width = Int(keyspace.options.valueWidth)
    // SAFETY: where values have a width, an entry's source gives as many bytes.
    let value = unsafe UnsafeRawBufferPointer(
      start: entry.value, count: entry.value == nil ? 0 : width)
    return KeyReport.Entry(
      time: entry.time, kind: entry.kind, expiry: expiry,
      isExpired: expiry.map { $0 <= watermark } ?? false, value: unsafe Array(value), file: file)
  }
}
