// The first step of an opening whose outputs are topics: what the brokers say was committed.
//
//   1. look at the state's lock, so that a healthy job is not fenced by a mistake
//   2. open the producer: from here on nobody else commits for this job
//   3. ask for the committed offsets, and never before
//   4. decide which epoch of the state goes on

internal import SedimentDedup
package import SedimentIO
internal import SedimentStore

/// What the brokers and the state agree on.
struct OpenTransactions {
  var producer: any TopicProducer
  /// What the group holds.
  var committed: [TopicPartition: CommittedOffset]
  var choice: EpochChoice
}

/// Opens the transactions of a job.
struct TransactionOpening {
  private let options: JobOptions
  private let environment: JobEnvironment
  private let control: JobControl

  init(_ options: JobOptions, _ environment: JobEnvironment, _ control: JobControl) {
    self.options = options
    self.environment = environment
    self.control = control
  }

  /// `nil` when no output is a topic.
  func open() throws -> OpenTransactions? {
    guard let output = options.topicOutput else {
      try requireSettled()
      return nil
    }
    try StateDirectory(options, environment).requireUnused()
    let producer = try output.open(
      TopicOutputStart(
        epochMillis: options.epochIntervalMillis, report: environment.report,
        isStopping: { [control] in control.isStopping }))
    do {
      let committed = try producer.committed(options.committedTopics)
      let epochs = try Self.localEpochs(
        options, environment, positions: options.committedPositions(of:))
      let choice = try EpochChoice.decide(
        epochs: epochs, committed: committed, group: output.group,
        assumption: options.commitAssumption)
      tell(choice, of: epochs)
      return OpenTransactions(producer: producer, committed: committed, choice: choice)
    } catch {
      producer.close()
      throw error
    }
  }

  /// Whoever does not ask the brokers goes on with the newest epoch, which they must have taken. To
  /// be known before the state is opened: that drops the epoch before.
  private func requireSettled() throws {
    guard try environment.fileSystem.existingDirectory(at: options.statePath) != nil else {
      return
    }
    do {
      try JobMetadata.requireSettled(at: options.statePath, fileSystem: environment.fileSystem)
    } catch is StoreError {
      // What is wrong with the state is for its opening to say.
    }
  }

  /// The epochs that a state can be opened at.
  ///
  /// - Parameter positions: the offsets that stand for what an epoch has read.
  static func localEpochs(
    _ options: JobOptions, _ environment: JobEnvironment,
    positions: (JobMetadata) -> TopicPositions
  ) throws -> [LocalEpoch] {
    guard try environment.fileSystem.existingDirectory(at: options.statePath) != nil else {
      return []
    }
    let stored = try StateStore.epochs(
      at: options.statePath, fileSystem: environment.fileSystem)
    // A state that is there and has no epoch yet is as good as none.
    return try stored.filter { !$0.metadata.isEmpty }.map { epoch in
      let metadata = try JobMetadata(decoding: epoch.metadata)
      return LocalEpoch(
        number: epoch.number,
        mark: Self.mark(of: metadata, isOnlyOne: stored.count == 1, options.start),
        events: metadata.totals.events, positions: positions(metadata))
    }
  }

  /// Checkpoints are made of epochs that were committed, and say what was known when they were cut.
  private static func mark(
    of metadata: JobMetadata, isOnlyOne: Bool, _ start: JobOptions.Start
  ) -> EpochMark? {
    guard case .checkpoint = start, isOnlyOne else { return metadata.mark }
    return metadata.mark.map { .settled($0.tag) }
  }

  private func tell(_ choice: EpochChoice, of epochs: [LocalEpoch]) {
    guard case .open(let number) = choice, let newest = epochs.last, newest.number != number else {
      return
    }
    let chosen = epochs.first { $0.number == number }
    let events = newest.events - min(newest.events, chosen?.events ?? 0)
    environment.report(
      JobMessage(
        .information,
        "the brokers did not take the last epoch, \(newest.number): going on from \(number), "
          + "\(Figure.count(events)) records are read again"))
  }
}

extension JobMetadata {
  /// Throws when the brokers are still to be asked whether they took a state's last epoch. Whoever
  /// opens such a state for writing takes the answer from them: the epoch before goes.
  ///
  /// A state that holds no epoch before, as one made of a checkpoint, has nothing to lose; nor has
  /// one that is no job's.
  ///
  /// - Throws: `JobError`; `StoreError` as `StateStore.epochs`.
  package static func requireSettled(
    at path: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws {
    let epochs = try StateStore.epochs(at: path, fileSystem: fileSystem)
    guard epochs.count > 1, let newest = epochs.last, let mark = Self.mark(of: newest.metadata),
      !mark.isSettled
    else { return }
    throw JobError(
      .failed,
      "whether the brokers took the last epoch of \(path) is not known: run its job once more, "
        + "with the topics that it writes, and let it end in good order")
  }

  private static func mark(of bytes: [UInt8]) -> EpochMark? {
    guard !bytes.isEmpty else { return nil }
    do {
      return try JobMetadata(decoding: bytes).mark
    } catch {
      // Whoever reads the job says why.
      return nil
    }
  }
}

extension JobOptions {
  /// The topics whose offsets stand for the input: those that are read, or for files the first one
  /// that is written.
  var committedTopics: [String] {
    if let origin = description.origin.topics { return origin.topics }
    return firstOutputTopic.map { [$0] } ?? []
  }

  /// The offsets that stand for what an epoch has read: those of the input's partitions, or for
  /// files the number of records.
  func committedPositions(of metadata: JobMetadata) -> TopicPositions {
    if description.origin.topics != nil { return metadata.topicPositions }
    var positions = TopicPositions()
    if let topic = firstOutputTopic {
      positions[TopicPartition(topic, 0)] = Int64(clamping: metadata.totals.events)
    }
    return positions
  }

  private var firstOutputTopic: String? {
    for role in OutputRole.allCases {
      if case .topic(let name)? = targets[role] { return name }
    }
    return nil
  }
}
