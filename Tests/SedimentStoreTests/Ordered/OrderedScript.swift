// A store with two ordered keyspaces that share the log, and one without it, driven beside a model
// of each. With an odd seed one of the two, and the one without a log, are of the tiered style.
//
// How it works: what is written is drawn; which steps are taken is up to the test. The script keeps
// what the keyspaces with a log held after each batch, what every epoch held, and how far back a
// crash may go: the promise, which is widened before a step and narrowed once it is answered.

import SedimentIO
import SedimentStore
import SedimentTestKit

/// A step of a script with ordered keyspaces.
enum OrderedOperation: CaseIterable {
  case put, remove, batch, synchronized, ingest, flush, compact, commit, checkpoint, reopen
}

/// See the file's header.
final class OrderedScript {
  typealias Model = [[UInt8]: [UInt8]]

  /// What the store holds after a write: the keyspaces with a log, and the one without.
  struct Contents: Hashable {
    var logged: [Model] = [[:], [:]]
    var unlogged: Model = [:]

    /// By keyspace, in the order of `names`.
    var models: [Model] { logged + [unlogged] }
  }

  /// What an epoch held. Its number is what its metadata says.
  struct Epoch {
    /// In `history`.
    var historyIndex = 0
    var unlogged: Model = [:]
  }

  /// What a crash may not take.
  struct Promise: Equatable {
    /// The first of `history` that may be left.
    var historyIndex = 0
    /// The first of `history` that may be left when no power is lost.
    var answeredIndex = 0
    /// The first of `epochs` that may be left.
    var epoch = 0
    /// The first of `epochs` that the newest checkpoint may hold; `nil` while none need be there.
    var checkpoint: Int?
  }

  static let names = ["a", "b", "plain"]
  static let unloggedPlace = 2

  var generator: SeededGenerator
  let clock = ManualClock()
  let fileSystem: any FileSystem
  private(set) var store: StateStore?
  private(set) var keyspaces: [OrderedKeyspace] = []
  private(set) var contents = Contents()
  /// Contents of the keyspaces with a log after each batch, those that failed among them.
  private(set) var history: [[Model]] = [[[:], [:]]]
  /// Of the epochs that were tried; the first is that of a store without one.
  private(set) var epochs = [Epoch()]
  private(set) var promise = Promise() {
    didSet { onPromise(promise) }
  }
  /// Called with every change of the promise.
  var onPromise: (Promise) -> Void = { _ in }
  /// The step that was begun last.
  private(set) var lastOperation: OrderedOperation?
  let style: CompactionStyle
  private let keyCount: Int
  private let valueCounts: [Int]

  /// - Parameter isSmall: whether to write so little that memtables are flushed when told only.
  init(
    seed: UInt64, fileSystem: any FileSystem, keyCount: Int = 60, isSmall: Bool = false
  ) {
    generator = SeededGenerator(seed: seed)
    style = seed % 2 == 0 ? .leveled : .tiered
    self.fileSystem = fileSystem
    self.keyCount = keyCount
    valueCounts = isSmall ? [0, 3, 20, 60, 100] : [0, 3, 20, 100, 1_500, 6_000]
  }

  static func options(_ clock: ManualClock) -> StoreOptions {
    var options = StoreOptions(memoryBudget: 16 << 20, shards: 1, clock: clock)
    options.orderedMemtableBytesMax = 8 << 10
    // A footer alone has 4 KiB.
    options.orderedTableBytes = 12 << 10
    options.orderedBaseBytes = 16 << 10
    options.orderedRunsMax = 3
    options.orderedPartBytes = 16 << 10
    options.mergeLookInterval = 8
    options.fullDiskPatience = .zero
    return options
  }

  private static func keyspaceOptions(
    _ name: String, _ style: CompactionStyle
  ) -> OrderedKeyspaceOptions {
    OrderedKeyspaceOptions(
      isLogged: name != "plain", compression: name == "b" ? .none : .lz4,
      uncompressedLevels: name == "plain" ? 1 : 0, filterBitsPerKey: name == "b" ? 0 : 12,
      compaction: name == "a" ? .leveled : style)
  }

  func open() throws {
    try adopt(
      try StateStore.open(at: "/state", options: Self.options(clock), fileSystem: fileSystem))
  }

  /// Goes on with a store that somebody opened.
  func adopt(_ store: StateStore) throws {
    self.store = store
    keyspaces = try Self.open(store, style)
    // Opening makes durable what it finds of the log.
    promise.historyIndex = promise.answeredIndex
  }

  /// The keyspaces of a store.
  ///
  /// - Parameter style: of those that are made.
  static func open(
    _ store: StateStore, _ style: CompactionStyle = .leveled
  ) throws -> [OrderedKeyspace] {
    try names.map { name in
      try store.orderedKeyspace(named: name)
        ?? store.orderedKeyspace(name, keyspaceOptions(name, style))
    }
  }

  func close() throws {
    try store?.close()
    drop()
  }

  func drop() {
    keyspaces = []
    store = nil
  }

  // MARK: - Drawing

