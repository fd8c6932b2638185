import SedimentIO
import SedimentJob
import Synchronization
import Testing

/// A stream that remembers.
private final class MemoryStream: OutputStream {
  private let bytes = Mutex<[UInt8]>([])

  var text: String { String(decoding: bytes.withLock { $0 }, as: UTF8.self) }

  func write(_ data: UnsafeRawBufferPointer) throws(FileError) {
    let copy = unsafe Array(data)
    bytes.withLock { $0 += copy }
  }
}

@Suite struct StandardOutputSinkTests {
  @Test func batchesAreVisibleBeforeTheEpochEndsUnderOneHeader() throws {
    let stream = MemoryStream()
    let sink = StandardOutputSink(stream)
    sink.setHeader(Array("h\n".utf8))
    try sink.append(["one\n"])
    #expect(stream.text == "h\none\n")
    let commitment = try sink.prepare()
    try sink.publish(commitment)
    let long = String(repeating: "l", count: 2_000_000) + "\n"
    try sink.append(["two\n", "three\n", "four\n", long])
    #expect(stream.text == "h\none\ntwo\nthree\nfour\n" + long)
  }

  @Test func whatIsPromisedElsewhereIsNotForgotten() throws {
    let promised = SinkCommitment(
      path: "out.csv", isReleased: false, promise: .file(device: 1, inode: 1, bytes: 1))
    #expect(throws: SinkError.otherOutput(promised: "out.csv", given: "standard output")) {
      _ = try StandardOutputSink(MemoryStream()).recover(committed: promised)
    }
  }
}
