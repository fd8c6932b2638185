import SedimentDedup
import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

/// What a state keeps about its job, made up. The store's checksums hold: they are of whatever the
/// metadata was.
@Suite struct CraftedMetadataTests {
  private static func metadata() -> JobMetadata {
    let format = RecordFormat(kind: .ndjson, keyFields: ["k"], timeField: "t")
    var metadata = JobMetadata(
      description: JobDescription(
        format: format, timeToLive: .milliseconds(400), allowedLateness: 50))
    metadata.totals.events = 3
    metadata.csvHeader = Array("a,b\n".utf8)
    metadata.commitments[.output] = SinkCommitmentTests.examples[2]
    metadata.commitments[.rejects] = SinkCommitmentTests.examples[1]
    metadata.positions = [position]
    return metadata
  }

  /// A position in a file that was read to its end.
  private static let position: FilePosition = {
    do {
      let disk = MemoryFileSystem()
      try disk.write("{\"k\":1,\"t\":1}\n", to: "in/a")
      let files = InputFileSystem(disk)
      let metadata = try #require(try files.metadata(of: "in/a"))
      return try FilePosition.take(
        path: "in/a", file: files.open("in/a"), metadata: metadata, isCompressed: false,
        offset: metadata.size, line: 2)
    } catch {
      preconditionFailure("a file in memory cannot be read: \(error)")
    }
  }()

  /// The description alone, as far as `description.encode` goes.
  private static func start() -> ByteWriter {
    var writer = ByteWriter()
    writer.writeUInt8(1)
    metadata().description.encode(to: &writer)
    return writer
  }

  private static func after(
    _ start: ByteWriter, _ body: (inout ByteWriter) -> Void
  ) -> [UInt8] {
    var writer = start
    body(&writer)
    return writer.bytes
  }

  /// No header, counters of nothing.
  private static func totals(_ writer: inout ByteWriter) {
    writer.writeUInt8(0)
    JobCounters().encode(to: &writer)
  }

  private static func withPosition(_ change: (inout FilePosition) -> Void) -> [UInt8] {
    var changed = metadata()
    change(&changed.positions[0])
    return changed.encoded()
  }

  private static func withParts(_ change: (inout PartsPromise) -> Void) -> [UInt8] {
    var parts = PartsPromise(
      outputID: 9, writerEpoch: 3, nextSequence: 14, fileExtension: "ndjson",
      parts: [.init(sequence: 12, bytes: 5), .init(sequence: 13, bytes: 0)])
    change(&parts)
    var changed = metadata()
    changed.commitments[.output] = SinkCommitment(
      path: "out", isReleased: false, promise: .parts(parts))
    return changed.encoded()
  }

  static let payloads: [(what: String, bytes: [UInt8])] = [
    ("one byte", [1]),
    ("another version", [7] + metadata().encoded().dropFirst()),
    ("bytes too many", metadata().encoded() + [0]),
    (
      "a format of 2⁶³ bytes",
      after(ByteWriter()) {
        $0.writeUInt8(1)
        $0.writeVarint(1 << 63)
      }
    ),
    (
      "2⁶⁴-1 key fields",
      after(ByteWriter()) {
        $0.writeUInt8(1)
        $0.writeString("ndjson")
        $0.writeVarint(.max)
      }
    ),
    (
      "a format that is none",
      after(ByteWriter()) {
        $0.writeUInt8(1)
        $0.writeString("../csv")
        $0.writeZeros(100)
      }
    ),
    ("a flag of 2", after(start()) { $0.writeUInt8(2) }),
    (
      "a header of 2⁶⁴-5 bytes",
      after(start()) {
        $0.writeUInt8(1)
        $0.writeVarint(.max - 4)
      }
    ),
    (
      "2⁴⁰ counters",
      after(start()) {
        $0.writeUInt8(0)
        $0.writeVarint(1 << 40)
      }
    ),
    (
      "eleven counters",
      after(start()) {
        $0.writeUInt8(0)
        $0.writeVarint(11)
        $0.writeZeros(20)
      }
    ),
    (
      "a commitment of 2⁶⁴-1 bytes",
      after(start()) {
        totals(&$0)
        $0.writeUInt8(1)
        $0.writeVarint(.max)
      }
    ),
    (
      "2⁶⁴-1 positions",
      after(start()) {
        totals(&$0)
        $0.writeZeros(3)
        $0.writeVarint(.max)
      }
    ),
    (
      "positions whose bytes wrap 64 bits",
      after(start()) {
        totals(&$0)
        $0.writeZeros(3)
        $0.writeVarint(.max / 40 + 2)
        $0.writeZeros(200)
      }
    ),
    ("a position at 2⁶⁴-5", withPosition { $0.offset = .max - 4 }),
    ("line 2⁶⁴-1", withPosition { $0.line = .max }),
    ("a tail longer than what is before it", withPosition { $0.tailBytes = $0.offset + 1 }),
    ("a head of 2⁴⁰ bytes", withPosition { $0.identity.headBytes = 1 << 40 }),
    ("a next part of 2⁶⁴-1", withParts { $0.nextSequence = .max }),
    ("a part behind the next", withParts { $0.parts[1].sequence = 14 }),
    ("parts out of order", withParts { $0.parts.reverse() }),
    ("an extension that leads out", withParts { $0.fileExtension = "x/../../y" }),
    ("an empty extension", withParts { $0.fileExtension = "" }),
    (
      "a time to live below 0",
      after(ByteWriter()) {
        var bytes = start().bytes
        bytes.replaceSubrange(
          bytes.count - 16..<bytes.count - 8, with: [255, 255, 255, 255, 255, 255, 255, 255])
        $0.writeBytes(bytes)
        totals(&$0)
        $0.writeZeros(4)
      }
    ),
  ]

