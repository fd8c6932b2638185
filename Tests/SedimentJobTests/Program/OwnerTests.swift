import Foundation
import SedimentIO
import SedimentStore
import Testing

/// One owner of a state at a time: other processes, this one, after a kill, and where nobody can be
/// the owner. Following files through the program stands here too, for it is what holds a state.
@Suite final class OwnerTests {
  private let program: Program

  init() throws {
    program = try Program()
    try program.write(line(1), to: "in.ndjson")
  }

  private func line(_ key: Int) -> String { "{\"k\":\(key)}\n" }

  private static let job = [
    "dedup", "in.ndjson", "--key", "k", "--ttl", "forever", "--state", "state",
    "--checkpoint-interval", "5ms",
  ]

  /// A job that follows `in.ndjson` and has printed the keys of `lines`.
  private func startFollowing(_ talk: Any = FileHandle.nullDevice) throws -> (Process, FileHandle) {
    let pipe = Pipe()
    let process = try program.start(Self.job + ["--follow"], output: pipe, talk: talk)
    return (process, pipe.fileHandleForReading)
  }

  /// Reads the next record that the program prints; waits for it.
  private func next(_ output: FileHandle) throws -> String {
    var text = Data()
    while text.last != UInt8(ascii: "\n"), let byte = try output.read(upToCount: 1) {
      if byte.isEmpty { break }
      text += byte
    }
    return String(decoding: text, as: UTF8.self)
  }

  private func end(_ process: Process, _ signal: Int32) -> Int32 {
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    return process.terminationStatus
  }

  @Test func followingGoesOnThroughRotationAStopAndARestart() throws {
    let talk = Pipe()
    let (process, output) = try startFollowing(talk)
    #expect(try next(output) == line(1))
    try program.append(line(1) + line(2), to: "in.ndjson")
    #expect(try next(output) == line(2))
    try FileManager.default.moveItem(
      at: program.url("in.ndjson"), to: program.url("in.ndjson.1"))
    try program.write(line(2) + line(3), to: "in.ndjson")
    #expect(try next(output) == line(3))
    try program.write("", to: "in.ndjson")
    try program.append(line(4), to: "in.ndjson")
    #expect(try next(output) == line(4))
    #expect(end(process, SIGTERM) == 0 && process.terminationReason == .exit)
    let said = try talk.fileHandleForReading.readToEnd().map { String(decoding: $0, as: UTF8.self) }
    #expect(said?.contains("in.ndjson is a new file now") == true)
    #expect(said?.contains("start the same command again") == true)
    try program.append(line(4) + line(5), to: "in.ndjson")
    let (again, rest) = try startFollowing()
    #expect(try next(rest) == line(5))
    #expect(end(again, SIGINT) == 0)
  }

  @Test func anotherProcessIsRefusedWithTheOwnersNumberUntilThatIsKilled() throws {
    let (process, output) = try startFollowing()
    #expect(try next(output) == line(1))
    let owner = "process \(process.processIdentifier)"
    let writers = [
      Self.job, Self.job + ["--fresh"], ["compact", "state"], ["savepoint", "state", "saved"],
      ["checkpoint", "create", "state"],
    ]
    for arguments in writers {
      let refused = try program.run(arguments)
      #expect(refused.status == 1 && refused.output.isEmpty, "\(arguments)")
      #expect(refused.talk.contains(owner), "\(arguments): \(refused.talk)")
    }
    for arguments in [["inspect", "state"], ["verify", "state"], ["get", "state", "[1]"]] {
      let read = try program.run(arguments)
      #expect(read.status == 0, "\(arguments): \(read.talk)")
    }
    #expect(throws: StoreError.self) { try StateStore.open(at: program.url("state").path) }
    // It goes on as if nobody had asked.
    try program.append(line(2), to: "in.ndjson")
    #expect(try next(output) == line(2))
    _ = end(process, SIGKILL)
    #expect(process.terminationReason == .uncaughtSignal)
    let after = try program.run(Self.job)
    #expect(after.status == 0, "\(after.talk)")
  }

  @Test func anOpenerInThisProcessKeepsOthersOut() throws {
    #expect(try program.run(Self.job).status == 0)
    let path = program.url("state").path
    let store = try StateStore.open(at: path, options: StoreOptions(memoryBudget: 8 << 20))
    let error = #expect(throws: StoreError.self) { try StateStore.open(at: path) }
    #expect(error?.code == .locked(process: ProcessInfo.processInfo.processIdentifier))
    let refused = try program.run(Self.job)
    #expect(refused.status == 1)
    #expect(refused.talk.contains("process \(ProcessInfo.processInfo.processIdentifier)"))
    try store.close()
    #expect(try program.run(Self.job).status == 0)
  }

  @Test func aLinkInPlaceOfTheLockIsRefusedAndItsTargetLeftAlone() throws {
    #expect(try program.run(Self.job).status == 0)
    try program.write("mine", to: "target")
    try FileManager.default.removeItem(at: program.url("state/LOCK"))
    try FileManager.default.createSymbolicLink(
      at: program.url("state/LOCK"), withDestinationURL: program.url("target"))
    for arguments in [Self.job, Self.job + ["--fresh"], ["compact", "state"]] {
      let refused = try program.run(arguments)
      #expect(refused.status == 1 && refused.talk.contains("symbolic link"), "\(refused.talk)")
    }
    #expect(try program.text(of: "target") == "mine")
    #expect(!program.exists("state.old-1"))
  }

  @Test func aDirectoryInPlaceOfTheLockIsRefused() throws {
    try FileManager.default.createDirectory(
      at: program.url("state/LOCK"), withIntermediateDirectories: true)
    let refused = try program.run(Self.job)
    #expect(refused.status == 1 && refused.talk.contains("LOCK"), "\(refused.talk)")
  }

  @Test(.enabled(if: geteuid() != 0, "the superuser may write anywhere"))
  func aReadOnlyStateIsReadAndNotWritten() throws {
    #expect(try program.run(Self.job).status == 0)
    func setMode(_ mode: Int) throws {
      try FileManager.default.setAttributes(
        [.posixPermissions: mode], ofItemAtPath: program.url("state").path)
    }
    try setMode(0o555)
    let refused = try program.run(Self.job)
    #expect(refused.status == 1 && refused.talk.contains("permission denied"), "\(refused.talk)")
    #expect(try program.run("inspect", "state").status == 0)
    #expect(try program.run("verify", "state").status == 0)
    try setMode(0o755)
  }
}
