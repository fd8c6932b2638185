// The charts of a report.

extension ReportGroup {
  /// Bars for what a run comes to in one number.
  var bars: [String] {
    let charts = request.workload == .restart ? restartBars + sizeBars : workBars + sizeBars
    return charts.compactMap { $0?.svg }
  }

  private var restartBars: [BarChart?] {
    [
      bar("Reopened, the first answer after", .micros) { record in
        record.figures.wallSeconds * 1e6
      },
      bar("Restored, the first answer after", .micros) { record in
        record.details.restoreSeconds.map { $0 * 1e6 }
      },
    ]
  }

  private var workBars: [BarChart?] {
    [
      bar(isOrdered ? "Operations a second" : "Events a second", .count) { record in
        record.figures.eventsPerSecond
      },
      bar("CPU nanoseconds \(isOrdered ? "an operation" : "an event")", .number(digits: 0)) {
        $0.figures.cpuNanosPerEvent
      },
      bar(isOrdered ? "Longest call" : "Longest batch", .micros) { record in
        record.figures.latencyMaxMicros
      },
    ]
  }

  private var sizeBars: [BarChart?] {
    [
      bar("Peak memory", .bytes) { record in
        Double(record.figures.peakRSSBytes)
      },
      bar("Bytes on disk a key", .number(digits: 1)) { record in
        Double(record.figures.diskBytes) / record.keys
      },
      writes
        ? bar("Bytes written a key", .number(digits: 1)) { record in
          record.figures.writtenBytes.map { Double($0) / record.keys }
        } : nil,
    ]
  }

  private var isOrdered: Bool { request.workload.isOrdered }

  private var writes: Bool {
    ![.lookupHit, .lookupMiss, .restart].contains(request.workload)
  }

  private func bar(
    _ title: String, _ unit: BarChart.Unit, _ value: (RunRecord) -> Double?
  ) -> BarChart? {
    let bars = summaries.compactMap { summary -> BarChart.Bar? in
      let values = summary.records.compactMap(value)
      guard let value = middle(of: values), let least = values.min(), let most = values.max()
      else { return nil }
      return BarChart.Bar(name: summary.engine, value: value, smallest: least, largest: most)
    }
    return bars.isEmpty ? nil : BarChart(title: title, bars: bars, unit: unit)
  }

  /// Lines for what changes in a run.
  var lines: [String] { [course, latencies, memory, disk].compactMap { $0.svg } }

  private var course: LineChart {
    LineChart(
      title: "Throughput as the run proceeds",
      xTitle: isOrdered ? "operations done" : "events decided",
      yTitle: isOrdered ? "operations/s" : "events/s",
      series: summaries.map { summary in
        LineChart.Series(name: summary.engine, points: summary.medianRun.speeds)
      })
  }

  private var memory: LineChart {
    sizes("Memory as the run proceeds", "resident, without mapped files") { $0.residentBytes }
  }

  private var disk: LineChart {
    sizes("Disk as the run proceeds", "bytes in all files") { $0.diskBytes }
  }

  private func sizes(
    _ title: String, _ unit: String, _ value: @escaping (CoursePoint) -> UInt64
  ) -> LineChart {
    LineChart(
      title: title, xTitle: isOrdered ? "operations done" : "events decided", yTitle: unit,
      series: summaries.map { summary in
        LineChart.Series(
          name: summary.engine,
          points: summary.medianRun.details.course.whileDeciding.map {
            (x: Double($0.events), y: Double(value($0)))
          })
      }, countsBytes: true, yText: { inBytes(UInt64($0)) })
  }

  /// The x axis is the share of batches that take longer, from half to one in 100,000.
  private var latencies: LineChart {
    LineChart(
      title: isOrdered ? "Latency of a call" : "Latency of a batch", xTitle: "percentile",
      yTitle: "from submission to answer",
      series: summaries.map { summary in
        let points = summary.medianRun.details.latencyCurve.compactMap {
          point -> (x: Double, y: Double)? in
          guard point.count == 2, point[0] >= 50, point[0] < 100 else { return nil }
          return (x: 1 / (1 - point[0] / 100), y: point[1])
        }
        return LineChart.Series(name: summary.engine, points: points)
      }, isXLogarithmic: true, isYLogarithmic: true,
      xTicks: [50, 90, 99, 99.9, 99.99, 99.999].map { percentile in
        (
          place: 1 / (1 - percentile / 100),
          text: withoutTrailingZeros(decimal(percentile, digits: 3))
        )
      }, yText: AxisText.micros)
  }
}

extension Report {
  /// Throughput against keys, for everything that was run with several numbers of events.
  var growthCharts: [String] {
    var keys: [String] = []
    var byKey: [String: [ReportGroup]] = [:]
    for group in groups {
      let key = ([group.title] + group.conditionWords.dropFirst()).joined(separator: " · ")
      if byKey[key] == nil { keys.append(key) }
      byKey[key, default: []].append(group)
    }
    return keys.compactMap { key in
      guard let groups = byKey[key], Set(groups.map(\.request.events)).count > 1 else { return nil }
      return Self.growthChart(groups).svg
    }
  }

  private static func growthChart(_ groups: [ReportGroup]) -> LineChart {
    let request = groups[0].request
    let title =
      groups[0].title + ", \(threadsText(request.threads))" + (request.isCold ? ", cold" : "")
    var names: [String] = []
    var points: [String: [(x: Double, y: Double)]] = [:]
    for group in groups.sorted(by: { $0.request.events < $1.request.events }) {
      for summary in group.summaries {
        if points[summary.engine] == nil { names.append(summary.engine) }
        points[summary.engine, default: []].append(
          (x: summary.keys, y: summary.eventsPerSecond))
      }
    }
    return LineChart(
      title: title, xTitle: "keys", yTitle: "events/s",
      series: names.map { LineChart.Series(name: $0, points: points[$0] ?? []) },
      isXLogarithmic: true, isYLogarithmic: true, showsDots: true)
  }
}

extension EngineSummary {
  /// The run whose speed is the median, or next below.
  var medianRun: RunRecord {
    let sorted = records.sorted { $0.figures.eventsPerSecond < $1.figures.eventsPerSecond }
    return sorted[(sorted.count - 1) / 2]
  }
}

extension RunRecord {
  /// Keys that the store holds.
  var keys: Double { max(Double(details.loaded ?? figures.accepted), 1) }

  /// Events a second in each of about forty parts of the run, at the end of each.
  var speeds: [(x: Double, y: Double)] {
    let course = details.course.whileDeciding
    guard let end = course.last, end.seconds > 0 else { return [] }
    let length = end.seconds / 40
    var points: [(x: Double, y: Double)] = []
    var (seconds, events) = (0.0, 0.0)
    for point in course where point.seconds - seconds >= length {
      let speed = (Double(point.events) - events) / (point.seconds - seconds)
      points.append((x: Double(point.events), y: speed))
      (seconds, events) = (point.seconds, Double(point.events))
    }
    if end.seconds > seconds, Double(end.events) > events {
      let speed = (Double(end.events) - events) / (end.seconds - seconds)
      points.append((x: Double(end.events), y: speed))
    }
    return points
  }
}
