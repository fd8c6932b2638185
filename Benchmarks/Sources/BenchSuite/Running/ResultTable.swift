// The comparison of engines as text.

/// The median of a figure over the runs of one engine on one workload.
struct EngineSummary: Sendable {
  let records: [RunRecord]

  var engine: String { records[0].figures.engine }

  func median(_ value: (RunFigures) -> Double?) -> Double? {
    middle(of: records.compactMap { value($0.figures) })
  }

  func detail(_ value: (RunDetails) -> Double?) -> Double? {
    middle(of: records.compactMap { value($0.details) })
  }

  var eventsPerSecond: Double { median { $0.eventsPerSecond } ?? 0 }
  var wallSeconds: Double { median { $0.wallSeconds } ?? 0 }

  /// What engines are compared by, more is better: events a second, or how soon a restart answers.
  var merit: Double {
    workload == .restart ? 1 / max(wallSeconds, 1e-9) : eventsPerSecond
  }

  /// Its merit for each of another's, with as many digits as say something.
  func ratio(to other: EngineSummary) -> String {
    let ratio = merit / max(other.merit, 1e-9)
    return decimal(ratio, digits: ratio >= 100 ? 0 : ratio >= 10 ? 1 : ratio >= 0.1 ? 2 : 4)
  }

  var workload: WorkloadName { records[0].request.workload }
  /// Keys that the store holds.
  var keys: Double { records[0].keys }

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

/// Rows of engines in aligned columns, medians over their runs.
struct ResultTable {
  private let summaries: [EngineSummary]

  init(_ records: [RunRecord]) { summaries = EngineSummary.summaries(of: records) }

  var text: String {
    guard !summaries.isEmpty else { return "" }
    let columns = SummaryColumn.all(of: summaries)
    let rows = [columns.map(\.head)] + summaries.map { row in columns.map { $0.text(row) } }
    let widths = columns.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      zip(row, widths).enumerated().map { index, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ")
    }
    return ([title] + lines + summaries.flatMap(\.notes)).joined(separator: "\n")
  }

  private var title: String {
    guard let record = summaries.first?.records.first else { return "" }
    let runs = summaries.map(\.records.count).max() ?? 1
    return "\(record.figures.workload), \(record.figures.mode), "
      + "\(grouped(record.request.events)) events, \(threadsText(record.figures.threads))"
      + (runs > 1 ? ", medians of \(runs) runs" : "")
  }
}

extension EngineSummary {
  /// What only some workloads have, in sentences.
  var notes: [String] { checkpointNotes + expiryNotes + coldNotes }

  private var checkpointNotes: [String] {
    let made = records.flatMap(\.details.checkpoints)
    guard let seconds = middle(of: made.map(\.seconds)) else { return [] }
    let longest = made.map(\.seconds).max() ?? seconds
    let bytes = middle(of: made.compactMap { $0.newBytes.map { Double($0) } })
    var line =
      "\(engine): \(made.count) checkpoints, median \(inMicros(seconds * 1e6)), "
      + "longest \(inMicros(longest * 1e6)), \(inBytes(UInt64(bytes ?? 0))) new at the median"
    if let share = middle(of: records.flatMap(Self.checkpointShares)) {
      line += ", \(decimal(share, digits: 2)) × the keys that were new since the one before"
    }
    return [line]
  }

  /// What each checkpoint but the first wrote, for every byte that the keys which were new since
  /// the one before took when they were first flushed.
  private static func checkpointShares(_ record: RunRecord) -> [Double] {
    let details = record.details
    let entryBytes = Double(details.flushedBytes ?? 0) / Double(max(record.figures.accepted, 1))
    return zip(details.checkpoints, details.checkpoints.dropFirst()).compactMap { before, this in
      guard let bytes = this.newBytes, let from = before.at, let to = this.at else { return nil }
      let keys =
        details.course.accepted(atSeconds: to) - details.course.accepted(atSeconds: from)
      return keys > 0 && entryBytes > 0 ? Double(bytes) / (keys * entryBytes) : nil
    }
  }

  private var coldNotes: [String] {
    let first = 100_000.0
    let speeds = records.filter { $0.request.isCold && Double($0.figures.events) >= first }
      .compactMap { $0.details.course.speed(from: 0, to: first) }
    guard let speed = middle(of: speeds) else { return [] }
    return ["\(engine): the first 100,000 lookups at \(grouped(UInt64(speed)))/s"]
  }

  private var expiryNotes: [String] {
    let figures = records.compactMap(ExpiryFigures.init)
    guard let share = middle(of: figures.map(\.lastToThird)) else { return [] }
    var line =
      "\(engine): the last time to live at \(decimal(share * 100, digits: 0)) % of the "
      + "speed of the third"
    if let median = middle(of: figures.compactMap(\.diskMedian)),
      let peak = middle(of: figures.compactMap(\.diskPeak))
    {
      line +=
        "; disk ÷ unexpired data \(decimal(median, digits: 2)) at the median, "
        + "\(decimal(peak, digits: 2)) at the peak"
    }
    return [line]
  }
}
