// sediment verify: is anything damaged?

import ArgumentParser
import SedimentIO
import SedimentInspection
import SedimentStore

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reads all of a state or checkpoint and names every damage.",
    discussion: """
      Every page, filter, index, log and manifest is held against its checksum, and tables against \
      what the manifest says of them. Safe beside a running job. Exits with 1 when anything is \
      damaged.

      Examples:
        sediment verify state
        sediment verify backups                   the newest checkpoint there
        sediment verify backups/chk-000000000012-000001-89ab54f02c1d77e3
      """)

  @Argument(
    help: ArgumentHelp("A state, a directory of checkpoints, or a checkpoint.", valueName: "dir"))
  var path: String

  @OptionGroup var report: ReportOptions

  func run() throws {
    try verify(path, report)
  }
}

/// Verifies what is at a path and prints the report.
///
/// - Throws: `ExitCode.failure` when there is damage.
func verify(_ path: String, _ report: ReportOptions) throws {
  var line = VerificationLine()
  var failure: (any Error)?
  func show(_ progress: VerificationReport.Progress) {
    do { try line.show(progress) } catch { failure = error }
  }
  let reference = CheckpointReference(path: path)
  let found =
    try reference.id == nil && !isCheckpointDirectory(path)
    ? withoutActuallyEscaping(show) { try VerificationReport.ofState(at: path, progress: $0) }
    : VerificationReport.ofCheckpoint(reference)
  try line.clear()
  if let failure { throw failure }
  try report.print(text: found.text, json: found.json)
  if !found.isSound { throw ExitCode.failure }
}

/// Whether a path is a directory of checkpoints rather than a state.
func isCheckpointDirectory(_ path: String) throws -> Bool {
  let directory = try PosixFileSystem().openDirectory(at: path, creating: false)
  return try directory.metadata(of: "objects")?.kind == .directory
}
