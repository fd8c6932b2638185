import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Holds the store's only background thread in the event of a flush, so that runs pile up.
private final class FlushGate: Sendable {
  private struct State {
    var isArmed = false
    var isHeld = false
    var mergedInputs: [Int] = []
  }

  private let monitor = Monitor()
  private let state = Mutex(State())

  func observe(_ event: StoreEvent) {
    switch event {
    case .merged(_, let inputs, _, _, _, _):
      state.withLock { $0.mergedInputs.append(inputs) }
    case .flushed:
      guard state.withLock({ $0.isArmed }) else { return }
      monitor.withLock {
        state.withLock { $0.isHeld = true }
        monitor.broadcast()
        while state.withLock({ $0.isArmed }) { monitor.wait() }
      }
    default: break
    }
  }

  func arm() { state.withLock { $0.isArmed = true } }

  func waitUntilHeld() {
    monitor.withLock { while state.withLock({ !$0.isHeld }) { monitor.wait() } }
  }

  func release() {
    monitor.withLock {
      state.withLock { $0.isArmed = false }
      monitor.broadcast()
    }
  }

  /// How many runs each merge so far took in.
  var mergedInputs: [Int] { state.withLock { $0.mergedInputs } }
}

@Suite("More runs than one merge takes")
struct ManyRunsTests {
  private static let keysPerRun = 60
  private static let runs = 100

  private static func batch(_ run: Int) throws -> KeyBatch {
    try HashedKeyspace.batch(
      (0..<keysPerRun).map { StateStoreTests.key(UInt64(run * keysPerRun + $0)) })
  }

  private static func values(_ run: Int) -> [UInt8] {
    (0..<(2 * keysPerRun)).map { UInt8(truncatingIfNeeded: run &* 7 &+ $0) }
  }

  private static func insert(_ run: Int, into keyspace: HashedKeyspace) throws {
    var decisions = [UInt8](repeating: 9, count: keysPerRun)
    try keyspace.insertIfAbsent(
      batch(run), times: [Int64](repeating: Int64(run), count: keysPerRun), values: values(run),
      late: .keep, decisions: &decisions)
    #expect(decisions.allSatisfy { $0 == InsertDecision.new.rawValue })
  }

  /// Everything but the newest run is frozen and flushed: a memtable holds one and a half.
  private func check(_ keyspace: HashedKeyspace) throws {
    for run in 0..<Self.runs {
      let batch = try Self.batch(run)
      let values = Self.values(run)
      for (index, entry) in try keyspace.lookup(batch).enumerated() {
        let found = try #require(entry, "run \(run), key \(index)")
        #expect(found.time == Int64(run))
        #expect(found.value == Array(values[(2 * index)..<(2 * index + 2)]))
      }
    }
    let absent = try keyspace.lookup(try Self.batch(Self.runs))
    #expect(absent.allSatisfy { $0 == nil })
  }

  @Test(
    "manual compaction of more than 64 runs of one window succeeds and keeps every answer",
    arguments: [TimeToLive.forever, .milliseconds(1 << 40)])
  func manualCompaction(ttl: TimeToLive) throws {
    let gate = FlushGate()
    let fileSystem = MemoryFileSystem()
    let keyspaceOptions = KeyspaceOptions(valueWidth: 2, timeToLive: ttl)
    var options = StoreOptions(
      memoryBudget: StoreOptions.memoryBudgetMin, shards: 1, backgroundThreads: 1,
      fullDiskPatience: .zero, onEvent: { gate.observe($0) })
    options.memtableSlotsMax = 128
    let store = try StateStore.open(at: "/state", options: options, fileSystem: fileSystem)
    let keyspace = try store.keyspace("seen", keyspaceOptions)
    // Runs younger than an epoch that is being committed are not merged: they pile up.
    let epoch = try store.beginEpoch()
    for run in 0..<(Self.runs - 2) { try Self.insert(run, into: keyspace) }
    try store.waitUntilIdle()
    #expect(gate.mergedInputs.isEmpty)
    gate.arm()
    for run in (Self.runs - 2)..<Self.runs { try Self.insert(run, into: keyspace) }
    gate.waitUntilHeld()
    epoch.abandon()
    try check(keyspace)

    try store.compact()
    let merged = gate.mergedInputs
    gate.release()
    #expect(merged.first == MergeCursor.sourcesMax)
    #expect(merged.count == 2, "64 runs, then what that made and all others")
    #expect(merged.reduce(0, +) >= Self.runs - 2)
    try check(keyspace)

    try store.commitEpoch()
    try check(keyspace)
    try store.close()
    options.shards = 3
    let again = try StateStore.open(at: "/state", options: options, fileSystem: fileSystem)
    try check(try again.keyspace("seen", keyspaceOptions))
    try again.close()
  }
}
