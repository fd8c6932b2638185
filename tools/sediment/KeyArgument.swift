// A key on the command line, encoded as the job's own parser encodes it.

import ArgumentParser
import SedimentDedup
import SedimentJob
import SedimentStore

/// What names a key: a JSON array of its values, a string for one value, or a record of the job.
struct KeyArgument {
  private let text: String
  private let job: JobMetadata?

  /// - Parameter job: whose state it is; `nil` for another program's.
  init(_ text: String, job: JobMetadata?) {
    self.text = text
    self.job = job
  }

  private var description: JobDescription? { job?.description }

  /// The bytes that the state was given for the key.
  ///
  /// - Throws: `ValidationError` when the text is no key.
  func encoded() throws -> [UInt8] {
    switch text.utf8.first(where: { !" \t\r\n".utf8.contains($0) }) {
    case UInt8(ascii: "["): try encodedArrayOrRecord(text)
    case UInt8(ascii: "\""): try encodedArrayOrRecord("[\(text)]")
    default: try encodedRecord()
    }
  }

  /// Lines and rows of CSV may look like the beginning of JSON; what is no array of the key's
  /// values is a record then.
  private func encodedArrayOrRecord(_ array: String) throws -> [UInt8] {
    do {
      return try encodedArray(array)
    } catch {
      guard let kind = description?.format.kind, kind != .ndjson else { throw error }
      let (_, key) = try parseRecord()
      guard let key else { throw error }
      return key
    }
  }

  private func encodedRecord() throws -> [UInt8] {
    let (status, key) = try parseRecord()
    guard let key else {
      throw ValidationError("That is no record with the fields \(names): \(status.name).")
    }
    return key
  }

  /// Parses the text as one record of the job.
  private func parseRecord() throws -> (RecordStatus, [UInt8]?) {
    guard let job else {
      throw ValidationError(
        "Which fields of a record are its key is known of a job's state only: give an array of "
          + "the key's values.")
    }
    var format = job.description.format
    guard format.keySource == .value else {
      throw ValidationError(
        "The keys of this state came beside the records: give an array with the key, in quotes.")
    }
    format.timeField = nil
    return try parse(text, format, header: job.csvHeader.map { CSVHeader(line: $0) })
  }

  /// Every value is looked at for itself, so that one that is no key is not passed over.
  private func encodedArray(_ array: String) throws -> [UInt8] {
    var count = 0
    while count < Self.valuesMax {
      let (status, _) = try parse("{\"k\":\(array)}", fields: ["k[\(count)]"])
      if status == .missingKey { break }
      guard status == .ok else {
        throw ValidationError("Value \(count + 1) of the key is no string, number or boolean.")
      }
      count += 1
    }
    guard count > 0 else {
      throw ValidationError("The array holds no value that is a string, number or boolean.")
    }
    if let expected = valueCount, expected != count {
      throw ValidationError("The key has \(expected) values (\(names)), and these are \(count).")
    }
    let (_, key) = try parse("{\"k\":\(array)}", fields: (0..<count).map { "k[\($0)]" })
    guard let key else { throw ValidationError("The key is longer than a key may be.") }
    try checkTexts(key)
    return key
  }

  private static let valuesMax = 64

  private var valueCount: Int? {
    guard let format = description?.format else { return nil }
    if format.keySource != .value { return 1 }
    if format.kind != .lines { return format.keyFields.count }
    return format.keyRegex == nil ? 1 : nil
  }

  private var names: String {
    let fields = description?.format.keyFields ?? []
    if let source = description?.format.keySource, source != .value { return source.text }
    return fields.isEmpty ? "the line" : fields.joined(separator: ", ")
  }

  private func checkTexts(_ key: [UInt8]) throws {
    guard let format = description?.format, format.kind != .ndjson || format.keySource != .value
    else { return }
    let isText = KeyDescription.fields(of: key)?.allSatisfy { field in
      if case .string = field { true } else { false }
    }
    guard isText == true else {
      let records = format.keySource == .value ? format.kind.rawValue : "this state"
      throw ValidationError("The keys of \(records) are texts: put every value in quotes.")
    }
  }

  /// The key of one NDJSON record; `nil` with a status that is not `ok`.
  private func parse(_ json: String, fields: [String]) throws -> (RecordStatus, [UInt8]?) {
    try parse(json, RecordFormat(kind: .ndjson, keyFields: fields), header: nil)
  }

  private func parse(
    _ record: String, _ format: RecordFormat, header: CSVHeader?
  ) throws -> (RecordStatus, [UInt8]?) {
    let parser = try format.makeParser()
    let batch = RecordBatch(recordCapacity: 1)
    batch.header = header
    let bytes = Array(record.utf8)
    unsafe bytes.withUnsafeBufferPointer { unsafe batch.appendBytes($0) }
    batch.appendNewline()
    batch.addRecord(start: 0, length: bytes.count, extent: bytes.count + 1, line: 0)
    try parser.parse(batch)
    guard batch.status(0) == .ok else { return (batch.status(0), nil) }
    let key = batch.keys.withKey(at: 0) { key in unsafe key.withUnsafeBytes { unsafe Array($0) } }
    return (.ok, key)
  }
}
