import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Restores that fail half-way, and two at once.
@Suite struct CheckpointRestoreTests {
  private typealias Harness = CheckpointHarness
  private let disk = MemoryFileSystem()

  /// Makes a checkpoint of tables and a log.
  private func makeCheckpoint() throws {
    var options = Harness.options()
    options.memtableSlotsMax = 64
    let store = try StateStore.open(at: "/state", options: options, fileSystem: disk)
    let seen = try store.keyspace("seen", Harness.logged)
    for round in 0..<3 { try Harness.insert(round, into: seen) }
    try store.checkpoint(to: "/backups")
    try store.close()
  }

  private static func restore(_ fileSystem: any FileSystem) throws(StoreError) {
    try StateStore.restore(
      checkpoint: CheckpointReference(path: "/backups"), to: "/again", fileSystem: fileSystem)
  }

  private func checkRestored(_ disk: MemoryFileSystem, _ what: String) throws {
    let store = try Harness.open(disk, at: "/again")
    #expect(try Harness.rounds(of: store, upTo: 4) == [0, 1, 2], "\(what)")
    try store.close()
  }

  @Test(arguments: [true, false])
  func aRestoreThatRanOutOfSpaceCanBeTriedAgain(links: Bool) throws {
    try makeCheckpoint()
    var failures = 0
    for number in 1... {
      let disk = disk.clone()
      let faulty = FaultInjectingFileSystem(disk)
      let crossDevice = Fault(.link, number: 1, code: .crossDevice, isSticky: true)
      faulty.arm((links ? [] : [crossDevice]) + [.noSpace(number: number)])
      do {
        try Self.restore(faulty)
      } catch {
        failures += 1
        let left = disk.files().filter { $0.hasPrefix("again/") && $0 != "again/LOCK" }
        #expect(left == [], "call \(number)")
        try Self.restore(disk)
      }
      try checkRestored(disk, "call \(number)")
      if faulty.callCount < number { break }
    }
    #expect(failures > 20)
  }

  /// The second begins when the first has seen the empty directory.
  @Test(arguments: [FileOperation.entries, .lock, .link])
  func ofTwoRestoresAtOnceOneFillsTheDirectory(overtakenAt operation: FileOperation) throws {
    try makeCheckpoint()
    let interrupted = FaultInjectingFileSystem(disk)
    let faster = Once { [disk] in try Self.restore(disk) }
    interrupted.interrupt { met, path in
      if met == operation && (path.hasPrefix("/again") || met == .link) { faster.run() }
    }
    let slower = Once { try Self.restore(interrupted) }
    slower.run()
    #expect((faster.error == nil) != (slower.error == nil), "exactly one of them")
    switch (faster.error ?? slower.error)?.code {
    case .alreadyExists, .locked: break
    case let code: Issue.record("\(String(describing: code))")
    }
    try checkRestored(disk, "after both")
  }
}
