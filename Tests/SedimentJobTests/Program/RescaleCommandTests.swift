import Foundation
import SedimentIO
import SedimentStore
import Testing

/// `sediment rescale`: another number of shards, of states and of checkpoints.
@Suite final class RescaleCommandTests {
  private let program: Program

  init() throws {
    program = try Program()
    let store = try open("state", shards: 2)
    let seen = try store.keyspace("seen", Self.keyspaceOptions)
    // Several tables a shard, and a log with the last ones.
    for first in stride(from: 0, to: Self.keyCount, by: 250) {
      let keys = try Self.keys(first..<first + 250)
      _ = try seen.insertIfAbsent(keys, times: [Int64](repeating: 1, count: 250))
    }
    try store.commitEpoch(metadata: [5])
    try store.close()
  }

  /// No merge: the tables are those that were flushed.
  private static let keyspaceOptions = KeyspaceOptions(
    timeToLive: .forever, compaction: .tiered(fanout: 32))
  private static let keyCount = 1_000

  private static func keys(_ range: Range<Int>) throws -> KeyBatch {
    let batch = KeyBatch()
    for key in range { try batch.append("key \(key)") }
    return batch
  }

  private func open(_ name: String, shards: Int) throws -> StateStore {
    var options = StoreOptions(memoryBudget: 8 << 20, shards: shards)
    options.memtableSlotsMax = 128
    return try StateStore.open(
      at: program.url(name).path, options: options, seed: HashSeed(first: 1, second: 2))
  }

  /// How many of the keys a state has; it is opened with a number of shards.
  private func keyCount(of name: String, shards: Int) throws -> Int {
    let store = try open(name, shards: shards)
    let seen = try store.keyspace("seen", Self.keyspaceOptions)
    let answers = try seen.contains(
      Self.keys(0..<Self.keyCount), times: [Int64](repeating: 1, count: Self.keyCount))
    try store.close()
    return (0..<Self.keyCount).filter { answers[$0] }.count
  }

  /// Names, sizes and file numbers of a directory's tables.
  private func tables(_ name: String) throws -> [String] {
    let manager = FileManager.default
    return try manager.contentsOfDirectory(atPath: program.url(name).path)
      .filter { $0.hasSuffix(".sst") }.sorted().map { file in
        let found = try manager.attributesOfItem(atPath: program.url(name + "/" + file).path)
        return "\(file) \(found[.size] ?? 0) \(found[.systemFileNumber] ?? 0)"
      }
  }

  private func shardCount(_ name: String) throws -> Int? {
    try ReadOnlyStore.open(at: program.url(name).path).state.keyspaces.first?.shards.count
  }

  private func fields(_ outcome: Program.Outcome) throws -> [String: Any] {
    try #require(outcome.status == 0, "\(outcome.talk)")
    let value = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
    return try #require(value as? [String: Any])
  }

  @Test(arguments: [1, 3, 256]) func aStateIsArrangedWithoutRewriting(shards: Int) throws {
    let before = try tables("state")
    try #require(before.count > 4)
    let outcome = try program.run("rescale", "state", "--shards", "\(shards)")
    #expect(outcome.status == 0, "\(outcome.talk)")
    #expect(outcome.output.contains("shards     \(shards), before 2"), "\(outcome.output)")
    #expect(try shardCount("state") == shards)
    #expect(try tables("state") == before)
    #expect(try program.run("verify", "state").status == 0)
    #expect(try keyCount(of: "state", shards: shards) == Self.keyCount)
  }

  @Test func tablesAcrossBordersAreCounted() throws {
    let count = try tables("state").count
    // One shard has all of each table.
    let one = try fields(program.run("rescale", "state", "--shards", "1", "--json"))
    #expect(one["shards_before"] as? Int == 2 && one["shards"] as? Int == 1)
    #expect(one["tables"] as? Int == count)
    #expect(one["shared_tables"] as? Int == 0 && one["shared_bytes"] as? Int == 0)
    let three = try fields(program.run("rescale", "state", "--shards", "3", "--json"))
    #expect(three["shards_before"] as? Int == 1 && three["shards"] as? Int == 3)
    // Of three shards, those that lie across a border.
    let thirds = KeyGroupRange.split(into: 3).map(\.hashRange)
    let shared = try ReadOnlyStore.open(at: program.url("state").path).state.tables.values
      .filter { table in
        thirds.count { $0.overlaps(table.smallestHigh...table.largestHigh) } > 1
      }
    try #require(!shared.isEmpty)
    #expect(three["shared_tables"] as? Int == shared.count)
    #expect(three["shared_bytes"] as? Int == shared.reduce(0) { $0 + Int($1.fileBytes) })
  }

