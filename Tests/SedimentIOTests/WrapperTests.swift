import SedimentIO
import SedimentTestKit
import Testing

@Suite struct WrapperTests {
  /// Replaces `CURRENT` in the careful way; the order of syncs is the point of it.
  private func replaceCurrent(in directory: any Directory, with bytes: [UInt8]) throws {
    let file = try directory.openFile("tmp", .create)
    try file.write(bytes, at: 0)
    try file.synchronize()
    file.close()
    try directory.rename("tmp", to: "CURRENT", replacing: true)
    try directory.synchronize()
  }

  @Test func recordedLinesShowTheOrderOfSyncs() throws {
    let fileSystem = RecordingFileSystem(MemoryFileSystem())
    let directory = try fileSystem.openDirectory(at: "/db", creating: true)
    try replaceCurrent(in: directory, with: bytes(1, 100))
    #expect(
      fileSystem.takeLines() == [
        "create tmp", "write tmp 0+100", "sync tmp", "rename tmp CURRENT", "sync-dir .",
      ])
    let sub = try directory.subdirectory("sub", creating: true)
    try directory.link("CURRENT", into: sub, as: "b")
    try sub.synchronize()
    try sub.remove("b")
    #expect(code { try sub.remove("b") } == .notFound)
    try directory.removeDirectory("sub")
    try directory.lock("LOCK").unlock()
    #expect(
      fileSystem.takeLines() == [
        "mkdir sub", "link CURRENT sub/b", "sync-dir sub", "unlink sub/b", "rmdir sub",
        "lock LOCK", "unlock LOCK",
      ])
    #expect(fileSystem.lines.isEmpty)
  }

  @Test func recordedReadsAreAChoice() throws {
    let fileSystem = RecordingFileSystem(MemoryFileSystem(), recordsReads: true)
    let directory = try fileSystem.openDirectory(at: "/db", creating: true)
    try directory.make("a", [1, 2])
    _ = try directory.openFile("a", .read).read(10, at: 0)
    #expect(fileSystem.lines == ["create a", "write a 0+2", "open a", "read a 0+2"])
  }

  @Test func aSweepReachesEveryCallAndEnds() throws {
    var failures: [Int] = []
    for number in 1...100 {
      let disk = MemoryFileSystem()
      let fileSystem = FaultInjectingFileSystem(disk)
      fileSystem.arm([.inputOutput(number: number)])
      do {
        let directory = try fileSystem.openDirectory(at: "/db", creating: true)
        try replaceCurrent(in: directory, with: [1])
      } catch let error as FileError {
        #expect(error.code == .inputOutput && fileSystem.firedCount == 1)
        failures.append(number)
        continue
      }
      #expect(fileSystem.firedCount == 0)
      #expect(fileSystem.callCount == number - 1)
      #expect(try disk.crashed(.nothing).contents(of: "db/CURRENT") == [1])
      break
    }
    #expect(failures == Array(1...6))
  }

  @Test func faultsCountTheirOwnKindAndStickWhenAsked() throws {
    let fileSystem = FaultInjectingFileSystem(MemoryFileSystem())
    let file = try fileSystem.openDirectory(at: "/", creating: false).make("a", [1])
    fileSystem.arm([.noSpace(.write, number: 2)])
    func writes() -> [FileError.Code?] {
      (0..<4).map { _ in code { try file.write([1], at: 0) } }
    }
    #expect(writes() == [nil, .noSpace, nil, nil])
    fileSystem.arm([.noSpace(.write, number: 2, isSticky: true)])
    #expect(writes() == [nil, .noSpace, .noSpace, .noSpace])
    try file.synchronize()
    #expect(fileSystem.callCounts[.write] == 9)
    #expect(fileSystem.callCounts[.synchronizeFile] == 1)
  }

  @Test func aFailedWriteLeavesItsFirstHalf() throws {
    let fileSystem = FaultInjectingFileSystem(MemoryFileSystem())
    let file = try fileSystem.openDirectory(at: "/", creating: false).make("a")
    fileSystem.arm([.inputOutput(.write, number: 1)])
    #expect(code { try file.write(bytes(1, 10), at: 0) } != nil)
    #expect(try file.contents() == bytes(1, 5))
  }
}
