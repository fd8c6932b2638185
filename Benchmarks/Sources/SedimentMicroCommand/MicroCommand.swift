// Runs one micro case, for tools/micro to count.
//
// Two rounds are prepared whatever is asked for, so that a process that runs both does one round
// more than a process that runs one, and nothing else.

import ArgumentParser
import SedimentMicro

@main
struct MicroCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sediment-micro",
    abstract: "Runs one of the bodies that tools/micro counts.",
    discussion: "Without a case: names them all, and what an item of each is.")

  @Argument(help: "The case to run.")
  var name: String?

  @Option(help: "Items of a round; 1 to 1,000,000.")
  var items = 32_768

  @Option(help: "Rounds that are run, of two that are prepared; 1 or 2.")
  var rounds = 1

  @Option(help: "A new directory for files.")
  var directory: String?

  func validate() throws {
    guard (1...1_000_000).contains(items) else { throw ValidationError("--items: \(items)") }
    guard (1...2).contains(rounds) else { throw ValidationError("--rounds: \(rounds)") }
  }

  func run() throws {
    guard let name else {
      for micro in MicroCase.all { print(micro.name, micro.item, separator: "\t") }
      return
    }
    guard let micro = MicroCase.all.first(where: { $0.name == name }) else {
      throw ValidationError("there is no case '\(name)'")
    }
    guard let directory else { throw ValidationError("--directory is needed to run a case") }
    let prepared = try (1...2).map { try micro.prepare(items: items, in: "\(directory)/\($0)") }
    for round in prepared[..<rounds] { try round() }
    // Not by returning: taking down what a round left behind is no part of it.
    withExtendedLifetime(prepared) { Self.exit() }
  }
}
