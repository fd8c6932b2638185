// sediment get: what a state knows of one key.

import ArgumentParser
import SedimentInspection
import SedimentJob
import SedimentStore

struct Get: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows what a state holds of a key, and where.",
    discussion: """
      Of a hashed keyspace, such as a job's: when the key was first seen, where it stands and when \
      it expires. The key is a JSON array of its values in the order of --key, or a whole record \
      as the job reads it: a JSON object, a row of CSV, a line. Values of CSV columns and of lines \
      are strings. Of an ordered keyspace: its value. The key is the text itself, or with --hex \
      its bytes as hexadecimal digits; values that are no printable text are shown that way.

      Safe beside a running program. A job's state answers as of the last epoch; an ordered \
      keyspace with a log as of its last write. A key that is not found is an answer, too: the \
      exit code is 0.

      Examples:
        sediment get state '[4711,1700000000123,"9e3779b97f4a7c15"]'
        sediment get state '{"adserver_id":4711,"event_timestamp":1700000000123, ...}'
        sediment get state 'a whole line' --json
        sediment get state --keyspace words stone
        sediment get state --keyspace words --hex 00ff --explain
      """)

  @Argument(help: ArgumentHelp("A state, checkpoint or savepoint.", valueName: "dir"))
  var path: String

  @Argument(help: ArgumentHelp("An array of key values, a record, or a text.", valueName: "key"))
  var key: String

  @Option(help: "The keyspace, where a store has several.")
  var keyspace: String?

  @Flag(help: "The key of an ordered keyspace is given as hexadecimal digits.")
  var hex = false

  @Flag(help: "Show where the key of an ordered keyspace was looked for, and all that was found.")
  var explain = false

  @OptionGroup var report: ReportOptions

  func run() throws {
    let store = try ReadOnlyStore.open(at: path)
    let choice = try KeyspaceChoice(keyspace, of: store)
    guard choice.isOrdered else { return try showHashed(choice.name, metadata: store.metadata) }
    let found = try OrderedKeyReport(of: bytes(of: key, isHex: hex), in: choice.name, at: path)
    try report.print(text: found.text(explains: explain), json: found.json(explains: explain))
  }

  private func showHashed(_ name: String, metadata: [UInt8]) throws {
    if hex || explain {
      throw ValidationError(
        "Keyspace \(name) is a hashed one: --\(hex ? "hex" : "explain") is for ordered keyspaces.")
    }
    let argument = KeyArgument(key, job: jobMetadata(metadata))
    let found = try KeyReport(of: argument.encoded(), in: name, at: path)
    try report.print(text: found.text, json: found.json)
  }
}
