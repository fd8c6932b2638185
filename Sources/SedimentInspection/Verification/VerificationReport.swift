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
  /// Entries of the tables that are whole, and of logs.
  public var entryCount: UInt64 = 0
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
    try wrapping {
      var report = VerificationReport(subject: "State \(path)")
      report.manifestCount = 1
      let stored: StoredState
      do throws(StoreError) {
        stored = try StateReader(path: path, fileSystem: fileSystem).read { $0 }
      } catch  where error.code == .corrupted || error.code == .unsupportedFormat {
        let file = (error.cause as? Corruption)?.file ?? ManifestFiles.current
        report.damages.append(Damage(file: file, description: error.message))
        return report
      }
      var verifier = FileVerifier(
        state: stored.state, directory: stored.directory, naming: .state, report: report,
        progress: progress)
      verifier.isStillNeeded = { name in
        let now = try StateReader(path: path, fileSystem: fileSystem).read { $0.state }
        return now.tables.keys.contains { $0.tableName == name }
          || now.logs.contains { FileNaming.state.name(of: $0) == name }
      }
      return try verifier.run()
    }
  }
}

extension VerificationReport {
  /// Verifies a checkpoint and all the files that it needs.
  ///
  /// - Throws: `notFound` when there is no such checkpoint. Damage is in the report, not thrown.
  public static func ofCheckpoint(
    _ checkpoint: CheckpointReference, fileSystem: any FileSystem = PosixFileSystem(),
    progress: @escaping (Progress) -> Void = { _ in }
  ) throws(StoreError) -> VerificationReport {
    try wrapping {
      let checkpoints = try Checkpoints(at: checkpoint.directory, fileSystem: fileSystem)
      let name = try checkpoint.id ?? checkpoints.read(nil).id
      guard let id = CheckpointID(name) else {
        throw StoreError(.notFound, "\(name) is not the id of a checkpoint")
      }
      var report = VerificationReport(subject: "Checkpoint \(id)")
      report.manifestCount = 1
      let directory = try fileSystem.openDirectory(at: checkpoint.directory, creating: false)
      do {
        let manifest = try CheckpointManifest.read(id, in: directory)
        var verifier = FileVerifier(
          state: manifest.state, directory: try directory.subdirectory("objects", creating: false),
          naming: .objects, report: report, progress: progress)
        return try verifier.run()
      } catch let error as Corruption {
        report.damages.append(Damage(file: error.file, description: error.description))
        return report
      }
    }
  }
}

/// Verifies the files of one state.
struct FileVerifier {
  let state: StoreState
  let directory: any Directory
  let naming: FileNaming
  var report: VerificationReport
  let progress: (VerificationReport.Progress) -> Void
  /// Whether a file that is missing should be there: not when a running writer dropped it.
  var isStillNeeded: (String) throws -> Bool = { _ in true }
  private var bytesTotal: UInt64 = 0

  init(
    state: StoreState, directory: any Directory, naming: FileNaming, report: VerificationReport,
    progress: @escaping (VerificationReport.Progress) -> Void
  ) {
    self.state = state
    self.directory = directory
    self.naming = naming
    self.report = report
    self.progress = progress
  }

  /// Reads all files; returns the report with what it found.
  mutating func run() throws -> VerificationReport {
    let tables = state.tables.values.sorted { $0.number < $1.number }
    bytesTotal = (tables.map(\.fileBytes) + state.logs.map(\.committedLength)).reduce(0, &+)
    for table in tables { try verify(table) }
    for keyspace in state.keyspaces {
      for log in keyspace.logs { try verify(log, of: keyspace) }
    }
    return report
  }

  private mutating func verify(_ table: TableMetadata) throws {
    let name = naming.name(of: table)
    try noting(name) { report throws in
      report.tableCount += 1
      let reader = try TableReader(
        directory: directory, metadata: table, fileName: name, filterByteBudget: 0)
      let damages = try reader.findDamage()
      report.damages += damages.map { .init(file: name, description: $0.description) }
      if damages.isEmpty { report.entryCount &+= table.entryCount }
    }
    advance(table.fileBytes)
  }

  private mutating func verify(_ log: LogReference, of keyspace: KeyspaceState) throws {
    let name = naming.name(of: log)
    try noting(name) { report throws in
      report.logCount += 1
      var count: UInt64 = 0
      let entries = LogEntries(log, fileName: name, layout: keyspace.options.layout)
      try entries.read(in: directory) { _ in count += 1 }
      report.entryCount &+= count
    }
    advance(log.committedLength)
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

  private mutating func advance(_ bytes: UInt64) {
    report.bytes &+= bytes
    progress(.init(bytesDone: report.bytes, bytesTotal: bytesTotal))
  }
}
