import SedimentIO
import SedimentJob
import SedimentTestKit
import Synchronization
import Testing

/// The transactions of a job between the thread that writes and the one that commits, with a
/// producer that writes down what it is told.
@Suite struct TransactionWriterTests {
  /// Notes calls; those of one kind can be held up or fail. Thread-safe.
  private final class Producer: TopicProducer {
    private struct State {
      var calls: [String] = []
      var failure: (call: String, error: SinkError)?
    }

    let cluster = "c"
    private let state = Mutex(State())
    /// Called before a commit takes effect.
    let onCommit: @Sendable () -> Void

    init(onCommit: @escaping @Sendable () -> Void = {}) {
      self.onCommit = onCommit
    }

    var calls: [String] { state.withLock { $0.calls } }

    /// From now on calls that begin so fail.
    func fail(_ call: String, _ error: SinkError) {
      state.withLock { $0.failure = (call, error) }
    }

    private func note(_ call: String) throws(SinkError) {
      try state.withLock { (state) throws(SinkError) in
        if let failure = state.failure, call.hasPrefix(failure.call) { throw failure.error }
        state.calls.append(call)
      }
    }

    func committed(_ topics: [String]) throws -> [TopicPartition: CommittedOffset] { [:] }
    func begin() throws(SinkError) { try note("begin") }

    func produce(_ records: TopicRecords) throws(SinkError) {
      let values = (0..<(unsafe records.indices.count)).map { place in
        unsafe String(decoding: records.batch.record(Int(records.indices[place])), as: UTF8.self)
      }
      try note("\(records.role) \(values.joined(separator: ",")) of \(records.tag.low)")
    }

    func flush() throws(SinkError) { try note("flush") }

    func commit(
      _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
    ) throws(SinkError) {
      onCommit()
      try note("commit " + offsets.values.map { "\($0.offset)" }.joined())
    }

    func close() { state.withLock { $0.calls.append("close") } }
  }

  private static func tag(_ number: UInt64) -> EpochTag { EpochTag(high: 0, low: number) }

  private static func writer(_ producer: Producer) -> TransactionWriter {
    TransactionWriter(producer, tag: tag(1), clock: ManualClock())
  }

  private static func offset(_ offset: Int64) -> [TopicPartition: CommittedOffset] {
    [TopicPartition("t", 0): CommittedOffset(offset: offset, metadata: "")]
  }

  private static func write(
    _ values: [String], to writer: TransactionWriter, _ role: OutputRole = .output
  ) throws(SinkError) {
    let batch = RecordBatch()
    batch.beginStretch(of: TopicPartition("t", 0), at: 0)
    for (index, value) in values.enumerated() {
      let start = batch.byteCount
      let text = Array(value.utf8)
      unsafe text.withUnsafeBufferPointer { unsafe batch.appendBytes($0) }
      batch.addRecord(start: start, length: text.count, extent: text.count, line: index)
    }
    try write(batch, to: writer, role)
  }

