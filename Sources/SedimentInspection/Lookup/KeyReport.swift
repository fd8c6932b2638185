// Where a key of a hashed keyspace stands in a state or checkpoint, read beside whoever writes it.

public import SedimentIO
public import SedimentStore

/// What a hashed keyspace holds of one key.
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
  /// - Throws: `notFound` without such a state or keyspace; `invalidArgument` when it is an ordered
  ///   one; `corrupted` …
  public init(
    of key: [UInt8], in keyspace: String? = nil, at path: String,
    fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) {
    let store = try ReadOnlyStore.open(at: path, fileSystem: fileSystem)
    let name = try KeyspaceChoice(keyspace, of: store).hashedName
    let found = try store.lookup(key, in: name)
    // The state that the lookup was made in; a newer one's watermark may be later.
    guard let state = store.state.keyspaces.first(where: { $0.name == name }) else {
      throw StoreError(.notFound, "\(path) has no keyspace \(name)")
    }
    self.key = key
    self.keyspace = name
    entries = found.map { Entry($0, in: state) }
    // Nothing older than what hides it counts.
    if let hiding = entries.firstIndex(where: { $0.kind.hidesOlder }) {
      entries.removeSubrange((hiding + 1)...)
    }
  }
}

extension KeyReport.Entry {
  fileprivate init(_ entry: InspectedEntry, in keyspace: KeyspaceState) {
    time = entry.time
    kind = entry.kind
    value = entry.value
    switch entry.source {
    case .table(let name, _, _, _), .log(let name): file = name
    }
    isExpired = false
    guard case .milliseconds(let ttl) = keyspace.options.timeToLive, kind == .insert else { return }
    let (end, isBeyond) = time.addingReportingOverflow(ttl)
    guard !isBeyond else { return }
    expiry = end
    isExpired =
      end
      <= StoreState.watermark(largestTime: keyspace.largestTime, options: keyspace.options)
  }
}
