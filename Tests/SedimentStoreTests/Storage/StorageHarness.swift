import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// A store of rounds, as in `CheckpointHarness`, and its checkpoints in a storage.
struct StorageHarness {
  static let hour: Int64 = 3_600_000

  /// A store with a clock that tests move.
  ///
  /// - Parameter hasSmallUploads: whether its uploads are small ones, without intent and lease.
  static func open(
    _ disk: any FileSystem, _ clock: ManualClock, at path: String = "/state",
    hasSmallUploads: Bool = false
  ) throws -> StateStore {
    var options = CheckpointHarness.options()
    options.clock = clock
    options.smallUploadBytesMax = hasSmallUploads ? .max : 0
    return try StateStore.open(
      at: path, options: options, seed: HashSeed(first: 1, second: 2), fileSystem: disk)
  }

  /// The rounds that a checkpoint in a storage holds.
  static func rounds(
    _ storage: any CheckpointStorage, _ id: String? = nil, upTo count: Int, _ clock: ManualClock
  ) throws -> [Int] {
    let disk = MemoryFileSystem()
    try StateStore.restore(
      from: storage, id: id, to: "/state", transfers: 1, fileSystem: disk, clock: clock)
    let store = try open(disk, clock)
    let rounds = try CheckpointHarness.rounds(of: store, upTo: count)
    try store.close()
    return rounds
  }

  /// Checks that every checkpoint is whole and holds the rounds of its age.
  static func check(
    _ storage: any CheckpointStorage, _ clock: ManualClock, atLeast count: Int, _ comment: Comment
  ) throws {
    let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
    #expect(try checkpoints.unreadable().isEmpty, comment)
    let listed = try checkpoints.list()
    #expect(listed.count >= count, comment)
    var roundCount = 1
    for info in listed.reversed() {
      #expect(try checkpoints.verify(info.id).isEmpty, comment)
      let rounds = try rounds(storage, info.id, upTo: 8, clock)
      #expect(rounds == Array(0..<rounds.count) && rounds.count >= roundCount, comment)
      roundCount = rounds.count
    }
  }
}