  @Test func aCheckpointGetsAnotherOfTheSameObjects() throws {
    let store = try open("state", shards: 2)
    let first = try store.checkpoint(to: program.url("backups").path, committing: false)
    try store.close()
    let before = try tables("backups/objects")
    let made = try fields(
      program.run("rescale", "backups/" + first.id, "--shards", "5", "--json"))
    let id = try #require(made["checkpoint"] as? String)
    #expect(id != first.id && made["shards_before"] as? Int == 2)
    #expect(try tables("backups/objects") == before)
    for (id, shards) in [(first.id, 2), (id, 5)] {
      #expect(try shardCount("backups/" + id) == shards)
      #expect(try program.run("checkpoint", "verify", "backups", id).status == 0)
    }
    // It is the newest now, and a state that is made of it is cut as it is.
    #expect(try Checkpoints(at: program.url("backups").path).list().map(\.id) == [id, first.id])
    #expect(try program.run("restore", "backups", "restored").status == 0)
    #expect(try shardCount("restored") == 5)
    #expect(try keyCount(of: "restored", shards: 5) == Self.keyCount)
    // The directory stands for its newest, which is as is asked for already.
    let again = try fields(program.run("rescale", "backups", "--shards", "5", "--json"))
    #expect(again["checkpoint"] as? String == id)
    #expect(try Checkpoints(at: program.url("backups").path).list().count == 2)
    // What only the first needs can go, and the second has all of its own.
    #expect(try program.run("checkpoint", "delete", "backups", first.id).status == 0)
    #expect(try program.run("checkpoint", "verify", "backups", id).status == 0)
  }

  @Test func wrongUsageIsToldFromWhatCannotBe() throws {
    for arguments in [["--shards", "0"], ["--shards", "257"], ["--shards", "x"], []] {
      let outcome = try program.run(["rescale", "state"] + arguments)
      #expect(outcome.status == 2 && outcome.output.isEmpty, "\(arguments): \(outcome.talk)")
    }
    #expect(try program.run("rescale", "state", "--shards", "257").talk.contains("1 to 256"))
    try program.write("", to: "empty/note.txt")
    let ordered = try open("ordered", shards: 1)
    _ = try ordered.orderedKeyspace("rows")
    try ordered.close()
    #expect(try program.run("savepoint", "state", "saved").status == 0)
    for (path, words) in [
      ("none", "none"), ("empty", "holds no state"), ("ordered", "no hashed keyspace"),
      ("saved", "sediment restore"),
    ] {
      let outcome = try program.run("rescale", path, "--shards", "3")
      #expect(outcome.status == 1 && outcome.output.isEmpty, "\(path): \(outcome.talk)")
      #expect(outcome.talk.contains(words), "\(path): \(outcome.talk)")
    }
    #expect(try shardCount("state") == 2)
    #expect(try program.run("verify", "saved").status == 0)
  }

  @Test func aStateInUseAndDamageAreRefused() throws {
    let store = try open("state", shards: 2)
    let id = try store.checkpoint(to: program.url("backups").path, committing: false).id
    let held = try program.run("rescale", "state", "--shards", "3")
    #expect(held.status == 1 && held.talk.contains("process"), "\(held.talk)")
    try store.close()
    #expect(try shardCount("state") == 2)

    let objects = try FileManager.default.contentsOfDirectory(
      atPath: program.url("backups/objects").path)
    let table = try #require(objects.first { $0.hasSuffix(".sst") })
    try FileManager.default.removeItem(at: program.url("backups/objects/" + table))
    let missing = try program.run("rescale", "backups/" + id, "--shards", "3")
    #expect(missing.status == 1 && missing.talk.contains("objects/" + table), "\(missing.talk)")
    #expect(try Checkpoints(at: program.url("backups").path).list().map(\.id) == [id])

    try program.write("nonsense\n", to: "state/CURRENT")
    let damaged = try program.run("rescale", "state", "--shards", "3")
    #expect(damaged.status == 1 && damaged.talk.contains("CURRENT"), "\(damaged.talk)")
  }

  @Test func aJobGoesOnWithItsState() throws {
    try program.write("{\"k\":1}\n{\"k\":2}\n", to: "in.ndjson")
    let job = [
      "dedup", "in.ndjson", "--key", "k", "--ttl", "forever", "--state", "job", "--output", "out",
      "--parallelism", "2",
    ]
    #expect(try program.run(job).status == 0)
    #expect(try program.run("rescale", "job", "--shards", "7").status == 0)
    #expect(try shardCount("job") == 7)
    try program.append("{\"k\":2}\n{\"k\":3}\n", to: "in.ndjson")
    let again = try program.run(job)
    #expect(again.status == 0, "\(again.talk)")
    #expect(try program.outputText() == "{\"k\":1}\n{\"k\":2}\n{\"k\":3}\n")
    // --parallelism decides.
    #expect(try shardCount("job") == 2)
  }
}
