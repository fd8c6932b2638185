import SedimentAsync
import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("The asynchronous face of a store", .timeLimit(.minutes(30)))
struct AsyncStateStoreTests {
  private static func open(
    _ fileSystem: any FileSystem, threads: StoreThreads = StoreThreads()
  ) async throws(StoreError) -> AsyncStateStore {
    try await AsyncStateStore.open(
      at: "/state",
      options: StoreOptions(memoryBudget: 16 << 20, shards: 1, clock: ManualClock()),
      threads: threads, fileSystem: fileSystem)
  }

  private static func code(
    _ body: () async throws(StoreError) -> Void
  ) async -> StoreError.Code? {
    do throws(StoreError) {
      try await body()
      return nil
    } catch {
      return error.code
    }
  }

  @Test func keysAndValuesAreThoseOfTheBlockingFace() async throws {
    let fileSystem = MemoryFileSystem()
    let store = try await Self.open(fileSystem)
    let keyspace = try await store.orderedKeyspace("a")
    try await keyspace.put([1], [10])
    #expect(try await keyspace.get([1]) == [10])
    #expect(try await keyspace.insertIfAbsent([1], [11]) == false)
    #expect(try await keyspace.insertIfAbsent([2], [20], durability: .synchronized))
    #expect(try await keyspace.compareAndSet([1], expected: [10], to: [12]))
    #expect(try await keyspace.compareAndSet([1], expected: [10], to: nil) == false)
    var batch = WriteBatch()
    try batch.put([3], [30], in: keyspace.base)
    try batch.put([4], [40], in: keyspace.base)
    try await store.write(batch)
    let snapshot = store.base.snapshot()
    try await keyspace.remove([3])
    #expect(
      try await keyspace.values(of: [[1], [2], [3], [4], [5]]) == [[12], [20], nil, [40], nil])
    #expect(try await keyspace.values(of: [[3]], at: snapshot) == [[30]])
    #expect(try await keyspace.get([3], at: snapshot) == [30])
    #expect(try await keyspace.contains([3], at: snapshot))
    #expect(try await keyspace.contains([3]) == false)
    #expect(try keyspace.base.get([4]) == [40])
    let count = try await keyspace.ingest { input in
      for key in UInt8(10)..<20 { try input.add([key], [key]) }
    }
    #expect(count == 10)
    #expect(try await keyspace.get([19]) == [19])
    struct Refusal: Error {}
    await #expect(throws: Refusal.self) {
      try await keyspace.ingest { input in
        try input.add([30], [30])
        throw Refusal()
      }
    }
    #expect(try await keyspace.get([30]) == nil)
    try await store.close()

    let again = try await Self.open(fileSystem)
    let found = try await again.orderedKeyspace("a")
    #expect(try await found.values(of: [[1], [2], [3], [4]]) == [[12], [20], nil, [40]])
    try await again.close()
  }

  @Test func epochsCheckpointsAndMaintenanceAreThoseOfTheStore() async throws {
    let fileSystem = MemoryFileSystem()
    let store = try await Self.open(fileSystem)
    let keyspace = try await store.orderedKeyspace("a")
    let seen = try await store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    try await keyspace.put([1], [1])
    #expect(try await store.run { _ in try seen.insertIfAbsent([1], time: 0) })
    try await store.synchronizeLog()
    let first = try await store.commitEpoch(metadata: [7])
    #expect(store.base.lastEpoch.metadata == [7])
    let pending = try await store.beginEpoch(metadata: [8])
    #expect(store.base.lastEpoch.id == first)
    let second = try await store.commit(pending)
    #expect(store.base.lastEpoch.id == second)
    try await store.flush()
    try await store.compact()
    try await store.waitUntilIdle()
    #expect(store.base.statistics.flushes == 1)
    let checkpoint = try await store.checkpoint(to: "/backup")
    let savepoint = try await store.savepoint(to: "/savepoint")
    #expect(checkpoint.keyspaceNames == savepoint.keyspaceNames)
    try await store.close()

    try await AsyncStateStore.restore(
      checkpoint: CheckpointReference(path: "/backup"), to: "/restored", fileSystem: fileSystem)
    let restored = try await AsyncStateStore.open(
      at: "/restored", options: StoreOptions(memoryBudget: 16 << 20, shards: 1),
      fileSystem: fileSystem)
    #expect(try await restored.orderedKeyspace("a").get([1]) == [1])
    try await restored.close()
  }

  @Test func anEpochThatIsNotConfirmedIsGoneBackBehind() async throws {
    let fileSystem = MemoryFileSystem()
    var options = StoreOptions(memoryBudget: 16 << 20, shards: 1, clock: ManualClock())
    options.confirmsEpochs = true
    let store = try await AsyncStateStore.open(
      at: "/state", options: options, fileSystem: fileSystem)
    let seen = try await store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    for number in UInt8(1)...3 {
      #expect(try await store.run { _ in try seen.insertIfAbsent([number], time: 0) })
      try await store.commitEpoch(metadata: [number])
      if number == 1 { try await store.confirmEpoch() }
    }
    let refused = await Self.code { () async throws(StoreError) in
      try await store.confirmEpoch(9)
    }
    #expect(refused == .invalidArgument)
    try await store.close()
    let back = try await AsyncStateStore.open(
      at: "/state", options: options, epoch: 2, fileSystem: fileSystem)
    #expect(back.base.lastEpoch.metadata == [2])
    try await back.close()
  }

  @Test func errorsAreThoseOfTheStore() async throws {
    let fileSystem = MemoryFileSystem()
    let store = try await Self.open(fileSystem)
    let keyspace = try await store.orderedKeyspace("a")
    let taken = await Self.code { () async throws(StoreError) in
      _ = try await Self.open(fileSystem)
    }
    guard case .locked = taken else {
      Issue.record("a second opener met \(String(describing: taken))")
      return
    }
    #expect(
      await Self.code { () async throws(StoreError) in
        _ = try await store.orderedKeyspace("a", OrderedKeyspaceOptions(isLogged: false))
      } == .optionsDiffer)
    #expect(
      await Self.code { () async throws(StoreError) in
        try await keyspace.put([UInt8](repeating: 0, count: 65_537), [])
      } == .invalidArgument)
    try await store.close()
    #expect(
      await Self.code { () async throws(StoreError) in try await keyspace.put([1], [1]) }
        == .closed)
  }

  /// A store whose log waits at a gate from here on.
  private static func openHeld(
    _ gate: Gate, threads: StoreThreads
  ) async throws -> (AsyncStateStore, AsyncOrderedKeyspace) {
    let fileSystem = FaultInjectingFileSystem(MemoryFileSystem())
    let store = try await open(fileSystem, threads: threads)
    let keyspace = try await store.orderedKeyspace("a")
    try await keyspace.put([0], [0], durability: .synchronized)
    fileSystem.interrupt { operation, path in
      if operation == .synchronizeFile, path.hasSuffix(".log") { gate.pass() }
    }
    return (store, keyspace)
  }

  @Test("calls that wait for the disk hold no thread of the pool, and no lookup")
  func thePoolIsFreeWhileTheDiskIsNot() async throws {
    let gate = Gate()
    let (store, keyspace) = try await Self.openHeld(gate, threads: StoreThreads(writing: 3))
    try await withThrowingTaskGroup(of: Void.self) { group in
      // More than there are processors, and than threads of the store.
      for key in 1...100 {
        group.addTask {
          try await keyspace.put([UInt8(key)], [UInt8(key)], durability: .synchronized)
        }
      }
      await gate.waitForArrivals()
      // With a pool that waits none of these would end before the gate is open.
      let sum = await withTaskGroup(of: Int.self) { others in
        for number in 1...100 { others.addTask { number } }
        return await others.reduce(0, +)
      }
      #expect(sum == 5050)
      #expect(try await keyspace.get([0]) == [0])
      gate.open()
      try await group.waitForAll()
    }
    for key in 1...100 { #expect(try await keyspace.get([UInt8(key)]) == [UInt8(key)]) }
    try await store.close()
  }

  @Test func aWriteThatIsCancelledBeforeItsTurnIsNotDone() async throws {
    let gate = Gate()
    let (store, keyspace) = try await Self.openHeld(gate, threads: StoreThreads(writing: 1))
    let begun = Task { try await keyspace.put([1], [1], durability: .synchronized) }
    await gate.waitForArrivals()
    let waiting = Task { try await keyspace.put([2], [2]) }
    waiting.cancel()
    begun.cancel()
    let refused = await waiting.result
    gate.open()
    // What was begun tells that it was done.
    try await begun.value
    #expect(throws: StoreError.self) { try refused.get() }
    #expect(try await keyspace.values(of: [[1], [2]]) == [[1], nil])
    try await store.close()
  }

  @Test func closeIsNotStoppedByCancellation() async throws {
    let fileSystem = MemoryFileSystem()
    let store = try await Self.open(fileSystem)
    let task = Task {
      cancelCurrentTask()
      try await store.close()
    }
    try await task.value
    // The directory is free.
    let again = try await Self.open(fileSystem)
    try await again.close()
  }
}
