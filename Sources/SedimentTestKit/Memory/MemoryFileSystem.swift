// A file system in memory that can lose power.
//
// How it works: every file and directory keeps what the disk holds and, apart from it, what was
// done since its last sync: each content that a block has had, each size, each change of a name.
// `crashed` makes a new file system from the first and a chosen part of the second. What is chosen
// is more than any one real file system would leave: every mix that the contract of sync allows.
//
// Invariants
// 1. Content that was synchronised is in every crashed copy, unless it was overwritten since.
// 2. A name is in every crashed copy once its directory was synchronised; a file's own sync does
//    not make its name durable.
// 3. A rename happened or did not: no crash shows the target missing when it was there before.
//
// Concurrency: all types may be used from any thread; one mutex orders all operations. The hook
// runs outside of it, on a copy.

public import SedimentIO
import Synchronization

/// What a failed sync leaves behind.
public enum FailedSync: Sendable, Equatable, CaseIterable {
  /// Pages show the new content but count as clean: a later sync succeeds without writing them,
  /// and they are gone after a crash. Linux with ext4 or XFS.
  case forgotten
  /// Pages show the content of the disk again.
  case reverted
  /// Pages show the new content and are still to be written: a later sync can make them durable.
  case stillPending
}

/// A file system in memory that models what is durable.
///
///     let disk = MemoryFileSystem()
///     disk.stopAfterMutations = 7
///     // run the engine until it fails, then look at what it left:
///     let restarted = disk.crashed(using: &generator)
public final class MemoryFileSystem: FileSystem, Sendable {
  /// The unit that a disk writes whole; `blockBytes` is a multiple of it.
  public static let sectorBytes = 512

  struct State: Sendable {
    var disk: MemoryDisk
    /// How often each node is open.
    var opened: [Int: Int] = [:]
    var locked: Set<Int> = []
    var mutationCount = 0
    var synchronizationCount = 0
    var stopAfterMutations: Int?
    var failingSynchronizations: [Int: FailedSync] = [:]
    var isReadOnly = false
    var capacityBytes: UInt64?
    var onMutation: (@Sendable (MemoryFileSystem) -> Void)?

    /// Whether the process counts as dead.
    var isStopped: Bool { stopAfterMutations.map { mutationCount >= $0 } ?? false }
  }

  private let state: Mutex<State>

  /// An empty file system.
  ///
  /// - Parameter blockBytes: what is lost or kept as a whole in a crash; a multiple of 512.
  public convenience init(blockBytes: Int = 4096) {
    precondition(
      blockBytes > 0 && blockBytes % Self.sectorBytes == 0, "blocks are made of whole sectors")
    self.init(disk: MemoryDisk(blockBytes: blockBytes))
  }

  private init(disk: MemoryDisk, capacityBytes: UInt64? = nil, mutationCount: Int = 0) {
    state = Mutex(
      State(disk: disk, mutationCount: mutationCount, capacityBytes: capacityBytes))
  }

  public func openDirectory(at path: String, creating: Bool) throws(FileError) -> any Directory {
    let operation = "open directory"
    if path.isEmpty || path.utf8.contains(0) {
      throw FileError(code: .invalidName, operation: operation, path: path)
    }
    try look(operation, path) { _ in }
    var directory = try MemoryDirectory(fileSystem: self, node: MemoryDisk.root, path: "/")
    for component in MemoryDisk.components(path) {
      let isNew = creating ? try directory.metadata(of: component) == nil : false
      let next = try directory.openSubdirectory(component, creating: creating)
      if isNew { try directory.synchronize() }
      directory = next
    }
    return try MemoryDirectory(fileSystem: self, node: directory.node, path: path)
  }

  // MARK: Crashes

  /// A copy as it is, durable or not, without open files and locks: what the next process finds
  /// when this one was killed and the system lived on.
  public func clone() -> MemoryFileSystem {
    copy { $0 }
  }

  /// A copy as a power loss leaves it that let all or nothing of the pending changes through.
  public func crashed(_ survival: CrashSurvival) -> MemoryFileSystem {
    copy { $0.crashed(survival) }
  }

  /// A copy as a power loss may leave it: durable content and an arbitrary part of what was
  /// pending, chosen by `generator`. `tearing` also splits blocks at borders of sectors.
  public func crashed(
    using generator: inout some RandomNumberGenerator, tearing: Bool = true
  ) -> MemoryFileSystem {
    copy { $0.crashed(using: &generator, tearing: tearing) }
  }

  private func copy(_ change: (MemoryDisk) -> MemoryDisk) -> MemoryFileSystem {
    let (disk, capacityBytes) = state.withLock { ($0.disk, $0.capacityBytes) }
    return MemoryFileSystem(disk: change(disk), capacityBytes: capacityBytes)
  }

