import SedimentJob
import Testing

@Suite struct GzipStreamTests {
  /// Two members: three times "one\ntwo\n" and "tail", then "-end\n".
  private let data: [UInt8] = [
    0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xCB, 0xCF, 0x4B, 0xE5, 0x2A, 0x29,
    0xCF, 0xE7, 0xCA, 0x47, 0xA3, 0x4B, 0x12, 0x33, 0x73, 0x00, 0x3D, 0x5A, 0xC9, 0x97, 0x1C, 0x00,
    0x00, 0x00, 0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xD3, 0x4D, 0xCD, 0x4B,
    0xE1, 0x02, 0x00, 0x0E, 0xBA, 0x86, 0x50, 0x05, 0x00, 0x00, 0x00,
  ]
  private let lines = RecordFormat(kind: .lines)

  private func read(_ bytes: [UInt8], pieces: Int = .max, chunk: Int = 64) throws -> [String] {
    let gzip = try GzipStream(stream(bytes, pieces: pieces), path: "a.gz")
    let reader = SourceReader(gzip, path: "a.gz", format: lines, chunkBytes: chunk)
    let batch = RecordBatch()
    var found: [String] = []
    while try reader.next(into: batch) {
      for index in 0..<batch.count {
        found.append(unsafe String(decoding: batch.record(index), as: UTF8.self))
      }
      batch.removeAll()
    }
    return found
  }

  private let expected = ["one", "two", "one", "two", "one", "two", "tail-end"]

  @Test func membersAreOneStream() throws {
    for pieces in [1, 2, 3, 7, 1000] {
      #expect(try read(data, pieces: pieces) == expected)
      #expect(try read(data, chunk: pieces) == expected)
    }
    #expect(try read(data + [0, 0, 0]) == expected)
  }

  @Test func everyTruncationIsSaid() throws {
    // The first member is whole without the second.
    let firstEnd = (0..<data.count).first { index in
      index > 0 && Array(data[index...].prefix(3)) == [0x1F, 0x8B, 0x08]
    }
    for length in 0..<data.count where length != firstEnd {
      #expect(throws: SourceError.truncatedGzip(path: "a.gz"), "\(length) bytes") {
        try read(Array(data[..<length]))
      }
    }
  }

  @Test func damageIsSaidOrCannotBeSeen() throws {
    for bit in 0..<data.count * 8 {
      var damaged = data
      damaged[bit / 8] ^= 1 << (bit % 8)
      // Bits of the header (time, flags for text, system) carry no content.
      let found = Result { try read(damaged) }
      switch found {
      case .success(let lines): #expect(lines == expected)
      case .failure(let error): #expect(error is SourceError)
      }
    }
    #expect(throws: SourceError.self) { try read(Array("no gzip".utf8)) }
    #expect(throws: SourceError.self) { try read(data + [0x41]) }
    #expect(throws: SourceError.self) { try read(data + [0, 0x41]) }
  }

  @Test func readingGoesOnAtAnUncompressedOffset() throws {
    let gzip = try GzipStream(stream(data), path: "a.gz")
    let reader = SourceReader(gzip, path: "a.gz", format: lines, fromOffset: 20, line: 6)
    let batch = RecordBatch()
    #expect(try reader.next(into: batch))
    #expect(unsafe String(decoding: batch.record(0), as: UTF8.self) == "two")
    #expect(batch.lineNumber(0) == 6 && batch.offset(0) == 20)
  }
}
