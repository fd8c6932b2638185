// sediment compact: merge all there is to merge.

import ArgumentParser
import SedimentIO
import SedimentInspection
import SedimentStore

struct Compact: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Merges a state's tables and drops what has expired.",
    discussion: """
      Of a hashed keyspace it leaves one run a shard for each time window, or one a shard when \
      keys are kept forever; of an ordered one a single level, with what only the log held in it, \
      too. Needs the state for itself: while a program has it open, this exits with 1 and names \
      the process. Merges need room beside what they replace.

      Example:
        sediment compact state
      """)

  @Argument(help: ArgumentHelp("The state's directory.", valueName: "dir"))
  var path: String

  @OptionGroup var report: ReportOptions

  func run() throws {
    let before = try StateSummary(at: path)
    let store = try openForWriting(path)
    // What an ordered keyspace holds in memory only is in no table to be merged.
    try store.flush()
    try store.compact()
    try store.commitEpoch(metadata: store.lastEpoch.metadata)
    try store.close()
    let after = try StateSummary(at: path)
    try report.print(
      text: "before: \(text(before))\nafter:  \(text(after))\n",
      json: .object([.init("before", json(before)), .init("after", json(after))]))
  }

  private func text(_ summary: StateSummary) -> String {
    var parts = [
      "\(Figure.bytes(summary.bytes)) in \(Figure.count(summary.tableCount, of: "table"))"
    ]
    // Tables of ordered keyspaces lie in levels.
    if summary.runCount > 0 { parts.append(Figure.count(summary.runCount, of: "run")) }
    let noun = summary.hasOrdered ? "entries" : "keys"
    parts.append("\(Figure.count(summary.entryCount)) \(noun)")
    return parts.joined(separator: ", ")
  }

  private func json(_ summary: StateSummary) -> JSONValue {
    .object([
      .init("bytes", .unsigned(summary.bytes)), .init("tables", .count(summary.tableCount)),
      .init("runs", .count(summary.runCount)), .init("keys", .unsigned(summary.entryCount)),
    ])
  }
}
