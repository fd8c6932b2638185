// The first step of an opening whose outputs are topics: what the brokers say was committed.
//
//   1. look at the state's lock, so that a healthy job is not fenced by a mistake
//   2. open the producer: from here on nobody else commits for this job
//   3. ask for the committed offsets, and never before
//   4. decide which epoch of the state goes on

internal import SedimentDedup
internal import SedimentIO
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
      let epochs = try localEpochs()
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
    let bytes: [UInt8]
    do {
      bytes = try ReadOnlyStore.open(at: options.statePath, fileSystem: environment.fileSystem)
        .metadata
    } catch {
      // What is wrong with the state is for its opening to say.
      return
    }
    guard !bytes.isEmpty else { return }
    try JobMetadata(decoding: bytes).requireSettled(options.statePath)
  }

  /// The epochs that the state can be opened at.
  private func localEpochs() throws -> [LocalEpoch] {
    guard try environment.fileSystem.existingDirectory(at: options.statePath) != nil else {
      return []
    }
    let stored = try StateStore.epochs(
      at: options.statePath, fileSystem: environment.fileSystem)
    // A state that is there and has no epoch yet is as good as none.
    return try stored.filter { !$0.metadata.isEmpty }.map { epoch in
      let metadata = try JobMetadata(decoding: epoch.metadata)
      return LocalEpoch(
        number: epoch.number, mark: metadata.mark, events: metadata.totals.events,
        positions: options.committedPositions(of: metadata))
    }
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
  /// Throws when the brokers are still to be asked whether they took this epoch.
  ///
  /// - Parameter path: the state's, for the message.
  package func requireSettled(_ path: String) throws(JobError) {
    guard let mark, !mark.isSettled else { return }
    throw JobError(
      .failed,
      "whether the brokers took the last epoch of \(path) is not known: run its job once more, "
        + "with the topics that it writes, and let it end in good order")
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
