// The outputs of a job, which go through epochs together.

internal import SedimentIO
internal import SedimentStore

/// What an output is for.
package enum OutputRole: Int, Sendable, CaseIterable {
  /// The first record of every key.
  case output
  /// The others.
  case duplicates
  /// Records that are bad, as NDJSON.
  case rejects

  /// The option that names it.
  package var option: String {
    switch self {
    case .output: "--output"
    case .duplicates: "--duplicates"
    case .rejects: "--rejects"
    }
  }
}

/// What was cut off all outputs at the end of an epoch.
struct OutputCuts: Sendable {
  var cuts: [(role: OutputRole, cut: SinkCut)]

  /// What the epoch will promise.
  var commitments: [OutputRole: SinkCommitment] {
    Dictionary(cuts.map { ($0.role, $0.cut.commitment) }) { first, _ in first }
  }
}

/// The sinks of a job by role.
struct OutputSet: Sendable {
  private var sinks: [(role: OutputRole, sink: any Sink)] = []

  /// Opens the outputs that are asked for. Nothing is written before `recover`.
  ///
  /// - Parameter transactions: of the topics among them.
  init(
    _ targets: [OutputRole: OutputTarget], in fileSystem: any FileSystem,
    standardOutput: any OutputStream, store: StateStore, format: RecordFormat.Kind,
    rollBytes: UInt64, transactions: TransactionWriter?
  ) throws {
    for role in OutputRole.allCases {
      guard let target = targets[role] else { continue }
      switch target {
      case .directory(let path):
        try addParts(
          at: path, role, in: fileSystem, job: store.identity, writerEpoch: store.writerEpoch,
          format: format, rollBytes: rollBytes)
      case .file(let path): sinks.append((role, try AppendFileSink(path, in: fileSystem)))
      case .standardOutput: sinks.append((role, StandardOutputSink(standardOutput)))
      case .topic(let name):
        guard let transactions else {
          throw JobError(.failed, "\(role.option): nothing writes the topic \(name)")
        }
        sinks.append((role, TopicSink(name, role: role, in: transactions)))
      }
    }
  }

  /// Opens outputs all of which are topics.
  init(topics targets: [OutputRole: OutputTarget], transactions: TransactionWriter) throws {
    for role in OutputRole.allCases {
      switch targets[role] {
      case .topic(let name): sinks.append((role, TopicSink(name, role: role, in: transactions)))
      case nil: continue
      case .directory, .file, .standardOutput:
        throw JobError(
          .failed, "\(role.option): with several instances outputs are topics, all of them")
      }
    }
  }

  /// Opens outputs of one partition, all of which are directories: each has its records in
  /// `<topic>/partition=<number>` below what was asked for.
  ///
  /// - Parameters:
  ///   - job: the same for all instances and partitions.
  ///   - writerEpoch: of this opening of the partition, of all openings anywhere the largest.
  init(
    of partition: TopicPartition, _ targets: [OutputRole: OutputTarget],
    in fileSystem: any FileSystem, job: StoreIdentity, writerEpoch: UInt64,
    format: RecordFormat.Kind, rollBytes: UInt64
  ) throws {
    for role in OutputRole.allCases {
      guard let target = targets[role] else { continue }
      guard case .directory(let path) = target else {
        throw JobError(
          .failed, "\(role.option): with several instances outputs are topics, or directories")
      }
      try addParts(
        at: OutputTarget.directory(
          below: path, [partition.topic, "partition=\(partition.partition)"]),
        role, in: fileSystem, job: job, writerEpoch: writerEpoch, format: format,
        rollBytes: rollBytes, isShared: true)
    }
  }

  private mutating func addParts(
    at path: String, _ role: OutputRole, in fileSystem: any FileSystem, job: StoreIdentity,
    writerEpoch: UInt64, format: RecordFormat.Kind, rollBytes: UInt64, isShared: Bool = false
  ) throws {
    var options = PartDirectorySink.Options(
      jobID: "\(job)", writerEpoch: writerEpoch, newOutputID: .random(in: 1 ... .max),
      fileExtension: role == .rejects ? "ndjson" : format.fileExtension, rollBytes: rollBytes,
      isShared: isShared)
    // What is not there yet takes room on this machine.
    if OutputTarget.isRemote(path) { options.unsyncedMax = 1 }
    sinks.append((role, try PartDirectorySink(path, in: fileSystem, options: options)))
  }

  subscript(role: OutputRole) -> (any Sink)? {
    sinks.first { $0.role == role }?.sink
  }

  /// Makes every output hold what the state promises. An output that the state wrote to and that is
  /// not asked for any more must be complete.
  func recover(_ committed: [OutputRole: SinkCommitment]) throws -> [(any Sink, SinkRecovery)] {
    for (role, commitment) in committed where self[role] == nil && !commitment.isComplete {
      throw JobError(
        .failed,
        "the last epoch of this state promised records in \(commitment.path): run once more with "
          + "\(role.option) \(commitment.path)")
    }
    return try sinks.map { ($0.sink, try $0.sink.recover(committed: committed[$0.role])) }
  }

  /// Sets the header of CSV outputs.
  func setHeader(_ header: [UInt8]) {
    for (role, sink) in sinks where role != .rejects { sink.setHeader(header) }
  }

  func cut() throws -> OutputCuts {
    OutputCuts(cuts: try sinks.map { ($0.role, try $0.sink.cut()) })
  }

  func prepare(_ cuts: OutputCuts) throws {
    for (role, cut) in cuts.cuts { _ = try self[role]?.prepare(cut) }
  }

  func publish(_ cuts: OutputCuts) throws {
    for (role, cut) in cuts.cuts { try self[role]?.publish(cut.commitment) }
  }

  /// Removes what writers before this one left since `recover`.
  func sweep() throws {
    for (_, sink) in sinks { try sink.sweep() }
  }

  /// What the last epoch of a clean end remembers.
  func release() throws -> [OutputRole: SinkCommitment] {
    var commitments: [OutputRole: SinkCommitment] = [:]
    for (role, sink) in sinks { commitments[role] = try sink.release() }
    return commitments
  }
}

extension SinkCommitment {
  /// Whether nothing is left to be shown or cut off.
  fileprivate var isComplete: Bool {
    if case .parts(let promise) = promise, promise.parts.isEmpty { return true }
    return isReleased
  }
}

extension RecordFormat.Kind {
  /// Of parts with such records.
  fileprivate var fileExtension: String {
    switch self {
    case .ndjson: "ndjson"
    case .csv: "csv"
    case .lines: "txt"
    }
  }
}
