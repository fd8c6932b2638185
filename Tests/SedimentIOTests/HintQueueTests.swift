import SedimentIO
import SedimentTestKit
import Testing

@Suite struct HintQueueTests {
  @Test func filesAreAsTheyWereWrittenWhateverIsHinted() throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let (pieces, pieceBytes) = (24, 1 << 20)
    let files = try (0..<4).map { try scratch.directory.openFile("\($0)", .create) }
    let writers = try files.enumerated().map { index, file in
      try JoinedThread {
        for piece in 0..<pieces {
          let offset = UInt64(piece * pieceBytes)
          do {
            try file.write(bytes(UInt8(index * pieces + piece), pieceBytes), at: offset)
          } catch {
            Issue.record(error)
          }
          // All files together pass the step at which the disk is made to synchronise.
          file.startWriteback(at: offset, count: pieceBytes)
          file.dropCached(at: 0, count: Int(offset))
        }
      }
    }
    for writer in writers { writer.join() }
    // One is gone while hints about it wait, one is closed.
    try scratch.directory.remove("0")
    files[1].close()
    for index in [0, 2, 3] {
      for piece in 0..<pieces {
        let read = try files[index].read(pieceBytes, at: UInt64(piece * pieceBytes))
        #expect(read == bytes(UInt8(index * pieces + piece), pieceBytes))
      }
      try files[index].synchronize()
    }
    #expect(try scratch.directory.metadata(of: "1")?.size == UInt64(pieces * pieceBytes))
  }

  @Test func theThreadEndsWhenThereIsNothingToHint() throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let file = try scratch.directory.openFile("a", .create)
    try file.write(bytes(1, 4096), at: 0)
    file.startWriteback(at: 0, count: 4096)
    let pause = Monitor()
    var waits = 0
    while HintQueue.shared.isRunning, waits < 600 {
      pause.withLock { _ = pause.wait(nanoseconds: 100_000_000) }
      waits += 1
    }
    #expect(!HintQueue.shared.isRunning)
  }
}
