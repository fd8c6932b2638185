import SedimentStore

/// What the command line asks for.
struct Arguments {
  var keys: UInt64 = 10_000_000
  var batch = 8192
  var mode = KeyMode.fingerprint
  var memory = StoreOptions.defaultMemoryBudget
  var shards: Int?
  /// Milliseconds between epochs; 0 for one at the end.
  var epochMillis: UInt64 = 2000
  var state = "figures.state"
  var takesCheckpoints = false
  /// Lookups to measure through the asynchronous face, instead of all else.
  var asyncLookups: Int?

  static let usage = """
    usage: sediment-figures [--keys N] [--batch N] [--mode fingerprint|exact]
           [--memory BYTES|MiB|GiB] [--shards N] [--epoch-interval MILLISECONDS]
           [--state DIRECTORY] [--checkpoints]
           sediment-figures --async-lookups N [--memory BYTES|MiB|GiB] [--state DIRECTORY]

    Inserts N different keys of 16 bytes, a batch at a time, into a new store in DIRECTORY, opens it
    again, and prints what that took as JSON. DIRECTORY must not hold a store. With --checkpoints it
    takes ten, while more keys come, in DIRECTORY.checkpoints, and restores the last to
    DIRECTORY.restored. The second form looks keys up, blocking and in tasks, and prints what a
    lookup took.
    """

  struct UsageError: Error, CustomStringConvertible {
    var description: String
  }

  init(_ arguments: [String]) throws {
    var rest = arguments[...]
    while let name = rest.popFirst() {
      guard name != "--checkpoints" else {
        takesCheckpoints = true
        continue
      }
      guard name != "--help", name != "-h" else { throw UsageError(description: Self.usage) }
      guard let value = rest.popFirst() else { throw Self.wrong(name, "needs a value") }
      try set(name, value)
    }
  }

  private mutating func set(_ name: String, _ value: String) throws {
    switch name {
    case "--keys": keys = try Self.number(name, value)
    case "--batch": batch = try Self.number(name, value, in: 1...1_048_576)
    case "--memory": memory = try Self.bytes(name, value)
    case "--shards": shards = try Self.number(name, value, in: 1...256)
    case "--epoch-interval": epochMillis = try Self.number(name, value)
    case "--state": state = value
    case "--async-lookups": asyncLookups = try Self.number(name, value, in: 1...1_000_000_000)
    case "--mode":
      switch value {
      case "fingerprint": mode = .fingerprint
      case "exact": mode = .exact
      default: throw Self.wrong(name, "is fingerprint or exact")
      }
    default: throw Self.wrong(name, "is no option")
    }
  }

  private static func number<Number: FixedWidthInteger>(
    _ name: String, _ text: String, in range: ClosedRange<Number> = 0...Number.max
  ) throws -> Number {
    guard let number = Number(text.filter { $0 != "_" }), range.contains(number) else {
      throw wrong(name, "cannot be '\(text)'")
    }
    return number
  }

  private static func bytes(_ name: String, _ text: String) throws -> Int {
    for (unit, shift) in [("MiB", 20), ("GiB", 30)] where text.hasSuffix(unit) {
      return try number(name, String(text.dropLast(3)), in: 0...(Int.max >> shift)) << shift
    }
    return try number(name, text)
  }

  private static func wrong(_ name: String, _ what: String) -> UsageError {
    UsageError(description: "\(name) \(what)\n\n\(usage)")
  }
}
