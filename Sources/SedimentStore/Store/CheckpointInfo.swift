/// What is known of a checkpoint.
public struct CheckpointInfo: Sendable, Equatable {
  /// `chk-<epoch>-<writer epoch>-<digest>`; unique.
  public var id: String
  /// The epoch it holds.
  public var epoch: EpochID
  /// When it was made, in milliseconds since 1970.
  public var createdMillis: Int64
  /// The store or job it was made of.
  public var identity: StoreIdentity
  /// What the caller gave with the epoch.
  public var metadata: [UInt8]
  /// Names of its keyspaces, in the order they were made.
  public var keyspaceNames: [String]
  /// Tables it needs.
  public var tableCount: Int
  /// Logs it needs.
  public var logCount: Int
  /// Bytes of all files it needs, whatever other checkpoints share.
  public var totalBytes: UInt64
  /// Files that making it added to the directory; 0 when it was read back.
  public var newFiles = 0
  /// Bytes of those files, linked ones included.
  public var newBytes: UInt64 = 0

  package init(_ id: CheckpointID, _ manifest: CheckpointManifest) {
    let state = manifest.state
    let tables = state.tableReferences
    self.id = id.description
    epoch = EpochID(epoch: id.epoch, writerEpoch: id.writerEpoch)
    createdMillis = manifest.createdMillis
    identity = state.identity
    metadata = state.metadata
    keyspaceNames = state.keyspaceNames
    tableCount = tables.count
    logCount = state.logs.count
    totalBytes = tables.reduce(0) { $0 &+ $1.fileBytes }
    for log in state.logs { totalBytes &+= log.committedLength }
  }
}

/// A checkpoint directory and one of its checkpoints.
///
/// A path names the directory, for its newest checkpoint, or a checkpoint in it:
/// `backups`, `backups/chk-000000000012-000001-89ab…` with `.checkpoint` or without.
public struct CheckpointReference: Sendable, Equatable {
  /// The path of the checkpoint directory or savepoint.
  public var directory: String
  /// The checkpoint's id, as in `CheckpointInfo.id`; `nil` for the newest.
  public var id: String?

  /// A reference of its parts.
  public init(directory: String, id: String?) {
    self.directory = directory
    self.id = id
  }

  /// Reads a path: of a checkpoint when its last component is the name of one, else of a directory.
  public init(path: String) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: true)
    guard let last = parts.last.map(String.init),
      let id = CheckpointID(fileName: last) ?? CheckpointID(last)
    else {
      self.init(directory: path, id: nil)
      return
    }
    let parent = parts.dropLast().joined(separator: "/")
    let isAbsolute = path.utf8.first == UInt8(ascii: "/")
    self.init(
      directory: isAbsolute ? "/" + parent : parent.isEmpty ? "." : parent, id: id.description)
  }
}
