import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// `lookup` shows the last `put`, wherever older entries of the key lie.
@Suite("Put, remove and lookup")
struct PutTests {
  /// Where an entry is taken before the next is written.
  enum Place: CaseIterable {
    case memtable, table, mergedTable, reopened
  }

  /// A store of one keyspace with small memtables.
  final class Fixture {
    let fileSystem = MemoryFileSystem()
    let options: KeyspaceOptions
    var store: StateStore
    var keyspace: HashedKeyspace
    private var filler: UInt64 = 1 << 40

    init(
      ttl: TimeToLive, lateness: Int64 = 10_000, mode: KeyMode = .fingerprint,
      log: LogPolicy = .epochs
    ) throws {
      options = KeyspaceOptions(
        keyMode: mode, valueWidth: 1, timeToLive: ttl, allowedLateness: lateness,
        compaction: .tiered(fanout: 32), log: log)
      store = try Self.open(fileSystem)
      keyspace = try store.keyspace("seen", options)
    }

    private static func open(_ fileSystem: MemoryFileSystem) throws -> StateStore {
      var options = StoreOptions(
        memoryBudget: StoreOptions.memoryBudgetMin, shards: 1, backgroundThreads: 1,
        fullDiskPatience: .zero)
      options.memtableSlotsMax = 128
      return try StateStore.open(at: "/state", options: options, fileSystem: fileSystem)
    }

    /// Takes what is in the memtable to another place.
    func move(to place: Place) throws {
      switch place {
      case .memtable: break
      case .table: try flush()
      case .mergedTable:
        try flush()
        try store.compact()
      case .reopened:
        try store.commitEpoch()
        try store.close()
        store = try Self.open(fileSystem)
        keyspace = try store.keyspace("seen", options)
      }
    }

    /// Fills the memtable with other keys, so that it is frozen and flushed.
    private func flush() throws {
      let before = store.statistics.flushes
      while store.statistics.flushes == before {
        let keys = (0..<20).map { StateStoreTests.key(filler + UInt64($0)) }
        filler += 20
        try keyspace.put(
          HashedKeyspace.batch(keys), times: keys.map { _ in 0 }, values: keys.map { _ in 9 })
        try store.waitUntilIdle()
      }
    }

    func value() throws -> UInt8? { try keyspace.lookup(PutTests.key)?.value.first }
  }

  private static let key: [UInt8] = [1, 2, 3]

  @Test(
    "the last put is seen from any place, whatever the times", arguments: Place.allCases,
    Place.allCases)
  func lastPut(first: Place, second: Place) throws {
    for (mode, log) in [
      (KeyMode.fingerprint, LogPolicy.epochs), (.exact, .everyBatch(synchronized: true)),
    ] {
      for ttl in [TimeToLive.forever, .milliseconds(1_000)] {
        for time: Int64 in [50, 100, 150] {
          let fixture = try Fixture(ttl: ttl, mode: mode, log: log)
          try fixture.keyspace.put(Self.key, time: 100, value: [1])
          try fixture.move(to: first)
          #expect(try fixture.value() == 1)
          try fixture.keyspace.put(Self.key, time: time, value: [2])
          #expect(try fixture.value() == 2)
          try fixture.move(to: second)
          #expect(try fixture.value() == 2)
          #expect(try fixture.keyspace.lookup(Self.key)?.time == time)
          try fixture.move(to: .mergedTable)
          try fixture.move(to: .reopened)
          #expect(try fixture.value() == 2)
          try fixture.store.close()
        }
      }
    }
  }

  @Test(
    "a removed key stays removed, and what is inserted later is seen", arguments: Place.allCases,
    Place.allCases)
  func removes(first: Place, second: Place) throws {
    let fixture = try Fixture(ttl: .milliseconds(1_000))
    try fixture.keyspace.put(Self.key, time: 100, value: [1])
    try fixture.move(to: first)
    try fixture.keyspace.remove(Self.key)
    #expect(try fixture.value() == nil)
    try fixture.move(to: second)
    #expect(try fixture.value() == nil)
    #expect(try fixture.keyspace.insertIfAbsent(Self.key, time: 40))
    for place in Place.allCases {
      #expect(try fixture.keyspace.lookup(Self.key)?.time == 40)
      try fixture.move(to: place)
    }
    #expect(try fixture.keyspace.lookup(Self.key)?.time == 40)
    try fixture.store.close()
  }

