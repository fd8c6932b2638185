// sediment get: what a state knows of one key.

import ArgumentParser
import SedimentInspection
import SedimentJob
import SedimentStore

struct Get: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows when a key was first seen, where it stands and when it expires.",
    discussion: """
      The key is a JSON array of its values in the order of --key, or a whole record as the job \
      reads it: a JSON object, a row of CSV, a line. Values of CSV columns and of lines are \
      strings. Safe beside a running job: it answers as of the job's last epoch. A key that is not \
      found is an answer, too: the exit code is 0.

      Examples:
        sediment get state '[4711,1700000000123,"9e3779b97f4a7c15"]'
        sediment get state '{"adserver_id":4711,"event_timestamp":1700000000123, ...}'
        sediment get state 'a whole line' --json
      """)

  @Argument(help: ArgumentHelp("A state, checkpoint or savepoint.", valueName: "dir"))
  var path: String

  @Argument(help: ArgumentHelp("An array of key values, or a record.", valueName: "key"))
  var key: String

  @Option(help: "The keyspace, where a store has several.")
  var keyspace: String?

  @OptionGroup var report: ReportOptions

  func run() throws {
    let metadata = try ReadOnlyStore.open(at: path).metadata
    let argument = KeyArgument(key, job: jobMetadata(metadata))
    let found = try KeyReport(of: argument.encoded(), in: keyspace, at: path)
    try report.print(text: found.text, json: found.json)
  }
}
