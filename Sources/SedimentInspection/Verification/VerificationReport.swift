// Reads every byte that a state or checkpoint needs and names all that is damaged.
//
// Unlike opening, which ends at the first damage, this goes on to the next file: what has to be
// known is how much is lost. Of a table all its pages are read; after the first damage in it the
// others are still held against their checksums.

public import SedimentIO
public import SedimentStore

/// What was checked, and the damage that was found.
public struct VerificationReport: Sendable {
  /// A file that is damaged.
  public struct Damage: Sendable, Equatable {
    /// The file's name; the damage names the offset.
    public var file: String
    /// What is wrong, where, in a sentence without a full stop.
    public var description: String
  }

  /// How far it is.
  public struct Progress: Sendable, Equatable {
    /// Bytes read so far.
    public var bytesDone: UInt64
    /// Bytes to read in all.
    public var bytesTotal: UInt64
  }

  /// What was verified: `State DIR`, or `Checkpoint ID`.
  public var subject: String
  public var manifestCount = 0
  public var tableCount = 0
  public var logCount = 0
  /// Bytes of tables and logs.
  public var bytes: UInt64 = 0
  /// Tables that a later epoch dropped before their turn came.
  public var droppedFiles = 0
  /// In the order of the files' numbers; empty when all is well.
  public var damages: [Damage] = []

  /// Whether nothing is damaged.
  public var isSound: Bool { damages.isEmpty }

  init(subject: String) { self.subject = subject }
}

extension VerificationReport {
  /// Verifies a state directory, as of its last epoch; safe beside a running job.
  ///
  /// - Throws: `notFound` when there is no state. Damage is in the report, not thrown.
  public static func ofState(
    at path: String, fileSystem: any FileSystem = PosixFileSystem(),
    progress: @escaping (Progress) -> Void = { _ in }
  ) throws(StoreError) -> VerificationReport {
    var report = VerificationReport(subject: "State \(path)")
    report.manifestCount = 1
    let reader = StateReader(path: path, fileSystem: fileSystem)
    do {
      let stored = try reader.read { $0 }
      var verifier = try StateVerifier(
        stored: stored, reader: reader, report: report, progress: progress)
      return try verifier.run()
    } catch {
      let error = StoreError(wrapping: error)
      guard error.code == .corrupted || error.code == .unsupportedFormat else { throw error }
      let file = (error.cause as? Corruption)?.file ?? ManifestFiles.current
      report.damages.append(Damage(file: file, description: error.message))
      return report
    }
  }

  /// Verifies a checkpoint and all the files that it needs; of a savepoint its sums, too.
  ///
  /// - Throws: `notFound` when there is no such checkpoint. Damage is in the report, not thrown.
  public static func ofCheckpoint(
    _ checkpoint: CheckpointReference, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) -> VerificationReport {
    let checkpoints = try Checkpoints(at: checkpoint.directory, fileSystem: fileSystem)
    let id = if let id = checkpoint.id { id } else { try checkpoints.read(nil).id }
    var report = VerificationReport(subject: "Checkpoint \(id)")
    report.manifestCount = 1
    report.damages = try checkpoints.verify(id).map {
      Damage(file: $0.file, description: $0.message)
    }
    if report.damages.contains(where: { $0.file == id + CheckpointID.suffix }) { return report }
    let state = try ReadOnlyStore.open(
      at: PathName.join(checkpoint.directory, id), fileSystem: fileSystem
    ).state
    report.tableCount = state.tableReferences.count
    report.logCount = state.logs.count
    report.bytes =
      state.tableReferences.reduce(0) { $0 &+ $1.fileBytes }
      &+ state.logs.reduce(0) { $0 &+ $1.committedLength }
    return report
  }
}

extension VerificationReport {
  /// Verifies a checkpoint in a storage: every object against its sum.
  ///
  /// - Parameter id: `nil` for the newest.
  /// - Throws: `notFound` when there is no such checkpoint. Damage is in the report, not thrown.
  public static func ofCheckpoint(
    _ id: String?, in checkpoints: StoredCheckpoints
  ) throws(StoreError) -> VerificationReport {
    var report = VerificationReport(subject: "Checkpoint \(id ?? "")")
    report.manifestCount = 1
    report.damages = try checkpoints.verify(id).map {
      Damage(file: $0.file, description: $0.message)
    }
    do throws(StoreError) {
      let info = try checkpoints.read(id)
      report.subject = "Checkpoint \(info.id)"
      report.tableCount = info.tableCount
      report.logCount = info.logCount
      report.bytes = info.totalBytes
    } catch {
      // The damage of its manifest is in the report already.
      guard !report.isSound, error.code == .corrupted || error.code == .unsupportedFormat else {
        throw error
      }
    }
    return report
  }
}

