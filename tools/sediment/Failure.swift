// How an error becomes a message on standard error and an exit code.

import ArgumentParser
import SedimentIO

extension ParsableCommand {
  /// Prints what `error` says and ends the process.
  ///
  /// Help and version go to standard output with 0. Wrong usage, ours or the argument parser's
  /// (which would exit with 64), becomes 2. A reader of a report that went away is nobody's
  /// failure.
  ///
  /// - Parameter command: the subcommand that ran, for where its help is.
  static func exit(reporting error: any Error, of command: (any ParsableCommand.Type)?) -> Never {
    if let error = error as? ValidationError, let command {
      let words = (words(to: command) ?? [_commandName]).joined(separator: " ")
      report(error.message + "\nSee '\(words) --help' for more information.")
      Self.exit(withCode: 2)
    }
    if let error = error as? FileError {
      guard !error.isBrokenPipe else { Self.exit(withCode: 0) }
      report(error.description)
      Self.exit(withCode: 1)
    }
    let code = exitCode(for: error)
    let message = fullMessage(for: error)
    if code.isSuccess {
      print(message, to: .output)
      Self.exit(withCode: 0)
    }
    if !message.isEmpty {
      report(message.hasPrefix("Error: ") ? String(message.dropFirst("Error: ".count)) : message)
    }
    Self.exit(withCode: code == .validationFailure ? 2 : code.rawValue)
  }

  /// The words that a command at or below this one is called by; `nil` when it is none of them.
  private static func words(to command: any ParsableCommand.Type) -> [String]? {
    if ObjectIdentifier(self) == ObjectIdentifier(command) { return [_commandName] }
    for subcommand in configuration.subcommands {
      if let words = subcommand.words(to: command) { return [_commandName] + words }
    }
    return nil
  }

  private static func report(_ message: String) {
    print("sediment: " + message, to: .error)
  }

  private static func print(_ message: String, to stream: StandardStream) {
    do {
      try stream.write(message.hasSuffix("\n") ? message : message + "\n")
    } catch {
      // Nobody is left to be told.
      Self.exit(withCode: error.isBrokenPipe ? 0 : 1)
    }
  }

  private static func exit(withCode code: Int32) -> Never {
    Self.exit(withError: ExitCode(code))
  }
}
