// The columns of a comparison.

/// A column: its head and what stands in it.
struct SummaryColumn: Sendable {
  var head: String
  /// `nil` where the engine has no such figure.
  private var value: @Sendable (EngineSummary) -> String?

  private init(_ head: String, _ value: @escaping @Sendable (EngineSummary) -> String?) {
    self.head = head
    self.value = value
  }

  func text(_ summary: EngineSummary) -> String { value(summary) ?? "–" }

  /// The columns for engines of one workload, without those that say nothing of any; ratios are to
  /// the first engine.
  static func all(of summaries: [EngineSummary]) -> [SummaryColumn] {
    guard let first = summaries.first else { return [] }
    let columns =
      switch first.workload {
      case .restart: [name] + restart + [ratio(to: first)] + sizes
      case .lookupHit, .lookupMiss:
        [name, speed, ratio(to: first), cpu] + latencies + sizes + reads
      case .dedup, .dedupUnique, .dedupHot, .dedupCold, .dedupTTL, .checkpoint, .job:
        [name, speed, lastTenth, ratio(to: first), cpu] + latencies + sizes + writes
      case .fillseq, .fillrandom, .fillsync, .overwrite:
        [name, operations, ratio(to: first), cpu] + latencies + sizes + writes
      default: [name, operations, ratio(to: first), cpu] + latencies + sizes + reads
      }
    return columns.filter { column in summaries.contains { column.value($0) != nil } }
  }

  private static let name = SummaryColumn("engine") { $0.engine }
  private static let operations = SummaryColumn("operations/s") {
    grouped(UInt64($0.eventsPerSecond))
  }
  private static let speed = SummaryColumn("events/s") { grouped(UInt64($0.eventsPerSecond)) }
  private static let lastTenth = SummaryColumn("last tenth") { summary in
    let speeds = summary.records.compactMap { record in
      let events = Double(record.figures.events)
      return record.details.course.speed(from: events * 0.9, to: events)
    }
    return middle(of: speeds).map { grouped(UInt64($0)) }
  }
  private static let cpu = SummaryColumn("CPU ns/event") { summary in
    summary.median { $0.cpuNanosPerEvent }.map { decimal($0, digits: 0) }
  }

  private static func ratio(to first: EngineSummary) -> SummaryColumn {
    SummaryColumn("\(first.engine) ÷ it") { first.ratio(to: $0) }
  }

  private static let latencies = [
    SummaryColumn("p50") { $0.median { $0.latencyP50Micros }.map { inMicros($0) } },
    SummaryColumn("p99") { $0.median { $0.latencyP99Micros }.map { inMicros($0) } },
    SummaryColumn("p99.9") { $0.median { $0.latencyP999Micros }.map { inMicros($0) } },
    SummaryColumn("max") { $0.median { $0.latencyMaxMicros }.map { inMicros($0) } },
  ]

  private static let sizes = [
    SummaryColumn("peak RSS") { summary in
      summary.median { Double($0.peakRSSBytes) }.map { inBytes(UInt64($0)) }
    },
    SummaryColumn("disk B/key") { summary in
      summary.median { Double($0.diskBytes) }.map { decimal($0 / summary.keys, digits: 1) }
    },
  ]

  private static let writes = [
    SummaryColumn("written B/key") { summary in
      summary.median { $0.writtenBytes.map { Double($0) } }
        .map { decimal($0 / summary.keys, digits: 1) }
    },
    SummaryColumn("write amp.") { $0.writeAmplification.map { decimal($0, digits: 2) } },
    falsePositives,
  ]

  private static let reads = [
    SummaryColumn("pages read/lookup") { summary in
      middle(
        of: summary.records.compactMap { record in
          record.details.pagesRead.map { Double($0) / Double(max(record.figures.events, 1)) }
        }
      ).map { decimal($0, digits: 2) }
    },
    SummaryColumn("device B/lookup") { summary in
      middle(
        of: summary.records.compactMap { record in
          record.details.deviceReadBytes.map { Double($0) / Double(max(record.figures.events, 1)) }
        }
      ).map { decimal($0, digits: 0) }
    },
    falsePositives,
  ]

  private static let falsePositives = SummaryColumn("false pos.") { summary in
    summary.median { $0.falsePositives.map { Double($0) } }.map { grouped(UInt64($0)) }
  }

  private static let restart = [
    SummaryColumn("reopened, answers after") { inMicros($0.wallSeconds * 1e6) },
    SummaryColumn("restored, answers after") { summary in
      summary.detail { $0.restoreSeconds }.map { inMicros($0 * 1e6) }
    },
  ]
}
