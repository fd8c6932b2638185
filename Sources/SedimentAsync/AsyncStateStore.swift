// The asynchronous face of a store: every call that may wait for the disk, a flush or another
// thread is made by threads that the face owns.
//
// The engine stays as it is, synchronous and thread-safe; this adds no rule of its own about what
// is durable or in which order.
//
// Concurrency: any task may call anything. Calls of different tasks are made side by side.

public import SedimentIO
public import SedimentStore

/// A store for tasks: its calls suspend, and never hold a thread of Swift's pool.
///
/// ```swift
/// let store = try await AsyncStateStore.open(at: "accounts.state")
/// let accounts = try await store.orderedKeyspace("accounts")
/// try await accounts.put(Array("alice".utf8), Array("100".utf8))
/// let balance = try await accounts.get(Array("alice".utf8))
/// try await store.close()
/// ```
///
/// **Cancellation.** A call of a task that was cancelled before the call was begun throws
/// `StoreError` with code `cancelled`, and nothing was done. A call that was begun is made to its
/// end and answers as ever, so that an answer always tells what happened. `close` is not stopped.
///
/// Close it: a store that is dropped waits for its background threads wherever that happens.
///
/// **Order.** Calls that a task awaits one after the other happen in that order. Calls of different
/// tasks, and those of `async let`, have none.
///
/// **Cost.** A call costs two switches of threads more than a blocking one. Where there are many,
/// make them together: `AsyncOrderedKeyspace.values(of:)`, `WriteBatch`, `entries`, `run`.
public final class AsyncStateStore: Sendable {
  /// The blocking face of the same store, for threads that may wait, and for what does not wait:
  /// `statistics`, `snapshot()`, `lastEpoch`.
  public let base: StateStore
  private let readers: BlockingThreads
  private let writers: BlockingThreads
  private let maintainers: BlockingThreads

  /// A face of an open store.
  public convenience init(_ store: StateStore, threads: StoreThreads = StoreThreads()) {
    self.init(store, threads, maintainers: Self.makeMaintainers())
  }

  private init(_ store: StateStore, _ threads: StoreThreads, maintainers: BlockingThreads) {
    base = store
    readers = BlockingThreads(name: "sediment-read", count: threads.reading)
    writers = BlockingThreads(name: "sediment-write", count: threads.writing)
    self.maintainers = maintainers
  }

  private static func makeMaintainers() -> BlockingThreads {
    BlockingThreads(name: "sediment-maint", count: StoreThreads.maintaining)
  }

  /// Opens the store in a directory, and makes it when there is none; see `StateStore.open`.
  ///
  /// - Throws: as `StateStore.open`, and `cancelled`.
  public nonisolated(nonsending) static func open(
    at path: String, options: StoreOptions = StoreOptions(), seed: HashSeed? = nil,
    epoch: UInt64? = nil, threads: StoreThreads = StoreThreads(),
    fileSystem: any FileSystem = PosixFileSystem()
  ) async throws(StoreError) -> AsyncStateStore {
    let maintainers = makeMaintainers()
    let store = try await maintainers.run { () throws(StoreError) in
      try StateStore.open(
        at: path, options: options, seed: seed, epoch: epoch, fileSystem: fileSystem)
    }
    return AsyncStateStore(store, threads, maintainers: maintainers)
  }

  /// Restores a checkpoint into a directory; see `StateStore.restore`.
  ///
  /// - Throws: as `StateStore.restore`, and `cancelled`.
  @discardableResult
  public nonisolated(nonsending) static func restore(
    checkpoint: CheckpointReference, to path: String, identity: RestoredIdentity = .keep,
    fileSystem: any FileSystem = PosixFileSystem()
  ) async throws(StoreError) -> CheckpointInfo {
    try await makeMaintainers().run { () throws(StoreError) in
      try StateStore.restore(
        checkpoint: checkpoint, to: path, identity: identity, fileSystem: fileSystem)
    }
  }

  /// The threads that make calls of a kind.
  func threads(_ work: StoreWork) -> BlockingThreads {
    switch work {
    case .reading: readers
    case .writing: writers
    case .maintaining: maintainers
    }
  }

  // MARK: - Anything

  /// Runs any calls of the blocking face on one of the store's threads: many at the price of one.
  ///
  /// ```swift
  /// let new = try await store.run { store in
  ///   try seen.insertIfAbsent(keys, times: times)
  /// }
  /// ```
  ///
  /// - Parameters:
  ///   - work: which threads. Whatever may wait for a flush is no `reading`.
  ///   - body: it should not wait for a task, nor for another call of this store: threads are few.
  /// - Throws: what `body` throws; `StoreError` with code `cancelled`.
  public nonisolated(nonsending) func run<Answer: Sendable>(
    _ work: StoreWork = .writing, _ body: @escaping @Sendable (StateStore) throws -> Answer
  ) async throws -> Answer {
    try await threads(work).run { [base] () throws(StoreError) in
      Result { try body(base) }
    }.get()
  }

  /// Makes one call of the blocking face.
  nonisolated(nonsending) func call<Answer: Sendable>(
    _ work: StoreWork, _ body: @escaping @Sendable (StateStore) throws(StoreError) -> Answer
  ) async throws(StoreError) -> Answer {
    try await threads(work).run { [base] () throws(StoreError) in try body(base) }
  }
}
