// sediment savepoint: a copy of a state that can be moved anywhere.

import ArgumentParser
import SedimentInspection
import SedimentStore

struct Savepoint: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes a self-contained copy of a state that can be moved.",
    discussion: """
      TARGET becomes a directory that needs nothing outside of it: copy it with any tool, check it \
      with sha256sum -c SHA256SUMS, and make a state of it with sediment restore. Needs the state \
      for itself: while a job runs on it, this exits with 1 and names the process.

      Example:
        sediment savepoint state /backup/2023-11-14
      """)

  @Argument(help: ArgumentHelp("The state's directory.", valueName: "dir"))
  var path: String

  @Argument(help: "A directory that is empty or missing.")
  var target: String

  @OptionGroup var report: ReportOptions

  func run() throws {
    let store = try openForWriting(path)
    let info = try store.savepoint(to: target, committing: false)
    try store.close()
    try report.print(text: "Savepoint \(target)\n" + info.text, json: info.json)
  }
}
