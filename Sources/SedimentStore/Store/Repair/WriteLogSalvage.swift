// What is whole of the log of ordered keyspaces.
//
// Where recovery would find no damage, exactly what it would take in is saved. Else every record is
// that has its checksum right, also behind damage, in the order of its numbers; recovery leaves out
// what its keyspace's tables have. The new log is one file, in which each record follows on.

internal import SedimentIO

/// Saves the whole records of a log into a new one.
struct WriteLogSalvage {
  /// What was saved.
  struct Outcome {
    /// The new file; `nil` when there was nothing to save.
    var log: LogReference?
    /// Writes in it.
    var writes: UInt64 = 0
    var losses: [RepairReport.Loss] = []
  }

  private let directory: any Directory
  private let ids: Set<UInt32>
  /// Files to read, and how far; `nil` for all that is whole.
  private let files: [(name: String, length: UInt64?)]
  private let losses: [RepairReport.Loss]

  /// Looks at the files that a state names; where its manifest was damaged, at all there are.
  init(_ state: StoreState, in directory: any Directory, hasLostManifest: Bool) throws {
    self.directory = directory
    ids = Set(state.orderedKeyspaces.map(\.id))
    guard !hasLostManifest else {
      files = try directory.entries().map(\.name).filter { $0.hasSuffix(".log") }.sorted()
        .map { ($0, nil) }
      losses = []
      return
    }
    do {
      let survey = try WriteLogSurvey(state, in: .inState(directory)) { _ in }
      files = survey.segments.map { ($0.log.number.logName, $0.log.committedLength) }
      losses = []
    } catch let corruption as Corruption {
      files = state.writeLogs.map { ($0.number.logName, nil) }
      losses = [RepairReport.Loss(Damage(corruption))]
    } catch let error as FileError where error.code == .notFound {
      files = state.writeLogs.map { ($0.number.logName, nil) }
      losses = [RepairReport.Loss(Damage(Corruption.missing(error)))]
    }
  }

  /// Writes the new log.
  func write(_ number: FileNumber, to target: any Directory) throws -> Outcome {
    var outcome = Outcome(losses: losses)
    let writer = try RecordLogWriter(
      directory: target, name: number.logName, kind: .writes, fileID: .random(in: .min ... .max))
    defer { writer.close() }
    var last: UInt64 = 0
    for (name, length) in files {
      try copy(name, upTo: length, to: writer, behind: &last, &outcome)
    }
    guard outcome.writes > 0 else {
      FileTransfer.discard(number.logName, in: target)
      return outcome
    }
    try writer.synchronize()
    outcome.log = LogReference(
      number: number, fileID: writer.fileID, committedLength: writer.length)
    return outcome
  }

  private func copy(
    _ name: String, upTo length: UInt64?, to writer: RecordLogWriter, behind last: inout UInt64,
    _ outcome: inout Outcome
  ) throws {
    guard var reader = try reader(of: name) else { return }
    var skippedBytes: UInt64 = 0
    while reader.offset < length ?? .max,
      let record = try reader.nextWhole(passingOver: &skippedBytes)
    {
      guard let head = head(of: record), head.first > last,
        let batch = batch(of: record, behind: last)
      else {
        skippedBytes += UInt64(RecordLogFormat.recordBytes(payload: record.payload.count))
        continue
      }
      unsafe batch.withPayload { unsafe writer.append(type: WriteBatchCoding.recordType, $0) }
      try writer.write()
      last = head.last
      outcome.writes += UInt64(head.count)
    }
    if skippedBytes > 0 {
      outcome.losses.append(
        RepairReport.Loss(
          file: name, message: "parts of \(name) are damaged, or of keyspaces that are not known",
          bytes: skippedBytes))
    }
  }

  /// `nil` for a file that is no such log, is missing, or whose header is damaged: of the files
  /// that a state names that was found when they were looked at.
  private func reader(of name: String) throws -> RecordLogReader? {
    do {
      return try RecordLogReader(directory: directory, name: name, kind: .writes, fileID: nil)
    } catch is Corruption {
      return nil
    } catch let error as FileError where error.code == .notFound {
      return nil
    }
  }

  /// `nil` for one so long that it has no room in today's form.
  private func batch(
    of record: RecordLogReader.Record, behind last: UInt64
  ) -> WriteBatchBuffer? {
    unsafe try? record.payload.span.bytes.withUnsafeBytes {
      try unsafe WriteBatchCoding.payload($0, type: record.type, behind: last)
    }
  }

  /// `nil` for what is no record of writes to keyspaces that are known.
  private func head(of record: RecordLogReader.Record) -> WriteBatchCoding.Head? {
    guard WriteBatchCoding.isRecord(record.type) else { return nil }
    do {
      return try unsafe record.payload.withUnsafeBytes { payload in
        try unsafe WriteBatchCoding.read(payload, type: record.type) { write in
          guard ids.contains(write.keyspace) else {
            throw CodingError.invalid("keyspace \(write.keyspace)")
          }
        }
      }
    } catch {
      return nil
    }
  }
}
