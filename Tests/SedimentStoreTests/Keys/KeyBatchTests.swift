import SedimentStore
import Testing

@Suite struct KeyBatchTests {
  private func keys(_ batch: KeyBatch) -> [[UInt8]] {
    (0..<batch.count).map { index in
      batch.withKey(at: index) { key in
        (0..<key.byteCount).map { unsafe key.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
      }
    }
  }

  @Test func keysComeBackAsTheyWereInOrder() throws {
    let batch = KeyBatch(reservingKeys: 1, bytes: 1)
    var expected: [[UInt8]] = []
    for length in [0, 1, 0, 300, 65_536, 7, 0] {
      let key = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 3) }
      try batch.append(key)
      expected.append(key)
    }
    try batch.append("größer")
    expected.append(Array("größer".utf8))
    try batch.append([4, 5].span)
    expected.append([4, 5])
    #expect(keys(batch) == expected)
    #expect(batch.count == expected.count)
    #expect(batch.byteCount == expected.map(\.count).reduce(0, +))
  }

  @Test func aKeyThatIsTooLongLeavesTheBatchAsItWas() throws {
    let batch = KeyBatch()
    try batch.append([1, 2])
    #expect(throws: KeyBatch.LimitError.keyTooLong(bytes: 65_537)) {
      try batch.append([UInt8](repeating: 0, count: 65_537))
    }
    #expect(throws: KeyBatch.LimitError.keyTooLong(bytes: 70_000)) {
      _ = try unsafe batch.reserveTail(maxBytes: 80_000)
      try batch.commitTail(length: 70_000)
    }
    #expect(keys(batch) == [[1, 2]])
  }

  @Test func aBatchEndsAtItsLargestCount() throws {
    let batch = KeyBatch()
    for _ in 0..<KeyBatch.countMax { try batch.append([UInt8]()) }
    #expect(throws: KeyBatch.LimitError.tooManyKeys) { try batch.append([1]) }
    #expect(batch.count == KeyBatch.countMax)
    batch.removeAll()
    try batch.append([1])
    #expect(keys(batch) == [[1]])
  }

  @Test func aTailBeyondTwoGibibytesIsRefusedBeforeMemoryIsTaken() throws {
    let batch = KeyBatch()
    try batch.append([1])
    #expect(throws: KeyBatch.LimitError.tooManyBytes) {
      _ = try unsafe batch.reserveTail(maxBytes: KeyBatch.byteCountMax)
    }
    #expect(throws: KeyBatch.LimitError.tooManyBytes) {
      _ = try unsafe batch.reserveTail(maxBytes: .max)
    }
  }

  @Test func keysOfOneLengthAreAppendedTogether() throws {
    let keys = KeyBatch(reservingKeys: 1, bytes: 1)
    try keys.append("before")
    let bytes = [UInt8](0..<240)
    try keys.append(contentsOf: bytes.span, width: 24)
    try keys.append("behind")
    #expect(keys.count == 12)
    #expect(keys.byteCount == 252)
    for index in 0..<10 {
      let first = keys.withKey(at: index + 1) { unsafe $0.unsafeLoad(as: UInt8.self) }
      #expect(Int(first) == index * 24)
      keys.withKey(at: index + 1) { #expect($0.byteCount == 24) }
    }
    keys.withKey(at: 11) { #expect($0.byteCount == 6) }
    try keys.append(contentsOf: [UInt8]().span, width: 24)
    #expect(keys.count == 12)
  }

  @Test func keysOfOneLengthBeyondTheLargestCountLeaveTheBatchAsItWas() throws {
    let keys = KeyBatch()
    try keys.append("first")
    let bytes = [UInt8](repeating: 7, count: KeyBatch.countMax)
    #expect(throws: KeyBatch.LimitError.tooManyKeys) {
      try keys.append(contentsOf: bytes.span, width: 1)
    }
    #expect(keys.count == 1 && keys.byteCount == 5)
  }

  @Test func keysWrittenInPlaceAreKeysOnceCommitted() throws {
    let batch = KeyBatch(reservingKeys: 1, bytes: 1)
    for length in 0..<100 {
      let tail = try unsafe batch.reserveTail(maxBytes: 100)
      for index in 0..<length { unsafe tail[index] = UInt8(length) }
      try batch.commitTail(length: length)
      _ = try unsafe batch.reserveTail(maxBytes: 10)
    }
    #expect(keys(batch) == (0..<100).map { [UInt8](repeating: UInt8($0), count: $0) })
  }

  @Test func anEmptiedBatchCanBeFilledAgain() throws {
    let batch = KeyBatch()
    for keepingCapacity in [true, false] {
      for index in 0..<1000 { try batch.append("key \(index)") }
      batch.removeAll(keepingCapacity: keepingCapacity)
      #expect(batch.isEmpty)
      #expect(batch.byteCount == 0)
      batch.reserve(keys: 10, bytes: 100)
      try batch.append("one")
      #expect(keys(batch) == [Array("one".utf8)])
      batch.removeAll()
    }
  }
}
