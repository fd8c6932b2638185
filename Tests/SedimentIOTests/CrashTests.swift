import SedimentIO
import SedimentTestKit
import Testing

/// The crash model itself: what it may lose and what it may not.
@Suite struct CrashTests {
  private let disk = MemoryFileSystem()

  private func root() throws -> any Directory {
    try disk.openDirectory(at: "/", creating: false)
  }

  /// Distinct outcomes of many crashes.
  private func outcomes<Outcome: Hashable>(
    _ look: (MemoryFileSystem) throws -> Outcome
  ) rethrows -> Set<Outcome> {
    var generator = SeededGenerator(seed: 1)
    var found: Set<Outcome> = []
    for _ in 0..<400 { found.insert(try look(disk.crashed(using: &generator))) }
    return found
  }

  private func content(_ disk: MemoryFileSystem, _ path: String) -> [UInt8]? {
    try? disk.contents(of: path)
  }

  @Test func synchronisedContentUnderASynchronisedNameIsNeverLost() throws {
    let file = try root().make("a", bytes(1, 10_000))
    try file.synchronize()
    try root().synchronize()
    #expect(outcomes { content($0, "a") } == [bytes(1, 10_000)])
  }

  @Test func aNameIsLostWithoutASyncOfItsDirectory() throws {
    let file = try root().make("a", [1])
    try file.synchronize()
    #expect(outcomes { content($0, "a") } == [nil, [1]])
    #expect(disk.crashed(.nothing).files().isEmpty)
    #expect(disk.crashed(.everything).files() == ["a"])
  }

  @Test func unsynchronisedBlocksAreLostOneByOne() throws {
    let file = try root().make("a", bytes(1, 8192))
    try file.synchronize()
    try root().synchronize()
    try file.write(bytes(2, 8192), at: 0)
    let halves = outcomes { disk -> [UInt8] in
      let bytes = content(disk, "a") ?? []
      return [bytes[0], bytes[4096]]
    }
    #expect(halves == [[1, 1], [1, 2], [2, 1], [2, 2]])
    #expect(content(disk.crashed(.nothing), "a") == bytes(1, 8192))
    #expect(content(disk.crashed(.everything), "a") == bytes(2, 8192))
  }

  @Test func tornBlocksSplitAtSectorsWithTheNewPartFirst() throws {
    let file = try root().make("a", bytes(1, 4096))
    try file.synchronize()
    try root().synchronize()
    try file.write(bytes(2, 4096), at: 0)
    let contents = outcomes { content($0, "a") ?? [] }
    for content in contents {
      let new = content.prefix { $0 == 2 }.count
      #expect(new % 512 == 0 && content[new...].allSatisfy { $0 == 1 } && content.count == 4096)
    }
    #expect(contents.count > 2)
    var generator = SeededGenerator(seed: 2)
    for _ in 0..<200 {
      let whole = disk.crashed(using: &generator, tearing: false)
      #expect([bytes(1, 4096), bytes(2, 4096)].contains(content(whole, "a")))
    }
  }

  @Test func earlierVersionsOfABlockMayBeWhatTheDiskHas() throws {
    let file = try root().make("a", [0])
    try file.synchronize()
    try root().synchronize()
    for value: UInt8 in 1...3 { try file.write([value], at: 0) }
    #expect(outcomes { content($0, "a") } == [[0], [1], [2], [3]])
  }

  @Test func sizeAndContentAreLostApart() throws {
    let file = try root().make("a")
    try file.synchronize()
    try root().synchronize()
    try file.write([5], at: 0)
    #expect(outcomes { content($0, "a") } == [[], [0], [5]])
    try file.synchronize()
    try file.truncate(to: 0)
    #expect(outcomes { content($0, "a") } == [[], [0], [5]])
    try file.synchronize()
    #expect(outcomes { content($0, "a") } == [[]])
  }

  @Test func aRenameOverATargetLeavesTheOldOrTheNew() throws {
    for (name, value) in [("CURRENT", UInt8(1)), ("tmp", 2)] {
      try root().make(name, [value]).synchronize()
    }
    try root().synchronize()
    try root().rename("tmp", to: "CURRENT", replacing: true)
    let found = outcomes { [content($0, "CURRENT"), content($0, "tmp")] }
    #expect(found == [[[1], [2]], [[2], nil]])
    try root().synchronize()
    #expect(outcomes { content($0, "CURRENT") } == [[2]])
  }

  @Test func aRemovedFileComesBackUntilTheDirectoryIsSynchronised() throws {
    try root().make("a", [1]).synchronize()
    try root().synchronize()
    try root().remove("a")
    #expect(outcomes { content($0, "a") } == [[1], nil])
    try root().synchronize()
    #expect(outcomes { content($0, "a") } == [nil])
  }

  @Test func namesAreLostIndependently() throws {
    for name in ["a", "b"] { try root().make(name) }
    #expect(outcomes { $0.files() } == [[], ["a"], ["b"], ["a", "b"]])
  }

  @Test func creatingADirectoryByPathIsDurable() throws {
    let sub = try disk.openDirectory(at: "x/y", creating: true)
    try sub.make("a", [1]).synchronize()
    try sub.synchronize()
    #expect(disk.crashed(.nothing).files() == ["x/y/a"])
  }

  @Test func aSubdirectoryIsNotDurableByItself() throws {
    let sub = try root().subdirectory("x", creating: true)
    try sub.make("a", [1]).synchronize()
    try sub.synchronize()
    #expect(outcomes { $0.files() } == [[], ["x/a"]])
  }

  @Test func syncingOneNameOfAFileSyncsTheOther() throws {
    let file = try root().make("a", [1])
    try root().link("a", into: root(), as: "b")
    try root().synchronize()
    try file.synchronize()
    #expect(outcomes { content($0, "b") } == [[1]])
  }

  @Test func locksFallInACrash() throws {
    let lock = try root().lock("LOCK")
    try root().synchronize()
    for after in [disk.clone(), disk.crashed(.nothing), disk.crashed(.everything)] {
      _ = try after.openDirectory(at: "/", creating: false).lock("LOCK")
    }
    #expect(
      code {
        try disk.openDirectory(at: "/", creating: false).lock("LOCK")
      } == .locked(process: 1))
    lock.unlock()
  }

  @Test func aKilledProcessLosesNothing() throws {
    try root().make("a", [1])
    let clone = disk.clone()
    #expect(content(clone, "a") == [1])
    #expect(clone.crashed(.nothing).files().isEmpty)
  }

  @Test func aCloneDoesNotSeeWhatCameAfterIt() throws {
    let file = try root().make("a", [1])
    let clone = disk.clone()
    try file.write([2], at: 0)
    #expect(content(clone, "a") == [1])
    #expect(content(disk, "a") == [2])
  }

  @Test func oneSeedMakesOneDisk() throws {
    for number in 0..<20 { try root().make("f\(number)", bytes(UInt8(number), 20_000)) }
    func crash() -> [[UInt8]?] {
      var generator = SeededGenerator(seed: 77)
      let after = disk.crashed(using: &generator)
      return (0..<20).map { content(after, "f\($0)") }
    }
    #expect(crash() == crash())
  }
}