  // MARK: Settings

  /// Operations so far that changed something or synchronised; failed ones are not counted.
  public var mutationCount: Int { state.withLock { $0.mutationCount } }

  /// Syncs of files and directories so far, failed ones too.
  public var synchronizationCount: Int { state.withLock { $0.synchronizationCount } }

  /// After this many mutations the process counts as dead: everything fails. `nil`: never.
  public var stopAfterMutations: Int? {
    get { state.withLock { $0.stopAfterMutations } }
    set { state.withLock { $0.stopAfterMutations = newValue } }
  }

  /// Whether `stopAfterMutations` was reached.
  public var isStopped: Bool { state.withLock { $0.isStopped } }

  /// Refuses all changes with `.readOnlyFileSystem`.
  public var isReadOnly: Bool {
    get { state.withLock { $0.isReadOnly } }
    set { state.withLock { $0.isReadOnly = newValue } }
  }

  /// How many bytes of blocks fit; a write beyond is `.noSpace` and writes nothing. `nil`: no end.
  public var capacityBytes: UInt64? {
    get { state.withLock { $0.capacityBytes } }
    set { state.withLock { $0.capacityBytes = newValue } }
  }

  /// Called after every mutation with a copy of its outcome, from the thread that made it. The
  /// copy's `mutationCount` is that mutation's.
  public var onMutation: (@Sendable (MemoryFileSystem) -> Void)? {
    get { state.withLock { $0.onMutation } }
    set { state.withLock { $0.onMutation = newValue } }
  }

  /// Lets the sync with this number fail, counted from 1 over files and directories, as
  /// `synchronizationCount` counts.
  public func failSynchronization(number: Int, as model: FailedSync) {
    state.withLock { $0.failingSynchronizations[number] = model }
  }

  // MARK: For the parts of this file system

  /// Runs an operation that only looks.
  func look<Value: Sendable>(
    _ operation: String, _ path: String, _ body: (inout State) throws(FileError) -> Value
  ) throws(FileError) -> Value {
    try state.withLock { (state) throws(FileError) -> Value in
      try Self.checkAlive(state, operation, path)
      return try body(&state)
    }
  }

  /// Runs an operation that changes something, counts it and tells the hook.
  func mutate<Value: Sendable>(
    _ operation: String, _ path: String, _ body: (inout State) throws(FileError) -> Value
  ) throws(FileError) -> Value {
    let (value, hook, copy) = try state.withLock { (state) throws(FileError) in
      try Self.checkAlive(state, operation, path)
      if state.isReadOnly {
        throw FileError(
          code: .readOnlyFileSystem, operation: operation, path: path,
          systemError: SystemErrorNumber.readOnly)
      }
      let value = try body(&state)
      state.mutationCount += 1
      return (value, state.onMutation, (disk: state.disk, count: state.mutationCount))
    }
    if let hook { hook(MemoryFileSystem(disk: copy.disk, mutationCount: copy.count)) }
    return value
  }

  private static func checkAlive(
    _ state: State, _ operation: String, _ path: String
  ) throws(FileError) {
    if state.isStopped {
      throw FileError(
        code: .inputOutput, operation: operation, path: path,
        systemError: SystemErrorNumber.inputOutput)
    }
  }

  /// Counts a sync, and tells how it fails if it is to.
  static func nextSyncFailure(_ state: inout State) -> FailedSync? {
    state.synchronizationCount += 1
    return state.failingSynchronizations[state.synchronizationCount]
  }

  /// Notes that a node was opened.
  func retain(_ node: Int) {
    state.withLock { $0.opened[node, default: 0] += 1 }
  }

  /// Notes that a node was closed.
  func release(_ node: Int) {
    state.withLock {
      let count = $0.opened[node, default: 1] - 1
      $0.opened[node] = count == 0 ? nil : count
    }
  }

  /// Lets go of a lock; works on a stopped file system too.
  func unlock(_ node: Int) {
    state.withLock { _ = $0.locked.remove(node) }
  }

  /// Runs `body` on the disk whatever the settings: for tests that look at it or damage it.
  func withDisk<Value: Sendable, Failure: Error>(
    _ body: (inout MemoryDisk) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    try state.withLock { (state) throws(Failure) in try body(&state.disk) }
  }
}

/// Numbers that Linux and Darwin agree on.
enum SystemErrorNumber {
  static let inputOutput: Int32 = 5
  static let badDescriptor: Int32 = 9
  static let noSpace: Int32 = 28
  static let readOnly: Int32 = 30
}
