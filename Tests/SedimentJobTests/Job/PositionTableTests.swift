import SedimentJob
import SedimentStore
import Testing

@Suite struct PositionTableTests {
  /// The position of an empty file, of which everything is zero.
  private func position(_ path: String) throws -> FilePosition {
    var writer = ByteWriter()
    writer.writeString(path)
    let bytes = writer.bytes + [UInt8](repeating: 0, count: 37)
    return try ByteReader.reading(bytes) { (reader) throws(CodingError) in
      try FilePosition(from: &reader)
    }
  }

  private func paths(_ name: String, _ count: Int, bytes: Int) -> [String] {
    (0..<count).map { "\(name)\($0)/" + String(repeating: "x", count: bytes) }
  }

  @Test func manyFilesAreAllRemembered() throws {
    let inputs = paths("in", 100_000, bytes: 40)
    var table = try PositionTable([], inputs: inputs)
    for path in inputs { table.set(try position(path)) }
    #expect(table.all.map(\.path) == inputs)
  }

  @Test func theOldestAreForgottenButNoInput() throws {
    let before = try paths("old", 200, bytes: 60_000).map(position)
    let inputs = paths("in", 150, bytes: 60_000)
    var table = try PositionTable(before, inputs: inputs + [before[0].path])
    for path in inputs { table.set(try position(path)) }
    let kept = table.all.map(\.path)
    #expect(kept.first == before[0].path && Set(inputs).isSubset(of: kept))
    #expect(kept.count < 350 && kept.contains(before[199].path))
    var metadata = JobMetadata(
      description: JobDescription(format: RecordFormat(kind: .lines), timeToLive: .forever))
    metadata.positions = table.all
    #expect(metadata.encoded().count <= JobMetadata.positionBytesMax + 1000)
  }

  @Test func moreInputsThanCanBeRememberedAreRefused() {
    let inputs = paths("in", 300, bytes: 60_000)
    let error = #expect(throws: JobError.self) { try PositionTable([], inputs: inputs) }
    #expect(error?.description.contains("300 files") == true)
  }
}
