// The words of the command line made into the options of a job, and refused where they cannot be.

import ArgumentParser
import SedimentIO
import SedimentJob
import SedimentKafka
import SedimentStore

extension Dedup {
  /// The job that is asked for.
  ///
  /// - Throws: `ValidationError` for wrong usage, `JobError` for input that cannot be read.
  func jobOptions(reading files: InputFileSystem) throws -> JobOptions {
    guard let ttl = times.ttl else { throw Self.missing("--ttl") }
    guard let statePath = state.path, !statePath.isEmpty else { throw Self.missing("--state") }
    guard !OutputTarget.isRemote(statePath) else {
      throw ValidationError("--state \(statePath): outputs can be on HDFS, a state cannot.")
    }
    let topics = try topics()
    let sources = topics == nil ? try sources(in: files) : []
    let description = JobDescription(
      origin: topics.map { .topics($0.origin) } ?? .files,
      format: try recordFormat(of: sources), keyMode: records.mode, timeToLive: ttl,
      allowedLateness: times.allowedLateness)
    try check(description)
    var options = JobOptions(description: description, sources: sources, statePath: statePath)
    options.topics = topics?.input
    options.targets = try targets(in: files)
    options.topicOutput = try topicOutput()
    options.partitioning = try partitioning(options.targets)
    if let topics { try addRepartitioning(to: &options, reading: topics.input) }
    if kafka.assumeCommitted { options.commitAssumption = .committed }
    if kafka.assumeAborted { options.commitAssumption = .aborted }
    options.maxAheadMillis = times.maxAhead
    options.late = times.late
    options.missingKey = records.onMissingKey
    options.learns = output.learn
    options.follows = running.follow
    options.changesTimeToLive = state.changesTimeToLive
    options.epochIntervalMillis = state.checkpointInterval
    options.retainedCheckpoints = state.retain
    options.rollBytes = output.rollSize
    if state.fresh { options.start = .fresh }
    if let checkpoint = state.checkpoint { options.start = .checkpoint(checkpoint) }
    if let parallelism = running.parallelism { options.parallelism = parallelism }
    if let memory = running.memory { options.memoryBudget = Int(clamping: memory) }
    try checkNumbers(options)
    try PathCheck(
      options, summary: output.summary, arguments: topics == nil ? inputs : [],
      readingInputs: files
    ).run()
    for role in OutputRole.allCases {
      if let target = options.targets[role] { try check(target, of: role, in: files) }
    }
    return options
  }

  private static func missing(_ option: String) -> ValidationError {
    ValidationError("\(option) is missing, and has no default.\n\(example)")
  }

  // MARK: - Input

  private func sources(in files: InputFileSystem) throws -> [InputSource] {
    if inputs.isEmpty {
      guard !StandardStream.input.isTerminal else {
        throw ValidationError(
          "No input is named, and standard input is a terminal.\n\(Self.example)")
      }
      return try followable([.standardInput])
    }
    do {
      return try followable(try InputList(files).expand(inputs))
    } catch let error as SourceError {
      throw JobError(.failed, error.description)
    }
  }

  private func followable(_ sources: [InputSource]) throws -> [InputSource] {
    guard sources.count(where: { $0 == .standardInput }) <= 1 else {
      throw ValidationError("Standard input is named more than once.")
    }
    guard running.follow else { return sources }
    for source in sources {
      if source.isStream { throw ValidationError("--follow needs files.") }
      if InputFileSystem.isCompressed(source.path) {
        throw ValidationError("--follow cannot follow \(source.path): it is compressed.")
      }
    }
    return sources
  }

  private func recordFormat(of sources: [InputSource]) throws -> RecordFormat {
    let kind = try records.format ?? Self.kind(of: sources)
    let fields = KeyFieldList.split(records.key ?? "")
    if records.keyFrom != .value {
      guard records.key == nil, records.keyRegex == nil else {
        throw ValidationError("--key and --key-regex name parts of the value: see --key-from.")
      }
    } else if kind == .lines {
      guard records.key == nil else {
        throw ValidationError("Lines have no fields: --key-regex names parts of a line.")
      }
    } else {
      guard records.key != nil, !fields.contains("") else {
        throw ValidationError("--key is missing or has an empty field.\n\(Self.example)")
      }
      guard records.keyRegex == nil else {
        throw ValidationError("--key-regex is for --format lines; this is \(kind.rawValue).")
      }
    }
    let hasFields = kind != .lines && records.keyFrom == .value
    var format = RecordFormat(
      kind: kind, keyFields: hasFields ? fields : [], keyRegex: records.keyRegex,
      timeField: times.timeField, timeUnit: times.timeUnit)
    format.keySource = records.keyFrom
    format.usesRecordTime = times.recordTime
    return format
  }

