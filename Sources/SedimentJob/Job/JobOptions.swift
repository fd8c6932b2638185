package import SedimentIO
internal import SedimentStore

/// What a dedup job is asked to do.
package struct JobOptions: Sendable {
  /// What the job is; kept in the state.
  package var description: JobDescription
  /// What to read, in order.
  package var sources: [InputSource]
  /// Topics to read in place of `sources`.
  package var topics: (any TopicInput)?
  /// The state's directory.
  package var statePath: String
  /// Where records go. Roles that are missing are not written.
  package var targets: [OutputRole: OutputTarget] = [:]
  /// Writes those of `targets` that are topics; `nil` when none are.
  package var topicOutput: (any TopicOutput)?
  /// What to take for true where the brokers cannot say what was committed.
  package var commitAssumption: CommitAssumption?
  /// How the job shares its topics with other instances; `nil` for one that has them all.
  package var partitioning: Partitioning?
  /// A first stage, which writes `topics`; `nil` for none. Needs `partitioning`.
  package var repartitioning: Repartitioning?

  /// A record further ahead of the clock, in ms, is a reject; `nil` for no limit.
  package var maxAheadMillis: Int64? = 3_600_000
  /// What is done with late records.
  package var late: LateHandling = .keep
  /// What is done with records that lack a key field.
  package var missingKey: MissingKeyHandling = .reject
  /// Keys are inserted, and nothing is emitted.
  package var learns = false
  /// Reading goes on at the end of files.
  package var follows = false
  /// Whether existing state is gone on with.
  package var start: Start = .resume
  /// Whether another TTL than the state's becomes the state's.
  package var changesTimeToLive = false

  /// Threads that parse, and shards of the state.
  package var parallelism = ProcessStatistics.processorCount
  /// Threads that flush and merge, of each state.
  package var backgroundThreads = 2
  /// Of the store, in bytes.
  package var memoryBudget = StoreOptions.defaultMemoryBudget
  /// What the states of an instance share, with that budget; `nil` where there is one state.
  var resources: StoreResources?
  /// From one epoch to the next.
  package var epochIntervalMillis: Int64 = 30_000
  /// An epoch ends after as many batches, too, when the one before is durable, which is waited for;
  /// for tests that must not depend on time.
  package var batchesPerEpochMax = Int.max
  /// Local checkpoints that are kept; 0 makes none.
  package var retainedCheckpoints = 3
  /// A part of the output ends before it grows longer.
  package var rollBytes: UInt64 = 256 << 20
  /// Records of a batch at most, and bytes read at a time.
  package var batchRecordsMax = 4096
  package var chunkBytes = 1 << 20
  /// How long the job waits for room on a full disk before it gives up.
  package var fullDiskPatienceMillis: Int64 = 60_000
  /// From one attempt on a full disk to the next.
  package var fullDiskRetryMillis: Int64 = 1000
  /// Memory of records that wait while the brokers take the epoch before; more are written then.
  package var transactionWaitingBytesMax = TransactionWriter.waitingBytesMax
  /// How long brokers may take no epoch before the job gives up, and from one attempt to the next.
  package var abortedPatienceMillis: Int64 = 300_000
  package var abortedRetryMillis: Int64 = 1000

  /// What is done with existing state.
  package enum Start: Sendable, Equatable {
    /// It is gone on with; without any, a new one is made.
    case resume
    /// It is put aside, and a new one is made.
    case fresh
    /// It is put aside, and made from a checkpoint: its id, or its path.
    case checkpoint(String)
  }

  /// Whether records go to files as they are; rejects tell of theirs in JSON.
  var writesLines: Bool {
    topicOutput == nil
      || targets.contains { role, target in
        if case .topic = target { return false }
        return role != .rejects
      }
  }

  /// What goes on where a run of these options ended.
  package var howToResume: String {
    switch start {
    case .resume: "start the same command again"
    case .fresh: "start the same command again without --fresh"
    case .checkpoint: "start the same command again without --from"
    }
  }

  /// Options with their defaults.
  package init(description: JobDescription, sources: [InputSource], statePath: String) {
    self.description = description
    self.sources = sources
    self.statePath = statePath
  }
}

/// The world around a job, as parameters.
package struct JobEnvironment: Sendable {
  /// Holds state and outputs.
  package var fileSystem: any FileSystem
  /// Holds inputs.
  package var inputs: InputFileSystem
  /// The time of day, and elapsed time.
  package var clock: any Clock
  /// What `-` is among outputs.
  package var standardOutput: any OutputStream
  /// What `-` is among inputs.
  package var standardInput: @Sendable () -> any ByteStream
  /// Told what a person should know.
  package var report: @Sendable (JobMessage) -> Void
  /// Told how far the job is, every half second or so; `nil` when nobody looks.
  package var onProgress: (@Sendable (JobProgress) -> Void)?
  /// Where the job puts what it is at; `nil` when nobody looks.
  package var status: StatusBoard?
  /// How far the stage before this one is, for whoever is told of the job's progress.
  var stageBefore: (@Sendable () -> StageProgress)?

  /// An environment; the clock and streams of this machine unless others are given.
  package init(
    fileSystem: any FileSystem, inputs: InputFileSystem, clock: any Clock = SystemClock(),
    standardOutput: any OutputStream = StandardStream.output,
    standardInput: @escaping @Sendable () -> any ByteStream = JobEnvironment.systemInput,
    report: @escaping @Sendable (JobMessage) -> Void = { _ in },
    onProgress: (@Sendable (JobProgress) -> Void)? = nil, status: StatusBoard? = nil
  ) {
    self.fileSystem = fileSystem
    self.inputs = inputs
    self.clock = clock
    self.standardOutput = standardOutput
    self.standardInput = standardInput
    self.report = report
    self.onProgress = onProgress
    self.status = status
  }

  /// Standard input; what is there at once, so that a slow pipe is not held back.
  package static let systemInput: @Sendable () -> any ByteStream = {
    unsafe FunctionStream { (buffer) throws(FileError) in
      try unsafe StandardStream.input.read(into: buffer)
    }
  }
}

/// Something a person should know.
package struct JobMessage: Sendable, Equatable {
  /// Who wants to see it.
  package enum Level: Sendable, Comparable {
    /// With `-v`.
    case detail
    /// Unless `--quiet`.
    case information
    /// Always.
    case warning
  }

  /// Who wants to see it.
  package var level: Level
  /// A sentence without a full stop.
  package var text: String

  /// A message.
  package init(_ level: Level, _ text: String) {
    self.level = level
    self.text = text
  }
}
