// Keys of CSV records: the content of columns, as strings of bytes (UTF-8 is not asked for). An
// empty field is the empty string; a record that is too short lacks the key.

import SedimentDedup

/// Parses batches of CSV records.
final class CSVParser: RecordParser {
  private let keyFields: [String]
  private let timeField: String?
  private let timeUnit: TimeUnit
  /// The header for which `keyColumns` and `timeColumn` were looked up.
  private var header: CSVHeader?
  private var keyColumns: [Int] = []
  private var timeColumn: Int?
  /// Where each column up to the last wanted one is in the record at hand; the count of columns.
  private var fields: [(content: Range<Int>, hasDoubledQuotes: Bool)] = []
  private var columnsWanted = 0

  init(_ format: RecordFormat) throws(FormatError) {
    guard !format.keyFields.isEmpty else { throw .noKeyFields }
    keyFields = format.keyFields
    timeField = format.timeField
    timeUnit = format.timeUnit
  }

  func parse(_ batch: RecordBatch) throws(FormatError) {
    guard let header = batch.header else { throw .missingHeader }
    if header !== self.header { try lookUpColumns(in: header) }
    let columns = unsafe batch.columns
    for index in 0..<batch.count where unsafe columns.statuses[index] == RecordStatus.ok.rawValue {
      let status = try parseRecord(index, of: batch)
      unsafe columns.statuses[index] = status.rawValue
    }
  }

  private func lookUpColumns(in header: CSVHeader) throws(FormatError) {
    var found: [Int] = []
    for field in keyFields { found.append(try header.column(field)) }
    var time: Int?
    if let timeField { time = try header.column(timeField) }
    keyColumns = found
    timeColumn = time
    columnsWanted = (found + [time ?? 0]).reduce(0) { max($0, $1 + 1) }
    fields.reserveCapacity(columnsWanted)
    self.header = header
  }

  private func parseRecord(_ index: Int, of batch: RecordBatch) throws(FormatError) -> RecordStatus
  {
    let record = unsafe batch.record(index)
    fields.removeAll(keepingCapacity: true)
    var at = 0
    while at <= record.count, fields.count < columnsWanted {
      unsafe fields.append(CSVScanner.takeField(of: record, at: &at))
    }
    var sink = try KeySink(batch.keys)
    for column in keyColumns {
      guard column < fields.count else { return .missingKey }
      let field = fields[column]
      let content = unsafe UnsafeBufferPointer(rebasing: record[field.content])
      if field.hasDoubledQuotes {
        unsafe sink.writer.appendString(halvingQuotesOf: content)
      } else {
        unsafe sink.writer.appendString(content)
      }
    }
    if let timeColumn {
      guard timeColumn < fields.count, !fields[timeColumn].content.isEmpty else {
        return .timeMissing
      }
      // SAFETY: the span lives in this expression only, the batch longer.
      let content = unsafe UnsafeBufferPointer(rebasing: record[fields[timeColumn].content])
      guard let millis = unsafe EventTime.millis(Span(_unsafeElements: content), unit: timeUnit)
      else { return .timeInvalid }
      unsafe batch.columns.times[index] = millis
    }
    return try sink.commit() ? .ok : .keyTooLong
  }
}
