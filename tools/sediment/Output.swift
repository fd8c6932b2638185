// What the subcommands that report have in common.

import ArgumentParser
import SedimentIO
import SedimentInspection
import SedimentJob
import SedimentStore

/// The form of a report.
struct ReportOptions: ParsableArguments {
  @Flag(help: "Print JSON for programs instead of text for people.")
  var json = false

  /// Prints a report on standard output.
  func print(text: @autoclosure () -> String, json value: @autoclosure () -> JSONValue) throws {
    try StandardStream.output.write(json ? value().text : text())
  }
}

/// A line on standard error that is written over, where a person looks at it.
struct VerificationLine {
  private let isShown = StandardStream.error.isTerminal
  private var lastPercent: UInt64?

  /// Shows how far a verification is.
  mutating func show(_ progress: VerificationReport.Progress) throws {
    guard isShown, progress.bytesTotal > 0 else { return }
    let percent = progress.bytesDone / max(progress.bytesTotal / 100, 1)
    guard percent != lastPercent else { return }
    lastPercent = percent
    try StandardStream.error.write(
      "\r\(min(percent, 100)) % of \(Figure.bytes(progress.bytesTotal)) verified")
  }

  /// Takes the line away.
  func clear() throws {
    guard isShown, lastPercent != nil else { return }
    try StandardStream.error.write("\r" + String(repeating: " ", count: 60) + "\r")
  }
}

/// Opens the store of a state directory that exists, for writing.
///
/// - Throws: `StoreError`, with the process that has it when it is in use; `JobError` when brokers
///   are still to be asked whether they took its last epoch.
func openForWriting(_ path: String) throws -> StateStore {
  let summary = try StateSummary(at: path)
  try JobMetadata.requireSettled(at: path)
  // Another number of shards would cut runs anew, which is not what was asked for.
  return try StateStore.open(at: path, options: StoreOptions(shards: summary.shardCount))
}
