// sediment checkpoint: list, show, create, verify, delete, gc.

import ArgumentParser
import SedimentIO
import SedimentInspection
import SedimentStore

struct Checkpoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes checkpoints, and looks after those there are.",
    discussion: """
      DIR is a directory of checkpoints, or a state, whose own checkpoints lie in DIR/checkpoints. \
      Where a checkpoint is asked for, none named means the newest.

      Examples:
        sediment checkpoint create state --to backups
        sediment checkpoint list state
        sediment checkpoint show backups chk-000000000012-000001-89ab54f02c1d77e3
        sediment checkpoint gc backups --force
      """,
    subcommands: [
      ListCheckpoints.self, ShowCheckpoint.self, CreateCheckpoint.self, VerifyCheckpoint.self,
      DeleteCheckpoint.self, CollectGarbage.self,
    ])
}

/// A directory of checkpoints, or of the state that has them.
struct CheckpointPlace: ParsableArguments {
  @Argument(
    help: ArgumentHelp("A directory of checkpoints, or a state.", valueName: "dir"))
  var directory: String

  /// The directory of checkpoints itself.
  var path: String {
    get throws {
      let opened = try PosixFileSystem().openDirectory(at: directory, creating: false)
      let own = StateReport.checkpointsName
      guard try opened.metadata(of: own)?.kind == .directory else { return directory }
      return PathName.join(directory, own)
    }
  }
}

struct ListCheckpoints: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Lists checkpoints, newest first.")

  @OptionGroup var place: CheckpointPlace
  @OptionGroup var report: ReportOptions

  func run() throws {
    let checkpoints = try Checkpoints(at: place.path)
    let list = CheckpointListReport(
      try checkpoints.list(), unreadable: try checkpoints.unreadable().map(\.id))
    try report.print(text: list.text, json: list.json)
  }
}

struct ShowCheckpoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Shows what a checkpoint holds.")

  @OptionGroup var place: CheckpointPlace

  @Argument(help: "The checkpoint; the newest by default.")
  var id: String?

  @OptionGroup var report: ReportOptions

  func run() throws {
    let info = try Checkpoints(at: place.path).read(id)
    try report.print(text: info.text, json: info.json)
  }
}

struct CreateCheckpoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Makes a checkpoint of a state that no job runs on.",
    discussion: """
      Links the state's tables, so it takes little time and space; only files that no earlier \
      checkpoint there has are new. A running job makes its own checkpoints.
      """)

  @Argument(help: ArgumentHelp("The state's directory.", valueName: "dir"))
  var path: String

  @Option(
    help: ArgumentHelp("Where to put it; DIR/checkpoints by default.", valueName: "checkpoints"))
  var to: String?

  @OptionGroup var report: ReportOptions

  func run() throws {
    let store = try openForWriting(path)
    let info = try store.checkpoint(
      to: to ?? PathName.join(path, StateReport.checkpointsName), committing: false)
    try store.close()
    try report.print(
      text: info.text + "  new        \(Figure.count(info.newFiles, of: "file")), "
        + "\(Figure.bytes(info.newBytes))\n",
      json: info.json)
  }
}

struct VerifyCheckpoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Reads all of a checkpoint and names every damage.")

  @OptionGroup var place: CheckpointPlace

  @Argument(help: "The checkpoint; the newest by default.")
  var id: String?

  @OptionGroup var report: ReportOptions

  func run() throws {
    let directory = try place.path
    let found = try VerificationReport.ofCheckpoint(
      CheckpointReference(directory: directory, id: id))
    try report.print(text: found.text, json: found.json)
    if !found.isSound { throw ExitCode.failure }
  }
}

struct DeleteCheckpoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Deletes checkpoints and what only they needed.",
    discussion: "Anything left over, as by a crash in the middle, goes with sediment checkpoint gc."
  )

  @OptionGroup var place: CheckpointPlace

  @Argument(help: "The checkpoints to delete.")
  var ids: [String]

  @OptionGroup var report: ReportOptions

  func run() throws {
    let checkpoints = try Checkpoints(at: place.path)
    for id in ids { try checkpoints.delete(id) }
    let garbage = try checkpoints.collectGarbage(dryRun: false)
    try report.print(
      text: "deleted \(Figure.count(ids.count, of: "checkpoint")): "
        + "\(Figure.count(garbage.files.count, of: "file")), \(Figure.bytes(garbage.bytes))\n",
      json: .object([
        .init("deleted", .array(ids.map { .string($0) })), .init("garbage", garbage.json),
      ]))
  }
}

struct CollectGarbage: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gc", abstract: "Finds files that no checkpoint needs.",
    discussion: "Without --force nothing is removed, only named.")

  @OptionGroup var place: CheckpointPlace

  @Flag(help: "Remove them.")
  var force = false

  @OptionGroup var report: ReportOptions

  func run() throws {
    let garbage = try Checkpoints(at: place.path).collectGarbage(dryRun: !force)
    var text = garbage.files.map { "  \($0)\n" }.joined()
    text +=
      "\(Figure.count(garbage.files.count, of: "file")), \(Figure.bytes(garbage.bytes)): "
      + (garbage.files.isEmpty
        ? "nothing to remove\n" : force ? "removed\n" : "not needed; --force removes them\n")
    try report.print(text: text, json: garbage.json)
  }
}

extension GarbageReport {
  fileprivate var json: JSONValue {
    .object([
      .init("files", .array(files.map { .string($0) })), .init("bytes", .unsigned(bytes)),
    ])
  }
}
