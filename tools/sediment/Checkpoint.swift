// sediment checkpoint: list, show, create, verify, delete, retain, gc.

import ArgumentParser
import SedimentIO
import SedimentInspection
import SedimentJob
import SedimentStore

struct Checkpoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes checkpoints, and looks after those there are.",
    discussion: """
      PLACE is a directory of checkpoints, or a state, whose own checkpoints lie in \
      PLACE/checkpoints; or a storage that all machines reach: s3://bucket/prefix, or \
      file:///path of a directory that all have mounted. Where a checkpoint is asked for, none \
      named means the newest.

      \(StorageArgument.help)

      Examples:
        sediment checkpoint create state --to backups
        sediment checkpoint list state
        sediment checkpoint show backups chk-000000000012-000001-89ab54f02c1d77e3
        sediment checkpoint gc backups --force
        sediment checkpoint create state --to s3://backups/clicks
        sediment checkpoint retain s3://backups/clicks 5
        sediment checkpoint gc s3://backups/clicks --force
      """,
    subcommands: [
      ListCheckpoints.self, ShowCheckpoint.self, CreateCheckpoint.self, VerifyCheckpoint.self,
      DeleteCheckpoint.self, RetainCheckpoints.self, CollectGarbage.self,
    ])
}

/// A directory of checkpoints, or of the state that has them, or a storage.
struct CheckpointPlace: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "A directory of checkpoints, a state, or a storage (s3:// or file://).", valueName: "place"))
  var directory: String

  @OptionGroup var store: StoreChoice

  /// What a place was.
  enum Opened {
    case directory(Checkpoints, path: String)
    case storage(StoredCheckpoints)
  }

  /// The checkpoints there.
  var opened: Opened {
    get throws {
      if StorageArgument.isOne(directory) {
        let storage = try StorageArgument.storage(directory)
        return .storage(try StoredCheckpoints(in: storage, of: store.identity))
      }
      try store.refuse(for: directory)
      let path = try path
      return .directory(try Checkpoints(at: path), path: path)
    }
  }

  /// The directory of checkpoints itself.
  private var path: String {
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
    let list =
      switch try place.opened {
      case .directory(let checkpoints, _):
        CheckpointListReport(
          try checkpoints.list(), unreadable: try checkpoints.unreadable().map(\.id))
      case .storage(let checkpoints):
        CheckpointListReport(
          try checkpoints.list(), unreadable: try checkpoints.unreadable().map(\.id))
      }
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
    let info =
      switch try place.opened {
      case .directory(let checkpoints, _): try checkpoints.read(id)
      case .storage(let checkpoints): try checkpoints.read(id)
      }
    try report.print(text: info.text, json: info.json)
  }
}

struct CreateCheckpoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Makes a checkpoint of a state that no job runs on.",
    discussion: """
      Into a directory it links the state's tables, so it takes little time and space; into a \
      storage it uploads them. Only files that no earlier checkpoint there has are new. A running \
      job makes its own checkpoints.
      """)

  @Argument(help: ArgumentHelp("The state's directory.", valueName: "dir"))
  var path: String

  @Option(
    help: ArgumentHelp(
      "Where to put it, a directory or a storage (s3:// or file://); DIR/checkpoints by default.",
      valueName: "place"))
  var to: String?

  @Flag(help: "In a storage: this state counts although another one has published there since.")
  var supersede = false

  @OptionGroup var report: ReportOptions

  func run() throws {
    let place = to ?? PathName.join(path, StateReport.checkpointsName)
    guard !supersede || StorageArgument.isOne(place) else {
      throw ValidationError("--supersede is for storages (s3:// and file://), not for \(place).")
    }
    let storage =
      StorageArgument.isOne(place) ? try StorageArgument.storage(place, creating: true) : nil
    let store = try openForWriting(path)
    let info =
      if let storage {
        try store.checkpoint(to: storage, committing: false, supersedes: supersede)
      } else {
        try store.checkpoint(to: place, committing: false)
      }
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
    let found =
      switch try place.opened {
      case .directory(_, let path):
        try VerificationReport.ofCheckpoint(CheckpointReference(directory: path, id: id))
      case .storage(let checkpoints): try VerificationReport.ofCheckpoint(id, in: checkpoints)
      }
    try report.print(text: found.text, json: found.json)
    if !found.isSound { throw ExitCode.failure }
  }
}

struct DeleteCheckpoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Deletes checkpoints and what only they needed.",
    discussion: """
      Anything left over, as by a crash in the middle, goes with sediment checkpoint gc; of a \
      storage also what is not older than a day.
      """)

  @OptionGroup var place: CheckpointPlace

  @Argument(help: "The checkpoints to delete.")
  var ids: [String]

  @OptionGroup var report: ReportOptions

  func run() throws {
    let garbage: GarbageReport
    switch try place.opened {
    case .directory(let checkpoints, _):
      for id in ids { try checkpoints.delete(id) }
      garbage = try checkpoints.collectGarbage(dryRun: false)
    case .storage(let checkpoints):
      for id in ids { try checkpoints.delete(id) }
      garbage = try checkpoints.collectGarbage(dryRun: false)
    }
    try report.print(
      text: "deleted \(Figure.count(ids.count, of: "checkpoint")): "
        + "\(Figure.count(garbage.files.count, of: "file")), \(Figure.bytes(garbage.bytes))\n",
      json: .object([
        .init("deleted", .array(ids.map { .string($0) })), .init("garbage", garbage.json),
      ]))
  }
}

struct RetainCheckpoints: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retain", abstract: "Keeps the newest checkpoints and lets the others go.",
    discussion: """
      Of a directory the files that only they needed go, too; of a storage with the next \
      sediment checkpoint gc.
      """)

  @OptionGroup var place: CheckpointPlace

  @Argument(help: "How many to keep, 1 or more.")
  var count: Int

  @Option(help: "Keep this one, too, and all that are newer; may be repeated.")
  var protect: [String] = []

  @OptionGroup var report: ReportOptions

  func run() throws {
    let gone =
      switch try place.opened {
      case .directory(let checkpoints, _): try checkpoints.retain(count, protecting: protect)
      case .storage(let checkpoints): try checkpoints.retain(count, protecting: protect)
      }
    try report.print(
      text: gone.map { "  \($0)\n" }.joined() + "let go of "
        + "\(Figure.count(gone.count, of: "checkpoint"))\n",
      json: .object([.init("deleted", .array(gone.map { .string($0) }))]))
  }
}

struct CollectGarbage: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gc", abstract: "Finds files that no checkpoint needs.",
    discussion: """
      Without --force nothing is removed, only named. In a storage uploads and restores may go on \
      meanwhile, and what they need stays.
      """)

  @OptionGroup var place: CheckpointPlace

  @Flag(help: "Remove them.")
  var force = false

  @Option(
    help: ArgumentHelp(
      "Of a storage: how long an upload or a restore may be silent before it counts as gone.",
      valueName: "duration"),
    transform: Parse.duration)
  var gracePeriod: Int64 = 86_400_000

  @OptionGroup var report: ReportOptions

  func run() throws {
    let garbage =
      switch try place.opened {
      case .directory(let checkpoints, _): try checkpoints.collectGarbage(dryRun: !force)
      case .storage(let checkpoints):
        try checkpoints.collectGarbage(
          gracePeriod: .milliseconds(gracePeriod), dryRun: !force)
      }
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
