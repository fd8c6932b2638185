import SedimentIO
import SedimentJob
import SedimentTestKit

/// The state of a job that has an output and nothing else: what its manifest would keep.
struct OutputState {
  /// The encoded commitment of the last durable epoch.
  var metadata: [UInt8]?
  /// How many epochs are durable.
  var epochs = 0
  /// How often the state was opened.
  var openings: UInt64 = 0

  func committed() throws -> SinkCommitment? {
    try metadata.map { bytes throws(SinkError) in try SinkCommitment(decoding: bytes) }
  }

  /// Runs `epochs` through `sink` from where the state stands. Between two writes of an epoch the
  /// one before it is prepared and published, as in the job's pipeline.
  mutating func run(_ epochs: [[String]], on sink: some Sink) throws {
    if sink.needsOwnershipEpoch {
      let commitment = try sink.prepare()
      metadata = commitment.encoded()
      try sink.publish(commitment)
    }
    for records in epochs[self.epochs...] {
      try sink.append(records[..<(records.count / 2)])
      try sink.append(records[(records.count / 2)...])
      let commitment = try sink.prepare()
      metadata = commitment.encoded()
      self.epochs += 1
      try sink.publish(commitment)
    }
  }
}

extension Sink {
  /// Writes `records` as one batch in which every third record is left out between two that stay.
  func append(_ records: some Collection<String>) throws(SinkError) {
    var bytes: [UInt8] = []
    var ranges: [RecordRange] = []
    for (index, record) in records.enumerated() {
      if index % 3 == 2 { bytes += Array("a duplicate\n".utf8) }
      ranges.append(RecordRange(offset: bytes.count, length: record.utf8.count))
      bytes += Array(record.utf8)
    }
    try unsafe bytes.span.bytes.withUnsafeBytes { (buffer) throws(SinkError) in
      try unsafe ranges.span.withUnsafeBufferPointer { (records) throws(SinkError) in
        try unsafe write(buffer, records: records)
      }
    }
  }
}

/// Epochs of records with lengths around the roll size of the tests.
func randomEpochs(_ count: Int, seed: UInt64) -> [[String]] {
  var generator = SeededGenerator(seed: seed)
  var number = 0
  return (0..<count).map { _ in
    (0..<Int.random(in: 0...6, using: &generator)).map { _ in
      number += 1
      return "\(number) "
        + String(repeating: "x", count: Int.random(in: 0..<300, using: &generator)) + "\n"
    }
  }
}

extension MemoryFileSystem {
  /// The final parts of `path` in byte order of their names, put together.
  func concatenatedParts(_ path: String) throws -> String {
    let directory = try openDirectory(at: path, creating: true)
    var text = ""
    for entry in try directory.entries() where PartName(final: entry.name) != nil {
      text += try content(of: entry.name, in: directory)
    }
    return text
  }

  func names(_ path: String) throws -> [String] {
    try openDirectory(at: path, creating: false).entries().map(\.name)
  }

  func content(of name: String, in directory: any Directory) throws -> String {
    let file = try directory.openFile(name, .read)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(try file.size()) + 1, alignment: 16)
    defer { unsafe buffer.deallocate() }
    let count = try unsafe file.read(into: buffer, at: 0)
    return unsafe String(decoding: buffer[..<count], as: UTF8.self)
  }

  func write(_ text: String, to name: String, in path: String) throws {
    let directory = try openDirectory(at: path, creating: true)
    let file = try directory.openFile(name, .create)
    try unsafe Array(text.utf8).span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe file.write(bytes, at: 0)
    }
  }
}
