/// What became of a record.
public enum InsertDecision: UInt8, Sendable {
  /// An entry of its key counts: not the first.
  case duplicate = 0
  /// The first of its key, inserted.
  case new = 1
  /// Older than the watermark and not found, so perhaps not the first; inserted.
  case lateNew = 2
  /// Older than the watermark by so much that it has expired already; not inserted.
  case lateUnprotected = 3
  /// Late and not found, and the policy refuses such records; not inserted.
  case lateRefused = 4

  /// Whether the record passes as the first of its key.
  @inline(__always)
  public var isAccepted: Bool {
    rawValue >= InsertDecision.new.rawValue && rawValue <= InsertDecision.lateUnprotected.rawValue
  }
}

/// What is done with a record older than the watermark whose key is not found.
public enum LatePolicy: UInt8, Hashable, Sendable {
  /// Accepted, and inserted unless it has expired already.
  case keep = 0
  /// Refused.
  case refuse = 1
}

/// The columns of a batch as the shards see them; borrowed from the caller for the call.
@safe
struct BatchColumns: @unchecked Sendable {
  let times: UnsafePointer<Int64>
  /// The watermark at each record; read with a time to live only.
  let watermarks: UnsafePointer<Int64>
  /// What the watermark is at least.
  var watermarkMin = EntryTime.min
  let keys: KeyBatchView
  /// `valueWidth` bytes a record; `nil` for zeros.
  let values: UnsafeRawPointer?
  /// One `InsertDecision` a record, written by the shard that owns the record; of a lookup 1 or 0.
  let decisions: UnsafeMutablePointer<UInt8>
  let ttl: Int64
  let late: LatePolicy
  let layout: EntryLayout
  let refreshesOnSeen: Bool

  @inline(__always)
  func key(_ index: Int) -> UnsafeRawBufferPointer {
    unsafe layout.isExact ? keys.key(at: index) : UnsafeRawBufferPointer(start: nil, count: 0)
  }

  @inline(__always)
  func value(_ index: Int) -> UnsafeRawPointer? {
    guard layout.valueWidth > 0, let values = unsafe values else { return nil }
    return unsafe values + index &* Int(layout.valueWidth)
  }

  @inline(__always)
  func watermark(_ index: Int) -> Int64 {
    unsafe ttl == .max ? EntryTime.min : max(watermarks[index], watermarkMin)
  }

  /// The probe of a record of that hash.
  @inline(__always)
  func probe(_ index: Int, _ hash: KeyHash) -> MemtableProbe {
    unsafe MemtableProbe(
      hash: hash, time: times[index], watermark: watermark(index), key: key(index))
  }
}
