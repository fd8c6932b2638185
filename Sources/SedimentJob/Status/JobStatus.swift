package import SedimentStore

/// What a running job tells about itself.
package struct JobStatus: Sendable, Equatable {
  /// What a job is at.
  package enum Phase: String, Sendable {
    /// It opens its state and puts its outputs right.
    case starting
    /// It reads, decides and writes.
    case running
    /// It waits for room on a full disk.
    case waiting = "waiting for room on the disk"
    /// The brokers did not take an epoch, and it goes back to the one before.
    case goingBack = "going back to the last epoch that the brokers took"
    /// It makes its last epoch durable.
    case ending
  }

  /// What it is at.
  package var phase = Phase.starting
  /// How far it is; `nil` before it has read anything.
  package var progress: JobProgress?
  /// What it needs, and has; `nil` as long.
  package var resources: Resources?
  /// Epochs that the brokers did not take.
  package var abortedEpochs: UInt64 = 0

  /// A job that starts.
  package init() {}

  /// What a job needs, and has.
  package struct Resources: Sendable, Equatable {
    /// Why records were rejected, and how many.
    package var rejectReasons: [String: UInt64] = [:]
    /// Of the state, since it was opened.
    package var store = StoreStatistics()
    /// The last durable epoch.
    package var epoch = ""
    /// How long the last epoch took to become durable, in nanoseconds; 0 before the first.
    package var epochNanos: UInt64 = 0
    /// How long the transaction at the brokers has been open, in nanoseconds; `nil` for none.
    package var transactionNanos: UInt64?
    /// Memory the state may take, in bytes.
    package var memoryBytesMax: UInt64 = 0
    /// Of it, what filters and indexes take, and may take.
    package var filterBytes: UInt64 = 0
    package var filterBytesMax: UInt64 = 0
    /// The process's resident memory in bytes.
    package var residentBytes: UInt64 = 0
    /// Free bytes where the state lies; `nil` when the system does not say.
    package var availableBytes: UInt64?

    /// Nothing yet.
    package init() {}
  }
}

/// How long what a job has will last, as things went lately.
package struct JobForecast: Sendable, Equatable {
  /// Seconds until the disk is full; `nil` where it does not fill.
  package var diskSeconds: Double?
  /// Seconds until filters have no more memory, from when on lookups read more of the disk; `nil`
  /// where they do not grow, or have none left already.
  package var filterSeconds: Double?

  /// Nothing that would end.
  package init() {}

  /// By the change between two looks.
  package init(
    from old: JobStatus.Resources, to new: JobStatus.Resources, seconds: Double
  ) {
    guard seconds > 0 else { return }
    if let before = old.availableBytes, let now = new.availableBytes, now < before {
      diskSeconds = Double(now) * seconds / Double(before - now)
    }
    if new.filterBytes > old.filterBytes, new.filterBytesMax > new.filterBytes {
      let room = Double(new.filterBytesMax - new.filterBytes)
      filterSeconds = room * seconds / Double(new.filterBytes - old.filterBytes)
    }
  }
}
