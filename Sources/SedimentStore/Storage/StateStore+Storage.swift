// Checkpoints of an open store in checkpoint storage.

internal import SedimentIO

extension StateStore {
  /// Makes a checkpoint in a storage that all machines reach.
  ///
  /// Only objects that are not there yet are uploaded, several at a time. What an earlier call
  /// uploaded that was cut short is used again.
  ///
  /// - Parameters:
  ///   - storage: several stores may share it; each has its keys below its identity.
  ///   - committing: as for `checkpoint(to:)` with a path.
  ///   - supersedes: whether this store's checkpoint counts although another one has published:
  ///     after it the other one is refused.
  ///   - transfers: how many objects are uploaded at once, from 1 to 64.
  /// - Throws: `superseded` when another store of the same identity, in another directory, has
  ///   published since this one was restored: this one must stop; what the storage throws; and as
  ///   `checkpoint(to:)` does.
  @discardableResult
  public func checkpoint(
    to storage: any CheckpointStorage, committing: Bool = true, supersedes: Bool = false,
    transfers: Int = 4
  ) throws(StoreError) -> CheckpointInfo {
    try publishCheckpoint(
      to: storage, committing: committing, supersedes: supersedes, transfers: transfers
    ).info
  }

  /// The same, and the number of the checkpoint in the log of the store's checkpoints, which no
  /// other ever has.
  package func publishCheckpoint(
    to storage: any CheckpointStorage, committing: Bool, supersedes: Bool, transfers: Int = 4
  ) throws(StoreError) -> (info: CheckpointInfo, sequence: UInt64) {
    try wrapping {
      try Self.check(transfers: transfers)
      let start = core.options.clock.monotonicNanos()
      let writer = try StorageWriter.read(in: core.directory, opening: opening)
      let made = try capture(committing: committing) { state in
        try CheckpointUpload(
          area: CheckpointArea(storage, of: identity), source: core.directory, state: state,
          writer: writer, supersedes: supersedes, clock: core.options.clock, transfers: transfers,
          smallBytesMax: core.options.smallUploadBytesMax
        ).run()
      }
      core.options.onEvent?(
        .checkpointed(
          id: made.info.id, newFiles: made.info.newFiles, newBytes: made.info.newBytes,
          nanoseconds: core.options.clock.monotonicNanos() &- start))
      return made
    }
  }

  static func check(transfers: Int) throws(StoreError) {
    guard (1...64).contains(transfers) else {
      throw StoreError(.invalidArgument, "\(transfers) transfers at once: 1 to 64 are possible")
    }
  }
}
