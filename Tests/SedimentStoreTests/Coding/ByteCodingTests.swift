import SedimentStore
import Testing

@Suite struct ByteCodingTests {
  /// One of each value, as written by `sample`.
  private func readAll(_ reader: inout ByteReader) throws(CodingError) {
    #expect(try reader.readUInt8() == 0xfe)
    #expect(try reader.readUInt16() == 0x1234)
    #expect(try reader.readUInt32() == 0x8765_4321)
    #expect(try reader.readUInt64() == 0x0123_4567_89ab_cdef)
    #expect(try reader.readInt64() == -5)
    #expect(try reader.readVarint() == 300)
    #expect(try reader.readString() == "grün")
    #expect(try reader.readLengthPrefixed() == [1, 2, 3])
    #expect(try reader.readArray(2) == [8, 9])
    try reader.expectEnd()
  }

  private func sample() -> [UInt8] {
    var writer = ByteWriter()
    writer.writeUInt8(0xfe)
    writer.writeUInt16(0x1234)
    writer.writeUInt32(0x8765_4321)
    writer.writeUInt64(0x0123_4567_89ab_cdef)
    writer.writeInt64(-5)
    writer.writeVarint(300)
    writer.writeString("grün")
    writer.writeLengthPrefixed([1, 2, 3])
    writer.writeBytes([8, 9])
    return writer.bytes
  }

  @Test func valuesComeBackAsTheyWere() throws {
    try ByteReader.reading(sample()) { (reader) throws(CodingError) in try readAll(&reader) }
  }

  @Test func bytesAreGolden() {
    let expected: [UInt8] = [
      0xfe, 0x34, 0x12, 0x21, 0x43, 0x65, 0x87, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
      0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xac, 0x02, 5, 0x67, 0x72, 0xc3, 0xbc, 0x6e,
      3, 1, 2, 3, 8, 9,
    ]
    #expect(sample() == expected)
  }

  /// Reads that fail on shortened bytes must not go on to the expectations above.
  private func readQuietly(_ reader: inout ByteReader) throws(CodingError) {
    _ = try reader.readUInt8()
    _ = try reader.readUInt16()
    _ = try reader.readUInt32()
    _ = try reader.readUInt64()
    _ = try reader.readInt64()
    _ = try reader.readVarint()
    _ = try reader.readString()
    _ = try reader.readLengthPrefixed()
    _ = try reader.readArray(2)
    try reader.expectEnd()
  }

  @Test func everyTruncationIsTyped() {
    let bytes = sample()
    for count in 0..<bytes.count {
      #expect {
        try ByteReader.reading(Array(bytes.prefix(count))) { (reader) throws(CodingError) in
          try readQuietly(&reader)
        }
      } throws: { error in
        if case CodingError.truncated = error { true } else { false }
      }
    }
  }

  @Test func aReadThatThrowsLeavesThePlace() throws {
    try ByteReader.reading([0x85, 1, 2]) { (reader) throws(CodingError) in
      #expect(throws: CodingError.truncated(offset: 0)) { try reader.readUInt64() }
      #expect(throws: CodingError.truncated(offset: 2)) { try reader.readLengthPrefixed() }
      #expect(throws: CodingError.truncated(offset: 2)) { try reader.readString() }
      #expect(throws: CodingError.truncated(offset: 2)) { try reader.readCount(itemBytes: 1) }
      #expect(throws: CodingError.truncated(offset: 0)) { try reader.skip(4) }
      #expect(throws: CodingError.truncated(offset: 0)) { try reader.skip(-1) }
      #expect(reader.offset == 0)
      #expect(reader.remaining == 3)
    }
  }

  @Test func varintsOfAllSizesComeBack() throws {
    var values = (0..<64).flatMap { [UInt64(1) << $0, (UInt64(1) << $0) - 1, .max >> $0] }
    values.append(.max)
    var writer = ByteWriter()
    for value in values { writer.writeVarint(value) }
    let back = try ByteReader.reading(writer.bytes) { (reader) throws(CodingError) in
      var back: [UInt64] = []
      while !reader.isAtEnd { back.append(try reader.readVarint()) }
      return back
    }
    #expect(back == values)
  }

  @Test(arguments: [
    [0x80, 0x00], [0xff, 0x80, 0x00],
    [UInt8](repeating: 0xff, count: 9) + [0x02], [UInt8](repeating: 0x80, count: 11),
  ])
  func varintsInAnyButTheShortestFormAreRefused(bytes: [UInt8]) {
    #expect {
      try ByteReader.reading(bytes) { (reader) throws(CodingError) in try reader.readVarint() }
    } throws: { error in
      if case CodingError.invalid = error { true } else { false }
    }
  }

  @Test func countsBeyondTheBytesAreRefused() throws {
    var writer = ByteWriter()
    writer.writeUInt32(.max)
    _ = try ByteReader.reading(writer.bytes) { (reader) throws(CodingError) in
      #expect(throws: CodingError.truncated(offset: 4)) { try reader.readCount32(itemBytes: 8) }
    }
    writer.removeAll()
    writer.writeVarint(.max)
    _ = try ByteReader.reading(writer.bytes) { (reader) throws(CodingError) in
      #expect(throws: CodingError.truncated(offset: 10)) { try reader.readCount(itemBytes: 1) }
    }
    writer.removeAll()
    writer.writeUInt32(3)
    writer.writeZeros(24)
    try ByteReader.reading(writer.bytes) { (reader) throws(CodingError) in
      #expect(try reader.readCount32(itemBytes: 8) == 3)
    }
  }

  @Test func stringsMustBeUTF8AndNoLongerThanAllowed() {
    var writer = ByteWriter()
    writer.writeLengthPrefixed([0xc3, 0x28])
    #expect(throws: CodingError.invalid("string at 0 is not UTF-8")) {
      try ByteReader.reading(writer.bytes) { (reader) throws(CodingError) in
        try reader.readString()
      }
    }
    #expect(throws: CodingError.invalid("2 bytes at 0 where at most 1 are allowed")) {
      try ByteReader.reading(writer.bytes) { (reader) throws(CodingError) in
        try reader.readString(maxBytes: 1)
      }
    }
  }

  @Test func bytesLeftOverAreRefused() {
    #expect(throws: CodingError.invalid("1 bytes too many at 0")) {
      try ByteReader.reading([0]) { (reader) throws(CodingError) in try reader.expectEnd() }
    }
  }

  @Test func patchesOverwriteWhatWasWritten() {
    var writer = ByteWriter()
    writer.writeZeros(14)
    writer.patchUInt32(0x0403_0201, at: 1)
    writer.patchUInt64(0x0807_0605_0403_0201, at: 6)
    #expect(writer.bytes == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8])
  }
}