  @Test(arguments: payloads.map(\.what))
  func metadataThatCannotBeIsRefusedAndTheOutputLeftAlone(what: String) throws {
    let bytes = try #require(Self.payloads.first { $0.what == what }).bytes
    #expect(throws: JobError.self) { try JobMetadata(decoding: bytes) }
    var harness = JobHarness()
    try harness.add("in/a", lines: ["{\"k\":1,\"t\":1}\n"])
    _ = try harness.run()
    let store = try StateStore.open(at: "state", fileSystem: harness.disk)
    try store.commitEpoch(metadata: bytes)
    try store.close()
    let before = try harness.output()
    let error = #expect(throws: JobError.self) { try harness.run() }
    #expect(error?.code == .failed)
    #expect(error?.description.contains("what the state keeps about its job") == true)
    #expect(try harness.output() == before)
  }

  @Test func theFramesOfThesePayloadsAreRight() throws {
    let good = Self.after(Self.start()) {
      Self.totals(&$0)
      $0.writeZeros(4)
    }
    #expect(try JobMetadata(decoding: good).description == Self.metadata().description)
    #expect(try JobMetadata(decoding: Self.metadata().encoded()) == Self.metadata())
  }

  @Test func everyTruncationAndFlippedBitIsTyped() throws {
    let bytes = Self.metadata().encoded()
    for count in 0..<bytes.count {
      #expect(throws: JobError.self) { try JobMetadata(decoding: Array(bytes[..<count])) }
    }
    for bit in 0..<bytes.count * 8 {
      var damaged = bytes
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      do { _ = try JobMetadata(decoding: damaged) } catch { #expect(error.code == .failed) }
    }
  }

  /// What decodes may still be untrue of what is on the disk.
  @Test func promisesThatTheDiskDoesNotKeepAreRefusedByName() throws {
    let lies: [(SinkCommitment.Promise, String)] = [
      (.file(device: 1, inode: 1, bytes: .max), "out.ndjson"),
      (.file(device: .max, inode: .max, bytes: 1), "out.ndjson"),
    ]
    for (promise, text) in lies {
      var harness = JobHarness()
      harness.options.targets[.output] = .file("out.ndjson")
      try harness.add("in/a", lines: ["{\"k\":1,\"t\":1}\n"])
      _ = try harness.run()
      let store = try StateStore.open(at: "state", fileSystem: harness.disk)
      var metadata = try JobMetadata(decoding: store.lastEpoch.metadata)
      metadata.commitments[.output] = SinkCommitment(
        path: "out.ndjson", isReleased: false, promise: promise)
      try store.commitEpoch(metadata: metadata.encoded())
      try store.close()
      let error = #expect(throws: JobError.self) { try harness.run() }
      #expect(error?.description.contains(text) == true, "\(String(describing: error))")
    }
  }
}
