/// Operands of one key, until it is known what they build on.
///
/// Takes no memory before the first.
package struct MergeOperands: Sendable {
  /// In which order operands come.
  package enum Order: Sendable {
    case newestFirst, oldestFirst
  }

  private let order: Order
  private var bytes: [UInt8] = []
  /// Where each operand ends.
  private var ends: [Int] = []
  /// As many, where the one who adds them has them.
  private var tags: [EntryTag] = []

  /// None yet.
  package init(_ order: Order) { self.order = order }

  /// Whether there are none.
  package var isEmpty: Bool { ends.isEmpty }
  /// How many there are.
  package var count: Int { ends.count }
  /// Bytes of memory they take.
  package var byteCount: Int { bytes.count + 16 * count }
  /// The tag of the newest; one was added.
  package var newestTag: EntryTag { order == .newestFirst ? tags[0] : tags[tags.count - 1] }

  /// Adds the next one.
  package mutating func add(_ operand: UnsafeRawBufferPointer, _ tag: EntryTag) {
    unsafe bytes.append(contentsOf: operand)
    ends.append(bytes.count)
    tags.append(tag)
  }

  /// Forgets all, and keeps the memory.
  package mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
    tags.removeAll(keepingCapacity: true)
  }

  /// Calls `body` with each, as they came.
  package func withEach(
    _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    for index in 0..<count {
      try unsafe bytes.withUnsafeBytes { bytes in
        try unsafe body(tags[index], UnsafeRawBufferPointer(rebasing: bytes[range(index)]))
      }
    }
  }

  /// The value that they give on top of `base`; `nil` where the key has none.
  ///
  package func fold(
    onto base: UnsafeRawBufferPointer?, by merging: MergeOperator
  ) throws(MergeFailure) -> [UInt8] {
    guard merging.combines else { return try unsafe applied(to: base, by: merging) }
    let operand = try combined(by: merging)
    guard let base = unsafe base else { return operand }
    var result: [UInt8] = []
    try unsafe merging.apply(
      operand.span.bytes, to: RawSpan(_unsafeBytes: base), into: &result)
    return result
  }

  /// The value after one operand after the other.
  private func applied(
    to base: UnsafeRawBufferPointer?, by merging: MergeOperator
  ) throws(MergeFailure) -> [UInt8] {
    var value: [UInt8] = []
    var result: [UInt8] = []
    for index in 0..<count {
      let operand = unsafe bytes.span.bytes.extracting(range(fromOldest: index))
      result.removeAll(keepingCapacity: true)
      if index > 0 {
        try unsafe merging.apply(operand, to: value.span.bytes, into: &result)
      } else if let base = unsafe base {
        try unsafe merging.apply(operand, to: RawSpan(_unsafeBytes: base), into: &result)
      } else {
        try merging.apply(operand, to: nil, into: &result)
      }
      swap(&value, &result)
    }
    return value
  }

  /// One operand of all: neighbours are combined, then what came of them, and so on, so that
  /// results that grow are copied as often as their number has digits.
  private func combined(by merging: MergeOperator) throws(MergeFailure) -> [UInt8] {
    var pieces = (0..<count).map { Array(bytes[range(fromOldest: $0)]) }
    while pieces.count > 1 {
      var next: [[UInt8]] = []
      next.reserveCapacity((pieces.count + 1) / 2)
      for index in stride(from: 0, to: pieces.count - 1, by: 2) {
        let (older, newer) = (pieces[index], pieces[index + 1])
        var result: [UInt8] = []
        try unsafe merging.apply(newer.span.bytes, to: older.span.bytes, into: &result)
        next.append(result)
      }
      if pieces.count % 2 == 1 { next.append(pieces[pieces.count - 1]) }
      pieces = next
    }
    return pieces.first ?? []
  }

  private func range(_ index: Int) -> Range<Int> {
    (index == 0 ? 0 : ends[index - 1])..<ends[index]
  }

  private func range(fromOldest index: Int) -> Range<Int> {
    range(order == .newestFirst ? count - 1 - index : index)
  }
}
