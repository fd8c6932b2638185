import SedimentIO
import SedimentStore
import SedimentTestKit

/// A store driven by a script, to be run on a file system that fails: of hashed keyspaces, or of
/// ordered ones.
protocol FaultScript: AnyObject {
  /// Opens the store and takes all steps.
  func run() throws
  /// Whether there is a store to go on with.
  var isOpen: Bool { get }
  /// Whether the step that was begun last may fail and leave the store as it was.
  var mayGoOn: Bool { get }
  /// Tries a commit again.
  func retryCommit() throws
  /// How the open store differs from what was answered.
  func liveProblem() throws -> String?
  /// Lets go of the store without closing it.
  func drop()
  /// What is wrong with the state on a disk that the script left.
  ///
  /// - Parameters:
  ///   - afterKill: whether no power was lost.
  ///   - goesOn: whether to write to it, and open it once more.
  func crashProblem(
    with disk: MemoryFileSystem, afterKill: Bool, goesOn: Bool
  ) throws -> String?
}

/// Which script runs under a fault.
enum FaultScriptKind: CaseIterable {
  case epochs, everyBatch, ordered, tiered

  func make(on fileSystem: any FileSystem) -> any FaultScript {
    switch self {
    case .epochs: hashed(.epochs, fileSystem)
    case .everyBatch: hashed(.everyBatch(synchronized: true), fileSystem)
    case .ordered: OrderedFaultScript(fileSystem, seed: 24)
    case .tiered: OrderedFaultScript(fileSystem, seed: 23)
    }
  }

  private func hashed(_ policy: LogPolicy, _ fileSystem: any FileSystem) -> HashedFaultScript {
    HashedFaultScript(
      ScriptedStore(
        RandomWorkload(seed: 23, isSmall: true, log: policy), fileSystem: fileSystem))
  }
}

/// Hashed keyspaces.
final class HashedFaultScript: FaultScript {
  private static let operations: [StoreOperation] = [
    .insert, .commit, .insert, .put, .commit, .insert, .compact, .commit, .remove, .insert,
    .commit, .insert, .reopen, .insert, .commit,
  ]
  private let script: ScriptedStore

  init(_ script: ScriptedStore) { self.script = script }

  func run() throws {
    try script.open()
    for operation in Self.operations { try script.perform(operation) }
  }

  var isOpen: Bool { script.isOpen }
  var mayGoOn: Bool { false }
  func retryCommit() throws { try script.retryCommit() }
  func liveProblem() throws -> String? { nil }
  func drop() { script.drop() }

  func crashProblem(
    with disk: MemoryFileSystem, afterKill: Bool, goesOn: Bool
  ) throws -> String? {
    try script.problem(with: disk, goesOn: goesOn)
  }
}

/// Ordered keyspaces, with a log they share and without.
final class OrderedFaultScript: FaultScript {
  private static let operations: [OrderedOperation] = [
    .put, .batch, .synchronized, .flush, .commit, .batch, .put, .flush, .synchronized, .compact,
    .remove, .commit, .ingest, .batch, .checkpoint, .put, .reopen, .ingest, .synchronized, .batch,
    .flush, .commit,
  ]
  private let script: OrderedScript

  init(_ fileSystem: any FileSystem, seed: UInt64) {
    script = OrderedScript(seed: seed, fileSystem: fileSystem, keyCount: 12, isSmall: true)
  }

  func run() throws {
    try script.open()
    for operation in Self.operations { try script.perform(operation) }
  }

  var isOpen: Bool { !script.keyspaces.isEmpty }
  // What a checkpoint does in its own directory is not the store's.
  var mayGoOn: Bool { script.lastOperation == .checkpoint }
  func retryCommit() throws { try script.commit() }
  func liveProblem() throws -> String? { try script.difference() }
  func drop() { script.drop() }

  func crashProblem(
    with disk: MemoryFileSystem, afterKill: Bool, goesOn: Bool
  ) throws -> String? {
    try script.problem(with: disk, afterKill: afterKill, goesOn: goesOn)
  }
}
