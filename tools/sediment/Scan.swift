// sediment scan: the entries of an ordered keyspace.

import ArgumentParser
import SedimentIO
import SedimentInspection

struct Scan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the entries of an ordered keyspace in the order of their keys.",
    discussion: """
      A line for each entry: its key and its value, as text in quotes, or as hexadecimal digits \
      behind 0x where they are no printable text. With --json each line is an object, in which \
      key_hex and value_hex stand for what is no UTF-8. Safe beside a running program: it shows \
      one moment, whatever is written meanwhile; of a keyspace without a log, and of a checkpoint, \
      the last epoch.

      Examples:
        sediment scan state --keyspace words
        sediment scan state --keyspace words --prefix st --limit 10
        sediment scan state --keyspace words --from a --to c --reverse
        sediment scan backups --keyspace words --json | jq -r .key
      """)

  @Argument(help: ArgumentHelp("A state, checkpoint or savepoint.", valueName: "dir"))
  var path: String

  @Option(help: "The keyspace, where a store has several.")
  var keyspace: String?

  @Option(help: "Only keys that begin with this.")
  var prefix: String?

  @Option(help: "Only this key and those behind it.")
  var from: String?

  @Option(help: "Only keys before this one.")
  var to: String?

  @Flag(help: "Prefix and bounds are given as hexadecimal digits.")
  var hex = false

  @Flag(help: "From the last key to the first.")
  var reverse = false

  @Option(help: "Show so many entries at the most.")
  var limit: Int?

  @Option(
    help: ArgumentHelp(
      "Memory for what only the log holds; a keyspace that needs more says how much.",
      valueName: "size"),
    transform: Parse.size)
  var memory: UInt64 = 256 << 20

  @Flag(help: "Print an object a line for programs instead of text for people.")
  var json = false

  func validate() throws {
    if prefix != nil, from != nil || to != nil {
      throw ValidationError("--prefix stands alone: leave out --from and --to.")
    }
    if let limit, limit < 0 { throw ValidationError("--limit is not negative.") }
  }

  func run() throws {
    var range = EntryScan.Range()
    range.prefix = try prefix.map { try bytes(of: $0, isHex: hex) }
    range.lower = try from.map { try bytes(of: $0, isHex: hex) }
    range.upper = try to.map { try bytes(of: $0, isHex: hex) }
    let scan = try EntryScan(in: keyspace, at: path, memoryBudget: Int(clamping: memory))
    var lines = ""
    try scan.run(range, goingBack: reverse, limit: limit ?? .max) { entry in
      lines += (json ? entry.json.line : entry.text) + "\n"
      if lines.utf8.count >= Self.bufferBytes {
        try StandardStream.output.write(lines)
        lines.removeAll(keepingCapacity: true)
      }
    }
    try StandardStream.output.write(lines)
  }

  /// A call of the system for every line would cost more than the entry.
  private static let bufferBytes = 1 << 16
}
