// A killed store whose last batches only the log holds, and what recovery must make of a log that
// was damaged from some byte on.
//
// The rules are worked out here from the frames of the records alone, apart from the reader: a log
// ends before the first record that is not whole, and where that lies before what the manifest
// counts as committed, or before an acknowledgement that is whole, it is damage.

import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// See the file's header.
struct WriteLogSample: Sendable {
  /// What must come of a damaged log.
  enum Outcome: Equatable {
    /// It holds so many batches.
    case batches(Int)
    case refused
  }

  private struct Record {
    var offset: Int
    /// Behind the payload, without the padding.
    var end: Int
    /// Where the next one begins.
    var paddedEnd: Int {
      (end + RecordLogFormat.alignment - 1) & ~(RecordLogFormat.alignment - 1)
    }
    var isAcknowledgement: Bool
    /// How many batches lie before it.
    var batchesBefore: Int
  }

  /// The files, undamaged; never opened.
  let disk: MemoryFileSystem
  /// The log that has records.
  let path: String
  let bytes: [UInt8]
  /// How much of it the manifest says is durable.
  let committedLength: Int
  private let records: [Record]
  /// What the keyspaces with a log held after each batch.
  private let history: [[OrderedScript.Model]]
  private let unlogged: OrderedScript.Model

  /// - Parameter commits: whether an epoch is committed half way.
  init(commits: Bool) throws {
    let memory = MemoryFileSystem()
    let script = OrderedScript(seed: 33, fileSystem: memory, keyCount: 20, isSmall: true)
    try script.open()
    for step in 0..<14 {
      try script.perform(step % 4 == 2 ? .synchronized : .batch)
      try script.perform(.put)
      if commits && step == 5 { try script.commit() }
    }
    // The last acknowledgement has records behind it.
    try script.perform(.batch)
    let killed = memory.clone()
    script.drop()
    let state = try ReadOnlyStore.open(at: "/state", fileSystem: killed).state
    let log = try #require(
      try state.writeLogs.first {
        try killed.contents(of: "state/" + $0.number.logName).count > RecordLogFormat.headerBytes
      })
    disk = killed
    path = "state/" + log.number.logName
    let reserved = try killed.contents(of: path)
    committedLength = Int(log.committedLength)
    records = Self.records(of: reserved)
    // Without the zeros that are reserved.
    let end = records.last?.paddedEnd ?? RecordLogFormat.headerBytes
    #expect(end + 4_096 < reserved.count && reserved[end...].allSatisfy { $0 == 0 })
    bytes = Array(reserved[..<end])
    try killed.replaceContents(of: path, with: bytes)
    history = script.history
    unlogged = script.epochs[script.promise.epoch].unlogged
    #expect(records.count { !$0.isAcknowledgement } == history.count - 1)
    #expect(records.count { $0.isAcknowledgement } >= 3)
    #expect(commits == (committedLength > RecordLogFormat.headerBytes))
  }

  private static func records(of bytes: [UInt8]) -> [Record] {
    var records: [Record] = []
    var batches = 0
    var offset = RecordLogFormat.headerBytes
    while offset + RecordLogFormat.frameBytes <= bytes.count {
      let length = Int(bytes.word(at: offset + 8) & 0xFFFF_FFFF)
      let end = offset + RecordLogFormat.frameBytes + length
      // What is reserved.
      if bytes.word(at: offset) == 0 { break }
      let isAcknowledgement = bytes[offset + 12] == RecordLogFormat.acknowledgementType
      records.append(
        Record(
          offset: offset, end: end, isAcknowledgement: isAcknowledgement, batchesBefore: batches))
      batches += isAcknowledgement ? 0 : 1
      offset = records[records.count - 1].paddedEnd
    }
    return records
  }

  /// Where records begin.
  var borders: [Int] { records.map(\.offset) }

  /// What must come of a log that is another one from a byte on.
  ///
  /// - Parameter isTail: whether nothing behind that byte is as it was.
  func outcome(damagedFrom byte: Int, isTail: Bool) -> Outcome {
    guard byte >= RecordLogFormat.headerBytes else { return .refused }
    guard let bad = records.firstIndex(where: { $0.end > byte }) else {
      return .batches(history.count - 1)
    }
    // What pads a record counts for nothing.
    if byte < records[bad].offset && !isTail { return .batches(history.count - 1) }
    let isAcknowledged = !isTail && records[(bad + 1)...].contains(where: \.isAcknowledgement)
    if records[bad].offset < committedLength || isAcknowledged { return .refused }
    return .batches(records[bad].batchesBefore)
  }

  /// The same for any other bytes of which the rest, from where they differ, is none of the log's.
  func outcome(ofTail damaged: [UInt8]) -> Outcome {
    let same = zip(bytes, damaged).prefix { $0 == $1 }.count
    return outcome(damagedFrom: same, isTail: true)
  }

  /// Opens a copy with another log; how what comes of it differs from an outcome.
  ///
  /// - Parameter isThorough: whether everything is read in every way.
  func problem(
    with damaged: [UInt8], expecting outcome: Outcome, isThorough: Bool = false
  ) throws -> String? {
    let copy = disk.clone()
    try copy.replaceContents(of: path, with: damaged)
    do throws(StoreError) {
      return try wrapping {
        let store = try StateStore.open(
          at: "/state", options: OrderedScript.options(ManualClock()), fileSystem: copy)
        let keyspaces = try OrderedScript.open(store)
        let found = try OrderedScript.contents(of: keyspaces)
        if isThorough, let problem = try OrderedScript.difference(keyspaces, found) {
          return problem
        }
        guard case .batches(let count) = outcome else { return "it is not refused" }
        if found.unlogged != unlogged { return "the keyspace without a log" }
        guard found.logged != history[count] else { return nil }
        let other = history.lastIndex(of: found.logged)
        return "batches \(other.map { "\($0)" } ?? "that never were so"), not \(count)"
      }
    } catch {
      let isTyped = error.code == .corrupted || error.code == .unsupportedFormat
      return isTyped && outcome == .refused ? nil : "\(error.code): \(error)"
    }
  }
}
