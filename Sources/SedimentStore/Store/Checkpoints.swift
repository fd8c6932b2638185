public import SedimentIO

/// The checkpoints in a directory.
///
/// ```swift
/// let store = try StateStore.open(at: "state")
/// let made = try store.checkpoint(to: "backups")
/// let checkpoints = try Checkpoints(at: "backups")
/// print(try checkpoints.list().map(\.id))
/// try checkpoints.retain(3, protecting: [made.id])
/// ```
///
/// Reading is safe at any time; what removes takes the directory's lock and is refused with
/// `locked` while a checkpoint is being made or restored.
public struct Checkpoints: Sendable {
  /// The directory.
  public let path: String
  let directory: CheckpointDirectory

  /// Opens a directory of checkpoints or a savepoint.
  ///
  /// - Throws: `notFound` when it is none.
  public init(
    at path: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) {
    self.path = path
    directory = try wrapping {
      try CheckpointDirectory(path: path, creating: false, fileSystem: fileSystem)
    }
  }

  /// All checkpoints whose manifest can be read, newest first.
  public func list() throws(StoreError) -> [CheckpointInfo] {
    try wrapping { try directory.list().checkpoints.map { CheckpointInfo($0.id, $0.manifest) } }
  }

  /// The checkpoints whose manifest cannot be read, and why.
  public func unreadable() throws(StoreError) -> [(id: String, error: StoreError)] {
    try wrapping {
      try directory.list().unreadable.map { ($0.id.description, StoreError(wrapping: $0.error)) }
    }
  }

  /// What is known of a checkpoint; of the newest with `nil`.
  public func read(_ id: String?) throws(StoreError) -> CheckpointInfo {
    try wrapping {
      let found = try directory.find(id)
      return CheckpointInfo(found.id, found.manifest)
    }
  }
}
