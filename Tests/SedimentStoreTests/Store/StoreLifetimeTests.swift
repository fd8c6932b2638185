import SedimentStore
import SedimentTestKit
import Testing

/// A store and its keyspaces hold each other while it is open.
@Suite struct StoreLifetimeTests {
  @Test(arguments: [true, false]) func endedStoreLetsGoOfItsMemory(isClosed: Bool) throws {
    let fileSystem = MemoryFileSystem()
    weak var keyspace: HashedKeyspace?
    do {
      let store = try StateStore.open(
        at: "/state", options: StateStoreTests.options(), fileSystem: fileSystem)
      let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
      #expect(try seen.insertIfAbsent(StateStoreTests.key(1), time: 0))
      try store.commitEpoch()
      keyspace = seen
      if isClosed { try store.close() }
    }
    #expect(keyspace == nil)
  }

  @Test func closedStoreRefusesButDoesNotTrap() throws {
    let store = try StateStore.open(
      at: "/state", options: StateStoreTests.options(), fileSystem: MemoryFileSystem())
    let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    try store.close()
    #expect(throws: StoreError.self) {
      try seen.insertIfAbsent(StateStoreTests.key(1), time: 0)
    }
    #expect(throws: StoreError.self) { try store.commitEpoch() }
    #expect(throws: StoreError.self) {
      try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    }
    try store.close()
  }
}
