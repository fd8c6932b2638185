// How far the writers are, and the course of a run over time.

import Foundation
import Synchronization

/// The progress of one writer, read by others.
final class WriterProgress: Sendable {
  /// Events of its own that are decided.
  let events = Atomic<UInt64>(0)
  /// Those of them that were new, or found.
  let accepted = Atomic<UInt64>(0)
  /// Its place in the stream of all events.
  let position = Atomic<UInt64>(0)
  // The lines that a processor fetches together: writers do not wait for each other's.
  private let padding = InlineArray<16, UInt64>(repeating: 0)

  /// Notes how many events its writer, who alone calls this, has decided in all.
  func note(events: UInt64, accepted: UInt64) {
    self.events.store(events, ordering: .relaxed)
    self.accepted.store(accepted, ordering: .relaxed)
  }
}

/// The progress of all writers.
final class RunProgress: Sendable {
  let writers: [WriterProgress]
  /// How far a writer may be before the last one, in events.
  private let leadMax: UInt64?

  /// - Parameter leadMax: `nil` for any.
  init(writers: Int, leadMax: UInt64? = nil) {
    self.writers = (0..<writers).map { _ in WriterProgress() }
    self.leadMax = leadMax
  }

  var events: UInt64 { writers.reduce(0) { $0 + $1.events.load(ordering: .relaxed) } }
  var accepted: UInt64 { writers.reduce(0) { $0 + $1.accepted.load(ordering: .relaxed) } }

  /// Notes that a writer has decided events.
  func advance(_ writer: Int, by events: Int, accepted: Int) {
    writers[writer].events.add(UInt64(events), ordering: .relaxed)
    writers[writer].accepted.add(UInt64(accepted), ordering: .relaxed)
  }

  /// Notes a writer's place, and waits while it is too far before the others. Where entries expire
  /// a writer's time is everybody's, so the answers would depend on the lead otherwise.
  func enter(_ writer: Int, position: UInt64) {
    guard let leadMax else { return }
    writers[writer].position.store(position, ordering: .releasing)
    while position > leadMax,
      writers.contains(where: { $0.position.load(ordering: .acquiring) < position - leadMax })
    {
      Thread.sleep(forTimeInterval: 20e-6)
    }
  }

  /// Notes that a writer has no more events.
  func leave(_ writer: Int) { writers[writer].position.store(.max, ordering: .releasing) }
}

/// Looks at a run every now and then.
///
/// @unchecked because `points` is the thread's own until it ended, which `ended` tells.
final class CourseSampler: @unchecked Sendable {
  private static let pointsMax = 400
  private let progress: RunProgress
  private let directory: String
  private let stopping = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private var points: [CoursePoint] = []

  init(_ progress: RunProgress, directory: String) {
    self.progress = progress
    self.directory = directory
    let thread = Thread { [self] in sample() }
    thread.start()
  }

  /// Ends the sampling. Called once.
  func finish() -> [CoursePoint] {
    stopping.signal()
    ended.wait()
    return points
  }

  private func sample() {
    let clock = ContinuousClock()
    let start = clock.now
    var interval = 0.025
    var hasEnded = false
    while !hasEnded {
      hasEnded = stopping.wait(timeout: .now() + interval) == .success
      points.append(
        CoursePoint(
          seconds: (clock.now - start).inSeconds, events: progress.events,
          accepted: progress.accepted, residentBytes: ProcessMeter.residentBytes,
          diskBytes: Directories.occupiedBytes(directory)))
      if points.count == Self.pointsMax {
        // Every other point goes, and from now on they come half as often.
        points = points.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
        interval *= 2
      }
    }
    ended.signal()
  }
}

/// Calls `body` on so many threads of their own and returns when all calls have.
///
/// - Throws: the first error, after all ended.
func onThreads<Answer: Sendable>(
  _ count: Int, _ body: @escaping @Sendable (Int) throws -> Answer
) throws -> [Answer] {
  let results = ThreadResults<Answer>(count: count)
  let group = DispatchGroup()
  for index in 0..<count {
    group.enter()
    let thread = Thread {
      results.set(Result { try body(index) }, at: index)
      group.leave()
    }
    thread.stackSize = 8 << 20
    thread.start()
  }
  group.wait()
  return try results.get()
}

private final class ThreadResults<Answer: Sendable>: Sendable {
  private let results: Mutex<[Result<Answer, any Error>?]>

  init(count: Int) { results = Mutex(Array(repeating: nil, count: count)) }

  func set(_ result: Result<Answer, any Error>, at index: Int) {
    results.withLock { $0[index] = result }
  }

  func get() throws -> [Answer] {
    try results.withLock { results in
      try results.compactMap { try $0?.get() }
    }
  }
}
