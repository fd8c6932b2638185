// What a state directory holds, for people and programs.
//
// Read-only and without a lock: made beside a running job it is as of the job's last epoch.

public import SedimentIO
public import SedimentStore

/// What a state holds as of its last durable epoch.
///
/// ```swift
/// let report = try StateReport(at: "state")
/// print(report.text(), terminator: "")
/// ```
public struct StateReport: Sendable {
  /// The directory, as it was given.
  public var path: String
  /// The id of the state, and of the job whose it is.
  public var identity: StoreIdentity
  /// The last durable epoch.
  public var epoch: UInt64
  /// The writer that made it.
  public var writerEpoch: UInt64
  /// The manifest it was read from.
  public var manifestName: String
  /// Bytes that the caller keeps with the epoch.
  public var metadataBytes: Int
  /// What the job is, as its owner describes it; lines under "job" in the text.
  public var job: [JobFact] = []
  /// Who has the state open for writing.
  public var holder: LockHolder?
  /// The hashed ones.
  public var keyspaces: [KeyspaceReport]
  public var orderedKeyspaces: [OrderedKeyspaceReport]
  /// The log that ordered keyspaces share, oldest file first.
  public var writeLogs: [WriteLogReport]
  /// The checkpoints in `checkpoints` beside the state's files, newest first.
  public var checkpoints: [CheckpointInfo]
  /// Checkpoints there whose manifest cannot be read.
  public var unreadableCheckpoints: [String]

  /// Where a state's own checkpoints lie.
  public static let checkpointsName = "checkpoints"

  /// Reads a state directory.
  ///
  /// - Parameter job: what the metadata of the epoch says of the job.
  /// - Throws: `notFound` when there is no state, `corrupted` …
  public init(
    at path: String, fileSystem: any FileSystem = PosixFileSystem(),
    job: ([UInt8]) throws -> [JobFact] = { _ in [] }
  ) throws(StoreError) {
    self = try StateReader(path: path, fileSystem: fileSystem).read { stored in
      try StateReport(stored, fileSystem: fileSystem, job: job)
    }
  }

  private init(
    _ stored: StoredState, fileSystem: any FileSystem, job: ([UInt8]) throws -> [JobFact]
  ) throws {
    path = stored.path
    identity = stored.state.identity
    epoch = stored.state.epoch
    writerEpoch = stored.state.writerEpoch
    manifestName = stored.manifestName
    metadataBytes = stored.state.metadata.count
    self.job = try job(stored.state.metadata)
    holder = try stored.directory.lockHolder(of: StateStore.lockName)
    keyspaces = try stored.state.keyspaces.map { try KeyspaceReport($0, of: stored) }
    orderedKeyspaces = stored.state.orderedKeyspaces.map { OrderedKeyspaceReport($0) }
    writeLogs = try stored.state.writeLogs.map {
      WriteLogReport(name: FileNaming.state.name(of: $0), bytes: try stored.size(of: $0))
    }
    checkpoints = []
    unreadableCheckpoints = []
    guard try stored.directory.metadata(of: Self.checkpointsName)?.kind == .directory else {
      return
    }
    let found = try Checkpoints(
      at: PathName.join(stored.path, Self.checkpointsName), fileSystem: fileSystem)
    checkpoints = try found.list()
    unreadableCheckpoints = try found.unreadable().map(\.id)
  }
}

/// A fact about a job: its name, and what it is.
public struct JobFact: Sendable, Equatable {
  /// For programs: a JSON member.
  public var member: String
  /// For people.
  public var label: String
  /// Its value.
  public var value: JSONValue
  /// Its value for people.
  public var text: String

  /// All fields.
  public init(member: String, label: String, value: JSONValue, text: String) {
    self.member = member
    self.label = label
    self.value = value
    self.text = text
  }

  /// A fact that reads the same for programs and people.
  public init(_ member: String, label: String, _ text: String) {
    self.init(member: member, label: label, value: .string(text), text: text)
  }
}