/// Verifies the files of a state directory.
private struct StateVerifier {
  private let stored: StoredState
  private let reader: StateReader
  private var report: VerificationReport
  private let progress: (VerificationReport.Progress) -> Void
  private let bytesTotal: UInt64

  init(
    stored: StoredState, reader: StateReader, report: VerificationReport,
    progress: @escaping (VerificationReport.Progress) -> Void
  ) throws {
    self.stored = stored
    self.reader = reader
    self.report = report
    self.progress = progress
    let sizes =
      stored.state.tableReferences.map(\.fileBytes)
      + stored.state.keyspaces.flatMap(\.logs).map(\.committedLength)
      + (try stored.state.writeLogs.map { try stored.size(of: $0) })
    bytesTotal = sizes.reduce(0, &+)
  }

  /// Reads all files; returns the report with what it found.
  mutating func run() throws -> VerificationReport {
    let tables = stored.state.tables.values.sorted { $0.number < $1.number }
    for table in tables { try verify(table) }
    for keyspace in stored.state.keyspaces {
      for log in keyspace.logs { try verify(log, of: keyspace) }
    }
    for table in stored.state.orderedTables { try verify(table) }
    for log in stored.state.writeLogs { try verifyWrites(log) }
    return report
  }

  private mutating func verify(_ table: TableMetadata) throws {
    let directory = stored.directory
    let name = FileNaming.state.name(of: table)
    try noting(name) { report throws in
      report.tableCount += 1
      let damages = try TableReader(directory: directory, metadata: table, filterByteBudget: 0)
        .findDamage()
      report.damages += damages.map { .init(file: name, description: $0.description) }
    }
    advance(table.fileBytes)
  }

  private mutating func verify(_ log: LogReference, of keyspace: KeyspaceState) throws {
    let directory = stored.directory
    let name = FileNaming.state.name(of: log)
    try noting(name) { report throws in
      report.logCount += 1
      let entries = EntryLog(log, name: name, layout: keyspace.options.layout)
      try entries.read(in: directory, stopsAtCommitted: true) { _ in }
    }
    advance(log.committedLength)
  }

  private mutating func verify(_ table: OrderedTableMetadata) throws {
    let directory = stored.directory
    try noting(FileNaming.state.name(of: TableReference(table))) { report throws in
      report.tableCount += 1
      try OrderedTableReader(directory: directory, metadata: table, filterByteBudget: 0).verify()
    }
    advance(table.fileBytes)
  }

  private mutating func verifyWrites(_ log: LogReference) throws {
    let directory = stored.directory
    let name = FileNaming.state.name(of: log)
    try noting(name) { report throws in
      report.logCount += 1
      // As far as opening reads it.
      try WriteLogReader.read(log, name: name, in: directory, stopsAtCommitted: false) { _ in }
    }
    advance(try stored.size(of: log))
  }

  /// Runs `body`; damage it throws goes into the report.
  private mutating func noting(
    _ name: String, _ body: (inout VerificationReport) throws -> Void
  ) throws {
    do {
      try body(&report)
    } catch let error as Corruption {
      report.damages.append(.init(file: name, description: error.description))
    } catch let error as UnsupportedFormat {
      report.damages.append(.init(file: name, description: StoreError(wrapping: error).message))
    } catch let error as FileError {
      if error.code == .notFound, try !isStillNeeded(name) {
        report.droppedFiles += 1
      } else {
        report.damages.append(.init(file: name, description: error.description))
      }
    }
  }

  /// Whether a file that is missing should be there: not when a running writer dropped it.
  private func isStillNeeded(_ name: String) throws -> Bool {
    let now = try reader.read { $0.state }
    return now.tableReferences.contains { FileNaming.state.name(of: $0) == name }
      || now.logs.contains { FileNaming.state.name(of: $0) == name }
  }

  private mutating func advance(_ bytes: UInt64) {
    report.bytes &+= bytes
    progress(.init(bytesDone: report.bytes, bytesTotal: bytesTotal))
  }
}
