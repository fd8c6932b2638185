import InMemoryLogging
import Logging
import SedimentObservability
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Events in a log")
struct StoreEventLoggerTests {
  static func makeLogger() -> (Logger, InMemoryLogHandler) {
    var handler = InMemoryLogHandler()
    handler.logLevel = .trace
    let made = handler
    return (Logger(label: "test", factory: { _ in made }), made)
  }

  /// Every kind of event, what it is logged as, and the keys that come with it.
  private static let table: [(StoreEvent, Logger.Level, [String: String])] = [
    (
      .flushed(keyspace: "a", entries: 1, bytes: 2, nanoseconds: 3), .debug,
      ["keyspace": "a", "entries": "1", "bytes": "2", "duration_ns": "3"]
    ),
    (
      .merged(keyspace: "a", inputs: 1, entriesIn: 2, entriesOut: 3, bytes: 4, nanoseconds: 5),
      .debug,
      [
        "keyspace": "a", "inputs": "1", "entries_in": "2", "entries_out": "3", "bytes": "4",
        "duration_ns": "5",
      ]
    ),
    (
      .expired(keyspace: "a", tables: 1, bytes: 2), .debug,
      ["keyspace": "a", "tables": "1", "bytes": "2"]
    ),
    (
      .stalled(keyspace: "a", nanoseconds: 1), .notice,
      ["keyspace": "a", "duration_ns": "1"]
    ),
    (
      .epochCommitted(epoch: 7, nanoseconds: 1), .debug, ["epoch": "7", "duration_ns": "1"]
    ),
    (
      .checkpointed(id: "chk-1", newFiles: 1, newBytes: 2, nanoseconds: 3), .info,
      ["checkpoint": "chk-1", "new_files": "1", "new_bytes": "2", "duration_ns": "3"]
    ),
    (.corruption(message: "bad"), .critical, ["reason": "bad"]),
    (.lowDisk(availableBytes: 5), .warning, ["available_bytes": "5"]),
    (.retrying(message: "again"), .warning, ["reason": "again"]),
  ]

  @Test func everyEventHasItsLevelAndItsKeys() {
    let (logger, handler) = Self.makeLogger()
    let log = StoreEventLogger(logger)
    for (event, _, _) in Self.table { log.log(event) }
    let entries = handler.entries
    #expect(entries.count == Self.table.count)
    for (entry, (_, level, keys)) in zip(entries, Self.table) {
      #expect(entry.level == level)
      let found = entry.metadata.map { ($0.key, "\($0.value)") }
      let wanted = keys.map { ("sediment." + $0.key, $0.value) }
      #expect(
        Dictionary(uniqueKeysWithValues: found) == Dictionary(uniqueKeysWithValues: wanted))
    }
    // The messages tell the kinds apart.
    #expect(Set(entries.map { "\($0.message)" }).count == Self.table.count)
  }

  @Test func eventsOfAStoreReachTheLoggerAndWhoWasThereBefore() throws {
    let (logger, handler) = Self.makeLogger()
    let gathered = EventList()
    var options = StoreOptions(memoryBudget: 16 << 20, shards: 1, clock: ManualClock())
    options.onEvent = { gathered.append($0) }
    options.observe(logger: logger)
    let store = try StateStore.open(at: "/state", options: options, fileSystem: MemoryFileSystem())
    try store.orderedKeyspace("a").put([1], [1])
    try store.flush()
    try store.commitEpoch()
    try store.close()
    let messages = handler.entries.map { "\($0.message)" }
    #expect(messages.contains("a memtable was flushed"))
    #expect(messages.contains("an epoch is durable"))
    #expect(gathered.count == messages.count)
  }
}
