/// Which records of a batch were the first of their key: a bit a record.
public struct NewKeys: Sendable, Equatable {
  /// 64 records a word, the first in the lowest bit.
  public private(set) var words: [UInt64]
  /// Records in the batch.
  public let count: Int

  /// - Parameter decisions: one `InsertDecision` a record.
  init(decisions: [UInt8]) {
    count = decisions.count
    words = [UInt64](repeating: 0, count: (decisions.count + 63) / 64)
    for index in decisions.indices
    where InsertDecision(rawValue: decisions[index])?.isAccepted ?? false {
      words[index / 64] |= 1 << UInt64(index % 64)
    }
  }

  /// Whether the record at `index` was new.
  public subscript(index: Int) -> Bool {
    precondition(index >= 0 && index < count, "no record \(index) in a batch of \(count)")
    return words[index / 64] >> UInt64(index % 64) & 1 == 1
  }

  /// How many were new.
  public var newCount: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
}
