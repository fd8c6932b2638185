// The parts that runs are made of.

import Foundation

/// What a timed part came to.
struct TimedPart: Sendable {
  var accepted: UInt64 = 0
  var latencies = Latencies()
  var wallSeconds = 0.0
  var cpuSeconds = 0.0
  var course: [CoursePoint] = []
}

/// One run of one engine in this process.
package struct EngineRun {
  let request: RunRequest
  /// Where the engine keeps its state.
  var stateDirectory: String { request.directory + "/state" }
  var checkpointDirectory: String { request.directory + "/checkpoints" }
  var restoredDirectory: String { request.directory + "/restored" }

  package init(request: RunRequest) { self.request = request }

  /// Runs it, in a directory that is made and left to the caller.
  package func run() throws -> RunRecord {
    try FileManager.default.createDirectory(
      atPath: stateDirectory, withIntermediateDirectories: true)
    switch request.workload {
    case .dedup, .dedupUnique, .dedupHot, .dedupCold, .dedupTTL, .checkpoint:
      return try insertions()
    case .lookupHit, .lookupMiss: return try lookups()
    case .restart: return try restart()
    case .job: return try JobRun(request: request).run()
    default: return try OrderedRun(request: request).run()
    }
  }

  func open(at directory: String? = nil) throws -> any Engine {
    try request.engine.open(request, at: directory ?? stateDirectory)
  }

  // MARK: - Timed parts

  /// Inserts all events, each writer its own, and makes them durable.
  func insertAll(into engine: any Engine) throws -> TimedPart {
    // An eighth of the time to live is the allowed lateness; half of that is safe.
    let leadMax = request.timeToLive.map { UInt64($0) * 10 / 16 }
    let progress = RunProgress(writers: request.threads, leadMax: leadMax)
    let workload = request.insertions
    return try timed(engine, progress) { writer, index in
      defer { progress.leave(index) }
      var source = EventSource(workload, writer: index)
      let batch = EventBatch(capacity: request.batch)
      var part = TimedPart()
      let clock = ContinuousClock()
      while true {
        batch.fill(from: &source)
        if batch.count == 0 { break }
        progress.enter(index, position: source.position)
        let start = clock.now
        let accepted = try writer.insert(batch)
        part.latencies.record(clock.now - start)
        part.accepted += UInt64(accepted)
        progress.advance(index, by: batch.count, accepted: accepted)
      }
      try writer.finish()
      return part
    } finishing: {
      try engine.finish()
    }
  }

  /// Looks up so many keys.
  func lookUp(_ count: UInt64, seed: UInt64, in engine: any Engine) throws -> TimedPart {
    let progress = RunProgress(writers: request.threads)
    let workload = request.draws(count, seed: seed)
    return try timed(engine, progress) { reader, index in
      var source = EventSource(workload, writer: index)
      let batch = EventBatch(capacity: request.batch)
      var part = TimedPart()
      let clock = ContinuousClock()
      while true {
        batch.fill(from: &source)
        if batch.count == 0 { return part }
        let start = clock.now
        let accepted = try reader.lookup(batch)
        part.latencies.record(clock.now - start)
        part.accepted += UInt64(accepted)
        progress.advance(index, by: batch.count, accepted: accepted)
      }
    } finishing: {
    }
  }

  private func timed(
    _ engine: any Engine, _ progress: RunProgress,
    _ body: @escaping @Sendable (any EngineWriter, Int) throws -> TimedPart,
    finishing finish: () throws -> Void
  ) throws -> TimedPart {
    ProcessMeter.resetPeak()
    let sampler = CourseSampler(progress, directory: stateDirectory)
    let meter = ProcessMeter()
    let parts = try onThreads(request.threads) { index in
      try body(try engine.writer(index), index)
    }
    try finish()
    var sum = TimedPart()
    sum.wallSeconds = meter.wallSeconds
    sum.cpuSeconds = meter.cpuSeconds
    sum.course = sampler.finish()
    for part in parts {
      sum.accepted += part.accepted
      sum.latencies.add(part.latencies)
    }
    return sum
  }

  // MARK: - Records

  /// The largest resident size of the part timed last.
  func peakBytes(_ engine: any Engine, _ part: TimedPart) -> UInt64 {
    let sampled = part.course.map(\.residentBytes).max() ?? ProcessMeter.residentBytes
    return type(of: engine).mapsFiles ? sampled : max(ProcessMeter.peakResidentBytes, sampled)
  }

  func figures(
    _ part: TimedPart, events: UInt64, peakRSSBytes: UInt64, diskBytes: UInt64,
    writtenBytes: UInt64?, falsePositives: UInt64?
  ) -> RunFigures {
    RunFigures(
      engine: request.engine.rawValue, workload: request.workload.rawValue,
      mode: request.mode.rawValue, threads: request.threads, events: events,
      accepted: part.accepted, wallSeconds: part.wallSeconds,
      eventsPerSecond: Double(events) / max(part.wallSeconds, 1e-9),
      cpuNanosPerEvent: part.cpuSeconds * 1e9 / Double(max(events, 1)),
      latencyP50Micros: part.latencies.micros(atPercentile: 50),
      latencyP99Micros: part.latencies.micros(atPercentile: 99),
      latencyP999Micros: part.latencies.micros(atPercentile: 99.9),
      latencyMaxMicros: part.latencies.micros(atPercentile: 100),
      peakRSSBytes: peakRSSBytes, diskBytes: diskBytes, writtenBytes: writtenBytes,
      falsePositives: falsePositives)
  }

  /// Bytes that the engine wrote, by its own count or the system's.
  func writtenBytes(_ engine: any Engine, _ meter: ProcessMeter) -> UInt64? {
    engine.counters.writtenBytes
      ?? (type(of: engine).mapsFiles ? meter.bytesMadeDirty : meter.bytesGivenToWrite)
  }
}
