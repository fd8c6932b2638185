import SedimentDedup

/// Whole lines as keys: the bytes as they are, UTF-8 or not.
final class LinesParser: RecordParser {
  func parse(_ batch: RecordBatch) throws(FormatError) {
    let columns = unsafe batch.columns
    for index in 0..<batch.count where unsafe columns.statuses[index] == RecordStatus.ok.rawValue {
      var sink = try KeySink(batch.keys)
      let isFirst = index == 0 && batch.beginsFile
      let text = unsafe withoutByteOrderMark(batch.record(index), isFirst: isFirst)
      unsafe sink.writer.appendString(text)
      if try !sink.commit() { unsafe columns.statuses[index] = RecordStatus.keyTooLong.rawValue }
    }
  }
}

/// Keys that come beside the records, which may be anything.
final class BesideKeyParser: RecordParser {
  func parse(_ batch: RecordBatch) throws(FormatError) {
    let columns = unsafe batch.columns
    for index in 0..<batch.count where unsafe columns.statuses[index] == RecordStatus.ok.rawValue {
      var sink = try KeySink(batch.keys)
      sink.appendBesideKey(of: index, in: batch)
      if try !sink.commit() { unsafe columns.statuses[index] = RecordStatus.keyTooLong.rawValue }
    }
  }
}

/// The record without the UTF-8 byte order mark that a source's first may begin with. The mark
/// stays in what is passed on; only the parser does not see it.
func withoutByteOrderMark(
  _ record: UnsafeBufferPointer<UInt8>, isFirst: Bool
) -> UnsafeBufferPointer<UInt8> {
  guard isFirst, record.count >= 3 else { return unsafe record }
  guard unsafe record[0] == 0xEF, unsafe record[1] == 0xBB, unsafe record[2] == 0xBF else {
    return unsafe record
  }
  return unsafe UnsafeBufferPointer(rebasing: record[3...])
}
