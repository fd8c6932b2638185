// sediment repair: what can be saved of a damaged state.

import ArgumentParser
import SedimentInspection
import SedimentStore

struct Repair: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Saves what is whole of a damaged state into a new one.",
    discussion: """
      The last resort, where no checkpoint is whole: see 'sediment restore'. Whatever has its \
      checksum right goes into the new state: of ordered keyspaces single blocks of tables and \
      single records of the log, of hashed ones whole tables, and logs up to the damage. The old \
      state is only read; no program may have it open. Every loss is named, and with any the exit \
      code is 1. Keys of lost entries may have an older value again, or one that was removed.

      Of a job that writes topics the new state has the last epoch only. Its next run asks the \
      brokers whether they took that, and refuses to go on where they did not.

      Example:
        sediment repair state --to state.repaired
      """)

  @Argument(help: ArgumentHelp("The damaged state's directory.", valueName: "dir"))
  var path: String

  @Option(help: ArgumentHelp("The new state's directory, empty or missing.", valueName: "dir"))
  var to: String

  @OptionGroup var report: ReportOptions

  func run() throws {
    let found = try StateStore.repair(at: path, to: to)
    try report.print(text: found.text, json: found.json)
    if !found.losses.isEmpty { throw ExitCode.failure }
  }
}
