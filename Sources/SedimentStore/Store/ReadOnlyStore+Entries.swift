internal import SedimentIO

/// An entry of a key, and where it stands.
public struct InspectedEntry: Sendable, Equatable {
  /// Where an entry stands.
  public enum Source: Sendable, Equatable {
    /// In a table: its file, and the level, window and sequence number of its run.
    case table(name: String, level: UInt8, window: Int64, sequence: UInt64)
    /// In a log.
    case log(name: String)
  }

  /// When the key was first seen, put or removed, in milliseconds since 1970.
  public var time: Int64
  /// What the entry says of its key.
  public var kind: EntryKind
  /// `KeyspaceOptions.valueWidth` bytes; a removal holds none that mean anything.
  public var value: [UInt8]
  /// The file it was found in.
  public var source: Source

  init(_ entry: EntryReference, valueWidth: UInt8, source: Source) {
    time = entry.time
    kind = entry.kind
    let bytes = unsafe UnsafeRawBufferPointer(
      start: entry.value, count: entry.value == nil ? 0 : Int(valueWidth))
    value = unsafe Array(bytes)
    self.source = source
  }
}

extension ReadOnlyStore {
  /// Every entry of a key, newest first, expired and hidden ones included.
  ///
  /// Costs a read of one page a table that may hold the key, and of all logs.
  ///
  /// - Throws: `notFound` when there is no keyspace of that name.
  public func lookup(
    _ key: [UInt8], in keyspaceName: String
  ) throws(StoreError) -> [InspectedEntry] {
    try reading { state in
      let keyspace = try Self.keyspace(keyspaceName, of: state)
      let search = KeySearch(
        key: key, seed: state.seed, layout: keyspace.options.layout, files: files)
      return try search.entriesInLogs(of: keyspace) + search.entriesInTables(of: keyspace)
    }
  }

  private static func keyspace(_ name: String, of state: StoreState) throws -> KeyspaceState {
    guard let keyspace = state.keyspaces.first(where: { $0.name == name }) else {
      throw StoreError(.notFound, "there is no keyspace \(name)")
    }
    return keyspace
  }
}

/// The search for one key.
private struct KeySearch {
  let key: [UInt8]
  let hash: KeyHash
  let layout: EntryLayout
  let files: StateFiles

  init(key: [UInt8], seed: HashSeed, layout: EntryLayout, files: StateFiles) {
    self.key = key
    hash = unsafe key.withUnsafeBytes { unsafe KeyHasher(seed: seed).hash($0) }
    self.layout = layout
    self.files = files
  }

  private func matches(_ entry: EntryReference) -> Bool {
    guard entry.hash == hash else { return false }
    return unsafe !layout.isExact || entry.keyBytes.elementsEqual(key)
  }

  /// Newest first. What logs hold is newer than any table.
  func entriesInLogs(of keyspace: KeyspaceState) throws -> [InspectedEntry] {
    var found: [InspectedEntry] = []
    for log in keyspace.logs {
      let source = InspectedEntry.Source.log(name: files.shownName(of: log))
      try files.readLog(log, layout: layout) { entry in
        if matches(entry) {
          found.append(InspectedEntry(entry, valueWidth: layout.valueWidth, source: source))
        }
      }
    }
    return found.reversed()
  }

  /// Newest first.
  func entriesInTables(of keyspace: KeyspaceState) throws -> [InspectedEntry] {
    var found: [InspectedEntry] = []
    for run in keyspace.shards.lazy.flatMap(\.runs) {
      for slice in run.tables where slice.clip.contains(hash.high) {
        let source = InspectedEntry.Source.table(
          name: files.shownName(of: slice.table), level: run.level, window: run.window,
          sequence: run.sequence)
        try files.withTable(slice.table) { try search($0, source, &found) }
      }
    }
    return found
  }

  private func search(
    _ table: TableReader, _ source: InspectedEntry.Source, _ found: inout [InspectedEntry]
  ) throws {
    let page = table.probe.place(for: hash)
    guard page.count > 0 else { return }
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(page.count) * TableFormat.unitBytes, alignment: TableFormat.unitBytes)
    defer { unsafe memory.deallocate() }
    guard let base = memory.baseAddress else { return }
    let view = try unsafe table.readPage(first: page.first, count: page.count, into: base)
    for index in view.range(of: hash, near: page.part) {
      let entry = view.entry(at: index)
      if matches(entry) {
        found.append(InspectedEntry(entry, valueWidth: layout.valueWidth, source: source))
      }
    }
  }
}
