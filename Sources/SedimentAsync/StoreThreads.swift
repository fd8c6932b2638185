/// How many threads of its own wait for the disk on behalf of a store's tasks.
///
/// Reads, writes and maintenance have threads apart, so that lookups do not wait behind writes that
/// wait for a flush, nor either behind a merge of everything. Threads are started as they are
/// needed, and end with the `AsyncStateStore`.
public struct StoreThreads: Hashable, Sendable {
  /// Reads that wait side by side, 1 to 256: as many as the disk is to be asked for at once.
  public var reading: Int
  /// Writes that wait side by side, 1 to 256: of those as many as there are share a synchronisation
  /// of the log.
  public var writing: Int

  /// Epochs, checkpoints, flushes and whatever else is called rarely and takes long.
  static let maintaining = 4

  /// Threads for as many calls.
  public init(reading: Int = 4, writing: Int = 4) {
    precondition((1...256).contains(reading), "\(reading) threads that read: 1 to 256 are possible")
    precondition(
      (1...256).contains(writing), "\(writing) threads that write: 1 to 256 are possible")
    self.reading = reading
    self.writing = writing
  }
}

/// What a call does: which of a store's threads make it.
public enum StoreWork: Hashable, Sendable {
  /// It looks up.
  case reading
  /// It writes, or decides and writes.
  case writing
  /// It is called rarely and takes long.
  case maintaining
}
