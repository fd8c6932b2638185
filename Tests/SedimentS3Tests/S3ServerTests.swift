import Foundation
import SedimentIO
import SedimentS3
import SedimentStore
import SedimentTestKit
import Testing

/// What is taken for granted of a server, against a real one: `tools/test-s3` starts it. Elsewhere
/// `SEDIMENT_S3_ENDPOINT`, `SEDIMENT_S3_BUCKET` and the variables of Amazon's tools name one. That
/// of many who put at once one succeeds is not asked: moto's looks and puts in two steps.
@Suite(.enabled(if: S3TestServer.endpoint != nil, "SEDIMENT_S3_ENDPOINT names no server"))
struct S3ServerTests {
  private let storage: S3Storage

  init() throws { storage = try S3TestServer.storage() }

  /// A file in memory.
  private static func file(_ content: [UInt8]) throws -> any File {
    let directory = try MemoryFileSystem().openDirectory(at: "/", creating: false)
    let file = try directory.openFile("f", .create)
    try file.write(content, at: 0)
    return file
  }

  @Test func keysHoldWhatWasPut() throws {
    #expect(try storage.read("a/b", 0..<10) == nil)
    try storage.put([1, 2, 3], as: "a/b")
    try storage.put([], as: "a/empty")
    #expect(try storage.read("a/b", 0..<10) == [1, 2, 3])
    #expect(try storage.read("a/b", 1..<2) == [2])
    #expect(try storage.read("a/b", 3..<9) == [])
    #expect(try storage.read("a/empty", 0..<9) == [])
    try storage.put([4], as: "a/b")
    #expect(
      try storage.list("a/") == [.init(key: "a/b", bytes: 1), .init(key: "a/empty", bytes: 0)])
    #expect(try storage.putIfAbsent([5], as: "a/b") == false)
    #expect(try storage.putIfAbsent([5], as: "a/c"))
    // As when the answer to it was lost.
    #expect(try storage.putIfAbsent([5], as: "a/c"))
    #expect(try storage.read("a/b", 0..<9) == [4])
    try storage.delete(["a/b", "a/none", "a/empty"])
    #expect(try storage.list("a/").map(\.key) == ["a/c"])
    #expect(try storage.list("").allSatisfy { !$0.key.hasPrefix("probes/") })
  }

  @Test func listingsOfSeveralPagesAreWhole() throws {
    for number in 0..<1_003 {
      try storage.put([1], as: "many/\(FileNumber(UInt64(number)).digits)")
    }
    let listed = try storage.list("many/")
    #expect(listed.count == 1_003)
    #expect(listed.map(\.key) == listed.map(\.key).sorted())
    try storage.delete(listed.map(\.key))
  }

  @Test func filesArePutAsAWholeOrInParts() throws {
    let content = (0..<13_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }
    let file = try Self.file(content)
    let parts = try S3TestServer.storage(partBytes: 5 << 20, sharing: storage)
    for (name, target) in [("whole", storage), ("parts", parts)] {
      for bytes in [0, 1, 5 << 20, (5 << 20) + 1, 12_999_999] {
        try target.put(file, bytes: UInt64(bytes), as: name)
        var read: [UInt8] = []
        while let piece = try target.read(name, UInt64(read.count)..<UInt64(read.count + 4_000_000))
        {
          read += piece
          if piece.count < 4_000_000 { break }
        }
        #expect(read == Array(content.prefix(bytes)), "\(name) \(bytes)")
      }
      #expect(throws: StoreError.self) { try target.put(file, bytes: 13_000_001, as: name) }
    }
    #expect(try storage.unfinished("", before: .max, removing: false).isEmpty)
  }

  @Test func aStoreGoesToAnotherMachineAndBack() throws {
    let clock = ManualClock(millis: SystemClock().nowMillis())
    let machines = [MemoryFileSystem(), MemoryFileSystem()]
    var options = StoreOptions(memoryBudget: 8 << 20, shards: 2, backgroundThreads: 1)
    options.clock = clock
    let store = try StateStore.open(at: "/state", options: options, fileSystem: machines[0])
    let seen = try store.orderedKeyspace("seen")
    for round in 0..<4 {
      for index in 0..<100 {
        try seen.put([UInt8(round), UInt8(index)], [UInt8](repeating: 1, count: 50))
      }
      try store.checkpoint(to: storage)
    }
    let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
    #expect(try checkpoints.list().count == 4)
    #expect(try checkpoints.verify().isEmpty)
    #expect(try checkpoints.retain(1).count == 3)
    clock.advance(byMillis: 25 * 3_600_000)
    let named = try checkpoints.collectGarbage()
    #expect(!named.files.isEmpty)
    #expect(try checkpoints.collectGarbage(dryRun: false) == named)
    try StateStore.restore(
      from: storage, to: "/state", fileSystem: machines[1], clock: clock)
    let restored = try StateStore.open(at: "/state", options: options, fileSystem: machines[1])
    let found = try restored.orderedKeyspace("seen")
    for round in 0..<4 { #expect(try found.get([UInt8(round), 99])?.count == 50) }
    try restored.checkpoint(to: storage)
    #expect(
      #expect(throws: StoreError.self) { try store.checkpoint(to: storage) }?.code == .superseded)
    try restored.close()
    try store.close()
  }

  @Test func aBucketThatIsNotThereIsNamed() throws {
    let storage = try S3TestServer.storage(bucket: "sediment-no-such-bucket")
    let error = #expect(throws: StoreError.self) { try storage.list("") }
    #expect(error?.code == .notFound)
    #expect(error?.message.contains("s3://sediment-no-such-bucket") == true)
  }
}

/// The server that the environment names.
enum S3TestServer {
  private static let environment = ProcessInfo.processInfo.environment
  static let endpoint = environment["SEDIMENT_S3_ENDPOINT"]

  /// A new prefix in the test's bucket, or that of another storage.
  static func storage(
    bucket: String? = nil, partBytes: UInt64 = 64 << 20, sharing other: S3Storage? = nil
  ) throws -> S3Storage {
    let bucket = bucket ?? environment["SEDIMENT_S3_BUCKET"] ?? "sediment-test"
    var options = S3Options(
      credentials: S3Credentials(
        accessKeyID: environment["AWS_ACCESS_KEY_ID"] ?? "test",
        secretAccessKey: environment["AWS_SECRET_ACCESS_KEY"] ?? "test"))
    options.endpoint = endpoint
    options.region = environment["AWS_REGION"] ?? "us-east-1"
    options.partBytes = partBytes
    let address = other?.location ?? "s3://\(bucket)/test-\(UUID().uuidString)"
    return try S3Storage(S3Address(address), options)
  }
}
