import SedimentJob
import SedimentStore
import Testing

@Suite struct JobMetadataTests {
  /// The position of an empty file, of which everything is zero.
  private func position(_ path: String) throws -> FilePosition {
    let path = Array(path.utf8)
    let bytes = [UInt8(path.count)] + path + [UInt8](repeating: 0, count: 37)
    return try ByteReader.reading(bytes) { (reader) throws(CodingError) in
      let position = try FilePosition(from: &reader)
      try reader.expectEnd()
      return position
    }
  }

  @Test(arguments: ["", "a", "ab", "abc"])
  func emptyFilesWithShortNamesAreReadBack(path: String) throws {
    var metadata = JobMetadata(
      description: JobDescription(format: RecordFormat(kind: .lines), timeToLive: .forever))
    metadata.positions = Array(repeating: try position(path), count: 3)
    #expect(try JobMetadata(decoding: metadata.encoded()) == metadata)
  }
}
