import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// A store whose epochs are confirmed one by one, driven by a script: what it must hold at each of
/// its epochs after a crash.
private final class ConfirmedScript {
  private(set) var workload: RandomWorkload
  /// Files are kept wherever the script goes on.
  private let fileSystem: MemoryFileSystem
  private var store: StateStore?
  private var keyspace: HashedKeyspace?
  private var model: KeyspaceModel
  /// What the keyspace holds at each epoch, by number; at 0 nothing.
  private(set) var models: [KeyspaceModel]
  /// The last epoch whose commit returned, and the one of the last confirmation that was begun.
  private(set) var durable: UInt64 = 0
  private(set) var confirmed: UInt64 = 0
  /// The epoch that the script is about to go back to.
  private var returningTo: UInt64?
  /// Merges of the stores that were let go.
  private(set) var merges: UInt64 = 0
  /// Tables of theirs that expired.
  private(set) var expired: UInt64 = 0

  init(_ workload: RandomWorkload, fileSystem: MemoryFileSystem) {
    self.workload = workload
    self.fileSystem = fileSystem
    model = KeyspaceModel(workload.options)
    models = [model]
  }

  func options() -> StoreOptions {
    var options = workload.storeOptions()
    options.confirmsEpochs = true
    // So that the few keys there are fill a memtable.
    options.shards = 1
    options.memtableSlotsMax = 128
    return options
  }

  func open() throws {
    let opened = try StateStore.open(
      at: "/state", options: options(), seed: HashSeed(first: 1, second: 2),
      fileSystem: fileSystem)
    store = opened
    keyspace = try opened.keyspace("seen", workload.options)
  }

  func drop() {
    if let statistics = store?.statistics {
      merges += statistics.merges
      expired += statistics.tablesExpired
    }
    keyspace = nil
    store = nil
  }

  func perform(_ operation: ConfirmedOperation) throws {
    // First, for whoever knows the store keeps it open.
    if operation == .goBack { return try goBack() }
    guard let store, let keyspace else { return }
    switch operation {
    case .insert: try insert(workload.drawBatchSize(), into: keyspace)
    case .jump:
      workload.jump()
      try insert(1, into: keyspace)
    case .put, .fill:
      let keys =
        operation == .fill ? self.keys : workload.drawKeys(workload.drawBatchSize())
      let times = workload.drawTimes(keys.count)
      model.put(keys, times: times, values: nil)
      try keyspace.put(HashedKeyspace.batch(keys), times: times)
    case .remove:
      let keys = workload.drawKeys(workload.drawBatchSize())
      model.remove(keys)
      try keyspace.remove(HashedKeyspace.batch(keys))
    case .compact: try store.compact()
    case .commit:
      models.append(model)
      durable = try store.commitEpoch(metadata: [UInt8(models.count - 1)]).epoch
    case .confirm:
      confirmed = durable
      try store.confirmEpoch()
    case .goBack: break
    }
  }

  /// The newest epoch was aborted: its effects and what came after it are gone.
  private func goBack() throws {
    drop()
    let target = max(confirmed, durable == 0 ? 0 : durable - 1)
    returningTo = target
    let reopened = try StateStore.open(
      at: "/state", options: options(), epoch: target, fileSystem: fileSystem)
    models.removeLast(models.count - 1 - Int(target))
    model = models[Int(target)]
    (durable, confirmed, returningTo) = (target, target, nil)
    store = reopened
    keyspace = try reopened.keyspace("seen", workload.options)
  }

  private func insert(_ count: Int, into keyspace: HashedKeyspace) throws {
    let keys = workload.drawKeys(count)
    let times = workload.drawTimes(keys.count)
    for (key, time) in zip(keys, times) {
      _ = model.insert(key, time: time, value: nil, late: .keep)
    }
    _ = try keyspace.insertIfAbsent(HashedKeyspace.batch(keys), times: times)
  }
}

/// `fill` puts every key, which fills a memtable.
private enum ConfirmedOperation {
  case insert, put, fill, remove, jump, compact, commit, confirm, goBack
}

