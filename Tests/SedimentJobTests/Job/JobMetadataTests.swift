import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Job metadata")
struct JobMetadataTests {
  /// A job whose every part holds something.
  private static func full() throws -> JobMetadata {
    var metadata = JobMetadata(
      description: JobDescription(
        format: RecordFormat(
          kind: .csv, keyFields: ["a", "größe.x[0]"], keyRegex: "(a+)", timeField: "t",
          timeUnit: .microseconds),
        keyMode: .exact, timeToLive: .milliseconds(604_800_000), allowedLateness: 77))
    metadata.csvHeader = Array("a,b,t\r\n".utf8)
    metadata.totals.events = 1_000_000
    metadata.totals.emitted = 300
    metadata.totals.bytesOut = .max
    metadata.commitments = [
      .output: SinkCommitment(
        path: "/out/", isReleased: false,
        promise: .parts(
          PartsPromise(
            outputID: 9, writerEpoch: 3, nextSequence: 14, fileExtension: "csv",
            parts: [.init(sequence: 12, bytes: 5), .init(sequence: 13, bytes: 0)]))),
      .rejects: SinkCommitment(
        path: "rejects", isReleased: true, promise: .file(device: 1, inode: 2, bytes: 3)),
    ]
    metadata.positions = [
      try makePosition("/in/a.csv", offset: 1 << 40, line: 1 << 33),
      try makePosition("/in/b.csv.gz", offset: 12, isCompressed: true),
    ]
    return metadata
  }

  private static func empty() -> JobMetadata {
    JobMetadata(
      description: JobDescription(
        format: RecordFormat(kind: .lines, keyFields: []), timeToLive: .forever))
  }

  /// A job that reads topics.
  private static func topics() -> JobMetadata {
    var format = RecordFormat(kind: .ndjson, keyFields: [])
    format.keySource = .header("id")
    format.usesRecordTime = true
    var metadata = JobMetadata(
      description: JobDescription(
        origin: .topics(TopicOrigin(["views", "clicks"], cluster: "c")), format: format,
        timeToLive: .forever))
    metadata.topicPositions[TopicPartition("views", 0)] = 300
    metadata.topicPositions[TopicPartition("clicks", 1)] = .max
    metadata.topicPositions[TopicPartition("clicks", 0)] = 0
    return metadata
  }

  /// The same, of jobs that write topics.
  private static func marked(_ metadata: JobMetadata) -> JobMetadata {
    var metadata = metadata
    metadata.mark = EpochMark(
      tag: EpochTag(high: 1, low: .max), confirmed: EpochTag(high: 0x0203, low: 4))
    metadata.commitments[.output] = SinkCommitment(
      path: "the topic o", isReleased: true, promise: .topic)
    return metadata
  }

  @Test func marksComeBackAsTheyWereWhateverIsRead() throws {
    for metadata in [try Self.full(), Self.empty(), Self.topics()] {
      let marked = Self.marked(metadata)
      #expect(try JobMetadata(decoding: marked.encoded()) == marked)
      var settled = marked
      settled.mark = .settled(.random())
      #expect(try JobMetadata(decoding: settled.encoded()) == settled)
      #expect(settled.encoded() != marked.encoded())
    }
  }

  /// Version 3 is version 1 or 2 with a flag that says which, and the mark at the end.
  @Test func bytesOfAMarkAreGolden() {
    let mark =
      [1, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0xFF, count: 8)
      + [3, 2, 0, 0, 0, 0, 0, 0] + [4, 0, 0, 0, 0, 0, 0, 0]
    for (metadata, hasTopics) in [(Self.empty(), UInt8(0)), (Self.topics(), 1)] {
      var marked = Self.marked(metadata)
      marked.commitments = [:]
      #expect(marked.encoded() == [3, hasTopics] + metadata.encoded().dropFirst() + mark)
    }
  }

