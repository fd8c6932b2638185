// sediment inspect: what a state holds.

import ArgumentParser
import SedimentInspection

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows what a state holds.",
    discussion: """
      Keyspaces with their options, time windows or levels, tables, keys and bytes; what their \
      filters cost and do; logs and checkpoints. Safe beside a running job: it shows the job's \
      last epoch. The false-positive rate is measured with random hashes.

      Examples:
        sediment inspect state
        sediment inspect state --tables
        sediment inspect state --json | jq '.keyspaces[].keys'
      """)

  @Argument(help: ArgumentHelp("The state's directory.", valueName: "dir"))
  var path: String

  @Flag(help: "List every table.")
  var tables = false

  @OptionGroup var report: ReportOptions

  func run() throws {
    let state = try StateReport(at: path, job: jobFacts)
    try report.print(text: state.text(listsTables: tables), json: state.json)
  }
}
