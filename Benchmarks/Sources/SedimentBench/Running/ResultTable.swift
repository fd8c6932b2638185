// The comparison of engines as text.

/// The median of a figure over the runs of one engine on one workload.
struct EngineSummary {
  let records: [RunRecord]

  var engine: String { records[0].figures.engine }
  var figures: RunFigures { records[0].figures }

  func median(_ value: (RunFigures) -> Double?) -> Double? {
    middle(of: records.compactMap { value($0.figures) })
  }

  func detail(_ value: (RunDetails) -> Double?) -> Double? {
    middle(of: records.compactMap { value($0.details) })
  }

  var eventsPerSecond: Double { median { $0.eventsPerSecond } ?? 0 }

  /// Keys that the store holds.
  var keys: Double {
    max(Double(records[0].details.loaded ?? records[0].figures.accepted), 1)
  }

  /// All bytes written for every byte first flushed.
  var writeAmplification: Double? {
    let ratios = records.compactMap { record -> Double? in
      guard let flushed = record.details.flushedBytes, flushed > 0,
        let written = record.figures.writtenBytes
      else { return nil }
      return Double(written) / Double(flushed)
    }
    return middle(of: ratios)
  }

  /// The engines in the order in which they first ran.
  static func summaries(of records: [RunRecord]) -> [EngineSummary] {
    var order: [EngineName] = []
    for record in records where !order.contains(record.request.engine) {
      order.append(record.request.engine)
    }
    return order.map { engine in
      EngineSummary(records: records.filter { $0.request.engine == engine })
    }
  }
}

/// A column: its head and what stands in it.
struct SummaryColumn {
  var head: String
  var text: (EngineSummary) -> String

  /// All columns, for engines of one workload; ratios are to the first engine.
  static func all(comparedTo first: EngineSummary) -> [SummaryColumn] {
    func latency(_ value: Double?) -> String { value.map(inMicros) ?? "–" }
    return [
      SummaryColumn(head: "engine") { $0.engine },
      SummaryColumn(head: "events/s") { grouped(UInt64($0.eventsPerSecond)) },
      SummaryColumn(head: "\(first.engine) ÷ it") {
        decimal(first.eventsPerSecond / max($0.eventsPerSecond, 1), digits: 2)
      },
      SummaryColumn(head: "CPU ns/event") {
        decimal($0.median { $0.cpuNanosPerEvent } ?? 0, digits: 0)
      },
      SummaryColumn(head: "p50") { latency($0.median { $0.latencyP50Micros }) },
      SummaryColumn(head: "p99") { latency($0.median { $0.latencyP99Micros }) },
      SummaryColumn(head: "p99.9") { latency($0.median { $0.latencyP999Micros }) },
      SummaryColumn(head: "max") { latency($0.median { $0.latencyMaxMicros }) },
      SummaryColumn(head: "peak RSS") {
        inBytes(UInt64($0.median { Double($0.peakRSSBytes) } ?? 0))
      },
      SummaryColumn(head: "disk B/key") { summary in
        decimal((summary.median { Double($0.diskBytes) } ?? 0) / summary.keys, digits: 1)
      },
      SummaryColumn(head: "written B/key") { summary in
        summary.median { $0.writtenBytes.map { Double($0) } }
          .map { decimal($0 / summary.keys, digits: 1) } ?? "–"
      },
      SummaryColumn(head: "write amp.") {
        $0.writeAmplification.map { decimal($0, digits: 2) } ?? "–"
      },
      SummaryColumn(head: "false pos.") {
        $0.median { $0.falsePositives.map { Double($0) } }.map { grouped(UInt64($0)) } ?? "–"
      },
    ]
  }
}

/// Rows of engines in aligned columns, medians over their runs.
struct ResultTable {
  private let summaries: [EngineSummary]

  init(_ records: [RunRecord]) { summaries = EngineSummary.summaries(of: records) }

  var text: String {
    guard let first = summaries.first else { return "" }
    let columns = SummaryColumn.all(comparedTo: first)
    let rows = [columns.map(\.head)] + summaries.map { row in columns.map { $0.text(row) } }
    let widths = columns.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      zip(row, widths).enumerated().map { index, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ")
    }
    return ([title] + lines + notes(first)).joined(separator: "\n")
  }

  private var title: String {
    guard let record = summaries.first?.records.first else { return "" }
    let runs = summaries.map(\.records.count).max() ?? 1
    return "\(record.figures.workload), \(record.figures.mode), "
      + "\(grouped(record.request.events)) events, \(record.figures.threads) threads"
      + (runs > 1 ? ", medians of \(runs) runs" : "")
  }

  /// What only some workloads have.
  private func notes(_ first: EngineSummary) -> [String] {
    summaries.flatMap { summary -> [String] in
      var lines: [String] = []
      let made = summary.records.flatMap(\.details.checkpoints)
      if let seconds = middle(of: made.map(\.seconds)) {
        let longest = made.map(\.seconds).max() ?? seconds
        let bytes = middle(of: made.compactMap { $0.newBytes.map { Double($0) } })
        lines.append(
          "\(summary.engine): \(made.count) checkpoints, median \(inMicros(seconds * 1e6)), "
            + "longest \(inMicros(longest * 1e6)), "
            + "\(inBytes(UInt64(bytes ?? 0))) new at the median")
      }
      if let seconds = summary.detail({ $0.restoreSeconds }) {
        let reopening = summary.median { $0.wallSeconds } ?? 0
        lines.append(
          "\(summary.engine): first answer after reopening \(inMicros(reopening * 1e6)), after "
            + "restoring a checkpoint \(inMicros(seconds * 1e6))")
      }
      return lines
    }
  }
}
