internal import SedimentIO
internal import SedimentStore

extension StateReport {
  /// The report for people, within 80 columns as long as paths and names are short.
  ///
  /// - Parameter listsTables: whether every table gets a line.
  public func text(listsTables: Bool = false) -> String {
    var text = headText
    for keyspace in keyspaces { text += "\n" + keyspace.text(listsTables: listsTables) }
    for keyspace in orderedKeyspaces { text += "\n" + keyspace.text(listsTables: listsTables) }
    if !writeLogs.isEmpty { text += "\n" + writeLogs.text }
    if keyspaces.isEmpty && orderedKeyspaces.isEmpty { text += "\nIt has no keyspaces.\n" }
    if !checkpoints.isEmpty || !unreadableCheckpoints.isEmpty {
      text += "\nCheckpoints in \(PathName.join(path, Self.checkpointsName))\n"
      text += CheckpointListReport(checkpoints, unreadable: unreadableCheckpoints).table
    }
    return text
  }

  private var headText: String {
    var fields = TextFields()
    fields.append("id", "\(identity)")
    for fact in job { fields.append(fact.label, fact.text) }
    fields.append("epoch", "\(Figure.count(epoch)) of writer \(Figure.count(writerEpoch))")
    if let holder {
      let process = holder.process.map { "process \($0)" } ?? "another process"
      fields.append("in use", "by \(process); this is as of its last epoch")
    }
    return "State \(path)\n" + fields.text()
  }
}

extension KeyspaceReport {
  fileprivate func text(listsTables: Bool) -> String {
    var text = "Keyspace \(name)\n" + fields.text()
    if !groups.isEmpty { text += "\n" + groupTable }
    if listsTables, !tables.isEmpty { text += "\n" + tableTable }
    if !logs.isEmpty { text += "\n" + logTable }
    return text
  }

  private var fields: TextFields {
    var fields = TextFields()
    fields.append("keys", Figure.count(entryCount) + (options.keyMode == .exact ? ", exact" : ""))
    fields.append(
      "size",
      Figure.bytes(tableBytes &+ logBytes) + ": \(Figure.bytes(liveBytes)) live, "
        + "\(Figure.bytes(expiredBytes)) expired")
    fields.append(
      "files",
      [
        Figure.count(tables.count, of: "table") + " in \(Figure.count(runCount, of: "run"))",
        Figure.count(logs.count, of: "log"), Figure.count(shardCount, of: "shard"),
      ].joined(separator: ", "))
    fields.append("time to live", timeToLiveText)
    if let oldestTime, let newestTime {
      fields.append("oldest", Figure.time(oldestTime))
      fields.append("newest", Figure.time(newestTime))
    }
    if let watermark { fields.append("watermark", Figure.time(watermark)) }
    fields.append("options", optionsText)
    if let filter { fields.append("filters", filter.text) }
    fields.append(
      "wrong drop",
      wrongDropChance.map { "chance \(Figure.chance($0)) that any key ever was (n²/2¹²⁹)" }
        ?? "none: exact")
    return fields
  }

  private var timeToLiveText: String {
    guard case .milliseconds(let ttl) = options.timeToLive else { return "forever" }
    return "\(Figure.duration(ttl)) from \(options.refreshesOnSeen ? "last" : "first") seen, "
      + "lateness \(Figure.duration(options.allowedLateness))"
  }

  private var optionsText: String {
    var parts = ["\(options.keyMode)"]
    if options.valueWidth > 0 { parts.append("values of \(options.valueWidth) bytes") }
    parts.append("\(options.compaction)")
    parts.append("log: \(options.log)")
    return parts.joined(separator: "; ")
  }

  private var groupTable: String {
    let hasWindows = groups.contains { $0.window != nil }
    var table = TextTable([
      (hasWindows ? "window from" : "level", hasWindows ? .left : .right),
      (hasWindows ? "phase" : "", .left), ("runs", .right), ("tables", .right), ("keys", .right),
      ("size", .right),
    ])
    for group in groups {
      table.append([
        group.level.map { "\($0)" } ?? group.start.map(Figure.time) ?? "",
        hasWindows ? group.phase.rawValue : "", Figure.count(group.runCount),
        Figure.count(group.tableCount), Figure.count(group.entryCount), Figure.bytes(group.bytes),
      ])
    }
    return table.text()
  }

  private var tableTable: String {
    var table = TextTable([
      ("table", .left), ("shard", .right), ("run", .right), ("keys", .right), ("size", .right),
      ("newest", .left),
    ])
    for report in tables {
      table.append([
        report.name, "\(report.shard)", "\(report.run)", Figure.count(report.entryCount),
        Figure.bytes(report.bytes), Figure.time(report.newestTime),
      ])
    }
    return table.text()
  }

  private var logTable: String {
    var table = TextTable([("log", .left), ("keys", .right), ("size", .right)])
    for log in logs {
      table.append([log.name, Figure.count(log.entryCount), Figure.bytes(log.bytes)])
    }
    return table.text()
  }
}

extension FilterReport {
  fileprivate var text: String {
    "\(Figure.decimal(bitsPerKey, digits: 1)) bits a key, \(Figure.percent(measuredRate)) "
      + "false positives (\(Figure.percent(expectedRate)) in theory)"
  }
}