  func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }

  func key() -> [UInt8] {
    let number = draw(0...keyCount - 1)
    if number == 0 { return [] }
    // Some keys begin others, and some are long.
    let text = Array("k\(number % 7)/\(number)".utf8)
    let isLong = number % 11 == 0 && valueCounts.count > 5
    return isLong ? text + [UInt8](repeating: UInt8(number), count: 500) : text
  }

  private func value() -> [UInt8] {
    let count = valueCounts[draw(0...valueCounts.count - 1)]
    return (0..<count).map { _ in UInt8.random(in: 0...3, using: &generator) }
  }

  // MARK: - Writing

  /// One write of a batch; no value removes.
  typealias Change = (place: Int, key: [UInt8], value: [UInt8]?)

  func perform(_ operation: OrderedOperation) throws {
    lastOperation = operation
    switch operation {
    case .put:
      try write([(draw(0...1), key(), value())])
      try write([(Self.unloggedPlace, key(), value())])
    case .remove:
      for place in [draw(0...1), Self.unloggedPlace] {
        // One that is there, where there is any.
        let keys = contents.models[place].keys.sorted { $0.lexicographicallyPrecedes($1) }
        try write([(place, keys.randomElement(using: &generator) ?? key(), nil)])
      }
    case .batch: try write(drawChanges(2...6))
    case .synchronized: try write(drawChanges(2...6), .synchronized)
    case .ingest: for place in [draw(0...1), Self.unloggedPlace] { try ingest(place) }
    case .flush: try store?.flush()
    case .compact: try store?.compact()
    case .commit: try commit()
    case .checkpoint: try checkpoint()
    case .reopen: try reopen()
    }
  }

  /// Writes of both keyspaces with a log.
  private func drawChanges(_ count: ClosedRange<Int>) -> [Change] {
    (0..<draw(count)).map { ($0 % 2, key(), draw(0...3) == 0 ? nil : value()) }
  }

  /// Writes a batch to the keyspaces with a log, or to the one without.
  func write() throws {
    let isLogged = draw(0...3) > 0
    let changes: [Change] = (0..<draw(1...8)).map { _ in
      let place = isLogged ? draw(0...1) : Self.unloggedPlace
      return (place, key(), draw(0...3) == 0 ? nil : value())
    }
    try write(changes, draw(0...4) == 0 ? .synchronized : .buffered)
  }

  /// Writes a batch of what is given.
  func write(_ changes: [Change], _ durability: Durability = .buffered) throws {
    guard let store else { return }
    var batch = WriteBatch()
    var next = contents
    for (place, key, value) in changes {
      if let value {
        try batch.put(key, value, in: keyspaces[place])
      } else {
        try batch.remove(key, in: keyspaces[place])
      }
      if place < 2 { next.logged[place][key] = value } else { next.unlogged[key] = value }
    }
    let isLogged = changes.contains { $0.place < 2 }
    if isLogged { history.append(next.logged) }
    try store.write(batch, durability: durability)
    contents = next
    if isLogged { noteAnswer(isDurable: durability == .synchronized) }
  }

  /// Brings sorted input into a keyspace, of one table or several.
  func ingest(_ place: Int) throws {
    guard store != nil else { return }
    var entries: Model = [:]
    for _ in 0..<draw(1...12) { entries[key()] = value() }
    var next = contents
    if place < 2 {
      next.logged[place].merge(entries) { $1 }
      history.append(next.logged)
    } else {
      next.unlogged.merge(entries) { $1 }
    }
    do {
      try keyspaces[place].ingest { input in
        let sorted = entries.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for (key, value) in sorted { try input.add(key, value) }
      }
    } catch let error as StoreError {
      if error.message.contains("has come in") { contents = next }
      throw error
    }
    contents = next
    // The manifest has it, and the log was synchronised before.
    if place < 2 { noteAnswer(isDurable: true) }
  }

  /// The last of `history` was answered.
  private func noteAnswer(isDurable: Bool) {
    var next = promise
    next.answeredIndex = history.count - 1
    if isDurable { next.historyIndex = next.answeredIndex }
    promise = next
  }

  func insertIfAbsent() throws {
    guard store != nil else { return }
    let key = key()
    let value = value()
    var next = contents.logged
    let isNew = next[0][key] == nil
    if isNew {
      next[0][key] = value
      history.append(next)
    }
    guard try keyspaces[0].insertIfAbsent(key, value) == isNew else {
      throw ScriptFailure("insertIfAbsent of \(key) should be \(isNew)")
    }
    contents.logged = next
    if isNew { noteAnswer(isDurable: false) }
  }

  func commit() throws {
    guard let store else { return }
    let metadata = beginEpoch()
    try store.commitEpoch(metadata: metadata)
    endEpoch()
  }

  private func checkpoint() throws {
    guard let store else { return }
    try commit()
    _ = try store.checkpoint(to: "/backups", committing: false)
    promise.checkpoint = epochs.count - 1
  }

  private func beginEpoch() -> [UInt8] {
    // A batch that failed before is not in it.
    if history.last != contents.logged { history.append(contents.logged) }
    epochs.append(Epoch(historyIndex: history.count - 1, unlogged: contents.unlogged))
    return [UInt8(truncatingIfNeeded: epochs.count - 1)]
  }

  private func endEpoch() {
    var next = promise
    next.epoch = epochs.count - 1
    next.historyIndex = epochs[next.epoch].historyIndex
    next.answeredIndex = next.historyIndex
    promise = next
  }

  private func reopen() throws {
    try close()
    // What no epoch took in went with the store.
    contents.unlogged = epochs[promise.epoch].unlogged
    try open()
  }
}

struct ScriptFailure: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}
