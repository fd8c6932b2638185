import SedimentDedup

/// Whole lines as keys: the bytes as they are, UTF-8 or not.
final class LinesParser: RecordParser {
  func parse(_ batch: RecordBatch) throws(FormatError) {
    let columns = unsafe batch.columns
    for index in 0..<batch.count where unsafe columns.statuses[index] == RecordStatus.ok.rawValue {
      var sink = try KeySink(batch.keys)
      let text = unsafe withoutByteOrderMark(batch.record(index), at: batch.offset(index))
      unsafe sink.writer.appendString(text)
      if try !sink.commit() { unsafe columns.statuses[index] = RecordStatus.keyTooLong.rawValue }
    }
  }
}

/// The record without the UTF-8 byte order mark that a source may begin with. The mark stays in
/// what is passed on; only the parser does not see it.
func withoutByteOrderMark(
  _ record: UnsafeBufferPointer<UInt8>, at offset: UInt64
) -> UnsafeBufferPointer<UInt8> {
  guard offset == 0, record.count >= 3 else { return unsafe record }
  guard unsafe record[0] == 0xEF, unsafe record[1] == 0xBB, unsafe record[2] == 0xBF else {
    return unsafe record
  }
  return unsafe UnsafeBufferPointer(rebasing: record[3...])
}
