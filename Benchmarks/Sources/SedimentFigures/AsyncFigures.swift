import SedimentAsync
import SedimentStore

/// What a lookup costs a task, beside one that blocks its thread: keys of 16 bytes with values of
/// 100, all in memory, so that nothing but the way to the store differs.
struct AsyncFigures {
  static let keys: UInt64 = 100_000
  /// Tasks that look up side by side, and keys of a call of `values(of:)`.
  static let tasks = 64
  static let batch = 100

  let arguments: Arguments
  let lookups: Int

  func run(_ figures: inout Figures) async throws {
    let store = try await AsyncStateStore.open(
      at: arguments.state, options: Main.options(arguments))
    let keyspace = try await store.orderedKeyspace("figures")
    let value = [UInt8](repeating: 7, count: 100)
    var batch = WriteBatch()
    for number in 0..<Self.keys {
      try batch.put(KeyStream.bytes(number), value, in: keyspace.base)
    }
    try await store.write(batch)

    figures.add("lookups", lookups)
    figures.add("threads_reading", StoreThreads().reading)
    figures.add(
      "blocking_get_nanoseconds",
      try measure { for number in 0..<lookups { try check(keyspace.base.get(key(number))) } })
    figures.add("async_get_nanoseconds", try await oneTask(keyspace))
    figures.add("async_get_of_64_tasks_nanoseconds", try await manyTasks(keyspace))
    figures.add("async_values_of_100_nanoseconds", try await batches(keyspace))
    figures.add("blocking_cursor_nanoseconds", try cursor(keyspace))
    figures.add("async_entries_nanoseconds", try await entries(keyspace))
    try await store.close()
  }

  private func key(_ number: Int) -> [UInt8] { KeyStream.bytes(UInt64(number) % Self.keys) }

  private func check(_ value: [UInt8]?) {
    precondition(value?.count == 100, "a key is not there")
  }

  /// Nanoseconds a lookup.
  private func measure(_ body: () throws -> Void) rethrows -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    try body()
    return Double((clock.now - start).inNanoseconds) / Double(lookups)
  }

  private func since(_ start: ContinuousClock.Instant, count: Int) -> Double {
    Double((ContinuousClock.now - start).inNanoseconds) / Double(count)
  }

  private func oneTask(_ keyspace: AsyncOrderedKeyspace) async throws -> Double {
    let start = ContinuousClock.now
    for number in 0..<lookups { check(try await keyspace.get(key(number))) }
    return since(start, count: lookups)
  }

  private func manyTasks(_ keyspace: AsyncOrderedKeyspace) async throws -> Double {
    let start = ContinuousClock.now
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<Self.tasks {
        group.addTask {
          for number in stride(from: task, to: lookups, by: Self.tasks) {
            check(try await keyspace.get(key(number)))
          }
        }
      }
      try await group.waitForAll()
    }
    return since(start, count: lookups)
  }

  private func batches(_ keyspace: AsyncOrderedKeyspace) async throws -> Double {
    let start = ContinuousClock.now
    for first in stride(from: 0, to: lookups, by: Self.batch) {
      let keys = (first..<min(first + Self.batch, lookups)).map(key)
      for value in try await keyspace.values(of: keys) { check(value) }
    }
    return since(start, count: lookups)
  }

  private func cursor(_ keyspace: AsyncOrderedKeyspace) throws -> Double {
    let start = ContinuousClock.now
    var cursor = keyspace.base.cursor()
    try cursor.seekToFirst()
    while cursor.isValid {
      check(cursor.valueBytes)
      precondition(cursor.keyBytes.count == 16, "a key of another length")
      try cursor.moveNext()
    }
    return since(start, count: Int(Self.keys))
  }

  private func entries(_ keyspace: AsyncOrderedKeyspace) async throws -> Double {
    let start = ContinuousClock.now
    for try await (key, value) in keyspace.entries() {
      check(value)
      precondition(key.count == 16, "a key of another length")
    }
    return since(start, count: Int(Self.keys))
  }
}
