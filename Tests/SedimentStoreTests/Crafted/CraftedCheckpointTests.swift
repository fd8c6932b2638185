import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Checkpoints and savepoints that were made up, and links in them.
@Suite struct CraftedCheckpointTests {
  private typealias Harness = CheckpointHarness
  private let disk = MemoryFileSystem()
  private let id: String

  init() throws {
    let store = try Harness.open(disk)
    try Harness.insert(0, into: try store.keyspace("seen", Harness.forever))
    id = try store.checkpoint(to: "/backups").id
    try store.savepoint(to: "/saved")
    try store.close()
  }

  /// Restores, and checks that a refusal leaves nothing that could be taken for a store.
  private func restore(_ path: String) throws -> StoreError? {
    do throws(StoreError) {
      try StateStore.restore(
        checkpoint: CheckpointReference(path: path), to: "/r", fileSystem: disk)
      return nil
    } catch {
      let left = disk.files().filter { $0.hasPrefix("r/") && $0 != "r/LOCK" }
      #expect(left.isEmpty, "\(error)")
      return error
    }
  }

  // MARK: - Names

  @Test(arguments: [
    "chk-../../../etc-000001-0000000000000000", "chk-000000000001-../01-0000000000000000",
    "chk-000000000001-000001-../../../../../../", "chk--1-000001-0000000000000000",
    "chk-1-1-1", "chk-000000000001-000001-000000000000000G", "chk-",
    "chk-18446744073709551616-000001-0000000000000000",
  ])
  func anIDIsNumbersOnly(text: String) throws {
    #expect(CheckpointID(text) == nil)
    let error = #expect(throws: StoreError.self) {
      try Checkpoints(at: "/backups", fileSystem: disk).read(text)
    }
    #expect(error?.code == .notFound)
  }

  @Test(arguments: [
    "../000000000001-0000000000000001.sst", "000000000001-0000000000000001-.log",
    "000000000001.sst", "000000000001-1.sst", "x-0000000000000001.sst",
    "000000000001-0000000000000001-18446744073709551616.log", ".sst", "",
  ])
  func anObjectIsNamedByNumbersOnly(name: String) {
    #expect(!FileNaming.isObject(name))
  }

  // MARK: - Manifests

  /// Writes a checkpoint's manifest with a content that was made up, under the name it asks for.
  private func craft(_ payload: [UInt8], epoch: UInt64 = 5) throws -> String {
    let content = SHA256.digest(of: payload).bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    let id = CheckpointID(epoch: epoch, writerEpoch: 1, content: content)
    var writer = ByteWriter()
    writer.writeBytes(payload)
    try CheckpointManifest.write(
      payload: writer, id: id, to: id.fileName,
      in: disk.openDirectory(at: "/backups", creating: false))
    return "/backups/" + id.description
  }

  @Test func aManifestOfNoOrOneByteOrOfHugeCountsIsRefused() throws {
    var huge = ByteWriter()
    huge.writeUInt8(1)
    huge.writeInt64(0)
    huge.writeUInt8(1)
    huge.writeBytes([UInt8](repeating: 3, count: 60))
    huge.writeVarint(.max)
    for payload in [[], [1], [1, 0, 0, 0, 0, 0, 0, 0, 0], huge.bytes] as [[UInt8]] {
      #expect(try restore(try craft(payload))?.code == .corrupted, "\(payload.count) bytes")
    }
    #expect(try restore(try craft([9, 0, 0]))?.code == .unsupportedFormat)
  }

  @Test func aManifestThatLiesAboutItsFilesIsRefused() throws {
    let good = try Checkpoints(at: "/backups", fileSystem: disk).read(id)
    let checkpoint = try #require(CheckpointID(good.id))
    let manifest = try CheckpointManifest.read(
      checkpoint, in: disk.openDirectory(at: "/backups", creating: false))
    let lies: [(inout StoreState) -> Void] = [
      { $0.keyspaces[0].logs[0].committedLength = .max - 4 },
      { $0.keyspaces[0].logs[0].committedLength += 1 << 20 },
      { $0.keyspaces[0].logs[0].fileID ^= 1 },
      { $0.keyspaces[0].logs[0].number = FileNumber(.max - 4) },
      { $0.nextFileNumber = .max },
      { $0.nextFileNumber = 0 },
      { $0.epoch = .max },
    ]
    for (index, lie) in lies.enumerated() {
      var changed = manifest
      lie(&changed.state)
      let path = try craft(changed.encoded().payload.bytes, epoch: changed.state.epoch)
      let error = try restore(path)
      #expect(error?.code == .corrupted, "lie \(index): \(String(describing: error))")
    }
  }

  @Test func everyTruncationOfAManifestIsRefused() throws {
    let path = "backups/\(id).checkpoint"
    let bytes = try disk.contents(of: path)
    // The last record ends in up to seven zeros that carry nothing.
    for size in 0..<bytes.count - 7 {
      try disk.replaceContents(of: path, with: Array(bytes[..<size]))
      #expect(try restore("/backups/\(id)")?.code == .corrupted, "\(size) bytes")
    }
    try disk.replaceContents(of: path, with: bytes)
    #expect(try restore("/backups/\(id)") == nil)
  }

  // MARK: - Links

  @Test(arguments: ["backups", "saved"])
  func linksAreRefusedWhereverTheyStand(directory: String) throws {
    let objects = disk.files().filter { $0.hasPrefix(directory + "/objects/") }
    let manifest = directory + "/\(id).checkpoint"
    for path in [objects[0], manifest] where disk.files().contains(path) {
      let bytes = try disk.contents(of: path)
      try disk.removeFile(at: path)
      try disk.makeSymbolicLink(at: path)
      let error = try restore("/" + directory)
      #expect(error != nil && error?.code != .notFound, "\(path)")
      try disk.removeFile(at: path)
      let (parent, name) = Self.split(path)
      let file = try disk.openDirectory(at: parent, creating: false).openFile(name, .create)
      try file.write(bytes, at: 0)
      try file.synchronize()
    }
  }

  @Test(arguments: ["backups", "saved"])
  func aLinkInPlaceOfTheObjectsIsRefused(directory: String) throws {
    let parent = try disk.openDirectory(at: directory, creating: false)
    try parent.rename("objects", to: "elsewhere", replacing: false)
    try disk.makeSymbolicLink(at: directory + "/objects")
    #expect(try restore("/" + directory) != nil)
    #expect(throws: StoreError.self) { try Checkpoints(at: directory, fileSystem: disk) }
  }

  @Test func aLinkInPlaceOfTheLockIsRefused() throws {
    if disk.files().contains("backups/LOCK") { try disk.removeFile(at: "backups/LOCK") }
    try disk.makeSymbolicLink(at: "backups/LOCK")
    #expect(try restore("/backups") != nil)
    let checkpoints = try Checkpoints(at: "/backups", fileSystem: disk)
    #expect(throws: StoreError.self) { try checkpoints.delete(id) }
    #expect(throws: StoreError.self) { try checkpoints.collectGarbage(dryRun: false) }
  }

  // MARK: - Savepoints

  /// Replaces the sums of the savepoint.
  private func setSums(_ text: String) throws {
    try disk.replaceContents(of: "saved/SHA256SUMS", with: Array(text.utf8))
  }

  @Test(arguments: [
    "../backups/LOCK", "/etc/passwd", "objects/../SHA256SUMS", "objects//etc/passwd", "objects/",
    "..", ".", "objects/..", "a\u{0}b", String(repeating: "x", count: 300),
  ])
  func aSumOfAFileElsewhereIsRefused(name: String) throws {
    let good = String(decoding: try disk.contents(of: "saved/SHA256SUMS"), as: UTF8.self)
    try setSums(good + String(repeating: "0", count: 64) + "  \(name)\n")
    let error = try restore("/saved")
    #expect(error?.code == .corrupted, "\(String(describing: error))")
    #expect(try !ReadOnlyStore.verify(at: "/saved", fileSystem: disk).isEmpty)
  }

  @Test(arguments: [
    "", "\n", "x", String(repeating: "0", count: 64), String(repeating: "0", count: 66) + "\n",
    String(repeating: "0", count: 64) + "  \n", "\u{0}\u{0}",
  ])
  func sumsThatCannotBeReadAreRefused(text: String) throws {
    try setSums(text)
    #expect(try restore("/saved")?.code == .corrupted)
  }

  @Test func everyFlippedByteKeepsASavepointFromBeingRestored() throws {
    for file in disk.files() where file.hasPrefix("saved/") {
      let bytes = try disk.contents(of: file)
      for offset in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 40)) {
        var damaged = bytes
        damaged[offset] ^= 1 << UInt8(offset % 8)
        try disk.replaceContents(of: file, with: damaged)
        let error = try restore("/saved")
        #expect(error?.code == .corrupted, "\(file), byte \(offset): \(String(describing: error))")
        if !file.hasSuffix("SUMS") {
          #expect(
            error?.message.contains(file.dropFirst(6)) == true, "\(String(describing: error))")
        }
      }
      try disk.replaceContents(of: file, with: bytes)
    }
    #expect(try restore("/saved") == nil)
  }

  @Test func aSavepointWithoutItsSumsOrWithAnUnlistedCheckpointIsRefused() throws {
    let good = try disk.contents(of: "saved/SHA256SUMS")
    let lines = String(decoding: good, as: UTF8.self).split(separator: "\n")
    for line in lines where line.contains("objects/") || line.contains(".checkpoint") {
      try setSums(lines.filter { $0 != line }.map { $0 + "\n" }.joined())
      #expect(try restore("/saved")?.code == .corrupted, "without \(line)")
    }
    try disk.removeFile(at: "saved/SHA256SUMS")
    let error = try restore("/saved")
    #expect(error?.code == .corrupted && error?.message.contains("SHA256SUMS") == true)
  }

  @Test func whatElseLiesInASavepointIsNoReason() throws {
    let file = try disk.openDirectory(at: "/saved", creating: false).openFile("README", .create)
    try file.write([1], at: 0)
    #expect(try restore("/saved") == nil)
  }

  private static func split(_ path: String) -> (String, String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    return (String(path[..<slash]), String(path[path.index(after: slash)...]))
  }
}
