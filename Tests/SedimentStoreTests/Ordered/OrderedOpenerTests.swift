import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Row 13 of the fault matrix, for a store with ordered keyspaces and writes that only its log
/// holds.
@Suite("Second openers of a store with ordered keyspaces")
struct OrderedOpenerTests {
  /// A store at work.
  private func makeScript(_ memory: MemoryFileSystem) throws -> OrderedScript {
    let script = OrderedScript(seed: 71, fileSystem: memory, keyCount: 12, isSmall: true)
    try script.open()
    for operation in [.put, .batch, .flush, .commit, .batch, .put] as [OrderedOperation] {
      try script.perform(operation)
    }
    try script.store?.waitUntilIdle()
    return script
  }

  private func openingError(_ fileSystem: any FileSystem) throws -> StoreError? {
    do throws(StoreError) {
      try StateStore.open(
        at: "/state", options: OrderedScript.options(ManualClock()), fileSystem: fileSystem
      ).close()
      return nil
    } catch {
      return error
    }
  }

  @Test("the second is refused and changes nothing, and is let in when the first is gone")
  func sameProcess() throws {
    let memory = MemoryFileSystem()
    let script = try makeScript(memory)
    let log = try #require(
      try ReadOnlyStore.open(at: "/state", fileSystem: memory).state.writeLogs.first)
    let path = "state/" + log.number.logName
    let before = try memory.contents(of: path)
    for _ in 0..<3 {
      guard case .locked? = try openingError(memory)?.code else {
        Issue.record("two openers at once")
        return
      }
    }
    #expect(try memory.contents(of: path) == before, "a log that is written to was cut off")
    // Whoever only reads is let in.
    #expect(try ReadOnlyStore.open(at: "/state", fileSystem: memory).verify().isEmpty)
    try script.perform(.synchronized)
    #expect(try script.difference() == nil)
    try script.perform(.reopen)
    #expect(try script.difference() == nil)
    try script.close()
  }

  @Test("after a kill it is let in, and has all that was answered")
  func afterKill() throws {
    let memory = MemoryFileSystem()
    let script = try makeScript(memory)
    // The lock goes with the process; its file stays.
    let killed = memory.clone()
    #expect(killed.files().contains("state/LOCK"))
    #expect(try script.problem(with: killed, afterKill: true) == nil)
    script.drop()
  }

  @Test("one that may not write is refused, and changes nothing")
  func readOnly() throws {
    let memory = MemoryFileSystem()
    let script = try makeScript(memory)
    let disk = memory.clone()
    script.drop()
    let before = try disk.allContents()
    disk.isReadOnly = true
    let error = try openingError(disk)
    #expect(error?.code == .inputOutput, "\(String(describing: error))")
    #expect(try disk.allContents() == before)
    #expect(try ReadOnlyStore.open(at: "/state", fileSystem: disk).verify().isEmpty)
  }

  @Test("a lock that is a symbolic link is refused, and nothing is changed")
  func symbolicLink() throws {
    let memory = MemoryFileSystem()
    let script = try makeScript(memory)
    let disk = memory.clone()
    script.drop()
    try disk.removeFile(at: "state/LOCK")
    try disk.makeSymbolicLink(at: "state/LOCK")
    let before = try disk.allContents()
    let error = try openingError(disk)
    #expect(error?.code == .inputOutput, "\(String(describing: error))")
    #expect(try disk.allContents() == before)
  }
}
