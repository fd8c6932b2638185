import Foundation
import SedimentJob
import SedimentStore
import Testing

/// States of jobs that write topics, whose last epoch the brokers are still to be asked about:
/// nothing opens them for writing and so drops the epoch before, which may be the one they took.
@Suite final class UnsettledStateTests {
  private let program: Program
  private let tags = (1...2).map { EpochTag(high: 0, low: $0) }

  init() throws {
    program = try Program()
  }

  private static let keyspaceOptions = KeyspaceOptions(timeToLive: .forever)

  /// Makes a state of two epochs.
  ///
  /// - Parameter last: the mark of the second one.
  private func makeState(_ last: EpochMark?) throws {
    var metadata = JobMetadata(
      description: JobDescription(
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever))
    let options = StoreOptions(memoryBudget: 8 << 20, shards: 2, confirmsEpochs: true)
    let store = try StateStore.open(
      at: program.url("state").path, options: options, seed: HashSeed(first: 1, second: 2))
    let seen = try store.keyspace("dedup", Self.keyspaceOptions)
    for (number, mark) in [EpochMark.settled(tags[0]), last].enumerated() {
      let keys = KeyBatch()
      for key in 0..<10 { try keys.append("key \(key + number * 10)") }
      _ = try seen.insertIfAbsent(keys, times: [Int64](repeating: 1, count: 10))
      metadata.mark = mark
      metadata.totals.events = UInt64(number + 1) * 10
      try store.commitEpoch(metadata: metadata.encoded())
      if number == 0 { try store.confirmEpoch() }
    }
    try store.close()
  }

  private func epochs() throws -> [UInt64] {
    try StateStore.epochs(at: program.url("state").path).map(\.number)
  }

  private static let commands = [
    ["compact", "state"], ["rescale", "state", "--shards", "3"], ["savepoint", "state", "saved"],
    ["checkpoint", "create", "state"], ["checkpoint", "create", "state", "--to", "backups"],
  ]

  @Test(arguments: commands)
  func whatWouldDropTheEpochBeforeIsRefused(arguments: [String]) throws {
    try makeState(EpochMark(tag: tags[1], confirmed: tags[0]))
    let before = try epochs()
    try #require(before.count >= 2)
    let files = try FileManager.default.contentsOfDirectory(atPath: program.url("state").path)
    let outcome = try program.run(arguments)
    #expect(outcome.status == 1)
    #expect(
      outcome.talk.contains("whether the brokers took the last epoch of state is not known: run"),
      "\(outcome.talk)")
    #expect(try epochs() == before)
    #expect(
      try Set(FileManager.default.contentsOfDirectory(atPath: program.url("state").path))
        == Set(files))
    #expect(!program.exists("saved") && !program.exists("backups"))
  }

  @Test(arguments: commands)
  func aStateThatIsSettledOrWasWrittenToFilesIsGoneOnWith(arguments: [String]) throws {
    for mark in [EpochMark.settled(tags[1]), nil] {
      try makeState(mark)
      let outcome = try program.run(arguments)
      #expect(outcome.status == 0, "\(outcome.talk)")
      for name in ["state", "saved", "backups"] where program.exists(name) {
        try FileManager.default.removeItem(at: program.url(name))
      }
    }
  }

  @Test func whatOnlyReadsIsNotRefused() throws {
    try makeState(EpochMark(tag: tags[1], confirmed: tags[0]))
    let before = try epochs()
    for arguments in [
      ["inspect", "state"], ["verify", "state"], ["repair", "state", "--to", "new"],
    ] {
      let outcome = try program.run(arguments)
      #expect(outcome.status == 0, "\(arguments): \(outcome.talk)")
    }
    #expect(try epochs() == before)
    // What was repaired holds one epoch only: there is none to go back to.
    let outcome = try program.run("compact", "new")
    #expect(outcome.status == 0, "\(outcome.talk)")
  }

  @Test func aJobThatWritesFilesRefusesIt() throws {
    try makeState(EpochMark(tag: tags[1], confirmed: tags[0]))
    try program.write("{\"k\":1}\n", to: "in.ndjson")
    let outcome = try program.run(
      "dedup", "in.ndjson", "--key", "k", "--ttl", "forever", "--state", "state", "--output",
      "out/")
    #expect(outcome.status == 1)
    #expect(outcome.talk.contains("with the topics that it writes"), "\(outcome.talk)")
    #expect(try epochs().count >= 2)
  }
}
