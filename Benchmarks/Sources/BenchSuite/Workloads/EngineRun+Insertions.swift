// dedup and its variants, and checkpoint.

import Dispatch
import Foundation

extension EngineRun {
  func insertions() throws -> RunRecord {
    let engine = try open()
    let meter = ProcessMeter()
    let checkpoints =
      request.workload == .checkpoint
      ? CheckpointClock(engine, directory: checkpointDirectory, seconds: request.epochSeconds)
      : nil
    let part = try insertAll(into: engine)
    let made = try checkpoints?.stop() ?? []
    let peak = peakBytes(engine, part)
    let settling = ProcessMeter()
    try engine.settle()
    let settleSeconds = settling.wallSeconds
    let counters = engine.counters
    let written = writtenBytes(engine, meter)
    let options = engine.options
    try engine.close()
    var details = RunDetails(course: part.course)
    details.settleSeconds = settleSeconds
    details.flushedBytes = counters.flushedBytes
    details.deviceReadBytes = meter.bytesReadFromDevice
    details.pagesRead = counters.pagesRead
    details.stallSeconds = counters.stallSeconds
    details.longestCutMicros = counters.longestCutMicros
    details.checkpoints = made
    details.latencyCurve = part.latencies.curve
    return RunRecord(
      request: request,
      figures: figures(
        part, events: request.events, peakRSSBytes: peak,
        diskBytes: Directories.occupiedBytes(stateDirectory), writtenBytes: written,
        falsePositives: counters.falsePositives),
      details: details, options: options)
  }
}

/// Makes a checkpoint every so often, beside the writers.
///
/// @unchecked because the results are the thread's own until it ended, which `ended` tells.
private final class CheckpointClock: @unchecked Sendable {
  private let stopping = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private var made: [CheckpointFigures] = []
  private var failure: (any Error)?

  init(_ engine: any Engine, directory: String, seconds: Double) {
    let whole = ProcessMeter()
    let thread = Thread { [self] in
      do {
        while stopping.wait(timeout: .now() + seconds) == .timedOut {
          let at = whole.wallSeconds
          let newBytes = try engine.checkpoint(made.count, in: directory)
          made.append(
            CheckpointFigures(at: at, seconds: whole.wallSeconds - at, newBytes: newBytes))
        }
      } catch {
        failure = error
      }
      ended.signal()
    }
    thread.start()
  }

  /// Waits for the checkpoint under way, if any. Called once.
  func stop() throws -> [CheckpointFigures] {
    stopping.signal()
    ended.wait()
    if let failure { throw failure }
    return made
  }
}