  private static func write(
    _ batch: RecordBatch, to writer: TransactionWriter, _ role: OutputRole = .output
  ) throws(SinkError) {
    let indices = (0..<batch.count).map { UInt32($0) }
    let failure = unsafe indices.withUnsafeBufferPointer { indices -> SinkError? in
      do throws(SinkError) {
        try unsafe writer.write(batch, indices: indices, role: role, path: "")
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  @Test func aTransactionBeginsWithItsFirstRecordAndHasWhatWasWrittenUpToTheCut() throws {
    let producer = Producer()
    let writer = Self.writer(producer)
    try Self.write([], to: writer)
    #expect(producer.calls.isEmpty)
    try Self.write(["a", "b"], to: writer)
    try Self.write(["c"], to: writer, .duplicates)
    try writer.cut(next: Self.tag(2), hasOffsets: true)
    try writer.flush()
    try writer.commit(Self.offset(3), readBy: nil)
    #expect(
      producer.calls == ["begin", "output a,b of 1", "duplicates c of 1", "flush", "commit 3"])
  }

  @Test func nothingIsBegunForAnEpochWithoutRecordsAndOffsets() throws {
    let producer = Producer()
    let writer = Self.writer(producer)
    try writer.cut(next: Self.tag(2), hasOffsets: false)
    try writer.flush()
    try writer.commit([:], readBy: nil)
    #expect(producer.calls.isEmpty)
    // Offsets alone have a transaction, in which there is nothing to wait for.
    try writer.cut(next: Self.tag(3), hasOffsets: true)
    try writer.flush()
    try writer.commit(Self.offset(5), readBy: nil)
    #expect(producer.calls == ["begin", "commit 5"])
    try Self.write(["a"], to: writer)
    #expect(producer.calls.last == "output a of 3")
  }

  @Test func whatIsWrittenWhileATransactionClosesGoesToTheNextInOrderWithItsTag() throws {
    let producer = Producer()
    let writer = Self.writer(producer)
    try Self.write(["a"], to: writer)
    try writer.cut(next: Self.tag(2), hasOffsets: true)
    try Self.write(["b", "c"], to: writer)
    try Self.write(["d"], to: writer, .rejects)
    try writer.flush()
    try Self.write(["e"], to: writer)
    #expect(producer.calls == ["begin", "output a of 1", "flush"])
    try writer.commit(Self.offset(1), readBy: nil)
    // What waited goes before what comes.
    try Self.write(["f"], to: writer)
    let second = ["begin", "output b,c of 2", "rejects d of 2", "output e of 2", "output f of 2"]
    #expect(producer.calls.dropFirst(4) == second[...])
    // Or the cut finds it.
    try writer.cut(next: Self.tag(3), hasOffsets: true)
    try Self.write(["g"], to: writer)
    try writer.commit(Self.offset(2), readBy: nil)
    try writer.cut(next: Self.tag(4), hasOffsets: false)
    try writer.flush()
    try writer.commit([:], readBy: nil)
    #expect(
      producer.calls.dropFirst(9) == ["commit 2", "begin", "output g of 3", "flush", "commit "])
  }

  @Test func theAgeIsThatOfTheTransactionThatIsOpenOrClosing() throws {
    let clock = ManualClock()
    let writer = TransactionWriter(Producer(), tag: Self.tag(1), clock: clock)
    #expect(writer.ageNanos == nil)
    try Self.write(["a"], to: writer)
    clock.advance(byMillis: 5)
    #expect(writer.ageNanos == 5_000_000)
    try writer.cut(next: Self.tag(2), hasOffsets: true)
    clock.advance(byMillis: 2)
    try Self.write(["b"], to: writer)
    #expect(writer.ageNanos == 7_000_000)
    try writer.commit([:], readBy: nil)
    #expect(writer.ageNanos == nil, "nothing is begun for what waits")
  }

  @Test func afterAFailureEveryCallThrowsItAndNothingIsProduced() throws {
    let producer = Producer()
    let writer = Self.writer(producer)
    try Self.write(["a"], to: writer)
    producer.fail("output", .epochAborted("fenced"))
    #expect(throws: SinkError.epochAborted("fenced")) { try Self.write(["b"], to: writer) }
    producer.fail("nothing", .topic(""))
    #expect(throws: SinkError.epochAborted("fenced")) { try Self.write(["c"], to: writer) }
    #expect(throws: SinkError.epochAborted("fenced")) {
      try writer.cut(next: Self.tag(2), hasOffsets: true)
    }
    #expect(producer.calls == ["begin", "output a of 1"])
    writer.close()
    #expect(producer.calls.last == "close")
  }

  /// More than may wait, in one batch.
  private static func largeBatch() -> RecordBatch {
    let batch = RecordBatch()
    let text = [UInt8](repeating: 0x78, count: 33 << 20)
    batch.beginStretch(of: TopicPartition("t", 0), at: 0)
    unsafe text.withUnsafeBufferPointer { unsafe batch.appendBytes($0) }
    batch.addRecord(start: 0, length: text.count, extent: text.count, line: 0)
    return batch
  }

  /// How a transaction ends that a writer waits for.
  enum End: CaseIterable {
    case commit, failedCommit, failedFlush, givenUp, closed
  }

  @Test(arguments: End.allCases)
  func whoeverWritesMoreThanMayWaitWaitsForTheEndOfTheTransactionHoweverItComes(end: End) throws {
    let producer = Producer()
    let writer = Self.writer(producer)
    try Self.write(["a"], to: writer)
    try writer.cut(next: Self.tag(2), hasOffsets: true)
    try Self.write(Self.largeBatch(), to: writer)
    let outcome = Mutex<(isDone: Bool, failure: SinkError?)>((false, nil))
    let done = Monitor()
    let thread = try SystemThread(name: "writer") {
      var failure: SinkError?
      do throws(SinkError) {
        try Self.write(["b"], to: writer)
      } catch {
        failure = error
      }
      outcome.withLock { $0 = (true, failure) }
      done.withLock { done.broadcast() }
    }
    _ = consume thread
    switch end {
    case .commit: try writer.commit(Self.offset(1), readBy: nil)
    case .failedCommit:
      producer.fail("commit", .epochAborted("lost"))
      #expect(throws: SinkError.self) { try writer.commit(Self.offset(1), readBy: nil) }
    case .failedFlush:
      producer.fail("flush", .epochAborted("lost"))
      #expect(throws: SinkError.self) { try writer.flush() }
    case .givenUp: writer.giveUp()
    case .closed: writer.close()
    }
    done.withLock { while !outcome.withLock({ $0.isDone }) { done.wait() } }
    let failure = outcome.withLock { $0.failure }
    switch end {
    case .commit:
      #expect(failure == nil)
      #expect(producer.calls.last == "output b of 2")
    case .failedCommit, .failedFlush: #expect(failure == .epochAborted("lost"))
    case .givenUp, .closed:
      guard case .epochAborted = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
    }
  }
}
