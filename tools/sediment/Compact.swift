// sediment compact: merge all there is to merge.

import ArgumentParser
import SedimentIO
import SedimentInspection
import SedimentStore

struct Compact: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Merges a state's tables and drops what has expired.",
    discussion: """
      Leaves one run a shard for each time window, or one a shard for a state that keeps its keys \
      forever. Needs the state for itself: while a job runs on it, this exits with 1 and names \
      the process.

      Example:
        sediment compact state
      """)

  @Argument(help: ArgumentHelp("The state's directory.", valueName: "dir"))
  var path: String

  @OptionGroup var report: ReportOptions

  func run() throws {
    let before = try StateSummary(at: path)
    let store = try openForWriting(path)
    try store.compact()
    try store.commitEpoch(metadata: store.lastEpoch.metadata)
    try store.close()
    let after = try StateSummary(at: path)
    try report.print(
      text: "before: \(text(before))\nafter:  \(text(after))\n",
      json: .object([.init("before", json(before)), .init("after", json(after))]))
  }

  private func text(_ summary: StateSummary) -> String {
    "\(Figure.bytes(summary.bytes)) in \(Figure.count(summary.tableCount, of: "table")), "
      + "\(Figure.count(summary.runCount, of: "run")), \(Figure.count(summary.entryCount)) keys"
  }

  private func json(_ summary: StateSummary) -> JSONValue {
    .object([
      .init("bytes", .unsigned(summary.bytes)), .init("tables", .count(summary.tableCount)),
      .init("runs", .count(summary.runCount)), .init("keys", .unsigned(summary.entryCount)),
    ])
  }
}
