import SedimentIO
import SedimentTestKit
import Synchronization
import Testing

@Suite struct MemoryFileSystemTests {
  private let disk = MemoryFileSystem()

  private func root() throws -> any Directory {
    try disk.openDirectory(at: "/", creating: false)
  }

  @Test func afterTheChosenMutationEverythingFails() throws {
    disk.stopAfterMutations = 3
    let file = try root().make("a", [1])
    #expect(!disk.isStopped)
    try file.synchronize()
    #expect(disk.isStopped && disk.mutationCount == 3)
    #expect(code { try file.read(1, at: 0) } == .inputOutput)
    #expect(code { try file.synchronize() } == .inputOutput)
    #expect(throws: FileError.self) { try root() }
    #expect(try disk.clone().contents(of: "a") == [1])
  }

  @Test func theHookSeesTheDiskAfterEachMutation() throws {
    let seen = Mutex<[[String]]>([])
    disk.onMutation = { snapshot in seen.withLock { $0.append(snapshot.files()) } }
    try root().make("a", [1])
    try root().rename("a", to: "b", replacing: false)
    #expect(code { try root().remove("a") } == .notFound)
    try root().remove("b")
    #expect(seen.withLock { $0 } == [["a"], ["a"], ["b"], []])
  }

  @Test func aFullDiskWritesNothingAndRecovers() throws {
    disk.capacityBytes = 8192
    let file = try root().make("a", bytes(1, 4096))
    #expect(try root().availableBytes() == 4096)
    #expect(
      code { try file.write(bytes(2, 8193), at: 0) } == .noSpace)
    #expect(try file.contents() == bytes(1, 4096))
    disk.capacityBytes = nil
    try file.write(bytes(2, 8192), at: 0)
    #expect(try file.contents() == bytes(2, 8192))
  }

  @Test func aReadOnlyDiskRefusesEveryChange() throws {
    let file = try root().make("a", [1])
    disk.isReadOnly = true
    let attempts: [() throws -> Void] = [
      { try file.write([1], at: 0) },
      { try root().remove("a") },
      { try root().make("b") },
      { _ = try root().openFile("a", .readWrite) },
      { _ = try root().lock("LOCK") },
    ]
    for attempt in attempts { #expect(code(attempt) == .readOnlyFileSystem) }
    #expect(try root().contents(of: "a") == [1])
  }

  @Test func damageIsDurable() throws {
    try root().make("a", [0, 0])
    try disk.flipBit(of: "a", at: 9)
    #expect(try disk.contents(of: "a") == [0, 2])
    try disk.truncate("a", to: 1)
    #expect(try disk.contents(of: "a") == [0])
    try disk.truncate("a", to: 3)
    #expect(try disk.contents(of: "a") == [0, 0, 0])
    try disk.replaceContents(of: "a", with: bytes(3, 9000))
    #expect(try root().contents(of: "a") == bytes(3, 9000))
    try disk.removeFile(at: "a")
    #expect(disk.files().isEmpty)
    #expect(code { try disk.contents(of: "a") } == .notFound)
  }

  @Test func symbolicLinksAreNotFollowed() throws {
    try disk.makeSymbolicLink(at: "l")
    #expect(code { try root().openFile("l", .read) } == .symbolicLink)
    #expect(code { try root().lock("l") } == .symbolicLink)
    #expect(
      code { try root().subdirectory("l", creating: true) }
        == .symbolicLink)
    #expect(try root().metadata(of: "l")?.kind == .symbolicLink)
  }

  @Test func threadsMayWriteTheirOwnBlocksAtOnce() throws {
    let file = try root().openFile("a", .create)
    var threads: [JoinedThread] = []
    for block in 0..<4 {
      threads.append(
        try JoinedThread {
          for round in 0..<50 {
            try? file.write(bytes(UInt8(round), 4096), at: UInt64(block) * 4096)
            try? file.synchronize()
          }
        })
    }
    for thread in threads { thread.join() }
    #expect(try file.contents() == bytes(49, 4 * 4096))
    #expect(disk.crashed(.everything).files() == ["a"])
  }
}
