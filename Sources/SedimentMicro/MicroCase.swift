// The hot bodies of the engine and the job, each alone: what `tools/micro` counts and what
// Benchmarks/Micro times.
//
// A case prepares a round: all that one pass over its items needs, made outside of what is
// measured. Rounds of one case that are prepared alike cost alike, so a process that prepares two
// and runs both costs exactly one pass more than one that prepares two and runs the first: neither
// start-up nor preparation nor first use is in the difference.
//
// Invariants
// 1. What a round does follows from the case and the number of items alone: no clock, no random
//    seed, and no thread beside the caller's as long as the items fit one memtable. Only the ids
//    of a store's files are random, and with them the places of pages in its cache.
// 2. A round throws unless every answer is right, so nothing of it can be left out.
//
// Concurrency: a round runs on one thread.

/// One pass over the items of a case, good for one call. Throws when an answer is wrong.
public typealias MicroRound = () throws -> Void

/// A body of hot code, measured alone.
///
///     for micro in MicroCase.all {
///       let round = try micro.prepare(items: 32_768, in: directory)
///       try round()  // what is measured
///     }
public struct MicroCase: Sendable {
  /// Names it on the command line and in the thresholds.
  public let name: String
  /// What one item is.
  public let item: String
  private let body: @Sendable (MicroInput) throws -> MicroRound

  init(
    _ name: String, item: String, _ body: @escaping @Sendable (MicroInput) throws -> MicroRound
  ) {
    self.name = name
    self.item = item
    self.body = body
  }

  /// Makes what one pass over `items` items needs.
  ///
  /// - Parameter directory: made when missing; of this round alone, to be removed when the round
  ///   is gone.
  public func prepare(items: Int, in directory: String) throws -> MicroRound {
    precondition(items > 0, "a round has items")
    return try body(MicroInput(items: items, directory: directory))
  }

  /// Every case, from the key to the store.
  public static let all =
    keyCases + memtableCases + filterCases + tableCases + storeCases
}

/// What was asked of a round.
struct MicroInput {
  /// The time of every entry and record, in milliseconds.
  static let time: Int64 = 1_700_000_000_000

  let items: Int
  let directory: String
}

/// A round that did not answer as it must.
struct WrongAnswer: Error, CustomStringConvertible {
  let found: Int
  let expected: Int

  var description: String { "\(found) answers where \(expected) are right" }

  /// Throws unless both are the same.
  static func check(_ found: Int, _ expected: Int) throws(WrongAnswer) {
    if found != expected { throw WrongAnswer(found: found, expected: expected) }
  }
}
