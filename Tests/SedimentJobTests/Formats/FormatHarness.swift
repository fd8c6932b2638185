import SedimentDedup
import SedimentJob
import SedimentStore
import Testing

/// What a parser found in one record, as text: the key, with the time behind it, or the status.
struct Parsed: Equatable, CustomStringConvertible {
  var line: UInt64
  var offset: UInt64
  var bytes: String
  var outcome: String

  var description: String { "\(line)@\(offset) \(bytes.debugDescription): \(outcome)" }
}

/// Gives a stream pieces of the given sizes, over and over.
func stream(_ bytes: [UInt8], pieces: Int = .max) -> FunctionStream {
  var place = 0
  return unsafe FunctionStream { buffer in
    let count = min(pieces, buffer.count, bytes.count - place)
    unsafe buffer.copyBytes(from: bytes[place..<place + count])
    place += count
    return count
  }
}

/// The outcomes of a batch that was parsed.
func outcomes(of batch: RecordBatch, hasTime: Bool) -> [Parsed] {
  var key = 0
  return (0..<batch.count).map { index in
    var outcome = batch.status(index).name
    if batch.status(index) == .ok {
      outcome = batch.keys.withKey(at: key) { span in
        unsafe span.withUnsafeBytes { unsafe KeyDescription.describe(Array($0)) }
      }
      key += 1
      if hasTime { outcome += "@\(unsafe batch.columns.times[index])" }
    }
    return Parsed(
      line: batch.lineNumber(index), offset: batch.offset(index),
      bytes: unsafe String(decoding: batch.line(index), as: UTF8.self), outcome: outcome)
  }
}

/// Reads and parses all of `bytes`.
func parseAll(
  _ bytes: [UInt8], _ format: RecordFormat, chunkBytes: Int = 1 << 16, recordsMax: Int = 4096,
  offset: UInt64 = 0, line: UInt64 = 1
) throws -> [Parsed] {
  let reader = SourceReader(
    stream(bytes), path: "test", format: format, fromOffset: offset, line: line,
    chunkBytes: chunkBytes, recordsMax: recordsMax)
  let parser = try format.makeParser()
  let batch = RecordBatch(recordCapacity: 1, byteCapacity: 1)
  var found: [Parsed] = []
  while try reader.next(into: batch) {
    try parser.parse(batch)
    #expect(batch.endOffset == reader.offset && batch.endLine == reader.line)
    found += outcomes(of: batch, hasTime: format.timeField != nil)
    batch.removeAll()
  }
  return found
}

/// The outcomes alone.
func outcomes(_ text: String, _ format: RecordFormat) throws -> [String] {
  try parseAll(Array(text.utf8), format).map(\.outcome)
}
