import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// What a store does when its surroundings fail, or end it, at an awkward moment.
@Suite struct StoreFailureTests {
  static func open(
    _ fileSystem: any FileSystem, slots: Int = .max, patience: Duration = .zero
  ) throws -> StateStore {
    var options = StoreOptions(
      memoryBudget: 8 << 20, shards: 2, backgroundThreads: 1, fullDiskPatience: patience)
    options.memtableSlotsMax = slots
    return try StateStore.open(at: "/state", options: options, fileSystem: fileSystem)
  }

  static func batch(_ ids: Range<UInt64>) throws -> KeyBatch {
    let batch = KeyBatch()
    for id in ids { try batch.append(StateStoreTests.key(id)) }
    return batch
  }

  static func insert(_ ids: Range<UInt64>, into keyspace: HashedKeyspace) throws -> Int {
    try keyspace.insertIfAbsent(try batch(ids), times: ids.map { Int64($0) }).newCount
  }

  @Test func closingDoesNotWaitForAWriterThatWaitsForAFullDisk() throws {
    let faulty = FaultInjectingFileSystem(MemoryFileSystem())
    let store = try Self.open(faulty, slots: 256, patience: .seconds(3600))
    let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    faulty.arm([.noSpace(.write, number: 1, isSticky: true)])
    let outcome = Mutex<StoreError.Code?>(nil)
    let monitor = Monitor()
    let thread = try SystemThread(name: "writer") {
      do {
        for round in 0..<1000 as Range<UInt64> {
          _ = try Self.insert(round * 100..<(round + 1) * 100, into: seen)
        }
      } catch {
        outcome.withLock { $0 = (error as? StoreError)?.code }
      }
      monitor.withLock { monitor.broadcast() }
    }
    // The disk was found full once: the memtables behind it fill, and the writer waits.
    while faulty.firedCount == 0 { _ = monitor.withLock { monitor.wait(nanoseconds: 1_000_000) } }
    // It cannot note its end on the full disk either; that it ends is what counts.
    #expect(throws: StoreError.self) { try store.close() }
    thread.join()
    #expect(outcome.withLock { $0 } == .closed)
  }

  @Test func anEpochIsNotCommittedBehindTheBackOfClosing() throws {
    let memory = MemoryFileSystem()
    let store = try Self.open(memory)
    let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    try store.commitEpoch()
    _ = try Self.insert(0..<10, into: seen)
    let pending = try store.beginEpoch()
    try store.close()
    let error = #expect(throws: StoreError.self) { try pending.commit() }
    #expect(error?.code == .closed)
    let again = try Self.open(memory)
    #expect(again.lastEpoch.id.epoch == 1)
    try again.close()
  }

