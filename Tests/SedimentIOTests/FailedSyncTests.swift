import SedimentIO
import SedimentTestKit
import Testing

/// The three ways in which pages may be after a sync that failed.
@Suite struct FailedSyncTests {
  private let disk = MemoryFileSystem()

  /// A file that durably holds 1 and had 2 written over it, whose sync then failed.
  private func fileWithFailedSync(_ model: FailedSync) throws -> any File {
    let root = try disk.openDirectory(at: "/", creating: false)
    let file = try root.make("a", [1])
    try file.synchronize()
    try root.synchronize()
    try file.write([2], at: 0)
    disk.failSynchronization(number: disk.synchronizationCount + 1, as: model)
    #expect(code { try file.synchronize() } == .inputOutput)
    return file
  }

  @Test func forgottenPagesAreSeenButALaterSyncDoesNotWriteThem() throws {
    let file = try fileWithFailedSync(.forgotten)
    #expect(try file.contents() == [2])
    try file.synchronize()
    #expect(try disk.crashed(.everything).contents(of: "a") == [1])
    #expect(try disk.clone().contents(of: "a") == [2])
    try file.write([3], at: 0)
    try file.synchronize()
    #expect(try disk.crashed(.nothing).contents(of: "a") == [3])
  }

  @Test func revertedPagesShowTheDisk() throws {
    let file = try fileWithFailedSync(.reverted)
    #expect(try file.contents() == [1])
    try file.synchronize()
    #expect(try disk.crashed(.everything).contents(of: "a") == [1])
  }

  @Test func pendingPagesAreLostInACrashButALaterSyncWritesThem() throws {
    let file = try fileWithFailedSync(.stillPending)
    #expect(try file.contents() == [2])
    #expect(try disk.crashed(.nothing).contents(of: "a") == [1])
    try file.synchronize()
    #expect(try disk.crashed(.nothing).contents(of: "a") == [2])
  }

  @Test(arguments: FailedSync.allCases)
  func aFailedSyncOfADirectoryFollowsTheModel(_ model: FailedSync) throws {
    let root = try disk.openDirectory(at: "/", creating: false)
    try root.make("a")
    disk.failSynchronization(number: 1, as: model)
    #expect(code { try root.synchronize() } == .inputOutput)
    #expect(disk.files() == (model == .reverted ? [] : ["a"]))
    try root.synchronize()
    #expect(disk.crashed(.everything).files() == (model == .stillPending ? ["a"] : []))
  }
}