  private static func kind(of sources: [InputSource]) throws -> RecordFormat.Kind {
    var kind: RecordFormat.Kind?
    for case .file(let path) in sources {
      let own = RecordFormat.kind(forPath: path)
      if let kind, kind != own {
        throw ValidationError(
          "\(path) is \(own.rawValue), and others are \(kind.rawValue): give --format.")
      }
      kind = own
    }
    return kind ?? .ndjson
  }

  // MARK: - Checks

  private func check(_ description: JobDescription) throws {
    do {
      _ = try description.format.makeParser()
    } catch {
      throw ValidationError("\(error).")
    }
    if !description.format.hasEventTime, times.allowedLateness != nil {
      throw ValidationError("--allowed-lateness needs --time-field: nothing is late by the clock.")
    }
  }

  private func checkNumbers(_ options: JobOptions) throws {
    if state.fresh, state.checkpoint != nil {
      throw ValidationError("--fresh and --from exclude each other.")
    }
    if options.parallelism < 1 || options.parallelism > 256 {
      throw ValidationError("--parallelism is from 1 to 256.")
    }
    if options.memoryBudget < StoreOptions.memoryBudgetMin {
      throw ValidationError("--memory is at least 8MiB.")
    }
    if options.epochIntervalMillis < 1 {
      throw ValidationError("--checkpoint-interval is at least 1ms.")
    }
    if options.retainedCheckpoints < 0 || options.retainedCheckpoints > 1000 {
      throw ValidationError("--retain is from 0 to 1000.")
    }
  }

  private func targets(in files: InputFileSystem) throws -> [OutputRole: OutputTarget] {
    if output.learn, output.output != nil {
      throw ValidationError("--learn emits nothing: leave --output away.")
    }
    var targets: [OutputRole: OutputTarget] = [:]
    let words: [(OutputRole, String?)] = [
      (.output, output.learn ? nil : output.output ?? "-"), (.duplicates, output.duplicates),
      (.rejects, output.rejects),
    ]
    for case (let role, let word?) in words {
      // `topicOutput` says what is wrong with an address.
      if KafkaAddress.isMeant(by: word), let topic = Self.topic(of: word) {
        targets[role] = .topic(topic)
        continue
      }
      let target = OutputTarget(word) { path in
        do { return try files.kind(of: path) == .directory } catch { return false }
      }
      guard let target else { throw ValidationError("\(role.option) is empty.") }
      try RemoteOutputs.check(word, of: role)
      if target == .standardOutput, targets.values.contains(.standardOutput) {
        throw ValidationError("Only one output can be standard output.")
      }
      targets[role] = target
    }
    return targets
  }

  private static func topic(of word: String) -> String? {
    do throws(KafkaError) {
      return try KafkaAddress(word).topics.first
    } catch {
      return ""
    }
  }

  /// Says of what is there already why it cannot be an output.
  private func check(
    _ target: OutputTarget, of role: OutputRole, in files: InputFileSystem
  ) throws {
    switch target {
    case .standardOutput, .topic: return
    case .directory(let path):
      guard !path.hasSuffix("/"), !OutputTarget.isRemote(path) else { return }
      if try files.kind(of: path) != .directory, try files.metadata(of: path) != nil {
        throw JobError(
          .failed,
          "\(role.option) \(path): that is no directory, and a file to append to needs an "
            + "extension; --learn is for keys without output")
      }
    case .file(let path):
      let (parent, name) = OutputTarget.split(path)
      guard try files.kind(of: parent) == .directory else {
        throw JobError(.failed, "\(role.option) \(path): there is no directory \(parent)")
      }
      let directory = try files.fileSystem.openDirectory(at: parent, creating: false)
      switch try directory.metadata(of: name)?.kind {
      case .symbolicLink:
        throw JobError(.failed, "\(role.option) \(path) is a link: name the file itself")
      case .other:
        throw JobError(.failed, "\(role.option) \(path) is no regular file")
      case .file, .directory, nil: return
      }
    }
  }
}
