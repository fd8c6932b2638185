import SedimentDedup
import SedimentJob
import SedimentStore
import Testing

/// Which partition a record goes to.
@Suite struct KeyPartitionerTests {
  @Test(arguments: 1...300)
  func aGroupIsInThePartitionWhoseRangeHasIt(count: Int) {
    let ranges = KeyGroupRange.split(into: count)
    var wrong: [UInt16] = []
    for (index, range) in ranges.enumerated() {
      for group in range.first...range.last
      where KeyGroupRange.index(ofGroup: group, amongRanges: count) != index {
        wrong.append(group)
      }
    }
    #expect(wrong == [])
  }

  @Test func asManyPartitionsAsGroupsHaveOneEach() {
    for group in stride(from: UInt16.min, through: .max, by: 257) {
      #expect(KeyGroupRange.index(ofGroup: group, amongRanges: 65_536) == Int(group))
    }
  }

  /// A batch of records of one partition, parsed.
  private func batch(_ values: [String?]) throws -> RecordBatch {
    let format = RecordFormat(kind: .ndjson, keyFields: ["k"])
    let batch = RecordBatch()
    batch.beginStretch(of: TopicPartition("t", 5), at: 0)
    for (index, value) in values.enumerated() {
      try batch.add(
        ScriptedTopics.Record(value), offset: UInt32(index),
        TopicRecordRules(format, passesOn: true, writesLines: false))
    }
    try format.makeParser().parse(batch)
    return batch
  }

  @Test func keysGoByTheHashOfTheirEncodingAndOthersByTheirSource() throws {
    let seed = HashSeed(first: 1, second: 2)
    let numbers = 0..<200
    let batch = try batch(
      numbers.flatMap { ["{\"k\":\($0)}", "no json", nil, "{}", "{\"k\":\($0).0,\"n\":1}"] })
    for count in [1, 3, 4, 7, 64] {
      let partitioner = KeyPartitioner(seed: seed, partitionCount: count)
      // Twice, as what is left of a batch before must not matter.
      for _ in 0..<2 { partitioner.route(batch, from: 5) }
      let ranges = KeyGroupRange.split(into: count)
      let otherwise = Int32(5 % count)
      #expect(batch.destinations.count == numbers.count * 5)
      for number in numbers {
        let key = CompositeKey(.int(Int64(number))).bytes
        let group = unsafe UInt16(KeyHasher(seed: seed).hash(key.span.bytes).high >> 48)
        let own = ranges.firstIndex { $0.first <= group && group <= $0.last }.map { Int32($0) }
        let expected = [own, otherwise, otherwise, otherwise, own]
        #expect(batch.destinations[(number * 5)..<(number * 5 + 5)].map { $0 } == expected)
      }
    }
  }

  @Test func copiesOfRecordsGoWhereTheRecordsDo() throws {
    let batch = try batch(["{\"k\":1}", nil, "{\"k\":2}", "{\"k\":3}", nil])
    KeyPartitioner(seed: HashSeed(first: 1, second: 2), partitionCount: 100).route(batch, from: 5)
    let copy = RecordBatch()
    let indices: [UInt32] = [1, 2, 4]
    unsafe indices.withUnsafeBufferPointer { unsafe copy.append($0, of: batch) }
    #expect(copy.destinations == indices.map { batch.destinations[Int($0)] })
    #expect((0..<3).map { copy.status($0) } == [.tombstone, .ok, .tombstone])
    copy.removeAll()
    #expect(copy.destinations.isEmpty)
  }
}
