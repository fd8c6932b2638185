// What the job says to a person, all of it on standard error.

import SedimentIO
import SedimentJob
import SedimentStore
import Synchronization

/// Prints messages, and keeps them apart from the line of progress. Thread-safe.
final class MessagePrinter: Sendable {
  private let least: JobMessage.Level
  private let line = Mutex("")

  init(isQuiet: Bool, isVerbose: Bool) {
    least = isQuiet ? .warning : isVerbose ? .detail : .information
  }

  func show(_ message: JobMessage) {
    guard message.level >= least else { return }
    let prefix = message.level == .warning ? "sediment: warning: " : "sediment: "
    printAbove(prefix + message.text + "\n")
  }

  func fail(_ text: String) {
    printAbove("sediment: " + text + "\n")
  }

  /// Replaces the last line of the terminal; an empty one takes it away.
  func setLine(_ text: String) {
    line.withLock { line in
      write("\r" + text + (line.utf8.count > text.utf8.count ? "\u{1B}[K" : ""))
      line = text
    }
  }

  private func printAbove(_ text: String) {
    line.withLock { line in
      write(line.isEmpty ? text : "\r\u{1B}[K" + text + line)
    }
  }

  private func write(_ text: String) {
    do {
      try StandardStream.error.write(text)
    } catch {
      // Nobody reads; the job goes on.
      return
    }
  }
}

/// One line that shows how far the job is.
final class ProgressLine: Sendable {
  private let messages: MessagePrinter

  init(_ messages: MessagePrinter) {
    self.messages = messages
  }

  /// What the job calls.
  var listener: @Sendable (JobProgress) -> Void {
    { [self] in show($0) }
  }

  private func show(_ progress: JobProgress) {
    let counters = progress.counters
    let share =
      counters.events == 0 ? 0 : Double(counters.duplicates) * 100 / Double(counters.events)
    var parts = [
      "\(Figure.count(counters.events)) events",
      "\(Figure.count(UInt64(progress.eventsPerSecond)))/s",
      "\(Self.tenths(share)) % duplicates", "\(Figure.count(progress.stateKeys)) keys",
      Figure.bytes(progress.stateBytes),
      "epoch \(Self.seconds(progress.epochAgeNanos)) s ago",
    ]
    if let count = progress.repartitioned {
      parts.append("\(Figure.count(count)) repartitioned")
    }
    if let lag = progress.lag {
      parts.append("\(lag.partitions) partitions, \(Figure.count(lag.records)) behind")
    }
    if let age = progress.checkpointAgeNanos {
      parts.append("checkpoint \(Self.seconds(age)) s ago")
    }
    if let left = progress.secondsLeft {
      parts.append("\(Figure.duration(Int64(left) * 1000)) left")
    }
    let columns = StandardStream.error.terminalColumns ?? 160
    messages.setLine(String(parts.joined(separator: ", ").prefix(max(columns - 1, 20))))
  }

  func end() {
    messages.setLine("")
  }

  private static func seconds(_ nanos: UInt64) -> String { tenths(Double(nanos) / 1e9) }

  private static func tenths(_ value: Double) -> String {
    let tenths = Int(value * 10)
    return "\(tenths / 10).\(tenths % 10)"
  }
}

extension MessagePrinter {
  /// What the run did, and how to go on.
  func show(_ summary: JobSummary, of options: JobOptions) {
    let counters = summary.counters
    if counters.rejected > 0, options.targets[.rejects] == nil {
      let reasons = summary.rejectReasons.sorted { $0.value > $1.value }
        .map { "\($0.key) \(Figure.count($0.value))" }.joined(separator: ", ")
      show(
        JobMessage(
          .warning,
          "\(Figure.count(counters.rejected)) records were rejected (\(reasons)); "
            + "--rejects FILE keeps them"))
    }
    if counters.lateUnprotected > 0 {
      show(
        JobMessage(
          .warning,
          "\(Figure.count(counters.lateUnprotected)) records were older than the state "
            + "remembers, and were emitted unprotected: --allowed-lateness or --late change that"))
    }
    if let count = summary.repartitioned {
      let topic = options.repartitioning.map { " through \($0.topic.name)" } ?? ""
      show(JobMessage(.information, "\(Figure.count(count)) records repartitioned" + topic))
    }
    show(JobMessage(.information, Self.counts(counters, learns: options.learns)))
    if summary.end == .finished, counters.emitted == 0, counters.learned == 0 {
      show(JobMessage(.information, Self.nothingNew(summary)))
    }
    let seconds = Double(summary.wallNanos) / 1e9
    show(
      JobMessage(
        .information,
        "\(Figure.count(UInt64(summary.eventsPerSecond))) events/s over "
          + "\(Int(seconds)).\(Int(seconds * 10) % 10) s; the state has "
          + "\(Figure.count(summary.stateKeys)) keys in "
          + "\(Figure.bytes(summary.stateBytes)), as of epoch \(summary.epoch)"))
    if let lag = summary.lag {
      show(
        JobMessage(
          .information,
          "\(lag.partitions) partitions, \(Figure.count(lag.records)) records behind their ends"))
    }
    if summary.end == .stopped {
      show(
        JobMessage(
          .information,
          "stopped; all of it is durable. To go on from here, \(options.howToResume)"))
    }
  }

  private static func counts(_ counters: JobCounters, learns: Bool) -> String {
    var parts = [
      "\(Figure.count(counters.events)) events",
      learns
        ? "\(Figure.count(counters.learned)) learned"
        : "\(Figure.count(counters.emitted)) emitted",
      "\(Figure.count(counters.duplicates)) duplicates",
    ]
    if counters.rejected > 0 { parts.append("\(Figure.count(counters.rejected)) rejected") }
    if counters.late > 0 { parts.append("\(Figure.count(counters.late)) late") }
    return parts.joined(separator: ", ")
  }

  private static func nothingNew(_ summary: JobSummary) -> String {
    if summary.counters.events == 0, summary.resumedFrom != nil {
      return "nothing was emitted: all input was read before"
    }
    return summary.counters.events == 0
      ? "nothing was emitted: the input has no records" : "nothing was emitted: nothing is new"
  }
}
