import InMemoryLogging
import Logging
import MetricsTestKit
import SedimentAsync
import SedimentIO
import SedimentObservability
import SedimentStore
import SedimentTestKit
import ServiceLifecycle
import ServiceLifecycleTestKit
import Testing

@Suite("A store as a service", .timeLimit(.minutes(30)))
struct StateStoreServiceTests {
  private static func makeService(
    _ fileSystem: any FileSystem, options: StateStoreService.Options,
    metrics: StoreMetrics? = nil, onEvent: (@Sendable (StoreEvent) -> Void)? = nil
  ) async throws -> (StateStoreService, InMemoryLogHandler) {
    let (logger, handler) = StoreEventLoggerTests.makeLogger()
    let service = try await StateStoreService.open(
      at: "/state",
      storeOptions: StoreOptions(
        memoryBudget: 16 << 20, shards: 1, fullDiskPatience: .zero, onEvent: onEvent,
        clock: ManualClock()),
      options: options, logger: logger, metrics: metrics, fileSystem: fileSystem)
    return (service, handler)
  }

  /// The epochs that events tell of.
  private static func epochs() -> (AsyncStream<UInt64>, @Sendable (StoreEvent) -> Void) {
    let (stream, continuation) = AsyncStream.makeStream(of: UInt64.self)
    return (
      stream,
      { event in
        if case .epochCommitted(let epoch, _) = event { continuation.yield(epoch) }
      }
    )
  }

  /// Opens the store again, which fails where it was not closed.
  private static func reopen(_ fileSystem: any FileSystem) throws -> StateStore {
    try StateStore.open(
      at: "/state", options: StoreOptions(memoryBudget: 16 << 20, shards: 1),
      fileSystem: fileSystem)
  }

