// sediment-bench: Sediment beside its peers on the same events.
//
// `run` is a parent that starts every run as a process of its own, this program again with the
// subcommand `child`, and reads its record from a pipe. `report` draws records that were kept.

package import ArgumentParser
import Foundation

/// The root command: nothing but its subcommands.
package struct BenchCommand: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "sediment-bench",
    abstract: "Measures Sediment beside other stores on the same events.",
    subcommands: [RunCommand.self, ReportCommand.self, ChildCommand.self])

  package init() {}
}

/// Why a run cannot be, in words for who asked.
struct BenchError: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}

/// Writes a line on standard error.
func note(_ line: String) {
  FileHandle.standardError.write(Data((line + "\n").utf8))
}
