import SedimentJob
import SedimentStore

/// A position made from its numbers, without a file.
func makePosition(
  _ path: String, offset: UInt64 = 0, line: UInt64 = 1, isCompressed: Bool = false
) throws -> FilePosition {
  var writer = ByteWriter()
  writer.writeString(path)
  writer.writeUInt64(3)
  writer.writeUInt64(4)
  writer.writeVarint(min(offset, 4096))
  writer.writeUInt64(5)
  writer.writeUInt8(isCompressed ? 1 : 0)
  writer.writeVarint(offset)
  writer.writeVarint(line)
  writer.writeVarint(isCompressed ? 0 : min(offset, 4096))
  writer.writeUInt64(6)
  return try ByteReader.reading(writer.bytes) { (reader) throws(CodingError) in
    try FilePosition(from: &reader)
  }
}
