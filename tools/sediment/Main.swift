// The command line: it reads arguments, calls a library and prints. One file a subcommand.

import ArgumentParser
import SedimentIO

@main
enum Main {
  /// Exit codes: 0 for success, 1 for bad input or a failing machine, 2 for wrong usage.
  static func main() {
    StandardStream.openMissing()
    StandardStream.ignoreBrokenPipes()
    ProcessLimits.raiseOpenFiles()
    var running: (any ParsableCommand.Type)?
    do {
      var command = try Sediment.parseAsRoot()
      running = type(of: command)
      try command.run()
    } catch {
      Sediment.exit(reporting: error, of: running)
    }
  }
}

/// The root command: nothing but its subcommands.
struct Sediment: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sediment",
    abstract: "Removes duplicate records from streams and files, and remembers across runs.",
    version: "sediment 0.1.0",
    subcommands: [
      Dedup.self, Generate.self, Inspect.self, Verify.self, Compact.self, Get.self, Scan.self,
      Checkpoint.self, Savepoint.self, Restore.self, Rescale.self, Repair.self,
    ])
}
