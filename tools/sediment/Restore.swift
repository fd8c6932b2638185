// sediment restore: a state from a checkpoint or savepoint.

import ArgumentParser
import SedimentInspection
import SedimentStore

struct Restore: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a state of a checkpoint or savepoint.",
    discussion: """
      DIR must be empty or missing. Tables are linked where both lie on one file system, and \
      nothing is rewritten; the checkpoint stays as it is. The job goes on from there when it is \
      started on DIR. With --clone it is another job that begins with the same keys, for a copy \
      that will run beside the original.

      From a storage (s3://bucket/prefix, or file:///path of a directory that all machines have \
      mounted) tables are downloaded and held against their sums; what was cut short goes on when \
      the same command is started again. \(StorageArgument.help)

      Examples:
        sediment restore backups state            the newest checkpoint there
        sediment restore backups/chk-000000000012-000001-89ab54f02c1d77e3 state
        sediment restore /backup/2023-11-14 state --clone
        sediment restore s3://backups/clicks state
      """)

  @Argument(help: "A checkpoint, a directory or a storage of them, or a savepoint.")
  var checkpoint: String

  @Argument(help: ArgumentHelp("The state's directory to make.", valueName: "dir"))
  var path: String

  @Flag(help: "Give the state a new id: it is another job's.")
  var clone = false

  @OptionGroup var store: StoreChoice

  @OptionGroup var report: ReportOptions

  func run() throws {
    let identity: RestoredIdentity = clone ? .new : .keep
    let info: CheckpointInfo
    if StorageArgument.isOne(checkpoint) {
      let (address, id) = StorageArgument.checkpoint(checkpoint)
      info = try StateStore.restore(
        from: try StorageArgument.storage(address), of: try store.identity, id: id, to: path,
        identity: identity)
    } else {
      try store.refuse(for: checkpoint)
      info = try StateStore.restore(
        checkpoint: CheckpointReference(path: checkpoint), to: path, identity: identity)
    }
    try report.print(text: "State \(path)\n" + info.text, json: info.json)
  }
}
