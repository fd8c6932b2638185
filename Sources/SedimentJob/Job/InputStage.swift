// Reading and parsing, ahead of the thread that decides.
//
//   reader (one worker at a time) ─▶ batch n ─▶ its worker parses it ─▶ slot n of a ring ─▶ take()
//
// Every worker reads a batch under the reader's gate, which gives it a number, lets go of the gate
// and parses. Slots are taken in order of number, so the order is that of the input however many
// workers parse.
//
// Invariants
// 1. At most as many batches as the ring has slots are read and not taken, and with more than one
//    at most `waitingBytesMax` bytes and one batch.
// 2. Numbers have no gaps: a worker that took one fills its slot.
// 3. After `ended` or `failed` nothing more is read.
//
// Concurrency: lock order gate ─▶ monitor. One thread takes.

internal import SedimentIO

/// What the deciding thread gets.
enum InputItem {
  /// Parsed records, and the position behind them.
  case records(RecordBatch, InputPosition?)
  /// No records, but reading stands there.
  case moved(InputPosition)
  /// The group gives partitions or takes them.
  case group(GroupChange)
  /// There is no more input.
  case ended
  /// The input cannot be read on.
  case failed(any Error)
}

/// Threads that read and parse.
// @unchecked because the reader is used under `gate`, all else that changes under `monitor`.
final class InputStage: @unchecked Sendable {
  private let gate = Monitor()
  private let monitor = Monitor()
  private let reader: any InputReader
  private let pool: RecordBatchPool
  private let paths: [String]

  private var ring: [InputItem?]
  private var nextRead = 0
  private var nextTaken = 0
  private var waitingBytes = 0
  private let waitingBytesMax: Int
  private var hasEnded = false
  private var isStopping = false
  private let threads = SystemThreads()

  /// How long to wait when a followed file has nothing new.
  private static let idleNanos: UInt64 = 50_000_000

  /// - Parameters:
  ///   - paths: names of the inputs by source index, for messages.
  ///   - waitingBytesMax: bytes of records that are read ahead.
  init(
    _ reader: any InputReader, format: RecordFormat, paths: [String], workers: Int,
    pool: RecordBatchPool, waitingBytesMax: Int
  ) throws {
    self.waitingBytesMax = waitingBytesMax
    self.reader = reader
    self.paths = paths
    self.pool = pool
    ring = Array(repeating: nil, count: workers * 2 + 2)
    for index in 0..<workers {
      // @unchecked because the parser goes to the thread that is started with it, and no other.
      let owned = OwnedParser(parser: try format.makeParser())
      try threads.start(name: "sediment-parse\(index)") { [self] in work(owned.parser) }
    }
  }

  private struct OwnedParser: @unchecked Sendable {
    let parser: any RecordParser
  }

  /// The next item in order; `nil` when there was none within `nanoseconds`, and after `stop`.
  func take(waitingNanos nanoseconds: UInt64) -> InputItem? {
    monitor.withLock {
      let slot = nextTaken % ring.count
      var isInTime = true
      while ring[slot] == nil, isInTime, !isStopping {
        isInTime = monitor.wait(nanoseconds: nanoseconds)
      }
      guard let item = ring[slot] else { return nil }
      ring[slot] = nil
      nextTaken += 1
      if case .records(let batch, _) = item { waitingBytes -= batch.byteCount }
      monitor.broadcast()
      return item
    }
  }

  /// Wakes the taking thread; for signals that it looks at itself.
  func wake() {
    monitor.withLock { monitor.broadcast() }
  }

  /// Ends reading. A worker that waits for standard input ends when that gives something.
  func stop() {
    monitor.withLock {
      isStopping = true
      monitor.broadcast()
    }
  }

  /// Waits until all workers have ended, so that the inputs may be opened anew.
  func waitUntilStopped() {
    threads.waitUntilEnded()
  }

  // MARK: - Workers

  private func work(_ parser: any RecordParser) {
    while true {
      let batch = pool.take()
      guard let (number, item) = read(into: batch) else { return }
      var result = item
      if case .records(let batch, _) = item {
        do throws(FormatError) {
          try parser.parse(batch)
        } catch {
          result = .failed(SourceError.format(path: paths[batch.sourceIndex], error))
        }
      } else {
        pool.give(batch)
      }
      monitor.withLock {
        ring[number % ring.count] = result
        monitor.broadcast()
      }
    }
  }

  /// Reads the next item and numbers it; `nil` when there is nothing more to do.
  private func read(into batch: RecordBatch) -> (number: Int, item: InputItem)? {
    gate.lock()
    defer { gate.unlock() }
    while waitForRoom() {
      let item = step(into: batch)
      guard let item else { continue }
      return monitor.withLock {
        switch item {
        case .ended, .failed: hasEnded = true
        case .records(let batch, _): waitingBytes += batch.byteCount
        case .moved, .group: break
        }
        nextRead += 1
        return (nextRead - 1, item)
      }
    }
    return nil
  }

  private func step(into batch: RecordBatch) -> InputItem? {
    do {
      switch try reader.next(into: batch) {
      case .records(let position): return .records(batch, position)
      case .moved(let position): return .moved(position)
      case .ended: return .ended
      case .group(let change): return .group(change)
      case .idle:
        monitor.withLock { if !isStopping { _ = monitor.wait(nanoseconds: Self.idleNanos) } }
        return nil
      }
    } catch {
      return .failed(error)
    }
  }

  /// With `monitor` held.
  private var hasRoom: Bool {
    nextRead == nextTaken
      || (nextRead - nextTaken < ring.count && waitingBytes < waitingBytesMax)
  }

  /// False when nothing more is to be read.
  private func waitForRoom() -> Bool {
    monitor.withLock {
      while !isStopping, !hasEnded, !hasRoom { monitor.wait() }
      return !isStopping && !hasEnded
    }
  }
}
