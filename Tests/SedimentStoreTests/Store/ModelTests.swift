import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Random runs against a dictionary. A failure names its seed: `ModelRun(seed:)` replays it.
@Suite("Store against a model")
struct ModelTests {
  static let runs = 200

  @Test("random operations under random configurations answer as the model", arguments: 0..<8)
  func randomRuns(part: Int) throws {
    for number in 0..<(Self.runs / 8) {
      let seed = UInt64(part * 1_000 + number)
      if let failure = try ModelRun(seed: seed).run() {
        Issue.record("seed \(seed): \(failure)")
        return
      }
    }
  }

  @Test("insert-only runs answer as the oracle of the test kit", arguments: 0..<4)
  func insertsAgainstOracle(part: Int) throws {
    for number in 0..<10 {
      let seed = UInt64(100_000 + part * 100 + number)
      var workload = RandomWorkload(seed: seed)
      let store = try StateStore.open(
        at: "/state", options: workload.storeOptions(), fileSystem: MemoryFileSystem())
      let keyspace = try store.keyspace("seen", workload.options)
      var oracle = DedupOracle(
        ttlMillis: KeyspaceModel(workload.options).ttl,
        latenessMillis: workload.options.allowedLateness)
      for round in 0..<30 {
        let keys = workload.drawKeys(workload.drawBatchSize())
        let times = workload.drawTimes(keys.count)
        let new = try keyspace.insertIfAbsent(HashedKeyspace.batch(keys), times: times)
        for index in keys.indices {
          let expected = oracle.decide(key: keys[index], time: times[index])
          #expect(
            new[index] == expected.isEmitted, "seed \(seed), round \(round), record \(index)")
        }
        if round % 5 == 4 { try store.commitEpoch() }
      }
      try store.close()
    }
  }
}

/// One random run: a store, its model, and the model as of the last epoch.
final class ModelRun {
  private var workload: RandomWorkload
  private let fileSystem = MemoryFileSystem()
  private var store: StateStore
  private var keyspace: HashedKeyspace
  private var model: KeyspaceModel
  private var durable: KeyspaceModel
  private var position: UInt8 = 0
  private var log: [String] = []

  init(seed: UInt64) throws {
    workload = RandomWorkload(seed: seed)
    store = try StateStore.open(
      at: "/state", options: workload.storeOptions(), fileSystem: fileSystem)
    keyspace = try store.keyspace("seen", workload.options)
    model = KeyspaceModel(workload.options)
    durable = model
  }

  /// - Returns: what went wrong and what led to it; `nil` when nothing did.
  func run() throws -> String? {
    let steps = workload.batchMax > 1_000 ? 40 : 120
    for _ in 0..<steps {
      if let failure = try step() {
        return "\(failure)\n\(workload.options)\nslots \(workload.slotsMax)\n"
          + log.suffix(25).joined(separator: "\n")
      }
    }
    let failure = try compareAll()
    try store.close()
    return failure
  }

  private func step() throws -> String? {
    switch Int.random(in: 0..<100, using: &workload.generator) {
    case 0..<55: return try insert()
    case 55..<65: try put()
    case 65..<72: try remove()
    case 72..<84: return try compareSome()
    case 84..<93: try commit()
    case 93..<95:
      log.append("compact")
      try store.compact()
    case 95..<97: try reopen()
    case 97: try abandon()
    case 98:
      log.append("idle")
      try store.waitUntilIdle()
    default: return try compareAll()
    }
    return nil
  }

  private func insert() throws -> String? {
    let keys = workload.drawKeys(workload.drawBatchSize())
    let times = workload.drawTimes(keys.count)
    let values = workload.drawValues(keys.count)
    let late: LatePolicy = Bool.random(using: &workload.generator) ? .keep : .refuse
    log.append("insert \(keys.count) to \(times.max() ?? 0)")
    var decisions = [UInt8](repeating: 9, count: keys.count)
    try keyspace.insertIfAbsent(
      HashedKeyspace.batch(keys), times: times, values: values.map { Array($0.joined()) },
      late: late, decisions: &decisions)
    for index in keys.indices {
      let before = model.live(keys[index])
      let expected = model.insert(
        keys[index], time: times[index], value: values?[index], late: late)
      if decisions[index] != expected.rawValue {
        return "record \(index) of \(keys.count), key \(keys[index]) at \(times[index]): "
          + "decision \(decisions[index]), not \(expected); entries \(before)"
      }
    }
    return nil
  }

  private func put() throws {
    let keys = workload.drawKeys(min(workload.drawBatchSize(), 200))
    let times = workload.drawTimes(keys.count)
    let values = workload.drawValues(keys.count)
    log.append("put \(keys.count)")
    try keyspace.put(
      HashedKeyspace.batch(keys), times: times, values: values.map { Array($0.joined()) })
    model.put(keys, times: times, values: values)
  }

  private func remove() throws {
    let keys = workload.drawKeys(min(workload.drawBatchSize(), 200))
    log.append("remove \(keys.count)")
    try keyspace.remove(HashedKeyspace.batch(keys))
    model.remove(keys)
  }

  private func commit() throws {
    position &+= 1
    log.append("commit \(position)")
    try store.commitEpoch(metadata: [position])
    durable = model
  }

  private func abandon() throws {
    log.append("abandon an epoch")
    try store.beginEpoch(metadata: [255]).abandon()
  }

  /// Closes or is killed, and goes on from what is durable.
  private func reopen() throws {
    let isLogged = workload.options.log != .epochs
    let options = workload.storeOptions()
    log.append("reopen with \(options.shards) shards")
    try store.close()
    store = try StateStore.open(at: "/state", options: options, fileSystem: fileSystem)
    keyspace = try store.keyspace("seen", workload.options)
    if !isLogged { model = durable }
  }

  private func compareSome() throws -> String? {
    let keys = workload.drawKeys(50)
    return try keyspace.difference(from: model, keys: keys)
  }

  private func compareAll() throws -> String? {
    let all = (0..<workload.keyCount).map { workload.key($0) }
    return try keyspace.difference(from: model, keys: all)
  }
}
