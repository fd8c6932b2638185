import Foundation
import SedimentIO
import SedimentJob
import SedimentTestKit
import Synchronization
import Testing

/// A directory that one instance believes to be its own while it is another one's by now.
@Suite struct TwoWritersTests {
  /// The earlier writer sleeps at each of its calls in turn; the later one begins, and sleeps at
  /// each of its own while the earlier one makes some calls more, or goes on to its end. Whatever
  /// the earlier one does, the later one's output is whole.
  @Test(arguments: [1, 2, Int.max], [false, true])
  func theLaterOneIsNotHarmed(callsMeanwhile: Int, renamesByLink: Bool) throws {
    for promisesParts in [false, true] {
      try playAll(callsMeanwhile, renamesByLink, promisesParts: promisesParts)
    }
  }

  private func playAll(
    _ callsMeanwhile: Int, _ renamesByLink: Bool, promisesParts: Bool
  ) throws {
    var (early, late) = (0, 0)
    var end = Schedule.End.bothSlept
    while end != .earlierRanThrough {
      early += 1
      late = 0
      repeat {
        late += 1
        let schedule = Schedule(
          sleepOfEarlier: early, sleepOfLater: late, callsMeanwhile: callsMeanwhile,
          renamesByLink: renamesByLink)
        end = try play(schedule, promisesParts)
      } while end == .bothSlept
    }
    #expect(early > 10)
  }

  private func play(_ schedule: Schedule, _ promisesParts: Bool) throws -> Schedule.End {
    let disk = MemoryFileSystem()
    var committed: SinkCommitment?
    if promisesParts {
      // Its process dies before they are shown.
      let sink = try Self.open(disk, writerEpoch: 1)
      _ = try sink.recover(committed: nil)
      try sink.append(["one\n", "two\n"])
      committed = try sink.prepare()
    }
    let begun = committed
    let last = Mutex<SinkCommitment?>(nil)
    let failure = Mutex<(any Error)?>(nil)
    let end = schedule.run(on: disk) { files in
      do {
        let sink = try Self.open(files, writerEpoch: 2)
        _ = try sink.recover(committed: begun)
        try sink.append(["a ghost's\n"])
        _ = try sink.cut()
      } catch SinkError.outputAhead {
        Issue.record("the state is told to be older than its output, \(schedule)")
      } catch {
        // What becomes of it is of no account.
      }
    } later: { files in
      do {
        let sink = try Self.open(files, writerEpoch: 3)
        _ = try sink.recover(committed: begun)
        for text in ["three\n", "four\n"] {
          try sink.append([text])
          let commitment = try sink.prepare()
          last.withLock { $0 = commitment }
          try sink.publish(commitment)
        }
        try sink.sweep()
      } catch {
        failure.withLock { $0 = error }
      }
    }
    #expect(failure.withLock { $0 } == nil, "\(schedule)")
    let expected = (promisesParts ? "one\ntwo\n" : "") + "three\nfour\n"
    #expect(try disk.concatenatedParts("out") == expected, "\(schedule)")
    let sink = try Self.open(disk, writerEpoch: 4)
    _ = try sink.recover(committed: last.withLock { $0 })
    #expect(try disk.names("out").filter { $0.hasSuffix(".tmp") } == [], "\(schedule)")
    return end
  }

  private static func open(
    _ files: any FileSystem, writerEpoch: UInt64
  ) throws -> PartDirectorySink {
    try PartDirectorySink(
      "out", in: files,
      options: .init(
        jobID: "job", writerEpoch: writerEpoch, newOutputID: writerEpoch, fileExtension: "txt",
        rollBytes: 4, isShared: true))
  }
}

/// Two processes that share a disk: the earlier one sleeps at its n-th call until the later one has
/// come to its m-th, where that one sleeps until the earlier one has ended, or has made some calls
/// and sleeps for good.
private struct Schedule: CustomStringConvertible {
  enum End { case bothSlept, laterRanThrough, earlierRanThrough }

  let sleepOfEarlier: Int
  let sleepOfLater: Int
  let callsMeanwhile: Int
  let renamesByLink: Bool

  var description: String {
    "asleep at call \(sleepOfEarlier), the later at \(sleepOfLater) for \(callsMeanwhile) calls, "
      + "by link: \(renamesByLink)"
  }

  /// Runs both to their ends.
  func run(
    on disk: MemoryFileSystem, earlier: (any FileSystem) -> Void,
    later: @escaping @Sendable (any FileSystem) -> Void
  ) -> End {
    let (isReached, hasEnded, mayGoOn) = (
      DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
    )
    let second = CountingDisk(disk, renamesByLink) { call in
      guard call == sleepOfLater else { return }
      isReached.signal()
      mayGoOn.wait()
    }
    let letLaterEnd = { @Sendable in
      mayGoOn.signal()
      hasEnded.wait()
    }
    let (sleep, last) = (sleepOfEarlier, sleepOfEarlier.addingReportingOverflow(callsMeanwhile))
    let first = CountingDisk(disk, renamesByLink) { call in
      if call == sleep {
        Thread {
          later(second.files)
          hasEnded.signal()
          isReached.signal()
        }.start()
        isReached.wait()
      } else if !last.overflow, call == last.partialValue {
        letLaterEnd()
      }
    }
    earlier(first.files)
    guard first.count >= sleep else {
      later(disk)
      return .earlierRanThrough
    }
    if last.overflow || first.count < last.partialValue { letLaterEnd() }
    return second.count >= sleepOfLater ? .bothSlept : .laterRanThrough
  }
}

/// What a process reaches of a disk, which counts its calls and may sleep at them.
private final class CountingDisk: Sendable {
  let files: FaultInjectingFileSystem
  private let calls = Mutex(0)

  init(
    _ disk: MemoryFileSystem, _ renamesByLink: Bool, _ called: @escaping @Sendable (Int) -> Void
  ) {
    files = FaultInjectingFileSystem(disk, renamesByLink: renamesByLink)
    files.interrupt { [unowned self] _, _ in
      called(
        calls.withLock { calls in
          calls += 1
          return calls
        })
    }
  }

  var count: Int { calls.withLock { $0 } }
}
