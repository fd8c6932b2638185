import SedimentIO
import SedimentStore
import SedimentTestKit

/// A record log in a memory file system, and what stands where in it.
struct LogFixture {
  /// A record as it was written.
  struct Record: Hashable {
    var type: UInt8
    var payload: [UInt8]
    var offset: UInt64

    /// Where its payload ends; zeros up to a multiple of 8 follow.
    var end: UInt64 { offset + UInt64(RecordLogFormat.frameBytes + payload.count) }
  }

  static let path = "/logs/1.log"
  static let fileID: UInt64 = 0xF11E_1D00

  /// The bytes of the file, which a test may change.
  var bytes: [UInt8]
  /// All records in order, acknowledgements included.
  private(set) var records: [Record] = []

  /// The records that a reader gives.
  var payloads: [Record] { records.filter { $0.type != RecordLogFormat.acknowledgementType } }

  /// Whether an acknowledgement stands behind a place.
  func isAcknowledged(behind offset: UInt64) -> Bool {
    records.contains {
      $0.type == RecordLogFormat.acknowledgementType && $0.offset > offset
    }
  }

  /// Payloads by their lengths; `nil` is an acknowledgement.
  init(
    _ lengths: [Int?], kind: RecordLogFormat.Kind = .entries, fileID: UInt64 = Self.fileID,
    seed: UInt64 = 1
  ) throws {
    var generator = SeededGenerator(seed: seed)
    let fileSystem = MemoryFileSystem()
    let directory = try fileSystem.openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(directory: directory, name: "1.log", kind: kind, fileID: fileID)
    for (index, length) in lengths.enumerated() {
      let offset = log.length
      if let length {
        let payload = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let type = UInt8(index % 255)
        var writer = ByteWriter()
        writer.writeBytes(payload)
        log.append(type: type, writer)
        records.append(Record(type: type, payload: payload, offset: offset))
      } else {
        try log.synchronize()
        log.acknowledge()
        records.append(
          Record(type: RecordLogFormat.acknowledgementType, payload: [], offset: offset))
      }
    }
    try log.synchronize()
    log.close()
    bytes = try fileSystem.contents(of: Self.path)
  }

  /// How a reading went.
  struct Reading {
    var records: [Record] = []
    var corruption: Corruption?
    /// The reader's place at the end.
    var offset: UInt64 = 0
  }

  /// Reads the log as it is now.
  ///
  /// - Throws: what is no `Corruption`.
  func read(
    committedLength: UInt64 = 0, stopsThere: Bool = false,
    kind: RecordLogFormat.Kind = .entries, fileID: UInt64? = Self.fileID
  ) throws -> Reading {
    let fileSystem = MemoryFileSystem()
    let directory = try fileSystem.openDirectory(at: "/logs", creating: true)
    let file = try directory.openFile("1.log", .create)
    try file.write(bytes, at: 0)
    file.close()
    var reading = Reading()
    do {
      var reader = try RecordLogReader(
        directory: directory, name: "1.log", kind: kind, fileID: fileID)
      defer { reading.offset = reader.offset }
      while let record = try reader.next(committedLength: committedLength, stopsThere: stopsThere) {
        reading.records.append(
          Record(type: record.type, payload: record.payload, offset: record.offset))
      }
    } catch let error as Corruption {
      reading.corruption = error
    }
    return reading
  }
}