  @Test func metadataOfTopicsComeBackAsTheyWere() throws {
    var metadata = Self.topics()
    #expect(try JobMetadata(decoding: metadata.encoded()) == metadata)
    for source in [KeySource.value, .recordKey, .header("")] {
      metadata.description.format.keySource = source
      metadata.description.format.usesRecordTime.toggle()
      #expect(try JobMetadata(decoding: metadata.encoded()) == metadata)
    }
    metadata.description.origin = .topics(TopicOrigin(["views"]))
    metadata.topicPositions = TopicPositions()
    #expect(try JobMetadata(decoding: metadata.encoded()) == metadata)
  }

  @Test func bytesOfAJobThatReadsTopicsAreGolden() {
    var expected: [UInt8] = [2, 6] + Array("ndjson".utf8) + [0, 0, 0, 2] + Array("ms".utf8) + [0]
    expected += [UInt8](repeating: 0, count: 16)
    expected += [2, 6] + Array("clicks".utf8) + [5] + Array("views".utf8) + [1, 1, 0x63]
    expected += [2, 2, 0x69, 0x64, 1]
    expected += [0, 10] + [UInt8](repeating: 0, count: 10) + [0, 0, 0, 0]
    expected += [2, 6] + Array("clicks".utf8) + [2, 0, 0, 1]
    expected += [UInt8](repeating: 0xFF, count: 8) + [0x7F]
    expected += [5] + Array("views".utf8) + [1, 0, 0xAC, 2]
    #expect(Self.topics().encoded() == expected)
  }

  @Test func positionsOutOfOrderOrOfNoTopicAreRefused() throws {
    func positions(_ bytes: [UInt8]) throws -> TopicPositions {
      try ByteReader.reading(bytes) { (reader) throws(CodingError) in
        try TopicPositions(from: &reader)
      }
    }
    #expect(try positions([1, 1, 0x61, 2, 0, 5, 3, 6]).partitions.count == 2)
    // Twice the same partition, topics out of order, a topic without partitions, a number of a
    // partition that is too large.
    for bytes: [UInt8] in [
      [1, 1, 0x61, 2, 3, 5, 3, 6], [2, 1, 0x62, 1, 0, 5, 1, 0x61, 1, 0, 6], [1, 1, 0x61, 0, 0],
      [1, 1, 0x61, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 5],
    ] {
      #expect(throws: CodingError.self, "\(bytes)") { try positions(bytes) }
    }
  }

  @Test func metadataComeBackAsTheyWere() throws {
    let full = try Self.full()
    #expect(try JobMetadata(decoding: full.encoded()) == full)
    let empty = Self.empty()
    #expect(try JobMetadata(decoding: empty.encoded()) == empty)
    for mode in [KeyMode.exact, .fingerprint] {
      for kind in RecordFormat.Kind.allCases {
        for unit in TimeUnit.allCases {
          var other = full
          other.description.format.kind = kind
          other.description.format.timeUnit = unit
          other.description.keyMode = mode
          #expect(try JobMetadata(decoding: other.encoded()) == other)
        }
      }
    }
  }

  /// Format version, "lines", no fields, no regex, no time field, "ms", fingerprint, for ever, no
  /// lateness, no header, ten counters, no outputs, no positions.
  @Test func bytesOfAJobThatHasNotBegunAreGolden() {
    var expected: [UInt8] = [1, 5] + Array("lines".utf8) + [0, 0, 0, 2] + Array("ms".utf8) + [0]
    expected += [UInt8](repeating: 0, count: 16)
    expected += [0, 10] + [UInt8](repeating: 0, count: 10)
    expected += [0, 0, 0, 0]
    #expect(Self.empty().encoded() == expected)
  }

