// What a run says of itself.

/// The figures that every run has, under the names that `--json` prints.
package struct RunFigures: Codable, Sendable {
  var engine: String
  var workload: String
  var mode: String
  var threads: Int
  /// Events decided, or keys looked up.
  package var events: UInt64
  /// Keys that were new, or found by lookups.
  package var accepted: UInt64
  var wallSeconds: Double
  var eventsPerSecond: Double
  var cpuNanosPerEvent: Double
  /// From a batch's submission to its answer; `nil` where there are no batches.
  var latencyP50Micros: Double?
  var latencyP99Micros: Double?
  var latencyP999Micros: Double?
  var latencyMaxMicros: Double?
  /// Without pages of mapped files.
  var peakRSSBytes: UInt64
  var diskBytes: UInt64
  /// `nil` where nobody tells.
  var writtenBytes: UInt64?
  var falsePositives: UInt64?

  package enum CodingKeys: String, CodingKey, CaseIterable {
    case engine, workload, mode, threads, events, accepted
    case wallSeconds = "wall_seconds"
    case eventsPerSecond = "events_per_second"
    case cpuNanosPerEvent = "cpu_ns_per_event"
    case latencyP50Micros = "latency_p50_us"
    case latencyP99Micros = "latency_p99_us"
    case latencyP999Micros = "latency_p999_us"
    case latencyMaxMicros = "latency_max_us"
    case peakRSSBytes = "peak_rss_bytes"
    case diskBytes = "disk_bytes"
    case writtenBytes = "written_bytes"
    case falsePositives = "false_positives"
  }

  /// One JSON object on one line, its fields in the order of `CodingKeys`.
  package var json: String {
    let values: [String] = CodingKeys.allCases.map { key in
      switch key {
      case .engine: "\"\(engine)\""
      case .workload: "\"\(workload)\""
      case .mode: "\"\(mode)\""
      case .threads: "\(threads)"
      case .events: "\(events)"
      case .accepted: "\(accepted)"
      case .wallSeconds: decimal(wallSeconds, digits: 6)
      case .eventsPerSecond: decimal(eventsPerSecond, digits: 0)
      case .cpuNanosPerEvent: decimal(cpuNanosPerEvent, digits: 1)
      case .latencyP50Micros: latencyP50Micros.map { decimal($0, digits: 1) } ?? "null"
      case .latencyP99Micros: latencyP99Micros.map { decimal($0, digits: 1) } ?? "null"
      case .latencyP999Micros: latencyP999Micros.map { decimal($0, digits: 1) } ?? "null"
      case .latencyMaxMicros: latencyMaxMicros.map { decimal($0, digits: 1) } ?? "null"
      case .peakRSSBytes: "\(peakRSSBytes)"
      case .diskBytes: "\(diskBytes)"
      case .writtenBytes: writtenBytes.map { "\($0)" } ?? "null"
      case .falsePositives: falsePositives.map { "\($0)" } ?? "null"
      }
    }
    let fields = zip(CodingKeys.allCases, values).map { "\"\($0.rawValue)\":\($1)" }
    return "{" + fields.joined(separator: ",") + "}"
  }
}

/// Where a run was at a moment.
package struct CoursePoint: Codable, Sendable {
  package var seconds: Double
  var events: UInt64
  var accepted: UInt64
  var residentBytes: UInt64
  var diskBytes: UInt64

  package init(
    seconds: Double, events: UInt64, accepted: UInt64, residentBytes: UInt64 = 0,
    diskBytes: UInt64 = 0
  ) {
    self.seconds = seconds
    self.events = events
    self.accepted = accepted
    self.residentBytes = residentBytes
    self.diskBytes = diskBytes
  }
}

/// A checkpoint that was made while writing went on.
package struct CheckpointFigures: Codable, Sendable {
  /// Seconds from the start of the run; `nil` in old records.
  var at: Double?
  /// How long it took.
  var seconds: Double
  /// Bytes that it added to what earlier ones hold.
  var newBytes: UInt64?
}

/// What else a run found out.
package struct RunDetails: Codable, Sendable {
  package var course: [CoursePoint] = []
  /// Events that preceded: keys loaded before lookups.
  var loaded: UInt64?
  /// What came after the end of the timed part: merges that were due.
  var settleSeconds: Double?
  package var flushedBytes: UInt64?
  /// Read from the device, by whatever means.
  var deviceReadBytes: UInt64?
  /// Pages that the engine read from files, or from the system's cache of them.
  var pagesRead: UInt64?
  var stallSeconds: Double?
  var longestCutMicros: Double?
  var checkpoints: [CheckpointFigures] = []
  var restoreSeconds: Double?
  /// Percentiles of the latency in microseconds, for a curve: share and value.
  var latencyCurve: [[Double]] = []
}

/// A run as it is kept.
package struct RunRecord: Codable, Sendable {
  package var request: RunRequest
  package var figures: RunFigures
  package var details: RunDetails
  /// All options in force, in the engine's own words.
  var options: [String]
}
