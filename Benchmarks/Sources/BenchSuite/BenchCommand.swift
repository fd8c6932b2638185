// sediment-bench: Sediment beside its peers on the same events.
//
// `run` is a parent that starts every run as a process of its own, this program again with the
// subcommand `child`, and reads its record from a pipe. `report` draws records that were kept.
// `device` measures what is below them all.

package import ArgumentParser
import Foundation

/// The root command: nothing but its subcommands.
package struct BenchCommand: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "sediment-bench",
    abstract: "Measures Sediment beside other stores on the same events.",
    subcommands: [
      RunCommand.self, ReportCommand.self, DeviceCommand.self, ChildCommand.self,
    ])

  package init() {}

  /// Parses the command line, runs it and ends the process: with 1 when a run fails or is void,
  /// with 2 for wrong usage.
  package static func start() -> Never {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      let code = exitCode(for: error)
      let message = fullMessage(for: error)
      if code.isSuccess { print(message) } else if !message.isEmpty { note(message) }
      exit(withError: code == .validationFailure ? ExitCode(2) : code)
    }
    exit(withError: ExitCode.success)
  }
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
