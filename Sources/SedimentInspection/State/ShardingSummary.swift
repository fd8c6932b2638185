public import SedimentIO
public import SedimentStore

/// How the hashed keyspaces of a state are cut into shards, from its manifest alone.
public struct ShardingSummary: Sendable, Equatable {
  /// Shards of each keyspace; the most, where they differ. `nil` where no keyspace has any.
  public var shardCount: Int?
  /// Tables of hashed keyspaces.
  public var tableCount: Int
  /// Those of which several shards hold a part, as after a change of the number of shards. Merges
  /// rewrite each part by and by, and drop the table with the last.
  public var sharedTableCount: Int
  /// Bytes of the shared ones.
  public var sharedBytes: UInt64

  /// Reads the manifest of a state directory, of a checkpoint, or of the newest in a directory of
  /// them.
  ///
  /// - Throws: as `ReadOnlyStore.open`.
  public init(
    at path: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) {
    self.init(try ReadOnlyStore.open(at: path, fileSystem: fileSystem).state)
  }

  package init(_ state: StoreState) {
    shardCount = state.keyspaces.map(\.shards.count).max()
    tableCount = state.tables.count
    var holders: [FileNumber: Int] = [:]
    for shard in state.keyspaces.flatMap(\.shards) {
      let numbers = Set(shard.runs.flatMap(\.tables).map(\.table.number))
      for number in numbers { holders[number, default: 0] += 1 }
    }
    let shared = state.tables.values.filter { holders[$0.number, default: 0] > 1 }
    sharedTableCount = shared.count
    sharedBytes = shared.reduce(0) { $0 &+ $1.fileBytes }
  }
}
