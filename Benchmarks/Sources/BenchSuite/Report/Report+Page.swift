// The page of a report.

import Foundation

extension Report {
  /// One page that needs nothing else.
  var html: String {
    var parts = [Self.head, "<main>", "<h1>Sediment beside its peers</h1>", introduction]
    parts.append(overview)
    let growth = growthCharts
    if !growth.isEmpty {
      parts.append("<section><h2>Throughput against keys</h2>")
      parts.append(Self.grid(growth, kind: "lines"))
      parts.append("</section>")
    }
    for (index, group) in groups.enumerated() { parts.append(section(group, index)) }
    parts.append(appendix)
    parts.append("</main></body></html>\n")
    return parts.joined(separator: "\n")
  }

  private var introduction: String {
    let machines = sources.map { "<pre>\($0.machine.trimmed.escaped)</pre>" }.joined()
    return """
      <p class="lead">Every engine gets the same events, made inside the timed run in the same \
      way; each run is a process of its own in an empty directory, engines take turns, and a run \
      ends when everything is flushed, synchronised and counted. Runs count only if all engines \
      accepted the same number of keys. Memory leaves out pages of mapped files.</p>
      \(machines)
      """
  }

  /// A line for every comparison.
  private var overview: String {
    let rows = groups.enumerated().map { index, group in
      let speeds = group.summaries.map { summary in
        "<span class=\"speed\"><b style=\"color:\(Palette.color(summary.engine))\">"
          + "\(summary.engine.escaped)</b> "
          + "\(Self.merit(summary).escaped)</span>"
      }
      return "<tr><td><a href=\"#group-\(index)\">\(group.title.escaped)</a><br>"
        + "<small>\(Self.conditions(group))</small></td><td>\(speeds.joined())</td>"
        + "<td>\(Self.verdict(group))</td></tr>"
    }
    return "<table class=\"overview\"><thead><tr><th>workload</th><th>speed</th>"
      + "<th>the first against the others</th></tr></thead><tbody>\(rows.joined())</tbody></table>"
  }

  static func merit(_ summary: EngineSummary) -> String {
    summary.workload == .restart
      ? inMicros(summary.wallSeconds * 1e6) : AxisText.count(summary.eventsPerSecond) + "/s"
  }

  private static func verdict(_ group: ReportGroup) -> String {
    if let complaint = group.complaint { return complaint.escaped }
    return group.ratios.map { "<span class=\"speed\">\($0.escaped)</span>" }.joined()
  }

  /// Conditions that break between, not in, themselves.
  private static func conditions(_ group: ReportGroup) -> String {
    group.conditionWords.map { "<span class=\"together\">\($0.escaped)</span>" }
      .joined(separator: " · ")
  }

  private func section(_ group: ReportGroup, _ index: Int) -> String {
    var parts = [
      "<section id=\"group-\(index)\"><h2>\(group.title.escaped)</h2>",
      "<p class=\"conditions\">\(Self.conditions(group))</p>",
    ]
    if let complaint = group.complaint {
      parts.append("<p class=\"void\">\(complaint.escaped)</p>")
    }
    parts.append(Self.table(group))
    let notes = group.summaries.flatMap(\.notes)
    if !notes.isEmpty {
      parts.append("<ul>" + notes.map { "<li>\($0.escaped)</li>" }.joined() + "</ul>")
    }
    parts.append(Self.grid(group.bars, kind: "bars"))
    parts.append(Self.grid(group.lines, kind: "lines"))
    parts.append(Self.options(group))
    parts.append("</section>")
    return parts.joined(separator: "\n")
  }

  private static func table(_ group: ReportGroup) -> String {
    let columns = SummaryColumn.all(of: group.summaries)
    let head = columns.map { "<th>\($0.head.escaped)</th>" }.joined()
    let rows = group.summaries.map { summary in
      "<tr>" + columns.map { "<td>\($0.text(summary).escaped)</td>" }.joined() + "</tr>"
    }
    return "<div class=\"wide\"><table class=\"figures\"><thead><tr>\(head)</tr></thead>"
      + "<tbody>\(rows.joined())</tbody></table></div>"
  }

  private static func grid(_ charts: [String], kind: String) -> String {
    "<div class=\"\(kind)\">"
      + charts.map { "<figure>\($0)</figure>" }.joined() + "</div>"
  }

  private static func options(_ group: ReportGroup) -> String {
    let blocks = group.summaries.map { summary in
      "<h3>\(summary.engine.escaped)</h3><pre>"
        + summary.records[0].options.joined(separator: "\n").escaped + "</pre>"
    }
    return "<details><summary>All options in force</summary>\(blocks.joined())</details>"
  }

  private var appendix: String {
    let commands = sources.map { "<pre>\($0.commands.trimmed.escaped)</pre>" }.joined()
    return "<section><h2>Command lines</h2>\(commands)</section>"
  }

  private static let head = """
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Sediment: benchmarks</title>
    <style>
    \(style)
    </style></head><body>
    """

  private static let style = """
    :root { color-scheme: light; --ink: #1d2430; --quiet: #5b6472; --rule: #d9dde3; }
    body { margin: 0; background: #fff; color: var(--ink);
      font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
    main { max-width: 1240px; margin: 0 auto; padding: 32px 24px 64px; }
    h1 { font-size: 28px; margin: 0 0 8px; }
    h2 { font-size: 20px; margin: 40px 0 4px; }
    h3 { font-size: 15px; margin: 16px 0 4px; }
    .lead { max-width: 78ch; }
    .conditions, small { color: var(--quiet); }
    .conditions { margin: 0 0 12px; }
    .void { color: #b00020; font-weight: 600; }
    pre { background: #f5f6f8; border-radius: 6px; padding: 10px 12px; overflow-x: auto;
      font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
    table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
    th { text-align: left; font-weight: 600; color: var(--quiet); font-size: 13px; }
    th, td { padding: 6px 10px; border-bottom: 1px solid var(--rule); vertical-align: top; }
    .overview { width: 100%; margin-top: 20px; }
    .together { white-space: nowrap; }
    .speed { display: inline-block; margin-right: 16px; white-space: nowrap; }
    .figures { font-size: 13.5px; } .figures th { font-size: 12px; }
    .figures th, .figures td { padding: 6px; text-align: right; white-space: nowrap; }
    .figures th:first-child, .figures td:first-child { text-align: left; font-weight: 600; }
    .wide { overflow-x: auto; }
    .bars, .lines { display: grid; gap: 20px 28px; margin-top: 20px; }
    .bars { grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); }
    .lines { grid-template-columns: repeat(auto-fill, minmax(480px, 1fr)); }
    figure { margin: 0; }
    svg { width: 100%; height: auto; display: block; }
    svg text { font: 11.5px system-ui, "DejaVu Sans", sans-serif; fill: var(--quiet); }
    svg .title { font-size: 14px; font-weight: 600; fill: var(--ink); }
    svg .name { font-size: 12px; font-weight: 600; }
    svg .value { fill: var(--ink); }
    .grid { stroke: #e6e9ee; } .axis { stroke: #9aa2ad; }
    .spread { stroke: var(--ink); stroke-width: 1.2; }
    details { margin-top: 16px; } summary { cursor: pointer; color: var(--quiet); }
    a { color: #1f5fbf; text-decoration: none; }
    """
}