/// What the states that a crash leaves must be.
extension ConfirmedScript {
  /// What is wrong with a disk on which the script stopped; `nil` when every epoch that may be
  /// asked for is there, exactly.
  func problem(with disk: MemoryFileSystem, isThorough: Bool) throws -> String? {
    let epochs = try epochs(on: disk)
    // Before there is a store there is no epoch.
    guard let newest = epochs.last?.number else { return durable > 0 ? "no epoch" : nil }
    let numbers = epochs.map(\.number)
    if let returningTo, numbers == [returningTo] {
      return try problem(with: disk, at: returningTo, goesOn: isThorough)
    }
    // The epoch under way may have become durable.
    guard newest >= durable, newest < models.count else {
      return "the newest epoch is \(newest), after \(durable)"
    }
    guard numbers.suffix(Int(newest - confirmed) + 1) == Array(confirmed...newest)[...] else {
      return "the epochs are \(numbers), confirmed is \(confirmed)"
    }
    for epoch in epochs {
      guard epoch.metadata == (epoch.number == 0 ? [] : [UInt8(epoch.number)]) else {
        return "epoch \(epoch.number) has the metadata \(epoch.metadata)"
      }
      if let problem = try problem(with: disk.clone(), at: epoch.number, goesOn: isThorough) {
        return "opened at \(epoch.number) of \(numbers): \(problem)"
      }
    }
    guard isThorough, numbers.count > 1 else { return nil }
    return try problemOfInterruption(disk, at: numbers[numbers.count - 2])
  }

  private func epochs(on disk: MemoryFileSystem) throws -> [StoredEpoch] {
    do {
      return try StateStore.epochs(at: "/state", fileSystem: disk)
    } catch  where error.code == .notFound {
      return []
    }
  }

  private func problem(
    with disk: MemoryFileSystem, at epoch: UInt64, goesOn: Bool
  ) throws -> String? {
    let store = try StateStore.open(
      at: "/state", options: options(), epoch: epoch, fileSystem: disk)
    let keyspace = try store.keyspace("seen", workload.options)
    if let problem = try keyspace.difference(from: models[Int(epoch)], keys: keys) {
      return problem
    }
    return goesOn ? try problemOfGoingOn(store, keyspace, disk, from: epoch) : nil
  }

  private var keys: [[UInt8]] { (0..<workload.keyCount).map { workload.key($0) } }

  /// The store that was opened writes two epochs, loses power, and is opened at each.
  private func problemOfGoingOn(
    _ store: StateStore, _ keyspace: HashedKeyspace, _ disk: MemoryFileSystem, from epoch: UInt64
  ) throws -> String? {
    var next = [models[Int(epoch)]]
    for round in 0..<2 {
      var model = next[round]
      let time = (model.largestTime ?? 0) + 1
      let new = try keyspace.insertIfAbsent(
        HashedKeyspace.batch(keys), times: keys.map { _ in time })
      for (index, key) in keys.enumerated() {
        let expected = model.insert(key, time: time, value: nil, late: .keep)
        guard new[index] == expected.isAccepted else { return "\(key) is not \(expected)" }
      }
      if round == 1 { try store.compact() }
      try store.commitEpoch()
      next.append(model)
    }
    let after = disk.crashed(.nothing)
    for (index, model) in next.enumerated() {
      let number = epoch + UInt64(index)
      let again = try StateStore.open(
        at: "/state", options: options(), epoch: number, fileSystem: after.clone())
      let same = try again.keyspace("seen", workload.options)
      if let problem = try same.difference(from: model, keys: keys) {
        return "after two more epochs, opened at \(number): \(problem)"
      }
    }
    return nil
  }

  /// Power is lost at every operation of opening at an epoch: it still opens there, and the newest
  /// one is whole or gone.
  private func problemOfInterruption(_ disk: MemoryFileSystem, at epoch: UInt64) throws -> String? {
    var generator = SeededGenerator(seed: epoch &+ 17)
    var stop = 1
    while true {
      let attempt = disk.clone()
      attempt.stopAfterMutations = stop
      let store = try? StateStore.open(
        at: "/state", options: options(), epoch: epoch, fileSystem: attempt)
      guard attempt.isStopped else { return nil }
      _ = consume store
      let left =
        stop % 2 == 0 ? attempt.crashed(.nothing) : attempt.crashed(using: &generator)
      let numbers = try StateStore.epochs(at: "/state", fileSystem: left).map(\.number)
      for number in numbers where number >= epoch {
        if let problem = try problem(with: left.clone(), at: number, goesOn: false) {
          return "opening at \(epoch) stopped after \(stop), then at \(number): \(problem)"
        }
      }
      guard numbers.contains(epoch) else {
        return "opening at \(epoch) stopped after \(stop) left \(numbers)"
      }
      stop += 1
    }
  }
}

