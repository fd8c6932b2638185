import SedimentIO
import SedimentStore
import SedimentTestKit

/// A store with two ordered keyspaces that share the log, and one without it, driven at random
/// beside a model of each.
final class OrderedScript {
  typealias Model = [[UInt8]: [UInt8]]

  /// What the store holds after a write: the keyspaces with a log, and the one without.
  struct Contents: Hashable {
    var logged: [Model] = [[:], [:]]
    var unlogged: Model = [:]
  }

  static let names = ["a", "b", "plain"]

  var generator: SeededGenerator
  let clock = ManualClock()
  let fileSystem: any FileSystem
  private(set) var store: StateStore?
  private(set) var keyspaces: [OrderedKeyspace] = []
  private(set) var contents = Contents()
  /// Contents of the keyspaces with a log after each batch, the last of them maybe only tried.
  private(set) var history: [[Model]] = [[[:], [:]]]
  /// The first of `history` that a crash may leave.
  private(set) var durableIndex = 0
  /// What the keyspace without a log may hold after a crash.
  private(set) var unloggedDurable: [Model] = [[:]]
  private let keyCount: Int

  init(seed: UInt64, fileSystem: any FileSystem, keyCount: Int = 60) {
    generator = SeededGenerator(seed: seed)
    self.fileSystem = fileSystem
    self.keyCount = keyCount
  }

  static func options(_ clock: ManualClock) -> StoreOptions {
    var options = StoreOptions(memoryBudget: 16 << 20, shards: 1, clock: clock)
    options.orderedMemtableBytesMax = 8 << 10
    // A footer alone has 4 KiB.
    options.orderedTableBytes = 12 << 10
    options.orderedBaseBytes = 16 << 10
    options.mergeLookInterval = 8
    options.fullDiskPatience = .zero
    return options
  }

  func open() throws {
    let store = try StateStore.open(
      at: "/state", options: Self.options(clock), fileSystem: fileSystem)
    self.store = store
    keyspaces = try Self.open(store)
  }

  static func open(_ store: StateStore) throws -> [OrderedKeyspace] {
    try names.map { name in
      try store.orderedKeyspace(
        name,
        OrderedKeyspaceOptions(
          isLogged: name != "plain", compression: name == "b" ? .none : .lz4,
          filterBitsPerKey: name == "b" ? 0 : 12))
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
    return number % 11 == 0 ? text + [UInt8](repeating: UInt8(number), count: 500) : text
  }

  private func value() -> [UInt8] {
    let count = [0, 3, 20, 100, 1_500, 6_000][draw(0...5)]
    return (0..<count).map { _ in UInt8.random(in: 0...3, using: &generator) }
  }

  // MARK: - Writing

  /// Writes a batch to the keyspaces with a log, or to the one without.
  func write() throws {
    guard let store else { return }
    let isLogged = draw(0...3) > 0
    var batch = WriteBatch()
    var next = contents
    for _ in 0..<draw(1...8) {
      let place = isLogged ? draw(0...1) : 2
      let key = key()
      let value = draw(0...3) == 0 ? nil : value()
      if let value {
        try batch.put(key, value, in: keyspaces[place])
      } else {
        try batch.remove(key, in: keyspaces[place])
      }
      if isLogged { next.logged[place][key] = value } else { next.unlogged[key] = value }
    }
    let durability: Durability = draw(0...4) == 0 ? .synchronized : .buffered
    if isLogged { history.append(next.logged) }
    try store.write(batch, durability: durability)
    contents = next
    if isLogged && durability == .synchronized { durableIndex = history.count - 1 }
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
  }

  func commit() throws {
    guard let store else { return }
    unloggedDurable.append(contents.unlogged)
    try store.commitEpoch()
    unloggedDurable = [contents.unlogged]
    durableIndex = history.count - 1
  }

  // MARK: - Comparing

  /// How a keyspace differs from a model, by its cursor in both directions and by single reads.
  static func difference(
    _ keyspace: OrderedKeyspace, _ model: Model, at snapshot: Snapshot? = nil
  ) throws -> String? {
    let keys = model.keys.sorted { $0.lexicographicallyPrecedes($1) }
    var found: [[UInt8]] = []
    var cursor = keyspace.cursor(at: snapshot)
    try cursor.seekToFirst()
    while cursor.isValid {
      let key = cursor.keyBytes
      if model[key] != cursor.valueBytes { return "\(keyspace.name): value of \(key)" }
      found.append(key)
      try cursor.moveNext()
    }
    if found != keys { return "\(keyspace.name): \(found.count) keys, not \(keys.count)" }
    found.removeAll()
    try cursor.seekToLast()
    while cursor.isValid {
      let key = cursor.keyBytes
      if model[key] != cursor.valueBytes { return "\(keyspace.name): value of \(key), going back" }
      found.append(key)
      try cursor.movePrevious()
    }
    if found != keys.reversed() { return "\(keyspace.name): \(found.count) keys, going back" }
    for key in keys where try keyspace.get(key, at: snapshot) != model[key] {
      return "\(keyspace.name): reading \(key)"
    }
    return nil
  }

  /// How the open store differs from the model.
  func difference() throws -> String? {
    for (keyspace, model) in zip(keyspaces, contents.logged + [contents.unlogged]) {
      if let difference = try Self.difference(keyspace, model) { return difference }
    }
    return nil
  }

  /// What is wrong with the state on a disk after a crash; `nil` when it was promised.
  ///
  /// - Parameter afterKill: whether all that was answered must be there.
  func problem(with disk: any FileSystem, afterKill: Bool = false) throws -> String? {
    let store = try StateStore.open(
      at: "/state", options: Self.options(clock), fileSystem: disk)
    let keyspaces = try Self.open(store)
    let possible = history[(afterKill ? history.count - 1 : durableIndex)...]
    var isFound = false
    for models in possible.reversed() where !isFound {
      isFound = try zip(keyspaces, models).allSatisfy { try Self.difference($0, $1) == nil }
    }
    if !isFound { return "no state of the log from \(durableIndex) to \(history.count - 1)" }
    isFound = false
    for model in unloggedDurable where !isFound {
      isFound = try Self.difference(keyspaces[2], model) == nil
    }
    if !isFound { return "the keyspace without a log is not as of an epoch" }
    // It goes on, and its new log follows the old one.
    try keyspaces[0].put([1, 2, 3], [4], durability: .synchronized)
    try store.close()
    let again = try StateStore.open(at: "/state", options: Self.options(clock), fileSystem: disk)
    guard try Self.open(again)[0].get([1, 2, 3]) == [4] else { return "a write after it is lost" }
    let damage = try ReadOnlyStore.open(at: "/state", fileSystem: disk).verify()
    return damage.isEmpty ? nil : "damage: \(damage)"
  }
}

struct ScriptFailure: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}
