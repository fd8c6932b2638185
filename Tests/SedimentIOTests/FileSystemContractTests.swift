import SedimentIO
import SedimentTestKit
import Testing

/// What every file system promises: the memory one and the wrappers the same as the real one.
@Suite struct FileSystemContractTests {
  @Test(arguments: FileSystemUnderTest.allCases)
  func readsReturnWhatWasWrittenAndStopAtTheEnd(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let file = try scratch.directory.openFile("a", .create)
    try file.write(bytes(1, 5000), at: 0)
    try file.write(bytes(2, 10), at: 4090)
    #expect(try file.size() == 5000)
    #expect(try file.read(20, at: 4085) == bytes(1, 5) + bytes(2, 10) + bytes(1, 5))
    #expect(try file.read(100, at: 4990) == bytes(1, 10))
    #expect(try file.read(100, at: 5000).isEmpty)
    #expect(try file.read(100, at: 1 << 40).isEmpty)
    #expect(try file.read(0, at: 0).isEmpty)
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func gapsAndRegrownTailsReadZero(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let file = try scratch.directory.openFile("a", .create)
    try file.write([7], at: 10_000)
    #expect(try file.contents() == bytes(0, 10_000) + [7])
    try file.write(bytes(9, 100), at: 0)
    try file.truncate(to: 50)
    try file.truncate(to: 60)
    #expect(try file.contents() == bytes(9, 50) + bytes(0, 10))
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func offsetsBeyondTheSystemsRangeAreErrors(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let file = try scratch.directory.openFile("a", .create)
    #expect(code { try file.write([1], at: .max) } == .inputOutput)
    #expect(code { try file.truncate(to: .max) } == .inputOutput)
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func openingTellsMissingTakenAndDirectoriesApart(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    try directory.make("a")
    _ = try directory.subdirectory("sub", creating: true)
    #expect(code { try directory.openFile("b", .read) } == .notFound)
    #expect(code { try directory.openFile("a", .create) } == .exists)
    #expect(code { try directory.openFile("sub", .read) } == .isDirectory)
    let fromFile: FileError.Code? = code {
      try directory.subdirectory("a", creating: true)
    }
    #expect(fromFile == .notDirectory)
    #expect(
      code { try directory.subdirectory("x", creating: false) }
        == .notFound)
  }

  @Test(
    arguments: FileSystemUnderTest.allCases,
    ["", ".", "..", "a/b", "/", "../a", "a\0b", String(repeating: "n", count: 256)])
  func namesThatAreNotOneComponentAreRefused(_ kind: FileSystemUnderTest, _ name: String) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    try directory.make("a")
    let attempts: [() throws -> Void] = [
      { _ = try directory.openFile(name, .create) },
      { _ = try directory.metadata(of: name) },
      { try directory.rename(name, to: "b", replacing: true) },
      { try directory.rename("a", to: name, replacing: false) },
      { try directory.remove(name) },
      { try directory.removeDirectory(name) },
      { try directory.link("a", into: directory, as: name) },
      { _ = try directory.subdirectory(name, creating: true) },
      { _ = try directory.lock(name) },
    ]
    for attempt in attempts { #expect(code(attempt) == .invalidName) }
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func entriesAreInByteOrderWithTheirKinds(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    for name in ["b", "ä", "B", "a10", "a9"] { try directory.make(name) }
    _ = try directory.subdirectory("a", creating: true)
    let entries = try directory.entries()
    #expect(entries.map(\.name) == ["B", "a", "a10", "a9", "b", "ä"])
    #expect(entries.map(\.kind) == [.file, .directory, .file, .file, .file, .file])
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func renameReplacesOnlyWhenAsked(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    try directory.make("a", [1])
    try directory.make("b", [2])
    #expect(
      code { try directory.rename("a", to: "b", replacing: false) }
        == .exists)
    #expect(try directory.contents(of: "b") == [2])
    try directory.rename("a", to: "c", replacing: false)
    try directory.rename("c", to: "b", replacing: true)
    #expect(try directory.names() == ["b"])
    #expect(try directory.contents(of: "b") == [1])
    #expect(
      code { try directory.rename("x", to: "b", replacing: true) }
        == .notFound)
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func linksShareContentAndOutliveEachOther(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    let other = try directory.subdirectory("other", creating: true)
    let file = try directory.make("a", [1])
    try directory.link("a", into: other, as: "b")
    #expect(
      code { try directory.link("a", into: other, as: "b") } == .exists)
    try file.write([2], at: 0)
    #expect(try other.contents(of: "b") == [2])
    let first = try #require(try directory.metadata(of: "a"))
    let second = try #require(try other.metadata(of: "b"))
    #expect(first == second && first.linkCount == 2)
    try directory.remove("a")
    #expect(try other.contents(of: "b") == [2])
    #expect(try other.metadata(of: "b")?.linkCount == 1)
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func linkToAnotherFileSystemIsCrossDevice(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    try directory.make("a")
    let foreign = try MemoryFileSystem().openDirectory(at: "/", creating: false)
    #expect(
      code { try directory.link("a", into: foreign, as: "b") }
        == .crossDevice)
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func onlyEmptyDirectoriesAreRemoved(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    let sub = try directory.subdirectory("sub", creating: true)
    try sub.make("a")
    #expect(
      code { try directory.removeDirectory("sub") } == .notEmpty)
    #expect(code { try directory.remove("sub") } != nil)
    try sub.remove("a")
    #expect(code { try sub.remove("a") } == .notFound)
    try directory.removeDirectory("sub")
    #expect(try directory.metadata(of: "sub") == nil)
    // Whoever has it open puts nothing into it any more.
    #expect(code { try sub.make("b") } == .notFound)
    #expect(code { _ = try sub.subdirectory("c", creating: true) } == .notFound)
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func anOpenFileOutlivesItsName(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    let file = try directory.make("a", [1, 2, 3])
    try directory.remove("a")
    try directory.synchronize()
    #expect(try file.contents() == [1, 2, 3])
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func aClosedFileIsRefused(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let file = try scratch.directory.make("a", [1])
    file.close()
    file.close()
    #expect(code { try file.read(1, at: 0) } == .closed)
    #expect(code { try file.write([1], at: 0) } == .closed)
    #expect(code { try file.size() } == .closed)
    #expect(code { try file.synchronize() } == .closed)
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func hintsChangeNothingAndAreFreeToGive(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let file = try scratch.directory.openFile("a", .create)
    try file.write(bytes(1, 5000), at: 0)
    for (offset, count) in [(0, 5000), (1 << 40, 10), (UInt64.max, Int.max)] {
      file.startRead(at: offset, count: count)
      file.dropCached(at: offset, count: count)
    }
    file.startWriteback(at: 0, count: 5000)
    file.startWriteback(at: 1 << 40, count: 10)
    file.startWriteback(at: .max, count: .max)
    file.dropCached(at: 0, count: 4096)
    try file.synchronize()
    #expect(try file.size() == 5000)
    #expect(try file.read(5000, at: 0) == bytes(1, 5000))
    file.close()
    file.startRead(at: 0, count: 10)
    file.dropCached(at: 0, count: 10)
    file.startWriteback(at: 0, count: 10)
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func aFileOpenedForReadingCannotBeWritten(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let directory = scratch.directory
    try directory.make("a", [1])
    let file = try directory.openFile("a", .read)
    #expect(code { try file.write([2], at: 0) } != nil)
    #expect(try directory.contents(of: "a") == [1])
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func theSecondLockIsRefusedUntilTheFirstGoes(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let again = try scratch.fileSystem.openDirectory(at: scratch.path, creating: false)
    var lock: (any DirectoryLock)? = try scratch.directory.lock("LOCK")
    let refusal = code { try again.lock("LOCK") }
    guard case .locked(let process?) = refusal else {
      Issue.record("expected .locked with a process, got \(String(describing: refusal))")
      return
    }
    #expect(try again.contents(of: "LOCK") == Array("\(process)\n".utf8))
    lock?.unlock()
    lock?.unlock()
    lock = try again.lock("LOCK")
    lock = nil
    lock = try scratch.directory.lock("LOCK")
    lock?.unlock()
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func creatingMakesParentsAndOpensWhatIsThere(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    let path = scratch.path + "/x//y/./z/"
    #expect(
      code {
        try scratch.fileSystem.openDirectory(at: path, creating: false)
      } == .notFound)
    for _ in 0..<2 {
      _ = try scratch.fileSystem.openDirectory(at: path, creating: true)
    }
    let y = try scratch.fileSystem.openDirectory(at: scratch.path + "/x/y", creating: false)
    #expect(try y.names() == ["z"])
    try scratch.directory.make("file")
    #expect(
      code {
        try scratch.fileSystem.openDirectory(at: scratch.path + "/file/a", creating: true)
      } == .notDirectory)
    for path in ["", "a\0b"] {
      #expect(
        code {
          try scratch.fileSystem.openDirectory(at: path, creating: true)
        } == .invalidName)
    }
  }

  @Test(arguments: FileSystemUnderTest.allCases)
  func freeSpaceIsKnown(_ kind: FileSystemUnderTest) throws {
    let scratch = try Scratch(kind)
    defer { scratch.remove() }
    #expect(try scratch.directory.availableBytes() > 0)
  }
}
