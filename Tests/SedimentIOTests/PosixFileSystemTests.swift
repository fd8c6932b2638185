import Foundation
import SedimentIO
import SedimentTestKit
import Synchronization
import Testing

/// Whether the program that locks files for other programs is here.
private let hasFlock = FileManager.default.isExecutableFile(atPath: "/usr/bin/flock")

/// What only a real file system shows.
@Suite final class PosixFileSystemTests {
  private let scratch: Scratch
  private var directory: any Directory { scratch.directory }

  init() throws {
    scratch = try Scratch(.posix)
  }

  deinit { scratch.remove() }

  /// Runs a program and returns its status.
  private func run(_ arguments: String...) throws -> Int32 {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus
  }

  private func link(_ name: String, to target: String) throws {
    try FileManager.default.createSymbolicLink(
      atPath: scratch.path + "/" + name, withDestinationPath: target)
  }

  @Test func symbolicLinksAreNotFollowed() throws {
    try directory.make("target", [1])
    _ = try directory.subdirectory("sub", creating: true)
    try link("toFile", to: "target")
    try link("toDirectory", to: "sub")
    try link("toNothing", to: "new")
    for name in ["toFile", "toNothing"] {
      #expect(
        code { try directory.openFile(name, .readWrite) }
          == .symbolicLink)
      #expect(code { try directory.lock(name) } == .symbolicLink)
      #expect(try directory.metadata(of: name)?.kind == .symbolicLink)
    }
    #expect(
      code { try directory.subdirectory("toDirectory", creating: true) }
        == .symbolicLink)
    #expect(try directory.metadata(of: "new") == nil)
    try directory.remove("toFile")
    #expect(try directory.contents(of: "target") == [1])
  }

  @Test func aFifoInPlaceOfAFileDoesNotBlock() throws {
    try #require(try run("mkfifo", scratch.path + "/fifo") == 0)
    for mode in [FileMode.read, .readWrite] {
      #expect(
        code { try directory.openFile("fifo", mode) } == .inputOutput)
    }
    #expect(code { try directory.lock("fifo") } == .inputOutput)
  }

  @Test(.enabled(if: hasFlock)) func theLockHoldsAgainstAnotherProcess() throws {
    let lock = try directory.lock("LOCK")
    let path = scratch.path + "/LOCK"
    #expect(try run("flock", "--nonblock", path, "true") != 0)
    lock.unlock()
    #expect(try run("flock", "--nonblock", path, "true") == 0)
  }

  @Test(.enabled(if: hasFlock)) func anotherProcessesLockNamesItAndFallsWithIt() throws {
    let child = Process()
    let (input, output) = (Pipe(), Pipe())
    child.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    child.arguments = [
      "flock", scratch.path + "/LOCK", "sh", "-c",
      "echo 4711 > \(scratch.path)/LOCK; echo ready; read line",
    ]
    child.standardInput = input
    child.standardOutput = output
    try child.run()
    _ = output.fileHandleForReading.availableData
    #expect(code { try directory.lock("LOCK") } == .locked(process: 4711))
    try input.fileHandleForWriting.close()
    child.waitUntilExit()
    _ = try directory.lock("LOCK")
  }

  @Test func aHardLinkToTheLockIsTheSameLock() throws {
    let lock = try directory.lock("LOCK")
    try directory.link("LOCK", into: directory, as: "OTHER")
    let process = ProcessStatistics.processIdentifier
    #expect(
      code { try directory.lock("OTHER") } == .locked(process: process))
    lock.unlock()
  }

  @Test func ofManyThreadsOneGetsTheLock() throws {
    let directory = directory
    let held = Mutex<[any DirectoryLock]>([])
    let threads = try (0..<8).map { _ in
      try JoinedThread {
        if let lock = try? directory.lock("LOCK") { held.withLock { $0.append(lock) } }
      }
    }
    for thread in threads { thread.join() }
    #expect(held.withLock { $0.count } == 1)
  }

  @Test func closingUnderReadersNeverReachesAnotherFile() throws {
    try directory.make("mine", bytes(1, 4096))
    try directory.make("other", bytes(2, 4096))
    let directory = directory
    let wrong = Atomic<Int>(0)
    for _ in 0..<50 {
      let file = try directory.openFile("mine", .read)
      let reader = try JoinedThread {
        while let read = try? file.read(4096, at: 0) {
          if read != bytes(1, 4096) { wrong.add(1, ordering: .relaxed) }
        }
      }
      file.close()
      let other = try directory.openFile("other", .read)
      reader.join()
      other.close()
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }

  @Test func largeFilesAreReadAndWrittenWhole() throws {
    let file = try directory.openFile("a", .create)
    let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try file.write(content, at: 1 << 33)
    #expect(try file.size() == 1 << 33 + 3_000_000)
    #expect(try file.read(4_000_000, at: 1 << 33) == content)
    try file.synchronize()
    try directory.synchronize()
  }

  @Test func aReadOnlyPlaceIsRefusedByItsCode() throws {
    // Everyone, root too, is refused in /proc.
    let proc = try PosixFileSystem().openDirectory(at: "/proc", creating: false)
    let refusal = code { try proc.openFile("sediment", .create) }
    #expect([.permissionDenied, .readOnlyFileSystem, .notFound].contains(refusal))
  }

  @Test func errorsSayWhatWhereAndWhy() throws {
    do throws(FileError) {
      _ = try directory.openFile("missing", .read)
      Issue.record("opened a missing file")
    } catch {
      #expect(
        error.description == "cannot open \(scratch.path)/missing: it does not exist "
          + "(No such file or directory, error 2)")
    }
    let locked = FileError(code: .locked(process: 7), operation: "lock", path: "s/LOCK")
    #expect(locked.description == "cannot lock s/LOCK: it is in use by process 7")
  }
}
