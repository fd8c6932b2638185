/// What became of a record.
///
/// The raw values are those that `Deduplicator` writes into a caller's buffer, one byte a record.
public enum DedupDecision: UInt8, Sendable, CaseIterable {
  /// Its key was seen less than the time to live away.
  case duplicate = 0
  /// The first of its key.
  case new = 1
  /// Older than the watermark and not found, so perhaps not the first; kept and remembered.
  case lateNew = 2
  /// Older than the watermark by so much that it has expired already; kept, not remembered, so that
  /// another one like it is kept too.
  case lateUnprotected = 3
  /// Older than the watermark and not found; the policy drops it.
  case lateDropped = 4
  /// Older than the watermark and not found; the policy rejects it.
  case lateRejected = 5
  /// Its time is further ahead of the clock than it may be; the state did not see it.
  case tooFarAhead = 6
  /// Its time is not within ±2⁶¹ ms of 1970; the state did not see it.
  case timeOutOfRange = 7

  /// Whether the record passes as the first of its key.
  @inline(__always)
  public var isNew: Bool {
    rawValue >= DedupDecision.new.rawValue && rawValue <= DedupDecision.lateUnprotected.rawValue
  }

  /// Whether the record belongs with those that cannot be processed.
  @inline(__always)
  public var isRejected: Bool { rawValue >= DedupDecision.lateRejected.rawValue }
}

/// How many records met which decision.
public struct DedupCounters: Sendable, Hashable {
  /// Records in all; the sum of `new`, `duplicates`, `lateDropped` and `rejected`.
  public internal(set) var events: UInt64 = 0
  /// Records that passed: `DedupDecision.isNew`.
  public internal(set) var new: UInt64 = 0
  /// Records whose key had been seen.
  public internal(set) var duplicates: UInt64 = 0
  /// Records older than the watermark and not found, whatever became of them.
  public internal(set) var late: UInt64 = 0
  /// Those of `late` that passed and are not remembered.
  public internal(set) var lateUnprotected: UInt64 = 0
  /// Those of `late` that the policy dropped.
  public internal(set) var lateDropped: UInt64 = 0
  /// Records that the late policy rejected, and those whose times were too far ahead or out of
  /// range.
  public internal(set) var rejected: UInt64 = 0

  public init() {}

  /// Adds another batch's counts.
  public static func += (total: inout Self, other: Self) {
    total.events &+= other.events
    total.new &+= other.new
    total.duplicates &+= other.duplicates
    total.late &+= other.late
    total.lateUnprotected &+= other.lateUnprotected
    total.lateDropped &+= other.lateDropped
    total.rejected &+= other.rejected
  }

  /// Counts `count` decisions.
  init(_ decisions: UnsafePointer<UInt8>, count: Int) {
    // One pass that the compiler turns into vectors; the rest only where there is anything rare.
    var duplicateCount = 0
    var union: UInt8 = 0
    for index in 0..<count {
      let decision = unsafe decisions[index]
      duplicateCount &+= decision == DedupDecision.duplicate.rawValue ? 1 : 0
      union |= decision
    }
    events = UInt64(count)
    duplicates = UInt64(duplicateCount)
    new = UInt64(count - duplicateCount)
    if union > DedupDecision.new.rawValue { unsafe countRare(decisions, count: count) }
  }

  private mutating func countRare(_ decisions: UnsafePointer<UInt8>, count: Int) {
    for index in 0..<count {
      switch unsafe DedupDecision(rawValue: decisions[index]) {
      case .duplicate, .new, nil: continue
      case .lateNew: late += 1
      case .lateUnprotected:
        late += 1
        lateUnprotected += 1
      case .lateDropped:
        late += 1
        lateDropped += 1
      case .lateRejected:
        late += 1
        rejected += 1
      case .tooFarAhead, .timeOutOfRange: rejected += 1
      }
    }
    new -= lateDropped + rejected
  }
}

/// The decisions about a batch, in the order of its records.
public struct DedupBatch: Sendable, RandomAccessCollection {
  /// One `DedupDecision` a record.
  public let decisions: [DedupDecision]
  /// How many records met which decision.
  public let counters: DedupCounters

  public var startIndex: Int { 0 }
  public var endIndex: Int { decisions.count }
  public subscript(index: Int) -> DedupDecision { decisions[index] }

  /// Whether the record at `index` is the first of its key.
  public func isNew(_ index: Int) -> Bool { decisions[index].isNew }
}
