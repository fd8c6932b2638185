// Sediment, by its public interface.

import Dispatch
import Foundation
import SedimentStore
import Synchronization

/// One store and one keyspace for all writers, two shards for each: while a writer decides one,
/// there is another that nobody holds.
final class SedimentEngine: Engine {
  static let reopens = true
  static let mapsFiles = false

  private let request: RunRequest
  private let store: StateStore
  private let keyspace: HashedKeyspace
  private let epochs: EpochClock?
  /// Held by what commits epochs: a second one at a time would be refused.
  private let committing = Mutex(())
  let options: [String]

  init(_ request: RunRequest, directory: String) throws {
    self.request = request
    var storeOptions = StoreOptions(memoryBudget: request.memory)
    storeOptions.shards = request.threads * 2
    let keyspaceOptions = KeyspaceOptions(
      keyMode: request.mode == .exact ? .exact : .fingerprint,
      timeToLive: request.timeToLive.map { .milliseconds($0) } ?? .forever)
    store = try StateStore.open(at: directory + "/store", options: storeOptions)
    keyspace = try store.keyspace("events", keyspaceOptions)
    // A checkpoint commits an epoch itself.
    let hasEpochs = request.epochSeconds > 0 && request.workload != .checkpoint
    epochs = hasEpochs ? EpochClock(store, seconds: request.epochSeconds) : nil
    options = Self.describe(storeOptions, keyspaceOptions, request)
  }

  func writer(_ index: Int) -> any EngineWriter {
    Writer(keyspace, capacity: request.batch)
  }

  func finish() throws {
    try epochs?.stop()
    _ = try committing.withLock { _ in try store.commitEpoch() }
  }

  func settle() throws {
    try store.waitUntilIdle()
    // What merges made obsolete is unlinked with the next epoch.
    _ = try committing.withLock { _ in try store.commitEpoch() }
  }

  var counters: EngineCounters {
    let statistics = store.statistics
    return EngineCounters(
      flushedBytes: statistics.bytesFlushed,
      writtenBytes: statistics.bytesFlushed + statistics.bytesMerged + statistics.bytesLogged,
      falsePositives: statistics.falsePositives, pagesRead: statistics.cacheMisses,
      stallSeconds: Double(statistics.stallNanos) / 1e9,
      longestCutMicros: Double(statistics.longestCutNanos) / 1e3)
  }

  func checkpoint(_ number: Int, in directory: String) throws -> UInt64? {
    try committing.withLock { _ in try store.checkpoint(to: directory).newBytes }
  }

  func close() throws {
    try epochs?.stop()
    try store.close()
  }

  static func restore(from checkpoints: String, to directory: String) throws {
    try StateStore.restore(
      checkpoint: CheckpointReference(path: checkpoints), to: directory + "/store")
  }

  private static func describe(
    _ store: StoreOptions, _ keyspace: KeyspaceOptions, _ request: RunRequest
  ) -> [String] {
    [
      "memoryBudget=\(store.memoryBudget)", "shards=\(store.shards)",
      "backgroundThreads=\(store.backgroundThreads)", "keyMode=\(keyspace.keyMode)",
      "valueWidth=\(keyspace.valueWidth)", "timeToLive=\(keyspace.timeToLive)",
      "allowedLateness=\(keyspace.allowedLateness) ms", "compaction=\(keyspace.compaction)",
      "log=\(keyspace.log)", "epochs every \(decimal(request.epochSeconds, digits: 1)) s",
      "writers=\(request.threads), batches of \(request.batch)",
    ]
  }

  private final class Writer: EngineWriter {
    private let keyspace: HashedKeyspace
    private let keys: KeyBatch
    private var decisions: [UInt8]

    private static let accepting =
      InsertDecision.new.rawValue...InsertDecision.lateUnprotected.rawValue

    init(_ keyspace: HashedKeyspace, capacity: Int) {
      self.keyspace = keyspace
      keys = KeyBatch(reservingKeys: capacity, bytes: capacity * EventBatch.keyBytes)
      decisions = [UInt8](repeating: 0, count: capacity)
    }

    func insert(_ batch: EventBatch) throws -> Int {
      try take(batch)
      if decisions.count != batch.count {
        decisions = [UInt8](repeating: 0, count: batch.count)
      }
      try keyspace.insertIfAbsent(keys, times: batch.times, decisions: &decisions)
      return decisions.count { Self.accepting.contains($0) }
    }

    func lookup(_ batch: EventBatch) throws -> Int {
      try take(batch)
      return try keyspace.contains(keys, times: batch.times).count { $0 }
    }

    private func take(_ batch: EventBatch) throws {
      keys.removeAll()
      try keys.append(contentsOf: batch.allKeys.bytes, width: EventBatch.keyBytes)
    }
  }
}

/// Commits an epoch every so often, beside the writers.
///
/// @unchecked because `failure` is the thread's own until it ended, which `ended` tells.
private final class EpochClock: @unchecked Sendable {
  private let stopping = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private var failure: (any Error)?

  init(_ store: StateStore, seconds: Double) {
    let thread = Thread { [self] in
      do {
        while stopping.wait(timeout: .now() + seconds) == .timedOut { try store.commitEpoch() }
      } catch {
        failure = error
      }
      ended.signal()
    }
    thread.start()
  }

  /// Waits for the epoch under way, if any. The first error of a commit is thrown here.
  func stop() throws {
    stopping.signal()
    ended.wait()
    // For the next call.
    ended.signal()
    if let failure { throw failure }
  }
}
