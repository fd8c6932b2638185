// lookup-hit, lookup-miss and restart: a loaded store is opened again.

import Foundation

extension EngineRun {
  /// Loads different keys and looks up others or the same, all equally likely.
  func lookups() throws -> RunRecord {
    var engine = try open()
    let loaded = try insertAll(into: engine)
    try engine.settle()
    if type(of: engine).reopens {
      try engine.close()
      if request.isCold { try Directories.dropPages(stateDirectory) }
      engine = try open()
    } else if request.isCold {
      throw BenchError("\(request.engine.rawValue) cannot be opened again: --cold is impossible")
    }
    if request.isCold {
      try Directories.dropPages(stateDirectory)
    } else {
      Directories.warm(stateDirectory)
      _ = try lookUp(request.lookups, seed: ~request.seed, in: engine)
    }
    let before = engine.counters
    let meter = ProcessMeter()
    let part = try lookUp(request.lookups, seed: request.seed, in: engine)
    var details = RunDetails(course: part.course)
    details.loaded = loaded.accepted
    details.deviceReadBytes = meter.bytesReadFromDevice
    details.pagesRead = difference(engine.counters.pagesRead, before.pagesRead)
    details.latencyCurve = part.latencies.curve
    let falsePositives = difference(engine.counters.falsePositives, before.falsePositives)
    let record = RunRecord(
      request: request,
      figures: figures(
        part, events: request.lookups, peakRSSBytes: peakBytes(engine, part),
        diskBytes: Directories.occupiedBytes(stateDirectory), writtenBytes: 0,
        falsePositives: falsePositives),
      details: details, options: engine.options)
    try engine.close()
    return record
  }

  private func difference(_ now: UInt64?, _ before: UInt64?) -> UInt64? {
    guard let now, let before else { return nil }
    return now - before
  }

  /// How long a loaded store takes from opening to its first answer, and one that is restored from
  /// a checkpoint.
  func restart() throws -> RunRecord {
    let loading = try open()
    let loaded = try insertAll(into: loading)
    try loading.settle()
    _ = try loading.checkpoint(0, in: checkpointDirectory)
    let options = loading.options
    try loading.close()
    if request.isCold { try Directories.dropPages(request.directory) }

    ProcessMeter.resetPeak()
    let reopening = ProcessMeter()
    var part = TimedPart()
    let reopened = try firstAnswer(at: stateDirectory)
    part.wallSeconds = reopening.wallSeconds
    part.cpuSeconds = reopening.cpuSeconds
    part.accepted = loaded.accepted
    let peak = peakBytes(reopened, part)
    try reopened.close()

    let restoring = ProcessMeter()
    try request.engine.restore(0, from: checkpointDirectory, to: restoredDirectory)
    let restored = try firstAnswer(at: restoredDirectory)
    var details = RunDetails()
    details.restoreSeconds = restoring.wallSeconds
    try restored.close()
    details.deviceReadBytes = reopening.bytesReadFromDevice
    return RunRecord(
      request: request,
      figures: figures(
        part, events: request.events, peakRSSBytes: peak,
        diskBytes: Directories.occupiedBytes(stateDirectory), writtenBytes: 0,
        falsePositives: nil),
      details: details, options: options)
  }

  /// Opens an engine and has it find the first key that was inserted.
  private func firstAnswer(at directory: String) throws -> any Engine {
    let engine = try open(at: directory)
    var source = EventSource(request.insertions, writer: 0)
    let batch = EventBatch(capacity: 1)
    batch.fill(from: &source)
    guard try engine.writer(0).lookup(batch) == batch.count else {
      throw BenchError("a key is not found after opening \(directory)")
    }
    return engine
  }
}
