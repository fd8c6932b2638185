internal import SedimentIO
internal import SedimentStore

extension StateReport {
  /// The report for programs. Times are ms since 1970, ids strings.
  public var json: JSONValue {
    .object([
      .init("path", .string(path)), .init("id", .string("\(identity)")),
      .init("epoch", .unsigned(epoch)), .init("writer_epoch", .unsigned(writerEpoch)),
      .init("manifest", .string(manifestName)),
      .init("metadata_bytes", .count(metadataBytes)),
      .init("job", job.isEmpty ? .null : .object(job.map { .init($0.member, $0.value) })),
      .init("in_use", .bool(holder != nil)),
      .init("process", .optional(holder?.process.map { Int64($0) })),
      .init("keyspaces", .array(keyspaces.map(\.json))),
      .init("ordered_keyspaces", .array(orderedKeyspaces.map(\.json))),
      .init("write_logs", .array(writeLogs.map(\.json))),
      .init(
        "checkpoints", CheckpointListReport(checkpoints, unreadable: unreadableCheckpoints).json),
    ])
  }
}

extension KeyspaceReport {
  fileprivate var json: JSONValue {
    .object(
      [.init("name", .string(name)), .init("options", optionsJSON)] + countMembers + [
        .init("largest_time", .optional(largestTime)), .init("watermark", .optional(watermark)),
        .init("oldest_time", .optional(oldestTime)), .init("newest_time", .optional(newestTime)),
        .init("filter", filter?.json ?? .null),
        .init("wrong_drop_chance", wrongDropChance.map { .number($0) } ?? .null),
        .init(
          groups.contains { $0.window != nil } ? "windows" : "levels", .array(groups.map(\.json))),
        .init("tables", .array(tables.map(\.json))), .init("logs", .array(logs.map(\.json))),
      ])
  }

  private var countMembers: [JSONValue.Member] {
    [
      .init("shards", .count(shardCount)), .init("runs", .count(runCount)),
      .init("keys", .unsigned(entryCount)), .init("table_bytes", .unsigned(tableBytes)),
      .init("log_bytes", .unsigned(logBytes)), .init("live_bytes", .unsigned(liveBytes)),
      .init("expired_bytes", .unsigned(expiredBytes)),
    ]
  }

  private var optionsJSON: JSONValue {
    var timeToLive: Int64?
    if case .milliseconds(let millis) = options.timeToLive { timeToLive = millis }
    return .object([
      .init("key_mode", .string("\(options.keyMode)")),
      .init("value_width", .count(Int(options.valueWidth))),
      .init("time_to_live_ms", .optional(timeToLive)),
      .init("allowed_lateness_ms", .integer(options.allowedLateness)),
      .init("compaction", .string("\(options.compaction)")),
      .init("log", .string("\(options.log)")),
      .init("refreshes_on_seen", .bool(options.refreshesOnSeen)),
    ])
  }
}

extension FilterReport {
  fileprivate var json: JSONValue {
    .object([
      .init("bits_per_key", .number(bitsPerKey)),
      .init("false_positive_rate_measured", .number(measuredRate)),
      .init("false_positive_rate_expected", .number(expectedRate)),
      .init("probes", .count(probes)), .init("tables_measured", .count(tablesMeasured)),
    ])
  }
}

extension TableGroup {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = []
    if let window {
      members = [
        .init("window", .integer(window)), .init("start_time", .optional(start)),
        .init("phase", .string(phase.rawValue)),
      ]
    }
    if let level { members = [.init("level", .count(Int(level)))] }
    return .object(
      members + [
        .init("runs", .count(runCount)), .init("tables", .count(tableCount)),
        .init("keys", .unsigned(entryCount)), .init("bytes", .unsigned(bytes)),
        .init("oldest_time", .integer(oldestTime)), .init("newest_time", .integer(newestTime)),
      ])
  }
}

extension TableReport {
  fileprivate var json: JSONValue {
    .object([
      .init("file", .string(name)), .init("shard", .count(shard)), .init("run", .unsigned(run)),
      .init("level", .count(Int(level))), .init("window", .integer(window)),
      .init("keys", .unsigned(entryCount)), .init("bytes", .unsigned(bytes)),
      .init("oldest_time", .integer(oldestTime)), .init("newest_time", .integer(newestTime)),
      .init("expired", .bool(isExpired)),
    ])
  }
}

extension LogReport {
  fileprivate var json: JSONValue {
    .object([
      .init("file", .string(name)), .init("keys", .unsigned(entryCount)),
      .init("bytes", .unsigned(bytes)), .init("oldest_time", .optional(oldestTime)),
      .init("newest_time", .optional(newestTime)),
    ])
  }
}
