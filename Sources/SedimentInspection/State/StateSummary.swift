public import SedimentIO
public import SedimentStore

/// A state in a few numbers, from its manifest alone.
public struct StateSummary: Sendable, Equatable {
  public var keyspaceNames: [String]
  /// Whether any of them is ordered: entries are versions of keys then.
  public var hasOrdered: Bool
  public var shardCount: Int
  public var runCount: Int
  public var tableCount: Int
  /// Entries of tables.
  public var entryCount: UInt64
  /// Bytes of tables.
  public var bytes: UInt64
  /// What the caller keeps with the epoch.
  public var metadata: [UInt8]

  /// Reads the manifest of a state directory.
  ///
  /// - Throws: `notFound` when there is no state, `corrupted` …
  public init(
    at path: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) {
    let state = try StateReader(path: path, fileSystem: fileSystem).read { $0.state }
    keyspaceNames = state.keyspaceNames
    hasOrdered = !state.orderedKeyspaces.isEmpty
    shardCount = state.keyspaces.map(\.shards.count).max() ?? 1
    runCount = state.keyspaces.flatMap(\.shards).reduce(0) { $0 + $1.runs.count }
    let tables = state.tableReferences
    tableCount = tables.count
    entryCount =
      state.tables.values.reduce(0) { $0 &+ $1.entryCount }
      &+ state.orderedTables.reduce(0) { $0 &+ $1.entryCount }
    bytes = tables.reduce(0) { $0 &+ $1.fileBytes }
    metadata = state.metadata
  }
}
