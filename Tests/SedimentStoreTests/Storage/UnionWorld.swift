import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// A store a partition, whose number changes: by key groups, or by whatever a producer makes of the
/// key. What is inserted is held against a dictionary.
struct UnionWorld {
  static let timeToLive: Int64 = 8_000
  static let keyCount = 600
  private static let seed = HashSeed(first: 1, second: 2)

  let isByRange: Bool
  let clock = ManualClock(millis: 1_700_000_000_000)
  let disk = MemoryFileSystem()
  var random: SeededGenerator
  private(set) var identities: [StoreIdentity] = []
  /// When each key was inserted last.
  private(set) var times: [Int: Int64] = [:]
  private(set) var now: Int64 = 1
  private var generation = 0

  init(partitions: Int, isByRange: Bool, seed: UInt64) {
    self.isByRange = isByRange
    random = SeededGenerator(seed: seed)
    identities = (0..<partitions).map { StoreIdentity(high: 1, low: UInt64($0)) }
  }

  var count: Int { identities.count }

  // MARK: - Keys

  static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }

  /// The partition of a key, of so many.
  func partition(of number: Int) -> Int {
    guard isByRange else { return (number &* 31 &+ generation) % count }
    let bytes = Self.key(number)
    let hasher = KeyHasher(seed: Self.seed)
    let high = unsafe bytes.withUnsafeBytes { unsafe hasher.hash($0) }.high
    return KeyGroupRange.split(into: count).firstIndex { $0.hashRange.contains(high) } ?? 0
  }

  // MARK: - Stores

  /// Opens a partition's store, which comes from the storage if it was ever there.
  func open(_ partition: Int, from storage: any CheckpointStorage) throws -> StateStore {
    let path = "/\(generation)/\(partition)"
    let identity = identities[partition]
    let isThere = try CheckpointArea(storage, of: identity).sequences().isEmpty == false
    let isHere = (try? disk.openDirectory(at: path, creating: false)) != nil
    if isThere, !isHere {
      try StateStore.restore(
        from: storage, of: identity, to: path, transfers: 1, fileSystem: disk, clock: clock)
    }
    return try Self.open(path, identity, disk, clock)
  }

  private static func open(
    _ path: String, _ identity: StoreIdentity, _ disk: MemoryFileSystem, _ clock: ManualClock
  ) throws -> StateStore {
    var options = CheckpointHarness.options()
    options.clock = clock
    options.shards = 1
    // A few rounds fill a memtable.
    options.memtableSlotsMax = 128
    return try StateStore.open(
      at: path, options: options, seed: seed, identity: identity, fileSystem: disk)
  }

  static func keyspace(of store: StateStore) throws -> HashedKeyspace {
    try store.keyspace("seen", KeyspaceOptions(timeToLive: .milliseconds(timeToLive)))
  }

  /// Inserts keys as they come, each where it belongs, and makes checkpoints.
  mutating func run(rounds: Int, to storage: any CheckpointStorage) throws {
    let stores = try (0..<count).map { try open($0, from: storage) }
    for _ in 0..<rounds {
      for partition in stores.indices {
        let keyspace = try Self.keyspace(of: stores[partition])
        try insert(Int.random(in: 0...40, using: &random), into: keyspace, of: partition)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: try stores[partition].compact()
        case 1: try stores[partition].checkpoint(to: storage)
        default: break
        }
      }
      now += Int64.random(in: 0...1_000, using: &random)
    }
    for store in stores {
      try store.checkpoint(to: storage)
      try store.close()
    }
  }

  private mutating func insert(
    _ keys: Int, into keyspace: HashedKeyspace, of partition: Int
  ) throws {
    for _ in 0..<keys {
      let number = Int.random(in: 0..<Self.keyCount, using: &random)
      guard self.partition(of: number) == partition else { continue }
      now += 1
      let isNew = try keyspace.insertIfAbsent(Self.key(number), time: now)
      let wasSeen = times[number].map { now - $0 < Self.timeToLive } ?? false
      #expect(isNew == !wasSeen, "key \(number) at \(now), seen at \(times[number] ?? -1)")
      if isNew { times[number] = now }
    }
  }

  // MARK: - Another number of partitions

  /// The identities that another number of partitions has.
  func next(_ partitions: Int) -> [StoreIdentity] {
    (0..<partitions).map { StoreIdentity(high: UInt64(generation) + 2, low: UInt64($0)) }
  }

  /// Makes the checkpoints of the next generation.
  func rescale(to partitions: Int, in storage: any CheckpointStorage) throws {
    let claims = try identities.map {
      try #require(try CheckpointClaim.take($0, in: storage, clock: clock))
    }
    let before = KeyGroupRange.split(into: count).map(\.hashRange)
    let after = KeyGroupRange.split(into: partitions).map(\.hashRange)
    var made: [CheckpointUnion.Made] = []
    for (index, identity) in next(partitions).enumerated() {
      let sources = zip(claims, before).compactMap { claim, range in
        guard isByRange else { return CheckpointUnion.Source(claim) }
        return range.overlaps(after[index])
          ? CheckpointUnion.Source(claim, range: range.clamped(to: after[index])) : nil
      }
      made.append(
        try CheckpointUnion(
          of: sources, in: storage, as: identity, behind: claims.map(\.sequence).max() ?? 0,
          metadata: [UInt8(index)], clock: clock, transfers: 1
        ).publish())
    }
    for claim in claims {
      #expect(try claim.isLast())
      #expect(made.allSatisfy { $0.sequence > claim.sequence })
      claim.release()
    }
    #expect(try made.allSatisfy { try $0.isLast() })
  }

  /// Goes over to it.
  mutating func adopt(_ partitions: Int) {
    identities = next(partitions)
    generation += 1
  }

  /// Checks that every key that counts is where it belongs, and no other.
  func check(_ storage: any CheckpointStorage, _ comment: Comment, compacting: Bool) throws {
    for partition in 0..<count {
      #expect(
        try StoredCheckpoints(in: storage, of: identities[partition], clock: clock).verify()
          .isEmpty, comment)
      let disk = MemoryFileSystem()
      try StateStore.restore(
        from: storage, of: identities[partition], to: "/state", transfers: 1, fileSystem: disk,
        clock: clock)
      let store = try Self.open("/state", identities[partition], disk, clock)
      let keyspace = try Self.keyspace(of: store)
      try check(keyspace, partition, comment)
      if compacting {
        try store.compact()
        try check(keyspace, partition, comment)
      }
      try store.close()
    }
  }

  private func check(_ keyspace: HashedKeyspace, _ partition: Int, _ comment: Comment) throws {
    for number in 0..<Self.keyCount where self.partition(of: number) == partition {
      let found = try keyspace.lookup(Self.key(number))
      guard let time = times[number] else {
        #expect(found == nil, comment)
        continue
      }
      if now - time < Self.timeToLive {
        #expect(found?.time == time, comment)
      } else {
        // It may count still, for records that come late.
        #expect(found == nil || found?.time == time, comment)
      }
    }
  }
}
