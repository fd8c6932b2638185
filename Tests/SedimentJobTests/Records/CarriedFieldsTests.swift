import SedimentJob
import SedimentTestKit
import Testing

/// Keys, headers and times beside the values of a batch, and copies of records with them.
@Suite struct CarriedFieldsTests {
  private struct Header: Equatable {
    var name: String
    var value: String?
  }

  /// What a record carries.
  private struct Fields: Equatable {
    var key: String?
    var time: Int64 = -1
    var headers: [Header] = []
  }

  private static func add(_ fields: Fields, to carried: CarriedFields) {
    unsafe fields.key.withBytes { unsafe carried.append(key: $0, time: fields.time) }
    for header in fields.headers {
      unsafe Optional(header.name).withBytes { name in
        guard let name = unsafe name else { return }
        unsafe header.value.withBytes { unsafe carried.appendHeader(name: name, value: $0) }
      }
    }
  }

  private static func fields(_ index: Int, of carried: CarriedFields) -> Fields {
    var fields = Fields(time: carried.time(index))
    if let key = unsafe carried.key(index) {
      fields.key = unsafe String(decoding: key, as: UTF8.self)
    }
    var walk = unsafe CarriedHeaders(carried.headers(index))
    while let header = unsafe walk.nextHeader() {
      // Whoever takes a name as a text of C finds its end.
      #expect(
        unsafe header.name.baseAddress.map {
          unsafe $0.load(
            fromByteOffset: header.name.count, as: UInt8.self)
        } == 0)
      fields.headers.append(
        Header(
          name: unsafe String(decoding: header.name, as: UTF8.self),
          value: unsafe header.value.map { unsafe String(decoding: $0, as: UTF8.self) }))
    }
    return fields
  }

  private static let examples = [
    Fields(), Fields(key: ""), Fields(key: "a", time: 0),
    Fields(headers: [Header(name: "", value: nil)]),
    Fields(key: "b", time: .max, headers: [Header(name: "", value: "")]),
    Fields(
      time: 7,
      headers: [
        Header(name: "h", value: "x"), Header(name: "h", value: nil),
        Header(name: "größe", value: "\0\n"),
      ]),
    Fields(key: String(repeating: "k", count: 5000), headers: [Header(name: "n", value: "v")]),
  ]

  @Test func whatIsNullAndWhatIsEmptyComesBackAsItWas() {
    let carried = CarriedFields()
    for example in Self.examples { Self.add(example, to: carried) }
    #expect(carried.count == Self.examples.count)
    for (index, example) in Self.examples.enumerated() {
      #expect(Self.fields(index, of: carried) == example, "record \(index)")
    }
    carried.removeAll()
    #expect(carried.count == 0 && carried.byteCount == 0)
    Self.add(Self.examples[5], to: carried)
    #expect(Self.fields(0, of: carried) == Self.examples[5], "memory that serves again")
  }

  @Test func manyRecordsGrowTheMemoryAndKeepWhatWasThere() {
    var generator = SeededGenerator(seed: 3)
    let carried = CarriedFields()
    var expected: [Fields] = []
    for number in 0..<2000 {
      var fields = Fields(key: number % 3 == 0 ? nil : "key \(number)", time: Int64(number) - 1)
      for header in 0..<Int.random(in: 0...3, using: &generator) {
        let value = String(repeating: "v", count: Int.random(in: 0...40, using: &generator))
        fields.headers.append(Header(name: "h\(header)", value: number % 5 == 0 ? nil : value))
      }
      expected.append(fields)
      Self.add(fields, to: carried)
    }
    #expect(carried.byteCount > 8192 && carried.heldByteCount > carried.byteCount)
    for (index, fields) in expected.enumerated() {
      #expect(Self.fields(index, of: carried) == fields, "record \(index)")
    }
  }

  // MARK: - Copies of records

  /// A batch of a topic's records: stretches of two partitions in turn, with holes in offsets.
  private static func topicBatch(stretches: Int, records: Int) throws -> RecordBatch {
    let batch = RecordBatch(recordCapacity: 4, byteCapacity: 8)
    let rules = TopicRecordRules(
      RecordFormat(kind: .ndjson, keyFields: []), passesOn: true, writesLines: false)
    for stretch in 0..<stretches {
      batch.beginStretch(of: TopicPartition("t", Int32(stretch % 2)), at: Int64(stretch) << 33)
      for record in 0..<records {
        let value = "{\"s\":\(stretch),\n\"r\":\(record)}"
        try unsafe Optional(value).withBytes {
          try unsafe batch.addTopicRecord(
            $0, besideKey: nil, time: -1, offset: UInt32(record * 3), rules: rules)
        }
        let number = stretch * records + record
        add(examples[number % examples.count], to: batch.beginCarrying())
      }
    }
    return batch
  }

  private static func copy(_ indices: [UInt32], of batch: RecordBatch, to other: RecordBatch) {
    unsafe indices.withUnsafeBufferPointer { unsafe other.append($0, of: batch) }
  }

  private static func check(
    _ copy: RecordBatch, from first: Int = 0, is indices: [UInt32], of batch: RecordBatch,
    _ comment: Comment
  ) throws {
    for (place, index) in indices.map(Int.init).enumerated() {
      let place = first + place
      #expect(unsafe copy.record(place).elementsEqual(batch.record(index)), comment)
      #expect(
        copy.place(of: place, path: "p") == batch.place(of: index, path: "p"), comment)
      guard let carried = batch.carried else {
        #expect(copy.carried == nil, comment)
        continue
      }
      let copied = try #require(copy.carried)
      #expect(fields(place, of: copied) == fields(index, of: carried), comment)
    }
  }

  @Test func copiesOfSomeRecordsKeepTheirPlacesAndWhatTheyCarry() throws {
    let batch = try Self.topicBatch(stretches: 7, records: 5)
    let count = UInt32(batch.count)
    var choices: [[UInt32]] = [
      [], [0], [count - 1], Array(0..<count), [4, 5], [0, 34], (0..<count).filter { $0 % 6 == 0 },
    ]
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<200 {
      let share = Int.random(in: 1...9, using: &generator)
      choices.append(
        (0..<count).filter { _ in Int.random(in: 0..<10, using: &generator) < share })
    }
    let copy = RecordBatch(recordCapacity: 1, byteCapacity: 1)
    for choice in choices {
      copy.removeAll()
      Self.copy(choice, of: batch, to: copy)
      #expect(copy.count == choice.count)
      try Self.check(copy, is: choice, of: batch, "\(choice)")
    }
  }

  @Test func copiesOfTwoBatchesLieOneBehindTheOther() throws {
    let batch = try Self.topicBatch(stretches: 3, records: 4)
    let copy = RecordBatch()
    Self.copy([1, 2, 9], of: batch, to: copy)
    Self.copy([0, 11], of: batch, to: copy)
    #expect(copy.count == 5)
    try Self.check(copy, is: [1, 2, 9], of: batch, "the first")
    try Self.check(copy, from: 3, is: [0, 11], of: batch, "the second")
  }

  @Test func copiesOfLinesKeepTheirNumbers() throws {
    let batch = RecordBatch()
    batch.firstLine = 1000
    batch.firstOffset = 1 << 40
    for line in 0..<10 {
      let start = batch.byteCount
      let text = Array("line \(line)\n".utf8)
      unsafe text.withUnsafeBufferPointer { unsafe batch.appendBytes($0) }
      batch.addRecord(start: start, length: text.count - 1, extent: text.count, line: line * 2)
    }
    let copy = RecordBatch()
    Self.copy([2, 3, 9], of: batch, to: copy)
    #expect((0..<3).map { copy.lineNumber($0) } == [1004, 1006, 1018])
    #expect(unsafe String(decoding: copy.record(2), as: UTF8.self) == "line 9")
    #expect(copy.carried == nil && copy.stretches.isEmpty)
  }
}