@Suite("Crash states of a store whose epochs are confirmed")
struct ConfirmedEpochCrashTests {
  private static func run(
    _ operations: [ConfirmedOperation], _ workload: RandomWorkload, stoppingAfter stop: Int?
  ) -> (ConfirmedScript, MemoryFileSystem) {
    let fileSystem = MemoryFileSystem()
    fileSystem.stopAfterMutations = stop
    let script = ConfirmedScript(workload, fileSystem: fileSystem)
    do {
      try script.open()
      for operation in operations { try script.perform(operation) }
    } catch {
      if stop == nil { Issue.record("the script failed by itself: \(error)") }
    }
    if stop == nil { script.drop() }
    return (script, fileSystem)
  }

  /// Crashes a script at every operation of the file system; returns how many states were looked
  /// at. Each eighth is looked at thoroughly.
  private static func crash(
    _ operations: [ConfirmedOperation], _ workload: RandomWorkload, losesTables: Bool = false,
    _ what: String
  ) -> Int {
    let (finished, whole) = run(operations, workload, stoppingAfter: nil)
    if losesTables {
      #expect(finished.merges + finished.expired > 0, "\(what): nothing was merged or expired")
    }
    var generator = SeededGenerator(seed: UInt64(operations.count) &+ 5)
    var states = 0
    for stop in 1...whole.mutationCount {
      let (script, stopped) = run(operations, workload, stoppingAfter: stop)
      for number in 0..<2 {
        let disk =
          number == 0 ? stopped.crashed(.nothing) : stopped.crashed(using: &generator)
        states += 1
        let place = "\(what), stopped after \(stop), crash \(number)"
        do {
          let isThorough = (stop + number) % 8 == 0
          guard let problem = try script.problem(with: disk, isThorough: isThorough) else {
            continue
          }
          Issue.record("\(place): \(problem)")
        } catch {
          Issue.record("\(place): \(error)")
        }
        return states
      }
    }
    return states
  }

  @Test("every epoch since the confirmed one is there, exactly", arguments: 0..<12)
  func randomScripts(number: Int) {
    let seed = UInt64(9_100 + number)
    var workload = RandomWorkload(seed: seed, isSmall: true, log: .epochs)
    var operations: [ConfirmedOperation] = []
    for epoch in 1...6 {
      for _ in 0..<Int.random(in: 1...4, using: &workload.generator) {
        let all: [ConfirmedOperation] = [.insert, .insert, .fill, .put, .remove, .jump, .compact]
        operations.append(all[Int.random(in: 0..<all.count, using: &workload.generator)])
      }
      operations.append(.commit)
      // Mostly one epoch waits, now and then several do; some are aborted.
      let draw = (epoch + number) % 5
      if draw == 0 { operations.append(.goBack) } else if draw != 2 { operations.append(.confirm) }
    }
    let states = Self.crash(operations, workload, "seed \(seed)")
    #expect(states >= 60, "seed \(seed): \(states) states")
  }

  @Test(
    "tables that the epoch before needs are merged away or expire in the next", arguments: 0..<10)
  func merges(number: Int) {
    let workload = RandomWorkload(seed: UInt64(9_300 + number), isSmall: true, log: .epochs)
    let between: [ConfirmedOperation] = [
      .fill, .commit, .insert, .fill, .commit, .confirm, .compact, .insert, .commit, .confirm,
      .fill, .remove, .commit, .fill, .compact, .commit, .goBack, .compact, .fill, .jump, .commit,
      .confirm, .fill, .commit, .jump, .compact, .commit,
    ]
    let states = Self.crash(between, workload, losesTables: true, "merges \(number)")
    #expect(states >= 60, "\(states) states")
  }
}