  @Test func committersAndCheckpointsOfSeveralThreadsTakeTurns() throws {
    let memory = MemoryFileSystem()
    let store = try Self.open(memory, slots: 256)
    let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    let failures = Mutex<[String]>([])
    let threads = try (0..<3 as Range<UInt64>).map { number in
      try JoinedThread {
        do {
          for round in 0..<30 as Range<UInt64> {
            let first = number << 32 | round * 50
            _ = try Self.insert(first..<first + 50, into: seen)
            if number == 0 {
              try store.checkpoint(to: "/backups")
            } else {
              try store.commitEpoch()
            }
          }
        } catch {
          failures.withLock { $0.append("\(error)") }
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(failures.withLock { $0 } == [])
    #expect(store.lastEpoch.id.epoch == 90)
    try store.close()
  }

  @Test func aFailedSyncOfTheLogFailsTheBatchesBehindItToo() throws {
    let faulty = FaultInjectingFileSystem(MemoryFileSystem())
    let directory = try faulty.openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(directory: directory, name: "a", kind: .entries, fileID: 7)
    faulty.arm([.inputOutput(.synchronizeFile, number: 1)])
    log.append(type: 1, ByteWriter())
    let first = #expect(throws: FileError.self) { try log.synchronize() }
    log.append(type: 1, ByteWriter())
    let second = #expect(throws: FileError.self) { try log.synchronize() }
    #expect(first == second, "the system reports a lost page once, the log for ever")
    #expect(throws: FileError.self) { try log.synchronizeWritten() }
  }

  @Test func anAcknowledgementThatDoesNotFitTheDiskFailsNothing() throws {
    let faulty = FaultInjectingFileSystem(MemoryFileSystem())
    let directory = try faulty.openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(directory: directory, name: "a", kind: .entries, fileID: 7)
    log.append(type: 1, ByteWriter())
    try log.synchronize()
    faulty.arm([.noSpace(.write, number: 1)])
    log.acknowledge()
    #expect(faulty.firedCount == 1)
    log.append(type: 2, ByteWriter())
    try log.synchronize()
    log.close()
    var reader = try RecordLogReader(
      directory: directory, name: "a", kind: .entries, fileID: 7)
    #expect(try reader.next(committedLength: log.length)?.type == 1)
    #expect(try reader.next(committedLength: log.length)?.type == 2)
    #expect(reader.offset == log.length)
  }

  @Test func aMergeSynchronisesNothingAndTheEpochThatNamesItDoes() throws {
    let faulty = FaultInjectingFileSystem(MemoryFileSystem())
    let store = try Self.open(faulty, slots: 256)
    let seen = try store.keyspace(
      "seen", KeyspaceOptions(timeToLive: .forever, compaction: .tiered(fanout: 32)))
    for round in 0..<4 as Range<UInt64> {
      _ = try Self.insert(round * 150..<(round + 1) * 150, into: seen)
      try store.commitEpoch()
    }
    try store.waitUntilIdle()
    faulty.arm([.inputOutput(.synchronizeFile, number: 1)])
    try store.compact()
    #expect(faulty.firedCount == 0)
    // Nothing is left to be logged: the first file that is synchronised is the merged table.
    let failure = #expect(throws: StoreError.self) { try store.commitEpoch() }
    #expect(failure?.message.contains(".sst") == true)
    #expect(faulty.firedCount == 1)
    let error = #expect(throws: StoreError.self) { try Self.insert(0..<1, into: seen) }
    #expect(error?.code == .poisoned)
    try store.close()
  }

  @Test func aMergeThatGivesWayToAFlushOnAFullDiskEndsAndCanBeMadeAgain() throws {
    let faulty = FaultInjectingFileSystem(MemoryFileSystem())
    var options = StoreOptions(
      memoryBudget: 8 << 20, shards: 1, backgroundThreads: 1, fullDiskPatience: .zero)
    options.memtableSlotsMax = 256
    options.mergeLookInterval = 1
    let store = try StateStore.open(at: "/state", options: options, fileSystem: faulty)
    let seen = try store.keyspace(
      "seen", KeyspaceOptions(timeToLive: .forever, compaction: .tiered(fanout: 32)))
    for round in 0..<4 as Range<UInt64> {
      _ = try Self.insert(round * 150..<(round + 1) * 150, into: seen)
      try store.commitEpoch()
    }
    try store.waitUntilIdle()
    faulty.arm([.noSpace(.write, number: 1, isSticky: true)])
    // Fills the memtable and a part of the next: the first one's flush is tried again and again.
    _ = try Self.insert(1000..<1200, into: seen)
    let failure = #expect(throws: StoreError.self) { try store.compact() }
    #expect(failure?.code == .noSpace)
    faulty.arm([])
    try store.compact()
    try store.commitEpoch()
    #expect(try Self.insert(0..<600, into: seen) == 0)
    #expect(try Self.insert(1000..<1200, into: seen) == 0)
    try store.close()
  }

  @Test func tablesThatNoEpochNamesDoNotPileUpOpenFiles() throws {
    let faulty = FaultInjectingFileSystem(MemoryFileSystem())
    let store = try Self.open(faulty, slots: 128)
    let seen = try store.keyspace(
      "seen", KeyspaceOptions(timeToLive: .forever, compaction: .tiered(fanout: 8)))
    // A synchronisation that fails is met though no epoch is committed.
    faulty.arm([.inputOutput(.synchronizeFile, number: 1)])
    let failure = #expect(throws: StoreError.self) {
      for round in 0..<400 as Range<UInt64> {
        _ = try Self.insert(round * 100..<(round + 1) * 100, into: seen)
        try store.waitUntilIdle()
      }
    }
    #expect(failure?.code == .poisoned)
    #expect(faulty.firedCount == 1)
    try store.close()
  }

  @Test func aPoisonedStoreChangesNothingOnDisk() throws {
    let memory = MemoryFileSystem()
    let faulty = FaultInjectingFileSystem(memory)
    let store = try Self.open(faulty)
    let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .milliseconds(1000)))
    _ = try Self.insert(0..<10, into: seen)
    faulty.arm([.inputOutput(.synchronizeFile, number: 1)])
    #expect(throws: StoreError.self) { try store.commitEpoch() }
    let calls = faulty.callCounts[.createFile]
    for code in [
      #expect(throws: StoreError.self) {
        try store.changeTimeToLive(of: "seen", to: .milliseconds(5))
      }?.code,
      #expect(throws: StoreError.self) {
        try store.keyspace("other", KeyspaceOptions(timeToLive: .forever))
      }?.code,
    ] { #expect(code == .poisoned) }
    #expect(faulty.callCounts[.createFile] == calls)
    try store.close()
  }

  @Test func rewrittenEntriesDoNotFillTheDiskWithLogs() throws {
    let memory = MemoryFileSystem()
    let store = try Self.open(memory, slots: 1024)
    let state = try store.keyspace("state", KeyspaceOptions(timeToLive: .forever))
    let keys = try Self.batch(0..<200)
    var largest: UInt64 = 0
    for round in 0..<400 as Range<Int64> {
      try state.put(keys, times: [Int64](repeating: round, count: 200))
      try store.commitEpoch()
      let directory = try memory.openDirectory(at: "/state", creating: false)
      var bytes: UInt64 = 0
      for entry in try directory.entries() where entry.name.hasSuffix(".log") {
        bytes += try directory.metadata(of: entry.name)?.size ?? 0
      }
      largest = max(largest, bytes)
    }
    #expect(largest < 1 << 20, "\(largest) bytes of logs; 400 epochs write 2.2 MB")
    try store.close()
    let again = try Self.open(memory)
    let reopened = try again.keyspace("state", KeyspaceOptions(timeToLive: .forever))
    #expect(try reopened.lookup(keys).allSatisfy { $0 != nil })
    try again.close()
  }

  @Test func changingTheTimeToLiveKeepsAChosenLateness() throws {
    let store = try Self.open(MemoryFileSystem())
    let chosen = try store.keyspace(
      "chosen", KeyspaceOptions(timeToLive: .milliseconds(8000), allowedLateness: 77))
    let usual = try store.keyspace("usual", KeyspaceOptions(timeToLive: .milliseconds(8000)))
    for name in ["chosen", "usual"] {
      let change = try store.changeTimeToLive(of: name, to: .milliseconds(800))
      #expect(change.from == .milliseconds(8000) && change.to == .milliseconds(800))
      #expect(change.expiresEntries)
    }
    #expect(chosen.options.allowedLateness == 77)
    #expect(usual.options.allowedLateness == 100)
    try store.close()
  }

  @Test func aRepliedLogThatFillsSmallerMemtablesIsWhole() throws {
    let memory = MemoryFileSystem()
    let options = KeyspaceOptions(timeToLive: .milliseconds(1_000_000))
    let store = try Self.open(memory)
    _ = try Self.insert(0..<20_000, into: try store.keyspace("seen", options))
    try store.commitEpoch()
    try store.close()
    let small = try Self.open(memory, slots: 256)
    let seen = try small.keyspace("seen", options)
    #expect(try seen.lookup(try Self.batch(0..<20_000)).allSatisfy { $0 != nil })
    try small.commitEpoch()
    try small.close()
    let again = try Self.open(memory)
    #expect(try Self.insert(0..<20_001, into: try again.keyspace("seen", options)) == 1)
    try again.close()
  }
}
