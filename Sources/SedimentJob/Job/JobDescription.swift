package import SedimentStore

/// What a job is: the options that its state was made with and that every later run must have.
package struct JobDescription: Sendable, Equatable {
  /// Where records come from.
  package var origin: RecordOrigin
  /// How records are told apart, and their keys.
  package var format: RecordFormat
  /// What stands for a key in the state.
  package var keyMode: KeyMode
  /// How long a key counts.
  package var timeToLive: TimeToLive
  /// How far event times may lie behind the largest, in ms; 0 with processing time.
  package var allowedLateness: Int64

  /// - Parameter allowedLateness: `nil` for an eighth of the TTL.
  package init(
    origin: RecordOrigin = .files, format: RecordFormat, keyMode: KeyMode = .fingerprint,
    timeToLive: TimeToLive, allowedLateness: Int64? = nil
  ) {
    self.origin = origin
    self.format = format
    self.keyMode = keyMode
    self.timeToLive = timeToLive
    switch timeToLive {
    case .forever: self.allowedLateness = 0
    case .milliseconds(let ttl):
      self.allowedLateness = format.hasEventTime ? allowedLateness ?? ttl / 8 : 0
    }
  }
}

// MARK: - Comparing

extension JobDescription {
  /// An option of the command line whose value differs from the state's.
  package struct Difference: Sendable, Equatable {
    /// The option, as the command line names it.
    package var option: String
    /// What the state was made with.
    package var stored: String
    /// What is asked for now.
    package var given: String
  }

  /// What differs from another description other than the TTL and the lateness.
  package func differences(from other: JobDescription) -> [Difference] {
    var found: [Difference] = []
    func compare(_ option: String, _ stored: String, _ given: String) {
      if stored != given {
        found.append(Difference(option: option, stored: stored, given: given))
      }
    }
    compare("input", origin.text, other.origin.text)
    let (stored, given) = (format, other.format)
    compare("--format", stored.kind.rawValue, given.kind.rawValue)
    compare(
      "--key", KeyFieldList.join(stored.keyFields), KeyFieldList.join(given.keyFields))
    compare("--key-from", stored.keySource.text, given.keySource.text)
    compare("--key-regex", stored.keyRegex ?? "none", given.keyRegex ?? "none")
    compare("--mode", "\(keyMode)", "\(other.keyMode)")
    compare("--time-field", stored.timeField ?? "none", given.timeField ?? "none")
    func flag(_ isOn: Bool) -> String { isOn ? "given" : "not given" }
    compare("--record-time", flag(stored.usesRecordTime), flag(given.usesRecordTime))
    if stored.timeField != nil, given.timeField != nil {
      compare("--time-unit", stored.timeUnit.rawValue, given.timeUnit.rawValue)
    }
    return found
  }

  /// What differs of the TTL and the lateness, which a call of their own changes.
  package func timeToLiveDifferences(from other: JobDescription) -> [Difference] {
    var found: [Difference] = []
    if timeToLive != other.timeToLive {
      found.append(
        Difference(
          option: "--ttl", stored: Quantity.text(of: timeToLive),
          given: Quantity.text(of: other.timeToLive)))
    }
    if allowedLateness != other.allowedLateness {
      found.append(
        Difference(
          option: "--allowed-lateness", stored: Figure.duration(allowedLateness),
          given: Figure.duration(other.allowedLateness)))
    }
    return found
  }
}

// MARK: - Coding

extension JobDescription {
  /// Writes the encoding: see `JobMetadata`.
  package func encode(to writer: inout ByteWriter) {
    writer.writeString(format.kind.rawValue)
    writer.writeVarint(UInt64(format.keyFields.count))
    for field in format.keyFields { writer.writeString(field) }
    writer.writeOptional(format.keyRegex)
    writer.writeOptional(format.timeField)
    writer.writeString(format.timeUnit.rawValue)
    writer.writeUInt8(keyMode.rawValue)
    switch timeToLive {
    case .forever: writer.writeInt64(0)
    case .milliseconds(let ttl): writer.writeInt64(ttl)
    }
    writer.writeInt64(allowedLateness)
  }

  /// Writes what a description of topics has beside that.
  func encodeTopics(_ topics: TopicOrigin, to writer: inout ByteWriter) {
    topics.encode(to: &writer)
    switch format.keySource {
    case .value: writer.writeUInt8(0)
    case .recordKey: writer.writeUInt8(1)
    case .header(let name):
      writer.writeUInt8(2)
      writer.writeString(name)
    }
    writer.writeUInt8(format.usesRecordTime ? 1 : 0)
  }

  /// Reads what `encodeTopics` wrote.
  mutating func decodeTopics(from reader: inout ByteReader) throws(CodingError) {
    origin = .topics(try TopicOrigin(from: &reader))
    switch try reader.readUInt8() {
    case 0: format.keySource = .value
    case 1: format.keySource = .recordKey
    case 2: format.keySource = .header(try reader.readString(maxBytes: 65_536))
    case let other: throw .invalid("keys come from \(other)")
    }
    format.usesRecordTime = try reader.readFlag()
  }

  /// Reads the encoding.
  package init(from reader: inout ByteReader) throws(CodingError) {
    origin = .files
    guard let kind = RecordFormat.Kind(rawValue: try reader.readString(maxBytes: 64)) else {
      throw .invalid("an unknown record format")
    }
    var fields: [String] = []
    for _ in 0..<(try reader.readCount(itemBytes: 1)) {
      fields.append(try reader.readString(maxBytes: 65_536))
    }
    let regex = try reader.readOptionalString()
    let timeField = try reader.readOptionalString()
    guard let unit = TimeUnit(rawValue: try reader.readString(maxBytes: 64)) else {
      throw .invalid("an unknown time unit")
    }
    format = RecordFormat(
      kind: kind, keyFields: fields, keyRegex: regex, timeField: timeField, timeUnit: unit)
    guard let mode = KeyMode(rawValue: try reader.readUInt8()) else {
      throw .invalid("an unknown key mode")
    }
    keyMode = mode
    let ttl = try reader.readInt64()
    allowedLateness = try reader.readInt64()
    guard ttl >= 0, ttl <= TimeToLive.millisecondsMax, allowedLateness >= 0,
      allowedLateness <= TimeToLive.millisecondsMax
    else { throw .invalid("a time to live out of range") }
    timeToLive = ttl == 0 ? .forever : .milliseconds(ttl)
  }
}

extension ByteWriter {
  /// A byte that says whether there is one, then the string.
  mutating func writeOptional(_ text: String?) {
    writeUInt8(text == nil ? 0 : 1)
    if let text { writeString(text) }
  }
}

extension ByteReader {
  /// The twin of `ByteWriter.writeOptional`.
  mutating func readOptionalString() throws(CodingError) -> String? {
    guard try readFlag() else { return nil }
    return try readString(maxBytes: 65_536)
  }

  /// A byte that is 0 or 1.
  mutating func readFlag() throws(CodingError) -> Bool {
    let flag = try readUInt8()
    guard flag <= 1 else { throw .invalid("a flag is \(flag)") }
    return flag == 1
  }
}
