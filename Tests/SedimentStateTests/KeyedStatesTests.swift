import SedimentIO
import SedimentState
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Keyspaces with types, and keyed states")
struct KeyedStatesTests {
  private static func open(
    _ fileSystem: MemoryFileSystem = MemoryFileSystem(), _ clock: ManualClock = ManualClock()
  ) throws -> StateStore {
    try StateStore.open(
      at: "/state", options: StoreOptions(memoryBudget: 16 << 20, shards: 1, clock: clock),
      fileSystem: fileSystem)
  }

  private struct User: Codable, Equatable {
    var name: String
    var visits: Int
  }

  @Test func entriesComeBackInOrder() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let users = Keyspace<Int, User>(try store.orderedKeyspace("users"), values: .json)
    for id in [5, -3, 100, 7, 0] { try users.put(id, User(name: "user \(id)", visits: id)) }
    try users.remove(7)
    #expect(try users.get(5) == User(name: "user 5", visits: 5))
    #expect(try users.get(7) == nil)
    #expect(try users.entries().map(\.key) == [-3, 0, 5, 100])
    #expect(try users.entries(in: -3..<5).map(\.key) == [-3, 0])
    try store.withSnapshot { snapshot in
      try users.remove(5)
      #expect(try users.get(5, at: snapshot)?.visits == 5)
      #expect(try users.entries(in: 1..<50, at: snapshot).map(\.value.name) == ["user 5"])
    }
    #expect(try users.insertIfAbsent(5, User(name: "again", visits: 0)))
    let updated = try users.update(5) { before in
      before.map { User(name: $0.name, visits: 9) }
    }
    #expect(updated?.visits == 9)
    try store.close()
    let again = Keyspace<Int, User>(
      try Self.open(fileSystem).orderedKeyspace("users"), values: .json)
    #expect(try again.get(5) == User(name: "again", visits: 9))
  }

  @Test func bytesOfAnotherTypeAreAnError() throws {
    let store = try Self.open()
    let base = try store.orderedKeyspace("a")
    try base.put([1, 2, 3], [0xFF])
    #expect(throws: KeyDecodingError.self) {
      try Keyspace<Int, [UInt8]>(base, values: .bytes).entries()
    }
    try base.put(Int(1).keyBytes, [0xFF])
    #expect(throws: ValueDecodingError.self) {
      try Keyspace<Int, String>(base, values: .text).get(1)
    }
    #expect(throws: ValueDecodingError.self) {
      try Keyspace<Int, Int64>(base, values: .integer).get(1)
    }
  }

  @Test func statesHoldWhatTheyPromise() throws {
    let store = try Self.open()
    let value = ValueState<String, Int64>(try store.orderedKeyspace("value"), values: .integer)
    try value.update(-5, for: "a")
    #expect(try value.value(for: "a") == -5)
    try value.clear("a")
    #expect(try value.value(for: "a") == nil)

    let map = MapState<String, Int, String>(try store.orderedKeyspace("map"), values: .text)
    for field in [3, 1, 2] { try map.put("v\(field)", of: field, for: "a") }
    try map.put("other", of: 1, for: "a\0")
    try map.remove(2, for: "a")
    #expect(try map.entries(for: "a").map(\.field) == [1, 3])
    #expect(try map.value(of: 3, for: "a") == "v3")
    try map.clear("a")
    #expect(try map.entries(for: "a").isEmpty)
    #expect(try map.entries(for: "a\0").map(\.value) == ["other"])

    let list = ListState<String, String>(try store.orderedKeyspace("list"), values: .text)
    for text in ["x", "y", "z"] { try list.append(text, for: "a") }
    try list.append("w", for: "b")
    #expect(try list.values(for: "a") == ["x", "y", "z"])
    try list.clear("a")
    #expect(try list.values(for: "a").isEmpty)
    #expect(try list.values(for: "b") == ["w"])

    let sum = ReducingState<String, Int>(
      try store.orderedKeyspace("sum"), values: .integer, reduce: +)
    for number in 1...10 { try sum.add(number, for: number % 2 == 0 ? "even" : "odd") }
    #expect(try sum.value(for: "even") == 30)
    #expect(try sum.entries().map(\.key) == ["even", "odd"])
    #expect(try sum.add(1, for: "new") == 1)
  }

  @Test func lifetimesBeginAnewAsTheySay() throws {
    let clock = ManualClock()
    let store = try Self.open(MemoryFileSystem(), clock)
    let written = ValueState<Int, Int>(
      try store.orderedKeyspace("written"), values: .integer,
      lifetime: StateLifetime(.milliseconds(100)))
    let read = ValueState<Int, Int>(
      try store.orderedKeyspace("read"), values: .integer,
      lifetime: StateLifetime(.milliseconds(100), renewal: .onReadAndWrite))
    try written.update(1, for: 1)
    try read.update(1, for: 1)
    for _ in 0..<3 {
      clock.advance(byMillis: 60)
      #expect(try read.value(for: 1) == 1)
    }
    #expect(try written.value(for: 1) == nil)
    clock.advance(byMillis: 100)
    #expect(try read.value(for: 1) == nil)
  }

  @Test("additions of several threads are all there")
  func concurrentAdditions() throws {
    let store = try Self.open()
    let sum = ReducingState<Int, Int>(
      try store.orderedKeyspace("sum"), values: .integer, reduce: +)
    let failures = Mutex<[String]>([])
    let threads = try (0..<4).map { _ in
      try JoinedThread {
        do {
          for round in 0..<500 { try sum.add(1, for: round % 3) }
        } catch {
          failures.withLock { $0.append("\(error)") }
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(failures.withLock { $0 } == [])
    #expect(try sum.entries().map(\.value).reduce(0, +) == 2_000)
  }
}