  @Test("a put hides inserts and puts that would live longer", arguments: Place.allCases)
  func expiredPut(place: Place) throws {
    let fixture = try Fixture(ttl: .milliseconds(10), lateness: 0)
    #expect(try fixture.keyspace.insertIfAbsent(Self.key, time: 100))
    try fixture.move(to: place)
    try fixture.keyspace.put(Self.key, time: 85, value: [2])
    for place in Place.allCases {
      #expect(try fixture.value() == nil, "it expired, and still hides")
      try fixture.move(to: place)
    }
    #expect(try fixture.value() == nil)
    try fixture.store.close()
  }

  @Test("of several entries the latest is seen, wherever they lie", arguments: Place.allCases)
  func severalEntries(place: Place) throws {
    let orders: [[Int64]] = [
      [100, 200, 300], [300, 200, 100], [200, 300, 100], [300, 100, 200], [100, 300, 200],
    ]
    for order in orders {
      for begins in [EntryKind.insert, .put] {
        let fixture = try Fixture(ttl: .milliseconds(50))
        for (index, time) in order.enumerated() {
          if index == 0 && begins == .put {
            try fixture.keyspace.put(Self.key, time: time, value: [UInt8(time / 100)])
          } else {
            let new = try fixture.keyspace.insertIfAbsent(
              HashedKeyspace.batch([Self.key]), times: [time], values: [UInt8(time / 100)])
            #expect(new[0])
          }
          if index == 0 { try fixture.move(to: place) }
          let latest = try fixture.keyspace.lookup(Self.key)
          #expect(latest?.time == order[...index].max())
          #expect(latest?.value == [UInt8((order[...index].max() ?? 0) / 100)])
        }
        for next in [Place.table, .mergedTable, .reopened] {
          try fixture.move(to: next)
          #expect(try fixture.value() == 3)
        }
        try fixture.store.close()
      }
    }
  }

  /// Puts, removes and inserts of few keys, in every place, against the model.
  @Test("random writes of few keys answer as the model", arguments: 0..<4)
  func randomWrites(part: Int) throws {
    for number in 0..<6 {
      var generator = SeededGenerator(seed: UInt64(100 * part + number))
      let fixture = try Fixture(
        ttl: part % 2 == 0 ? .milliseconds(40) : .forever, lateness: 200,
        mode: number % 2 == 0 ? .exact : .fingerprint)
      var model = KeyspaceModel(fixture.options)
      let keys = (0..<4).map { [UInt8($0)] }
      // What flushing puts in moves no watermark.
      try fixture.keyspace.put(keys, times: [500, 500, 500, 500], into: &model)
      for step in 0..<60 {
        let key = keys[Int.random(in: 0..<4, using: &generator)]
        let time = (model.largestTime ?? 0) + Int64.random(in: -250...30, using: &generator)
        let value = [UInt8.random(in: 1...255, using: &generator)]
        switch Int.random(in: 0..<10, using: &generator) {
        case 0..<3:
          try fixture.keyspace.put(key, time: time, value: value)
          model.put([key], times: [time], values: [value])
        case 3:
          try fixture.keyspace.remove(key)
          model.remove([key])
        case 4..<8:
          let new = try fixture.keyspace.insertIfAbsent(
            HashedKeyspace.batch([key]), times: [time], values: value)
          let expected = model.insert(key, time: time, value: value, late: .keep)
          #expect(new[0] == expected.isAccepted)
        default:
          try fixture.move(to: Place.allCases.randomElement(using: &generator) ?? .table)
        }
        let problem = try fixture.keyspace.difference(from: model, keys: keys)
        #expect(problem == nil, "part \(part), number \(number), step \(step)")
        if problem != nil { return }
      }
      try fixture.store.close()
    }
  }
}

extension HashedKeyspace {
  fileprivate func put(
    _ keys: [[UInt8]], times: [Int64], into model: inout KeyspaceModel
  ) throws {
    let values = keys.map { _ in [UInt8(1)] }
    try put(Self.batch(keys), times: times, values: Array(values.joined()))
    model.put(keys, times: times, values: values)
  }
}