  @Test func bytesOfAJobUnderWayAreGolden() throws {
    var metadata = Self.empty()
    metadata.description = JobDescription(
      format: RecordFormat(kind: .csv, keyFields: ["k"], timeField: "t", timeUnit: .seconds),
      keyMode: .exact, timeToLive: .milliseconds(0x0102), allowedLateness: 3)
    metadata.csvHeader = [0x6B]
    metadata.totals.events = 200
    metadata.totals.lateDropped = 4
    metadata.commitments[.duplicates] = SinkCommitment(
      path: "-", isReleased: true, promise: .standardOutput)
    metadata.positions = [try makePosition("p", offset: 2, line: 9)]
    var expected: [UInt8] = [1, 3] + Array("csv".utf8) + [1, 1, 0x6B, 0, 1, 1, 0x74, 1, 0x73, 1]
    expected += [2, 1, 0, 0, 0, 0, 0, 0] + [3, 0, 0, 0, 0, 0, 0, 0]
    expected += [1, 1, 0x6B] + [10, 0xC8, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0]
    expected += [0, 1, 8, 2, 0, 1, 1, 0, 0, 0, 0x2D, 0]
    expected += [1, 1, 0x70, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2]
    expected += [5, 0, 0, 0, 0, 0, 0, 0, 0, 2, 9, 2, 6, 0, 0, 0, 0, 0, 0, 0]
    #expect(metadata.encoded() == expected)
  }

  /// The position of an empty file, of which everything is zero, is as short as one gets.
  @Test(arguments: ["", "a", "ab", "abc"])
  func emptyFilesWithShortNamesAreReadBack(path: String) throws {
    let bytes = [UInt8(path.utf8.count)] + Array(path.utf8) + [UInt8](repeating: 0, count: 37)
    let position = try ByteReader.reading(bytes) { (reader) throws(CodingError) in
      let position = try FilePosition(from: &reader)
      try reader.expectEnd()
      return position
    }
    var metadata = Self.empty()
    metadata.positions = Array(repeating: position, count: 3)
    #expect(try JobMetadata(decoding: metadata.encoded()) == metadata)
  }

  @Test func everyTruncationAndExtensionIsATypedError() throws {
    for bytes in [
      try Self.full().encoded(), Self.empty().encoded(), Self.topics().encoded(),
      Self.marked(Self.topics()).encoded(), Self.marked(Self.empty()).encoded(),
    ] {
      for count in 0..<bytes.count {
        #expect(throws: JobError.self, "\(count) bytes") {
          try JobMetadata(decoding: Array(bytes.prefix(count)))
        }
      }
      #expect(throws: JobError.self) { try JobMetadata(decoding: bytes + [0]) }
    }
  }

  @Test func aNewerVersionSaysSo() throws {
    var bytes = Self.empty().encoded()
    bytes[0] = 4
    #expect {
      try JobMetadata(decoding: bytes)
    } throws: { error in
      "\(error)".contains("newer version of sediment")
    }
  }

  @Test(
    "bytes that are no metadata are refused or decode to what is written alike, never trap",
    arguments: [false, true], [false, true])
  func hostileBytes(areOfTopics: Bool, areMarked: Bool) throws {
    let metadata = areOfTopics ? Self.topics() : try Self.full()
    let bytes = (areMarked ? Self.marked(metadata) : metadata).encoded()
    for bit in 0..<(8 * bytes.count) {
      var damaged = bytes
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      try check(damaged)
    }
    for seed in UInt64(0)..<4_000 {
      var generator = SeededGenerator(seed: seed)
      var damaged = bytes
      if seed % 5 == 0 {
        damaged = (0..<Int.random(in: 0...300, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
        if !damaged.isEmpty { damaged[0] = bytes[0] }
      } else {
        let start = Int.random(in: 0..<bytes.count, using: &generator)
        let end = min(start + Int.random(in: 1...10, using: &generator), bytes.count)
        for place in start..<end {
          damaged[place] = seed % 2 == 0 ? 0xFF : UInt8.random(in: 0...255, using: &generator)
        }
      }
      try check(damaged)
    }
  }

  private func check(_ bytes: [UInt8]) throws {
    do {
      let decoded = try JobMetadata(decoding: bytes)
      #expect(try JobMetadata(decoding: decoded.encoded()) == decoded)
    } catch {}
  }
}
