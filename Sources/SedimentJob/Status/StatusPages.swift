// What a job tells by HTTP, as text.
//
// Source: the exposition format of Prometheus, version 0.0.4.

internal import SedimentStore

/// An answer to a request.
package struct StatusPage: Sendable, Equatable {
  /// HTTP's number: 200, 404, …
  package var code: Int
  /// What the body is.
  package var contentType: String
  /// The body.
  package var text: String

  /// An answer; text unless something else is said.
  package init(
    code: Int, contentType: String = "text/plain; charset=utf-8", text: String
  ) {
    self.code = code
    self.contentType = contentType
    self.text = text
  }
}

extension StatusBoard {
  /// The page of a path.
  package func page(_ path: String) -> StatusPage {
    switch path {
    case "/metrics":
      StatusPage(
        code: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", text: metrics)
    case "/status": StatusPage(code: 200, contentType: "application/json", text: json)
    case "/healthz": health
    case "/readyz": readiness
    default:
      StatusPage(
        code: 404, text: "nothing is here: try /metrics, /status, /healthz or /readyz\n")
    }
  }

  private var health: StatusPage {
    guard let (what, seconds) = stuck else { return StatusPage(code: 200, text: "ok\n") }
    return StatusPage(code: 503, text: "\(what) has not moved for \(seconds) s\n")
  }

  private var readiness: StatusPage {
    let phase = status.phase
    return StatusPage(code: phase == .running ? 200 : 503, text: phase.rawValue + "\n")
  }

  // MARK: - Metrics

  /// One figure under its name.
  private struct Metric {
    var name: String
    var kind: String
    var help: String
    /// With labels where it has several values.
    var values: [(labels: String, value: String)]

    init(_ name: String, _ kind: String, _ help: String, _ value: String?) {
      self.init(name, kind, help, value.map { [("", $0)] } ?? [])
    }

    init(
      _ name: String, _ kind: String, _ help: String, _ values: [(labels: String, value: String)]
    ) {
      self.name = "sediment_" + name
      self.kind = kind
      self.help = help
      self.values = values
    }

    /// Nothing where it has no value.
    var text: String {
      guard !values.isEmpty else { return "" }
      return "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
        + values.map { "\(name)\($0.labels) \($0.value)\n" }.joined()
    }
  }

  private var metrics: String {
    let status = status
    var metrics = [
      Metric(
        "up", "gauge", "1 while the job reads, decides and writes.",
        status.phase == .running ? "1" : "0")
    ]
    if let progress = status.progress { metrics += Self.metrics(progress) }
    if let resources = status.resources {
      metrics += Self.metrics(resources)
      metrics.append(
        Metric(
          "aborted_epochs_total", "counter", "Epochs that the brokers did not take.",
          "\(status.abortedEpochs)"))
    }
    let forecast = forecast
    metrics += [
      Metric(
        "forecast_disk_full_seconds", "gauge",
        "Time until the state's disk is full, as it filled in the last half hour.",
        forecast.diskSeconds.map { "\($0)" }),
      Metric(
        "forecast_filter_memory_full_seconds", "gauge",
        "Time until filters take all memory they may, as they grew in the last half hour.",
        forecast.filterSeconds.map { "\($0)" }),
    ]
    return metrics.map(\.text).joined()
  }

  private static func seconds(_ nanos: UInt64) -> String { "\(Double(nanos) / 1e9)" }

  private static func metrics(_ progress: JobProgress) -> [Metric] {
    let counters = progress.counters
    func counter(_ name: String, _ help: String, _ value: UInt64) -> Metric {
      Metric(name, "counter", help, "\(value)")
    }
    return [
      counter("records_total", "Records that were read.", counters.events),
      counter("emitted_total", "Records that went to the output.", counters.emitted),
      counter("learned_total", "Records that only went into the state.", counters.learned),
      counter("duplicates_total", "Records whose key was seen before.", counters.duplicates),
      counter("late_total", "Records older than the watermark.", counters.late),
      counter("late_dropped_total", "Late records that were dropped.", counters.lateDropped),
      counter("read_bytes_total", "Bytes of the records that were read.", counters.bytesIn),
      counter("emitted_bytes_total", "Bytes of the records emitted.", counters.bytesOut),
      Metric(
        "input_bytes", "gauge", "Bytes of all inputs of this run, where they are known.",
        progress.bytesTotal.map { "\($0)" }),
      Metric(
        "topic_partitions", "gauge", "Partitions of topics that are read.",
        progress.lag.map { "\($0.partitions)" }),
      Metric(
        "topic_lag_records", "gauge", "Offsets from where reading stands to the partitions' ends.",
        progress.lag.map { "\($0.records)" }),
      Metric(
        "topic_partition_lag_records", "gauge",
        "The same of single partitions: 1,000 at the most, those with the largest lags.",
        (progress.lag?.byPartition ?? []).map {
          let topic = escaped($0.partition.topic)
          return (
            "{topic=\"\(topic)\",partition=\"\($0.partition.partition)\"}", "\($0.records)"
          )
        }),
      Metric(
        "repartitioned_total", "counter",
        "Records that the first stage of a shuffle by the key has committed.",
        progress.repartitioned.map { "\($0)" }),
      Metric("state_keys", "gauge", "Keys in the state.", "\(progress.stateKeys)"),
      Metric("state_bytes", "gauge", "Bytes of the state's files.", "\(progress.stateBytes)"),
      Metric(
        "epoch_age_seconds", "gauge", "Time since the last epoch was cut.",
        seconds(progress.epochAgeNanos)),
      Metric(
        "checkpoint_age_seconds", "gauge", "Time since the last checkpoint of this run.",
        progress.checkpointAgeNanos.map(seconds)),
    ]
  }

  private static func metrics(_ resources: JobStatus.Resources) -> [Metric] {
    let store = resources.store
    func counter(_ name: String, _ help: String, _ value: String) -> Metric {
      Metric(name, "counter", help, value)
    }
    func bytes(_ name: String, _ help: String, _ value: UInt64?) -> Metric {
      Metric(name, "gauge", help, value.map { "\($0)" })
    }
    return [
      Metric(
        "rejected_total", "counter", "Records that were rejected, by reason.",
        resources.rejectReasons.sorted { $0.key < $1.key }.map {
          ("{reason=\"\(escaped($0.key))\"}", "\($0.value)")
        }),
      counter("epochs_total", "Epochs that became durable.", "\(store.epochs)"),
      Metric(
        "epoch_duration_seconds", "gauge", "How long the last epoch took to become durable.",
        seconds(resources.epochNanos)),
      Metric(
        "transaction_age_seconds", "gauge",
        "For how long the transaction at the brokers has been open.",
        resources.transactionNanos.map(seconds)),
      counter("stalls_total", "How often writers waited for merges.", "\(store.stalls)"),
      counter("stall_seconds_total", "How long they waited.", seconds(store.stallNanos)),
      counter("flushed_bytes_total", "Bytes of tables from memory.", "\(store.bytesFlushed)"),
      counter("merged_bytes_total", "Bytes of tables from merges.", "\(store.bytesMerged)"),
      counter("cache_hits_total", "Pages that the cache held.", "\(store.cacheHits)"),
      counter("cache_misses_total", "Pages that were read.", "\(store.cacheMisses)"),
      counter(
        "false_positives_total", "Pages that a filter asked for in vain.",
        "\(store.falsePositives)"),
      bytes("memory_budget_bytes", "Memory for the state.", resources.memoryBytesMax),
      bytes("filter_bytes", "Memory that filters and indexes take.", resources.filterBytes),
      bytes("filter_budget_bytes", "Memory that they may take.", resources.filterBytesMax),
      bytes("resident_bytes", "Resident memory of the process.", resources.residentBytes),
      bytes("disk_available_bytes", "Free bytes where the state lies.", resources.availableBytes),
    ]
  }

  /// A label's value as Prometheus wants it, which is a string of JSON as well.
  private static func escaped(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": escaped += "\\\\"
      case "\"": escaped += "\\\""
      case "\n": escaped += "\\n"
      case _ where scalar.value < 0x20: escaped += "?"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }

  // MARK: - JSON

  /// One object.
  private var json: String {
    let status = status
    let forecast = forecast
    var fields = [("phase", "\"\(status.phase.rawValue)\"")]
    if let progress = status.progress { fields += Self.fields(progress) }
    if let resources = status.resources {
      fields += Self.fields(resources)
      fields.append(("aborted_epochs", "\(status.abortedEpochs)"))
    }
    fields.append(("disk_full_in_seconds", forecast.diskSeconds.map(Self.whole) ?? "null"))
    fields.append(
      ("filter_memory_full_in_seconds", forecast.filterSeconds.map(Self.whole) ?? "null"))
    return Self.object(fields) + "\n"
  }

  /// Whole seconds, a hundred years at the most.
  private static func whole(_ seconds: Double) -> String { "\(Int64(min(seconds, 3e9)))" }

  private static func object(_ fields: [(String, String)]) -> String {
    "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
  }

  /// Of single partitions, in one list.
  private static func lags(_ lag: TopicLag) -> String {
    let objects = lag.byPartition.map { lag in
      object([
        ("topic", "\"\(escaped(lag.partition.topic))\""),
        ("partition", "\(lag.partition.partition)"), ("records", "\(lag.records)"),
      ])
    }
    return "[" + objects.joined(separator: ",") + "]"
  }

  private static func fields(_ progress: JobProgress) -> [(String, String)] {
    let counters = progress.counters
    let repartitioned = progress.repartitioned.map { [("repartitioned", "\($0)")] } ?? []
    return repartitioned + [
      ("records", "\(counters.events)"), ("emitted", "\(counters.emitted)"),
      ("learned", "\(counters.learned)"), ("duplicates", "\(counters.duplicates)"),
      ("rejected", "\(counters.rejected)"), ("late", "\(counters.late)"),
      ("records_per_second", "\(UInt64(max(progress.eventsPerSecond, 0)))"),
      ("elapsed_seconds", seconds(progress.elapsedNanos)),
      ("bytes_in", "\(counters.bytesIn)"), ("bytes_out", "\(counters.bytesOut)"),
      ("bytes_total", progress.bytesTotal.map { "\($0)" } ?? "null"),
      ("topic_lag_records", progress.lag.map { "\($0.records)" } ?? "null"),
      ("topic_partition_lag_records", progress.lag.map(lags) ?? "null"),
      ("state_keys", "\(progress.stateKeys)"), ("state_bytes", "\(progress.stateBytes)"),
      ("epoch_age_seconds", seconds(progress.epochAgeNanos)),
      ("checkpoint_age_seconds", progress.checkpointAgeNanos.map(seconds) ?? "null"),
    ]
  }

  private static func fields(_ resources: JobStatus.Resources) -> [(String, String)] {
    let reasons = resources.rejectReasons.sorted { $0.key < $1.key }
    return [
      ("reject_reasons", object(reasons.map { (escaped($0.key), "\($0.value)") })),
      ("epoch", "\"\(resources.epoch)\""), ("epoch_seconds", seconds(resources.epochNanos)),
      ("transaction_age_seconds", resources.transactionNanos.map(seconds) ?? "null"),
      ("stalls", "\(resources.store.stalls)"),
      ("stall_seconds", seconds(resources.store.stallNanos)),
      ("memory_budget_bytes", "\(resources.memoryBytesMax)"),
      ("filter_bytes", "\(resources.filterBytes)"),
      ("filter_budget_bytes", "\(resources.filterBytesMax)"),
      ("resident_bytes", "\(resources.residentBytes)"),
      ("disk_available_bytes", resources.availableBytes.map { "\($0)" } ?? "null"),
    ]
  }
}
