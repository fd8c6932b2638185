internal import SedimentIO

/// Tells a listener how far the job is, twice a second.
final class ProgressReporter {
  private let environment: JobEnvironment
  private let startNanos: UInt64
  private let bytesTotal: UInt64?
  private var lastNanos: UInt64
  private var lastEvents: UInt64 = 0
  private var epochNanos: UInt64

  private static let intervalNanos: UInt64 = 500_000_000

  /// - Parameter inputs: what is to be read; `nil` when it has no end.
  init(_ environment: JobEnvironment, inputs: [PlannedInput]?) {
    self.environment = environment
    startNanos = environment.clock.monotonicNanos()
    lastNanos = startNanos
    epochNanos = startNanos
    if environment.onProgress != nil || environment.status != nil, let inputs {
      bytesTotal = Self.bytes(of: inputs, environment.inputs)
    } else {
      bytesTotal = nil
    }
  }

  func epochCut(at nanos: UInt64) {
    epochNanos = nanos
  }

  /// Reports when it is time.
  func tick(
    _ counters: @autoclosure () -> JobCounters, keys: @autoclosure () -> UInt64,
    bytes: @autoclosure () throws -> UInt64, checkpointNanos: @autoclosure () -> UInt64?,
    lag: @autoclosure () -> TopicLag?, resources: @autoclosure () -> JobStatus.Resources
  ) rethrows {
    environment.status?.beat()
    guard environment.onProgress != nil || environment.status != nil else { return }
    let now = environment.clock.monotonicNanos()
    guard now &- lastNanos >= Self.intervalNanos else { return }
    let counters = counters()
    let pace = Double(counters.events - lastEvents) * 1e9 / Double(now - lastNanos)
    let before = environment.stageBefore?()
    var progress = JobProgress(
      counters: counters, elapsedNanos: now - startNanos, eventsPerSecond: pace,
      stateKeys: keys(), stateBytes: try bytes(),
      epochAgeNanos: now &- epochNanos,
      checkpointAgeNanos: checkpointNanos().map { now &- $0 }, bytesTotal: bytesTotal,
      lag: TopicLag.sum(before?.lag, lag()))
    progress.repartitioned = before?.records
    environment.onProgress?(progress)
    if let status = environment.status { status.post(progress, resources()) }
    lastNanos = now
    lastEvents = counters.events
  }

  /// Bytes to be read; `nil` for what does not say: standard input and compressed files.
  private static func bytes(of inputs: [PlannedInput], _ files: InputFileSystem) -> UInt64? {
    var sum: UInt64 = 0
    for input in inputs {
      guard case .file(let path) = input.source, !InputFileSystem.isCompressed(path) else {
        return nil
      }
      do throws(SourceError) {
        let size = try files.metadata(of: path)?.size ?? 0
        sum += size - min(input.offset, size)
      } catch {
        // Reading it will say why.
        return nil
      }
    }
    return sum
  }
}
