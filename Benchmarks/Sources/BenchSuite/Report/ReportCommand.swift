// report: records that were kept, as a page and as a table.

import ArgumentParser
import Foundation

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Draws the records that run --output kept.",
    discussion: """
      Writes report.html, one page that needs nothing else, and report.md, the same figures as \
      Markdown tables.
      """)

  @Argument(help: "Directories of records.")
  var directories: [String]

  @Option(help: "Where to write; the first directory.")
  var output: String?

  func run() throws {
    var sources: [ReportSource] = []
    for directory in directories {
      sources.append(
        ReportSource(
          records: try RecordStore.records(in: directory),
          machine: RecordStore.text(RecordStore.machineName, in: directory),
          commands: RecordStore.text(RecordStore.commandsName, in: directory)))
    }
    let report = Report(sources)
    guard !report.groups.isEmpty else { throw BenchError("there are no records") }
    let target = output ?? directories[0]
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    for (name, text) in [("report.html", report.html), ("report.md", report.markdown)] {
      let path = target + "/" + name
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
      print(path)
    }
  }
}

/// The records of one directory and where they were made.
struct ReportSource {
  var records: [RunRecord]
  var machine: String
  var commands: String
}

/// Records that can be compared: all but engine and run are the same.
struct ReportGroup {
  let summaries: [EngineSummary]

  var request: RunRequest { summaries[0].records[0].request }
  var runs: Int { summaries.map(\.records.count).max() ?? 1 }

  var title: String {
    let name = request.workload.rawValue
    return request.workload.isOrdered ? name : "\(name), \(request.mode.rawValue)"
  }

  /// The conditions in words.
  var conditions: String { conditionWords.joined(separator: " · ") }

  var conditionWords: [String] {
    var words = [
      "\(grouped(request.events)) events", threadsText(request.threads),
      "batches of \(grouped(UInt64(request.batch)))",
      "\(inBytes(UInt64(request.memory))) for Sediment",
    ]
    switch request.workload {
    case .lookupHit, .lookupMiss:
      words[0] = "\(grouped(request.events)) keys, \(grouped(request.lookups)) lookups"
      words.append(request.isCold ? "page cache dropped" : "warm")
    case .restart:
      words.append(request.isCold ? "page cache dropped" : "warm")
    case .dedupTTL:
      words.append("\(request.windows) times to live")
    case .dedup, .dedupCold, .dedupHot, .checkpoint, .job:
      words.append("\(decimal(Double(request.repeatThousandths) / 10, digits: 0)) % duplicates")
    case .dedupUnique: break
    default:
      // An operation is a call of its own.
      words[0] = "\(grouped(request.events)) entries"
      words[2] = request.isCold ? "page cache dropped" : "warm"
      words[3] = "\(inBytes(UInt64(request.memory))) of memory"
    }
    if request.workload == .checkpoint {
      words.append("a checkpoint every \(decimal(request.epochSeconds, digits: 1)) s")
    }
    if runs > 1 { words.append("medians of \(runs) runs") }
    return words
  }

  /// How the first engine stands to the others.
  var ratios: [String] {
    guard let first = summaries.first else { return [] }
    return summaries.dropFirst().map { "\(first.ratio(to: $0)) × \($0.engine)" }
  }

  /// What is void about it; `nil` when all engines accepted the same keys.
  var complaint: String? {
    let counts = Set(summaries.flatMap { $0.records.map(\.figures.accepted) })
    return counts.count > 1 ? "Void: the engines accepted different numbers of keys." : nil
  }
}

struct Report {
  let sources: [ReportSource]
  let groups: [ReportGroup]

  init(_ sources: [ReportSource]) {
    self.sources = sources
    var keys: [String] = []
    var byKey: [String: [RunRecord]] = [:]
    for record in sources.flatMap(\.records) {
      let key = Self.key(record.request)
      if byKey[key] == nil { keys.append(key) }
      byKey[key, default: []].append(record)
    }
    groups = keys.compactMap { byKey[$0] }.map {
      ReportGroup(summaries: EngineSummary.summaries(of: $0))
    }
  }

  private static func key(_ request: RunRequest) -> String {
    "\(request.workload) \(request.mode) \(request.events) \(request.threads) \(request.seed) "
      + "\(request.repeatThousandths) \(request.batch) \(request.memory) \(request.epochSeconds) "
      + "\(request.lookups) \(request.isCold) \(request.windows)"
  }

  var markdown: String {
    var lines = ["# Benchmarks", ""]
    for source in sources { lines += ["```", source.machine.trimmed, "```", ""] }
    if groups.count > 1 { lines += overviewTable }
    for group in groups {
      lines += ["## \(group.title)", "", group.conditions, ""]
      if let complaint = group.complaint { lines += ["**\(complaint)**", ""] }
      let columns = SummaryColumn.all(of: group.summaries)
      lines.append("| " + columns.map(\.head).joined(separator: " | ") + " |")
      lines.append("|---|" + columns.dropFirst().map { _ in "---:|" }.joined())
      for summary in group.summaries {
        lines.append("| " + columns.map { $0.text(summary) }.joined(separator: " | ") + " |")
      }
      lines.append("")
      let notes = group.summaries.flatMap(\.notes)
      if !notes.isEmpty { lines += notes.map { "- \($0)" } + [""] }
    }
    lines += ["## Command lines", "", "```"]
    lines += sources.map(\.commands.trimmed)
    lines += ["```", ""]
    return lines.joined(separator: "\n")
  }

  /// A line for every comparison.
  private var overviewTable: [String] {
    let rows = groups.map { group in
      let speeds = group.summaries.map { "\($0.engine) \(Self.merit($0))" }
      let columns = [
        group.title, "\(grouped(group.request.events)), \(threadsText(group.request.threads))",
        speeds.joined(separator: ", "), group.complaint ?? group.ratios.joined(separator: ", "),
      ]
      return "| " + columns.joined(separator: " | ") + " |"
    }
    let head = ["| workload | events, threads | speed | the first is |", "|---|---|---|---|"]
    return head + rows + [""]
  }
}

func threadsText(_ count: Int) -> String { count == 1 ? "1 thread" : "\(count) threads" }

extension String {
  var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
