// What a small store with every kind of file goes through, and what it must answer at each point.
//
// How it works: the script is fixed. Run with a store, it writes to it, holds every answer against
// the models, and makes a checkpoint and a savepoint on the way. Run without one, it only moves
// the models: that is how a test knows what a store of an earlier build must hold.
//
// The golden fixtures hold what this script wrote with `size` 1. For that size what it writes must
// never change.

import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// See the file's header.
final class SampleScript {
  /// Where the script leaves something that can be opened.
  enum Place: CaseIterable { case checkpoint, savepoint, state }

  /// What a place must hold.
  struct Content {
    /// The metadata of the last epoch.
    var metadata: [UInt8] = []
    /// By name of the keyspace.
    var models: [String: KeyspaceModel] = [:]
  }

  /// Never changes: golden fixtures were made with them.
  static let keyspaces: [(name: String, options: KeyspaceOptions)] = [
    ("seen", KeyspaceOptions(timeToLive: .forever)),
    (
      "windows",
      KeyspaceOptions(valueWidth: 8, timeToLive: .milliseconds(8_000), allowedLateness: 500)
    ),
    (
      "logged",
      KeyspaceOptions(
        keyMode: .exact, valueWidth: 4, timeToLive: .forever,
        log: .everyBatch(synchronized: true))
    ),
  ]

  /// Keys in a batch; with more than half a memtable's slots an epoch makes a table of them.
  private let large: Int
  private let small: Int
  private let store: StateStore?
  private var running = Content()
  /// What each place holds, once the script has been there.
  private(set) var contents: [Place: Content] = [:]
  /// What every epoch held; the first is that of a store without one.
  private(set) var epochs: [Content] = []
  /// What the logged keyspace held after every batch, and how many batches each epoch has.
  private(set) var batches: [KeyspaceModel] = []
  private(set) var batchCounts: [Int] = []
  /// Called after every epoch.
  var onEpoch: () throws -> Void = {}

  /// - Parameter store: what to write to; `nil` moves the models only.
  init(size: Int = 1, store: StateStore? = nil) {
    large = 60 * size
    small = 9
    self.store = store
    for (name, options) in Self.keyspaces { running.models[name] = KeyspaceModel(options) }
    epochs = [running]
    batchCounts = [0]
  }

  /// Options with which the script makes the tables it is meant to make.
  static func options(size: Int = 1) -> StoreOptions {
    var options = StoreOptions(
      memoryBudget: StoreOptions.memoryBudgetMin, shards: 1, backgroundThreads: 1,
      fullDiskPatience: .zero, clock: ManualClock(millis: 1_700_000_000_000))
    options.memtableSlotsMax = 128 * size
    return options
  }

  /// All keys the script ever names, and some it does not.
  var keys: [[UInt8]] { (0..<(4 * large + 40)).map(Self.key) }

