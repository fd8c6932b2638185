// The workloads of ordered key-value stores, as db_bench and YCSB name them.
//
// All but the fills load the entries first, in random order, flush and merge what is due, and open
// the store again; what was loaded can be kept for other workloads. An operation is one call; its
// latency is measured.

import Foundation

/// One run of one engine on an ordered workload.
struct OrderedRun {
  let request: RunRequest
  private let directory: String

  init(request: RunRequest) { self.init(request, directory: request.directory + "/state") }

  private init(_ request: RunRequest, directory: String) {
    self.request = request
    self.directory = directory
  }

  func run() throws -> RunRecord {
    switch request.workload {
    case .fillseq, .fillrandom, .fillsync:
      try makeDirectory()
      return try fill()
    default:
      return try OrderedRun(request, directory: try loadedDirectory()).loaded()
    }
  }

  private func makeDirectory() throws {
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
  }

  // MARK: - Filling

  private func fill() throws -> RunRecord {
    let engine = try request.engine.openOrdered(request, at: directory)
    let meter = ProcessMeter()
    let part = try timed(engine, operations: request.events) {
      Operator.make(request, threads: request.threads)
    }
    var details = RunDetails(course: part.course)
    let before = ContinuousClock().now
    try engine.settle()
    details.settleSeconds = (ContinuousClock().now - before).inSeconds
    return try record(engine, part, operations: request.events, details: details, meter)
  }

  // MARK: - With entries there

  /// Where the entries are: the run's own directory, or one that was kept, if they are not changed.
  private func loadedDirectory() throws -> String {
    guard let kept = request.keptLoad else {
      try load()
      return directory
    }
    let files = FileManager.default
    if !files.fileExists(atPath: kept + "/complete") {
      try? files.removeItem(atPath: kept)
      try OrderedRun(request, directory: kept + "/state").load()
      try Data().write(to: URL(fileURLWithPath: kept + "/complete"))
    }
    guard request.workload.changesEntries else { return kept + "/state" }
    try files.createDirectory(atPath: request.directory, withIntermediateDirectories: true)
    try files.copyItem(atPath: kept + "/state", toPath: directory)
    return directory
  }

  private func load() throws {
    try makeDirectory()
    let engine = try request.engine.openOrdered(request, at: directory)
    var loading = request
    loading.workload = .fillrandom
    _ = try timed(engine, operations: request.events) {
      Operator.make(loading, threads: request.threads)
    }
    try engine.settle()
    try engine.close()
  }

  private func loaded() throws -> RunRecord {
    if request.isCold { try Directories.dropPages(directory) }
    let engine = try request.engine.openOrdered(request, at: directory)
    var operations = request.lookups
    switch request.workload {
    case .scan, .scanreverse: operations = 1
    case .overwrite: operations = request.events
    default: break
    }
    if request.warmsUp {
      Directories.warm(directory)
      _ = try timed(engine, operations: operations) {
        Operator.make(request, threads: request.threads, seed: ~request.seed)
      }
    }
    let before = engine.counters
    let meter = ProcessMeter()
    let part = try timed(engine, operations: operations) {
      Operator.make(request, threads: request.threads)
    }
    var details = RunDetails(course: part.course)
    details.loaded = request.events
    details.flushedBytes = engine.counters.flushedBytes
    details.deviceReadBytes = meter.bytesReadFromDevice
    if let now = engine.counters.pagesRead, let then = before.pagesRead {
      details.pagesRead = now - then
    }
    return try record(
      engine, part, operations: part.operations, details: details, meter)
  }

  // MARK: - Timed parts

  private struct Part {
    var timed = TimedPart()
    var operations: UInt64 = 0
    var course: [CoursePoint] { timed.course }
  }

  private func timed(
    _ engine: any OrderedEngine, operations: UInt64, _ make: () -> [Operator]
  ) throws -> Part {
    let operators = make()
    let progress = RunProgress(writers: operators.count)
    let counted = UInt64(operators.count { !$0.isBackground })
    ProcessMeter.resetPeak()
    let sampler = CourseSampler(progress, directory: directory)
    let meter = ProcessMeter()
    let parts = try onThreads(operators.count) { index in
      // Each has its part of the numbers; the last one the rest.
      let first = operations / counted * UInt64(index)
      let share = UInt64(index) == counted - 1 ? operations - first : operations / counted
      return try operators[index].run(engine, count: share, first: first, progress, index)
    }
    var sum = Part()
    sum.timed.wallSeconds = meter.wallSeconds
    sum.timed.cpuSeconds = meter.cpuSeconds
    sum.timed.course = sampler.finish()
    for part in parts {
      sum.timed.accepted += part.found
      sum.operations += part.operations
      sum.timed.latencies.add(part.latencies)
    }
    return sum
  }

  private func record(
    _ engine: any OrderedEngine, _ part: Part, operations: UInt64, details: RunDetails,
    _ meter: ProcessMeter
  ) throws -> RunRecord {
    var details = details
    let timed = part.timed
    details.latencyCurve = timed.latencies.curve
    let counters = engine.counters
    details.stallSeconds = counters.stallSeconds
    details.flushedBytes = counters.flushedBytes
    let options = engine.options
    let disk = Directories.occupiedBytes(directory)
    let peak = max(ProcessMeter.peakResidentBytes, timed.course.map(\.residentBytes).max() ?? 0)
    try engine.close()
    return RunRecord(
      request: request,
      figures: RunFigures(
        engine: request.engine.rawValue, workload: request.workload.rawValue, mode: "exact",
        threads: request.threads, events: operations, accepted: timed.accepted,
        wallSeconds: timed.wallSeconds,
        eventsPerSecond: Double(operations) / max(timed.wallSeconds, 1e-9),
        cpuNanosPerEvent: timed.cpuSeconds * 1e9 / Double(max(operations, 1)),
        latencyP50Micros: timed.latencies.micros(atPercentile: 50),
        latencyP99Micros: timed.latencies.micros(atPercentile: 99),
        latencyP999Micros: timed.latencies.micros(atPercentile: 99.9),
        latencyMaxMicros: timed.latencies.micros(atPercentile: 100),
        peakRSSBytes: peak, diskBytes: disk, writtenBytes: meter.bytesGivenToWrite,
        falsePositives: nil),
      details: details, options: options)
  }
}

extension RunRequest {
  /// Whether a run begins with the same kind of operations, which are not timed.
  fileprivate var warmsUp: Bool {
    guard !isCold else { return false }
    switch workload {
    case .readrandom, .readmissing, .multireadrandom, .seekrandom: return true
    default: return false
    }
  }
}
