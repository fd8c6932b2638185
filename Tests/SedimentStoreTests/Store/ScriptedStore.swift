import SedimentIO
import SedimentStore
import SedimentTestKit

/// An operation of a script.
enum StoreOperation: CaseIterable {
  case insert, put, remove, commit, compact, jump, reopen
}

/// A store driven by a script, with every state that a crash may leave it in.
final class ScriptedStore {
  /// What a recovered store must hold: the position and the contents that belong together.
  struct Candidate: Hashable {
    var position: UInt8
    var model: KeyspaceModel
  }

  private(set) var workload: RandomWorkload
  private let fileSystem: any FileSystem
  private var store: StateStore?
  private var keyspace: HashedKeyspace?
  /// States that recovery may give now.
  private(set) var candidates: [Candidate]
  private(set) var model: KeyspaceModel
  private var durable: Candidate
  private var position: UInt8 = 0

  init(_ workload: RandomWorkload, fileSystem: any FileSystem) {
    self.workload = workload
    self.fileSystem = fileSystem
    model = KeyspaceModel(workload.options)
    durable = Candidate(position: 0, model: model)
    candidates = [durable]
  }

  func open() throws {
    let opened = try StateStore.open(
      at: "/state", options: workload.storeOptions(), fileSystem: fileSystem)
    store = opened
    keyspace = try opened.keyspace("seen", workload.options)
  }

  /// Whether there is a store to go on with.
  var isOpen: Bool { keyspace != nil }

  /// Tries a commit again.
  func retryCommit() throws {
    guard store != nil, keyspace != nil else { return }
    try commit()
  }

  func close() throws {
    try store?.close()
    store = nil
    keyspace = nil
  }

  func drop() {
    keyspace = nil
    store = nil
  }

  func perform(_ operation: StoreOperation) throws {
    switch operation {
    case .insert: try insert(count: workload.drawBatchSize())
    case .jump:
      workload.jump()
      try insert(count: 1)
    case .put:
      let keys = workload.drawKeys(workload.drawBatchSize())
      let times = workload.drawTimes(keys.count)
      try write {
        $0.put(keys, times: times, values: nil)
      } do: {
        try $0.put(HashedKeyspace.batch(keys), times: times)
      }
    case .remove:
      let keys = workload.drawKeys(workload.drawBatchSize())
      try write {
        $0.remove(keys)
      } do: {
        try $0.remove(HashedKeyspace.batch(keys))
      }
    case .commit: try commit()
    case .compact: try store?.compact()
    case .reopen:
      try close()
      if workload.options.log == .epochs {
        model = durable.model
        candidates = [durable]
      }
      try open()
    }
  }

  private func insert(count: Int) throws {
    let keys = workload.drawKeys(count)
    let times = workload.drawTimes(keys.count)
    try write { model in
      for (key, time) in zip(keys, times) {
        _ = model.insert(key, time: time, value: nil, late: .keep)
      }
    } do: {
      _ = try $0.insertIfAbsent(HashedKeyspace.batch(keys), times: times)
    }
  }

  /// A write that counts from when it is answered, and may count from when it was begun.
  private func write(
    _ change: (inout KeyspaceModel) -> Void, do body: (HashedKeyspace) throws -> Void
  ) throws {
    change(&model)
    let next = Candidate(position: position, model: model)
    if workload.options.log != .epochs { candidates.append(next) }
    guard let keyspace else { return }
    try body(keyspace)
    if workload.options.log == .everyBatch(synchronized: true) { candidates = [next] }
  }

  private func commit() throws {
    position &+= 1
    let next = Candidate(position: position, model: model)
    candidates.append(next)
    try store?.commitEpoch(metadata: [position])
    durable = next
    candidates = [next]
  }

  /// What is wrong with the store that `fileSystem` holds; `nil` when it is one of the candidates.
  ///
  /// - Parameter goesOn: whether to write to it afterwards and open it once more.
  func problem(with fileSystem: MemoryFileSystem, goesOn: Bool) throws -> String? {
    var workload = workload
    let store = try StateStore.open(
      at: "/state", options: workload.storeOptions(), fileSystem: fileSystem)
    let keyspace = try store.keyspace("seen", workload.options)
    let keys = (0..<workload.keyCount).map { workload.key($0) }
    let position = store.lastEpoch.metadata.first ?? 0
    var problems: [String] = []
    for candidate in Set(candidates) {
      let problem =
        candidate.position == position
        ? try keyspace.difference(from: candidate.model, keys: keys)
        : "position \(position), not \(candidate.position)"
      guard let problem else {
        try goesOn ? check(store, keyspace, candidate.model, keys, fileSystem) : store.close()
        return nil
      }
      problems.append(problem)
    }
    return "none of \(candidates.count) states: \(problems)"
  }

  /// A recovered store is as good as any: inserts, commits, and opens again.
  private func check(
    _ store: StateStore, _ keyspace: HashedKeyspace, _ recovered: KeyspaceModel, _ keys: [[UInt8]],
    _ fileSystem: MemoryFileSystem
  ) throws {
    var model = recovered
    var workload = workload
    let time = (model.largestTime ?? 0) + 1
    let new = try keyspace.insertIfAbsent(
      HashedKeyspace.batch(keys), times: keys.map { _ in time })
    for (index, key) in keys.enumerated() {
      let expected = model.insert(key, time: time, value: nil, late: .keep)
      guard new[index] == expected.isAccepted else {
        throw ScriptError("\(key) is not \(expected)")
      }
    }
    try store.commitEpoch(metadata: [77])
    try store.close()
    let after = fileSystem.crashed(.nothing)
    let again = try StateStore.open(
      at: "/state", options: workload.storeOptions(), fileSystem: after)
    let same = try again.keyspace("seen", keyspace.options)
    if let problem = try same.difference(from: model, keys: keys) {
      throw ScriptError("after recovery and an epoch: \(problem)")
    }
    try again.close()
  }
}

struct ScriptError: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}
