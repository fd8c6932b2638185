/// Where the key of a record is.
package enum KeySource: Sendable, Equatable {
  /// In the record itself.
  case value
  /// Beside the record, as topics have it: the whole key.
  case recordKey
  /// In a header of the record: the value of the last one with this name.
  case header(String)

  /// As the command line names it.
  package var text: String {
    switch self {
    case .value: "value"
    case .recordKey: "key"
    case .header(let name): "header:" + name
    }
  }
}

/// How records are told apart and what their keys are.
package struct RecordFormat: Sendable, Equatable {
  /// The syntax of records.
  package enum Kind: String, Sendable, CaseIterable {
    case ndjson
    case csv
    case lines
  }

  package var kind: Kind
  /// JSON paths, or CSV columns by name or 1-based number; empty for lines.
  package var keyFields: [String]
  /// For lines: its groups are the key. Without it the whole line is.
  package var keyRegex: String?
  /// The event time: a JSON path, a CSV column, or a group of `keyRegex` by name or number.
  package var timeField: String?
  package var timeUnit: TimeUnit
  /// Where keys are; in files always in the record.
  package var keySource: KeySource = .value
  /// The event time is the one that comes beside a record; there is no time field then.
  package var usesRecordTime = false
  /// The longest record, its line end not counted.
  package var recordBytesMax: Int

  package static let recordBytesMaxDefault = 16 << 20

  package init(
    kind: Kind, keyFields: [String] = [], keyRegex: String? = nil, timeField: String? = nil,
    timeUnit: TimeUnit = .milliseconds, recordBytesMax: Int = recordBytesMaxDefault
  ) {
    self.kind = kind
    self.keyFields = keyFields
    self.keyRegex = keyRegex
    self.timeField = timeField
    self.timeUnit = timeUnit
    self.recordBytesMax = recordBytesMax
  }

  /// The format that a file's name tells (`.gz` aside): NDJSON unless it ends in `.csv`.
  package static func kind(forPath path: String) -> Kind {
    var name = path.lowercased()
    if name.hasSuffix(".gz") { name.removeLast(3) }
    return name.hasSuffix(".csv") ? .csv : .ndjson
  }

  /// Whether times are those of events, and not of the clock.
  package var hasEventTime: Bool { timeField != nil || usesRecordTime }

  /// A parser of this format, for one thread at a time.
  package func makeParser() throws(FormatError) -> any RecordParser {
    switch kind {
    case .ndjson: try JSONParser(self)
    case .csv: try CSVParser(self)
    case .lines where keySource != .value: BesideKeyParser()
    case .lines: keyRegex == nil ? LinesParser() : try RegexParser(self)
    }
  }
}

/// Finds key and time of every record of a batch.
package protocol RecordParser: AnyObject {
  /// Sets `statuses` of all records that are `ok` so far, `times`, and fills `keys`.
  func parse(_ batch: RecordBatch) throws(FormatError)
}

/// A format that cannot be used, or a file that does not have it.
package enum FormatError: Error, Sendable, Equatable, CustomStringConvertible {
  case invalidPath(String, reason: String)
  case noKeyFields
  /// At which byte of the expression, and what the compiler of expressions says.
  case invalidRegex(String, offset: Int, reason: String)
  case regexWithoutGroups(String)
  case unknownGroup(String)
  case timeNeedsRegex
  case unknownColumn(String, columns: [String])
  /// A CSV file has another header than the ones before it.
  case headerMismatch(expected: [String], found: [String])
  case missingHeader
  case batchTooLarge
  case outOfMemory

  package var description: String {
    switch self {
    case .invalidPath(let path, let reason): "\"\(path)\" is not a path to a JSON field: \(reason)"
    case .noKeyFields: "no key fields are named"
    case .invalidRegex(let regex, let offset, let reason):
      "\"\(regex)\" is not a regular expression: \(reason) (at byte \(offset))"
    case .regexWithoutGroups(let regex):
      "\"\(regex)\" has no group in parentheses; the groups are the key"
    case .unknownGroup(let name): "the regular expression has no group \"\(name)\""
    case .timeNeedsRegex: "a time field of lines is a group of --key-regex, which is missing"
    case .unknownColumn(let name, let columns):
      "there is no column \"\(name)\"; the header names \(columns.joined(separator: ", "))"
    case .headerMismatch(let expected, let found):
      "the header is \(found.joined(separator: ",")), the files before it have "
        + expected.joined(separator: ",")
    case .missingHeader: "there is no header line"
    case .batchTooLarge: "the keys of one batch take more than 2 GiB"
    case .outOfMemory: "out of memory"
    }
  }
}