  static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }

  /// Runs from the beginning to the end.
  func run() throws {
    if let store {
      for (name, options) in Self.keyspaces { _ = try store.keyspace(name, options) }
    }
    try fillFirstWindow()
    try leaveCheckpoint()
    try fillLaterWindow()
    try leaveSavepoint()
    try fillOthers()
    try leaveState()
  }

  /// A table of the first window, and logs of all three keyspaces.
  private func fillFirstWindow() throws {
    try insert(0..<large, into: "windows", from: 0)
    try insert(0..<small, into: "logged", from: 5)
    try commit()
    try insert(large..<(large + small), into: "windows", from: 900)
    try insert(0..<small, into: "seen", from: 7)
    try commit()
  }

  private func leaveCheckpoint() throws {
    contents[.checkpoint] = running
    try store?.checkpoint(to: "/backups", committing: false)
  }

  /// A table of a later window, with removed and replaced keys in it, and a second log of epochs.
  private func fillLaterWindow() throws {
    try remove(0..<5, from: "windows")
    try put(5..<10, into: "windows", from: 3_100)
    try insert(large..<(2 * large), into: "windows", from: 3_200)
    try insert(small..<(2 * small), into: "logged", from: 50)
    try commit()
    try put(20..<25, into: "windows", from: 3_300)
    try remove(3..<5, from: "seen")
    try commit()
  }

  private func leaveSavepoint() throws {
    contents[.savepoint] = running
    try store?.savepoint(to: "/saved", committing: false)
  }

  /// Tables of the two keyspaces that had none, and logs behind them.
  private func fillOthers() throws {
    try insert(20..<(20 + large), into: "seen", from: 100)
    // With what the log holds already no more than one memtable takes.
    try insert(20..<(20 + large * 3 / 4), into: "logged", from: 100)
    try commit()
    try remove(20..<23, from: "seen")
    try insert(200..<(200 + small), into: "seen", from: 3)
    try remove(30..<35, from: "logged")
    try put(35..<38, into: "logged", from: 9)
    try remove(large..<(large + 3), from: "windows")
    try commit()
  }

  /// Ends with batches that only a log holds.
  private func leaveState() throws {
    for round in 0..<3 {
      try insert((220 + 3 * round)..<(223 + 3 * round), into: "logged", from: 70)
    }
    contents[.state] = running
  }

  // MARK: - Steps

  private func change(
    _ name: String, _ body: (inout KeyspaceModel) throws -> Void,
    store write: (HashedKeyspace) throws -> Void
  ) throws {
    var model = try #require(running.models[name])
    try body(&model)
    running.models[name] = model
    if name == "logged" { batches.append(model) }
    guard let store else { return }
    try write(try #require(store.keyspace(named: name)))
  }

  private static func value(_ number: Int, _ time: Int64, width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: number &* 31 &+ Int(time) &+ $0) }
  }

  private func insert(_ numbers: Range<Int>, into name: String, from start: Int64) throws {
    let keys = numbers.map(Self.key)
    let times = numbers.indices.map { start + Int64($0 - numbers.lowerBound) % 90 }
    var expected: [Bool] = []
    var values: [[UInt8]] = []
    try change(name) { model in
      for (index, number) in numbers.enumerated() {
        let value = Self.value(number, times[index], width: model.valueWidth)
        values.append(value)
        let decision = model.insert(
          keys[index], time: times[index], value: value, late: .keep)
        expected.append(decision.isAccepted)
      }
    } store: { keyspace in
      let new = try keyspace.insertIfAbsent(
        HashedKeyspace.batch(keys), times: times, values: Array(values.joined()))
      for (index, isNew) in expected.enumerated() { try #require(new[index] == isNew) }
    }
  }

  private func put(_ numbers: Range<Int>, into name: String, from start: Int64) throws {
    let keys = numbers.map(Self.key)
    let times = numbers.indices.map { start + Int64($0 - numbers.lowerBound) }
    var values: [[UInt8]] = []
    try change(name) { model in
      for (index, number) in numbers.enumerated() {
        values.append(Self.value(number, times[index], width: model.valueWidth))
      }
      model.put(keys, times: times, values: values)
    } store: {
      try $0.put(HashedKeyspace.batch(keys), times: times, values: Array(values.joined()))
    }
  }

  private func remove(_ numbers: Range<Int>, from name: String) throws {
    let keys = numbers.map(Self.key)
    try change(name) {
      $0.remove(keys)
    } store: {
      try $0.remove(HashedKeyspace.batch(keys))
    }
  }

  private func commit() throws {
    running.metadata.append(UInt8(running.metadata.count + 1))
    epochs.append(running)
    batchCounts.append(batches.count)
    guard let store else { return }
    try store.commitEpoch(metadata: running.metadata)
    // Merges would end whenever they like; with none due, what is on disk is always the same.
    try store.waitUntilIdle()
    try onEpoch()
  }
}

extension SampleScript.Content {
  /// How an open store answers otherwise than this about any of `keys`; `nil` where it does not.
  func difference(from store: StateStore, keys: [[UInt8]]) throws -> String? {
    try SampleExpectation(self, keys: keys).difference(from: store)
  }
}

/// What a content says of some keys, worked out once for many stores.
struct SampleExpectation: Sendable {
  let metadata: [UInt8]
  /// By name of the keyspace.
  var keyspaces: [String: KeyspaceExpectation]

  init(_ content: SampleScript.Content, keys: [[UInt8]]) {
    metadata = content.metadata
    keyspaces = content.models.mapValues { KeyspaceExpectation($0, keys: keys) }
  }

  /// How an open store answers otherwise; `nil` where it does not.
  func difference(from store: StateStore) throws -> String? {
    let found = store.lastEpoch.metadata
    if found != metadata { return "metadata \(found), not \(metadata)" }
    if store.keyspaceNames != SampleScript.keyspaces.map(\.name) {
      return "keyspaces \(store.keyspaceNames)"
    }
    for (name, options) in SampleScript.keyspaces {
      guard let expected = keyspaces[name], let keyspace = store.keyspace(named: name) else {
        return "no keyspace \(name)"
      }
      if keyspace.options != options { return "\(name) has options \(keyspace.options)" }
      if let problem = try keyspace.difference(from: expected) { return "\(name): \(problem)" }
    }
    return nil
  }
}
