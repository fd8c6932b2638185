// sediment rescale: another number of shards, or of a topic's partitions, without rewriting tables.

import ArgumentParser
import SedimentInspection
import SedimentJob
import SedimentKafka
import SedimentStore

struct Rescale: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Changes into how many shards, or partitions, states are cut.",
    discussion: """
      Shards are what threads decide side by side. Nothing is rewritten: tables that lie across \
      the new borders are shared by several shards, until merges rewrite each its part. Of a state \
      the change is made in place, and needs it for itself: while a program has it open, this \
      exits with 1 and names the process. Of a checkpoint a new one is made beside it, of the same \
      files; a directory of checkpoints stands for its newest. A savepoint never changes: restore \
      it first.

      A job needs this at no time: sediment dedup --parallelism decides the number of shards at \
      every start. It is for states that are handed on to machines of another size, and for \
      programs that open what they find.

      Of a job with several instances (--partitioned-by-key, --repartition-by-key) a topic is \
      named, which has more partitions now than when the job began, or is to have them \
      (--partitions). Its states lie in --handover, and a state is made there for every partition: \
      behind --repartition-by-key each has its range of keys, else nobody knows where a key went, \
      and each has all that there was, until it expires. Nothing is rewritten or downloaded, but \
      everything is copied within the storage (in a directory it is linked); the job removes the \
      states of before when it has run for an hour. All instances must have ended, and all \
      records of the old partitions must have been read: pause the producers, let the job read \
      to the end (--until-end), let it end, rescale, start the instances, and then the \
      producers. Messages end with 1 where that is not so, and nothing changes.

      Examples:
        sediment rescale state --shards 8
        sediment rescale backups/chk-000000000012-000001-89ab54f02c1d77e3 --shards 4
        sediment rescale kafka://localhost:9092/clicks --group dedup --handover /mnt/states \
      --partitions 24
      """)

  @Argument(help: "A state's directory, a checkpoint, or a topic: kafka://broker/topic.")
  var path: String

  @Option(help: ArgumentHelp("How many shards: 1 to 256. Not for topics.", valueName: "n"))
  var shards: Int?

  @OptionGroup(title: "Topics") var topic: RescaledTopicOptions

  @OptionGroup var report: ReportOptions

  func validate() throws {
    guard !KafkaAddress.isMeant(by: path) else {
      guard shards == nil else {
        throw ValidationError("--shards is for states and checkpoints, not for topics.")
      }
      return try topic.validate(path)
    }
    try topic.refuse()
    guard let shards else { throw ValidationError("--shards is missing, and has no default.") }
    guard (1...256).contains(shards) else {
      throw ValidationError("--shards \(shards): 1 to 256 are possible.")
    }
  }

  func run() throws {
    guard let shards else { return try rescalePartitions() }
    let origin = try ReadOnlyStore.open(at: path).origin
    let before = try ShardingSummary(at: path)
    guard let count = before.shardCount else {
      throw StoreError(
        .invalidArgument, "\(path) has no hashed keyspace, and only those have shards")
    }
    let outcome: RescaleOutcome
    switch origin {
    case .state:
      try JobMetadata.requireSettled(at: path)
      // Opening arranges, and makes that durable before it goes on.
      try StateStore.open(at: path, options: StoreOptions(shards: shards)).close()
      outcome = RescaleOutcome(
        title: "State \(path)", checkpoint: nil, shardsBefore: count, shards: shards,
        after: try ShardingSummary(at: path))
    case .checkpoint(let id):
      outcome = try rescale(id, from: count, to: shards)
    }
    try report.print(text: outcome.text, json: outcome.json)
  }

  private func rescale(
    _ id: String, from shardsBefore: Int, to shards: Int
  ) throws -> RescaleOutcome {
    let directory = CheckpointReference(path: path).directory
    let made = try Checkpoints(at: directory).rescale(id, shards: shards)
    let checkpoint = made?.id ?? id
    return RescaleOutcome(
      title: "Checkpoint \(checkpoint)", checkpoint: checkpoint, shardsBefore: shardsBefore,
      shards: shards, after: try ShardingSummary(at: directory + "/" + checkpoint))
  }
}

/// What there is after a change of the number of shards.
private struct RescaleOutcome {
  var title: String
  /// That which holds it; `nil` for a state.
  var checkpoint: String?
  var shardsBefore: Int
  var shards: Int
  var after: ShardingSummary

  var text: String {
    let rewritten =
      after.sharedTableCount == 0
      ? "nothing"
      : "\(Figure.bytes(after.sharedBytes)), by and by as merges come to them"
    return """
      \(title)
        shards     \(shards), before \(shardsBefore)
        tables     \(Figure.count(after.tableCount)), of which several shards share \
      \(Figure.count(after.sharedTableCount))
        to rewrite \(rewritten)

      """
  }

  var json: JSONValue {
    var fields: [JSONValue.Member] = [
      .init("shards_before", .count(shardsBefore)), .init("shards", .count(shards)),
      .init("tables", .count(after.tableCount)),
      .init("shared_tables", .count(after.sharedTableCount)),
      .init("shared_bytes", .unsigned(after.sharedBytes)),
    ]
    if let checkpoint { fields.append(.init("checkpoint", .string(checkpoint))) }
    return .object(fields)
  }
}