  @Test func epochsAreCommittedAtTheIntervalAndAtTheEnd() async throws {
    let fileSystem = MemoryFileSystem()
    let clock = StepClock()
    let (epochs, onEvent) = Self.epochs()
    let (service, handler) = try await Self.makeService(
      fileSystem,
      options: StateStoreService.Options(
        epochInterval: .seconds(2), epochMetadata: { _ in [9] }, clock: clock),
      onEvent: onEvent)
    let seen = try await service.store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    try await testGracefulShutdown { trigger in
      async let running: Void = service.run()
      var epoch = epochs.makeAsyncIterator()
      for number in 1...2 as ClosedRange<UInt64> {
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(2))
        let committed = await epoch.next()
        #expect(committed == number)
      }
      // A set without a log: only an epoch keeps it.
      #expect(try await service.store.run { _ in try seen.insertIfAbsent([1], time: 0) })
      trigger.triggerGracefulShutdown()
      try await running
    }
    let store = try Self.reopen(fileSystem)
    #expect(store.lastEpoch.id.epoch == 3)
    #expect(store.lastEpoch.metadata == [9])
    #expect(try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever)).contains([1]))
    try store.close()
    let messages = handler.entries.map { "\($0.message)" }
    #expect(messages.first == "a store is held open")
    #expect(messages.last == "a store was closed")
  }

  @Test func withoutAnIntervalNoEpochIsCommittedAndTheStoreIsClosed() async throws {
    let fileSystem = MemoryFileSystem()
    let (service, _) = try await Self.makeService(
      fileSystem, options: StateStoreService.Options(clock: StepClock()))
    try await service.store.commitEpoch(metadata: [4])
    try await testGracefulShutdown { trigger in
      async let running: Void = service.run()
      trigger.triggerGracefulShutdown()
      try await running
    }
    let store = try Self.reopen(fileSystem)
    #expect(store.lastEpoch.id.epoch == 1)
    #expect(store.lastEpoch.metadata == [4])
    try store.close()
  }

  @Test func metadataOfTheLastEpochAreKept() async throws {
    let fileSystem = MemoryFileSystem()
    let (service, _) = try await Self.makeService(
      fileSystem,
      options: StateStoreService.Options(epochInterval: .seconds(1), clock: StepClock()))
    try await service.store.commitEpoch(metadata: [4])
    try await testGracefulShutdown { trigger in
      async let running: Void = service.run()
      trigger.triggerGracefulShutdown()
      try await running
    }
    let store = try Self.reopen(fileSystem)
    #expect(store.lastEpoch.id.epoch == 2)
    #expect(store.lastEpoch.metadata == [4])
    try store.close()
  }

  @Test func statisticsAreLookedAtAtTheInterval() async throws {
    let clock = StepClock()
    let factory = TestMetrics()
    let (service, _) = try await Self.makeService(
      MemoryFileSystem(),
      options: StateStoreService.Options(metricsInterval: .seconds(5), clock: clock),
      metrics: StoreMetrics(factory: factory))
    try await service.store.commitEpoch()
    try await testGracefulShutdown { trigger in
      async let running: Void = service.run()
      await clock.waitForSleepers(1)
      #expect(try factory.expectCounter("sediment_epochs_total").totalValue == 0)
      clock.advance(by: .seconds(5))
      // It sleeps again when it has looked.
      await clock.waitForSleepers(1)
      #expect(try factory.expectCounter("sediment_epochs_total").totalValue == 1)
      try await service.store.commitEpoch()
      trigger.triggerGracefulShutdown()
      try await running
    }
    // And once more at the end.
    #expect(try factory.expectCounter("sediment_epochs_total").totalValue == 2)
  }

  @Test func aServiceThatIsCancelledClosesTheStoreWithoutAnEpoch() async throws {
    let fileSystem = MemoryFileSystem()
    let (service, _) = try await Self.makeService(
      fileSystem,
      options: StateStoreService.Options(epochInterval: .seconds(1), clock: StepClock()))
    let task = Task { try await service.run() }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    let store = try Self.reopen(fileSystem)
    #expect(store.lastEpoch.id.epoch == 0)
    try store.close()
  }

  @Test func aFullDiskGivesOneEpochUp() async throws {
    let fileSystem = FaultInjectingFileSystem(MemoryFileSystem())
    let clock = StepClock()
    let (epochs, onEvent) = Self.epochs()
    let (service, handler) = try await Self.makeService(
      fileSystem,
      options: StateStoreService.Options(epochInterval: .seconds(2), clock: clock),
      onEvent: onEvent)
    let seen = try await service.store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    #expect(try await service.store.run { _ in try seen.insertIfAbsent([1], time: 0) })
    try await testGracefulShutdown { trigger in
      async let running: Void = service.run()
      await clock.waitForSleepers(1)
      fileSystem.arm([.noSpace(.write, number: 1, isSticky: true, pathPart: ".log")])
      clock.advance(by: .seconds(2))
      // It sleeps again when it has given the epoch up.
      await clock.waitForSleepers(1)
      #expect(service.store.base.lastEpoch.id.epoch == 0)
      fileSystem.arm([])
      clock.advance(by: .seconds(2))
      var epoch = epochs.makeAsyncIterator()
      let committed = await epoch.next()
      #expect(committed == 1)
      trigger.triggerGracefulShutdown()
      try await running
    }
    let warnings = handler.entries.filter { $0.level == .warning }.map { "\($0.message)" }
    #expect(warnings.contains("an epoch was given up; the next one takes in what it held"))
    let store = try Self.reopen(fileSystem)
    #expect(try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever)).contains([1]))
    try store.close()
  }

  @Test func aFailureOfAnEpochEndsTheServiceAndClosesTheStore() async throws {
    let fileSystem = FaultInjectingFileSystem(MemoryFileSystem())
    let clock = StepClock()
    let (service, _) = try await Self.makeService(
      fileSystem, options: StateStoreService.Options(epochInterval: .seconds(2), clock: clock))
    await testGracefulShutdown { _ in
      let task = Task { try await service.run() }
      await clock.waitForSleepers(1)
      fileSystem.arm([.inputOutput(.synchronizeFile, number: 1, isSticky: true)])
      clock.advance(by: .seconds(2))
      await #expect(throws: StoreError.self) { try await task.value }
    }
    fileSystem.arm([])
    try Self.reopen(fileSystem).close()
  }

  @Test func aGroupClosesTheStoreAfterItsOtherServices() async throws {
    struct Writer: Service {
      let keyspace: AsyncOrderedKeyspace
      let started: AsyncStream<Void>.Continuation

      func run() async throws {
        started.yield()
        try await gracefulShutdown()
        // The store is still there.
        try await keyspace.put([1], [1])
      }
    }
    let fileSystem = MemoryFileSystem()
    let (service, _) = try await Self.makeService(
      fileSystem, options: StateStoreService.Options(clock: StepClock()))
    let keyspace = try await service.store.orderedKeyspace("a")
    let (starts, started) = AsyncStream.makeStream(of: Void.self)
    let group = ServiceGroup(
      services: [service, Writer(keyspace: keyspace, started: started)],
      logger: StoreEventLoggerTests.makeLogger().0)
    async let running: Void = group.run()
    var start = starts.makeAsyncIterator()
    _ = await start.next()
    await group.triggerGracefulShutdown()
    try await running
    let store = try Self.reopen(fileSystem)
    #expect(try store.orderedKeyspace("a").get([1]) == [1])
    try store.close()
  }
}
