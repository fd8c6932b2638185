import Foundation
import SedimentStore

/// Sediment's ordered keyspace, by its public interface.
final class SedimentOrderedEngine: OrderedEngine {
  private let store: StateStore
  private let keyspace: OrderedKeyspace
  let options: [String]

  init(_ request: RunRequest, directory: String) throws {
    let storeOptions = StoreOptions(memoryBudget: request.memory)
    let keyspaceOptions = OrderedKeyspaceOptions(
      compaction: request.isTiered == true ? .tiered : .leveled)
    store = try StateStore.open(at: directory + "/store", options: storeOptions)
    keyspace = try store.orderedKeyspace("entries", keyspaceOptions)
    options = [
      "memoryBudget=\(storeOptions.memoryBudget)",
      "backgroundThreads=\(storeOptions.backgroundThreads)",
      "isLogged=\(keyspaceOptions.isLogged)", "compression=\(keyspaceOptions.compression)",
      "filterBitsPerKey=\(keyspaceOptions.filterBitsPerKey)",
      "compaction=\(keyspaceOptions.compaction)",
    ]
  }

  func put(
    _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, synchronized: Bool
  ) throws {
    try keyspace.put(
      RawSpan(_unsafeBytes: key), RawSpan(_unsafeBytes: value),
      durability: synchronized ? .synchronized : .buffered)
  }

  func get(_ key: UnsafeRawBufferPointer) throws -> Bool {
    try keyspace.withValue(of: RawSpan(_unsafeBytes: key)) { $0.byteCount > 0 } ?? false
  }

  func multiGet(_ keys: UnsafeRawBufferPointer, keyBytes: Int) throws -> Int {
    let batch = KeyBatch(reservingKeys: keys.count / keyBytes, bytes: keys.count)
    try batch.append(contentsOf: RawSpan(_unsafeBytes: keys), width: keyBytes)
    var found = 0
    try keyspace.withValues(of: batch) { _, value in if value.byteCount > 0 { found += 1 } }
    return found
  }

  func scan(from start: UnsafeRawBufferPointer?, reverse: Bool, count: Int) throws -> Int {
    var cursor = keyspace.cursor()
    if let start {
      try cursor.seek(to: Array(start))
    } else if reverse {
      try cursor.seekToLast()
    } else {
      try cursor.seekToFirst()
    }
    var entries = 0
    var bytes = 0
    while entries < count, cursor.isValid {
      bytes += cursor.withEntry { key, value in key.byteCount + value.byteCount }
      entries += 1
      if reverse { try cursor.movePrevious() } else { try cursor.moveNext() }
    }
    guard bytes > 0 || entries == 0 else { throw BenchError("entries without bytes") }
    return entries
  }

  func settle() throws {
    try store.flush()
    try store.waitUntilIdle()
  }

  var counters: EngineCounters {
    let statistics = store.statistics
    return EngineCounters(
      flushedBytes: statistics.bytesFlushed,
      writtenBytes: statistics.bytesFlushed + statistics.bytesMerged,
      pagesRead: statistics.cacheMisses, stallSeconds: Double(statistics.stallNanos) / 1e9)
  }

  func close() throws { try store.close() }
}
