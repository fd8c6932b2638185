/// How far a job is.
package struct JobProgress: Sendable, Equatable {
  /// Counters of this run.
  package var counters: JobCounters
  /// Time since the run began.
  package var elapsedNanos: UInt64
  /// Events a second since the last report.
  package var eventsPerSecond: Double
  /// Entries in the state.
  package var stateKeys: UInt64
  /// Bytes of the state's files, checkpoints not counted.
  package var stateBytes: UInt64
  /// Time since the last epoch was cut.
  package var epochAgeNanos: UInt64
  /// Time since this run made its last checkpoint; `nil` before the first.
  package var checkpointAgeNanos: UInt64?
  /// Bytes of all inputs from where this run began; `nil` when nobody knows.
  package var bytesTotal: UInt64?
  /// How far reading of topics is behind, over both stages; `nil` for files.
  package var lag: TopicLag?
  /// Records that the first stage has committed; `nil` for a job without one.
  package var repartitioned: UInt64?

  /// Progress of a job; all as above.
  package init(
    counters: JobCounters, elapsedNanos: UInt64, eventsPerSecond: Double, stateKeys: UInt64,
    stateBytes: UInt64, epochAgeNanos: UInt64, checkpointAgeNanos: UInt64?, bytesTotal: UInt64?,
    lag: TopicLag? = nil
  ) {
    self.counters = counters
    self.elapsedNanos = elapsedNanos
    self.eventsPerSecond = eventsPerSecond
    self.stateKeys = stateKeys
    self.stateBytes = stateBytes
    self.epochAgeNanos = epochAgeNanos
    self.checkpointAgeNanos = checkpointAgeNanos
    self.bytesTotal = bytesTotal
    self.lag = lag
  }

  /// Seconds to the end at the pace so far; `nil` when nobody knows.
  package var secondsLeft: Double? {
    guard let bytesTotal, counters.bytesIn > 0 else { return nil }
    let left = Double(bytesTotal) - Double(counters.bytesIn)
    return max(0, left * Double(elapsedNanos) / 1e9 / Double(counters.bytesIn))
  }
}

/// What a run did.
package struct JobSummary: Sendable, Equatable {
  /// How it ended.
  package enum End: Sendable, Equatable {
    /// All input was read.
    case finished
    /// It was asked to stop.
    case stopped
    /// It ended with an error; what it counts is durable.
    case failed
  }

  /// How it ended.
  package var end: End
  /// Counters of this run.
  package var counters: JobCounters
  /// Why records were rejected, and how many.
  package var rejectReasons: [String: UInt64] = [:]
  /// From the start to the last epoch.
  package var wallNanos: UInt64 = 0
  /// Entries in the state.
  package var stateKeys: UInt64 = 0
  /// Bytes of the state's files, checkpoints not counted.
  package var stateBytes: UInt64 = 0
  /// The last durable epoch.
  package var epoch: String
  /// The last local checkpoint that this run made; `nil` for none.
  package var checkpoint: String?
  /// The epoch that this run went on from; `nil` for new state.
  package var resumedFrom: String?
  /// The largest resident size of the process.
  package var peakResidentBytes: UInt64 = 0
  /// How far reading of topics was behind at the end, over both stages; `nil` for files.
  package var lag: TopicLag?
  /// Records that the first stage has committed; `nil` for a job without one.
  package var repartitioned: UInt64?

  /// A summary with its counters.
  package init(end: End, counters: JobCounters, epoch: String) {
    self.end = end
    self.counters = counters
    self.epoch = epoch
  }

  /// What a run did, given its last opening of the state and a summary of those before.
  init(_ report: SessionReport, after before: JobSummary?) {
    self.init(
      end: .finished, counters: before?.counters ?? JobCounters(), epoch: report.epoch)
    switch report.end {
    case .finished: break
    case .stopped: end = .stopped
    case .failed: end = .failed
    }
    counters.add(report.counters)
    rejectReasons = before?.rejectReasons ?? [:]
    rejectReasons.merge(report.rejectReasons, uniquingKeysWith: +)
    stateKeys = report.stateKeys
    checkpoint = report.checkpoint ?? before?.checkpoint
    resumedFrom = before == nil ? report.resumedFrom : before?.resumedFrom
    lag = report.lag
  }

  /// Events a second over the whole run.
  package var eventsPerSecond: Double {
    wallNanos == 0 ? 0 : Double(counters.events) * 1e9 / Double(wallNanos)
  }

  /// One JSON object in one line, with a newline.
  package var json: String {
    func quoted(_ text: String?) -> String { text.map { "\"\($0)\"" } ?? "null" }
    var fields: [(String, String)] = [
      ("events", "\(counters.events)"), ("emitted", "\(counters.emitted)"),
      ("duplicates", "\(counters.duplicates)"), ("rejected", "\(counters.rejected)"),
      ("late", "\(counters.late)"), ("late_unprotected", "\(counters.lateUnprotected)"),
      ("late_dropped", "\(counters.lateDropped)"), ("learned", "\(counters.learned)"),
      ("bytes_in", "\(counters.bytesIn)"),
      ("bytes_out", "\(counters.bytesOut)"), ("wall_seconds", Self.decimal(wallNanos, 1_000_000)),
      ("events_per_second", "\(UInt64(eventsPerSecond))"), ("state_keys", "\(stateKeys)"),
      ("state_bytes", "\(stateBytes)"), ("epoch", quoted(epoch)),
      ("checkpoint", quoted(checkpoint)),
      ("resumed_from", quoted(resumedFrom)), ("peak_rss_bytes", "\(peakResidentBytes)"),
    ]
    if let lag {
      fields += [("partitions", "\(lag.partitions)"), ("lag_records", "\(lag.records)")]
    }
    if let repartitioned { fields.append(("repartitioned", "\(repartitioned)")) }
    return "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}\n"
  }

  /// Nanoseconds as seconds with three digits after the point.
  private static func decimal(_ nanos: UInt64, _ milli: UInt64) -> String {
    let millis = nanos / milli
    let part = String(millis % 1000)
    return "\(millis / 1000)." + String(repeating: "0", count: 3 - part.utf8.count) + part
  }
}
