import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

@Suite struct CompressedInputTests {
  private var harness = JobHarness()

  init() {
    harness.options.description = JobDescription(
      format: RecordFormat(kind: .lines), timeToLive: .forever)
    harness.options.sources = [.file("in/a.gz")]
  }

  /// A gzip file of stored blocks, so that equal beginnings stay equal.
  private func write(_ lines: [String], to path: String) throws {
    let text = Array(lines.map { $0 + "\n" }.joined().utf8)
    var bytes: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]
    for start in stride(from: 0, to: text.count, by: 1000) {
      let block = text[start..<min(start + 1000, text.count)]
      let count = UInt16(block.count)
      bytes.append(start + 1000 >= text.count ? 1 : 0)
      for value in [count, ~count] {
        bytes += [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
      }
      bytes += block
    }
    for value in [crc32(text), UInt32(text.count)] {
      for place in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value >> (place * 8))) }
    }
    let directory = try harness.disk.openDirectory(at: "in", creating: true)
    let name = String(path.dropFirst("in/".count))
    if try directory.metadata(of: name) != nil { try directory.remove(name) }
    let file = try directory.openFile(name, .create)
    try unsafe bytes.span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe file.write(bytes, at: 0)
    }
  }

  private func crc32(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = ~0
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 0 ? 0 : 0xEDB8_8320) }
    }
    return ~crc
  }

  private func lines(_ range: Range<Int>, _ note: String = "") -> [String] {
    range.map { "line number \($0)\($0 < 500 ? "" : note)" }
  }

  @Test func aFinishedFileRunAgainEmitsNothing() throws {
    try write(lines(0..<2000), to: "in/a.gz")
    #expect(try harness.run().counters.emitted == 2000)
    #expect(try harness.run().counters.events == 0)
  }

  @Test(arguments: [3000, 2000, 1000])
  func anotherFileWithTheSameHeadIsReadFromItsBeginning(count: Int) throws {
    try write(lines(0..<2000), to: "in/a.gz")
    _ = try harness.run()
    try write(lines(0..<count, " of another file"), to: "in/a.gz")
    let messages = MessageLog()
    let summary = try harness.run(messages: messages)
    #expect(summary.counters.events == UInt64(count))
    #expect(summary.counters.emitted == UInt64(count - 500))
    #expect(messages.contains("in/a.gz is another file than before"))
    #expect(try harness.run().counters.events == 0)
  }
}
