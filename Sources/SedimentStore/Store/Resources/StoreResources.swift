// What the stores of one process share: memory, a page cache, leave for background work.
//
//   memtables          each store's next one is as large as the others allow (`MemtableBudget`)
//   filters, indexes   each store has of them as it wants (`FilterPool`)
//   page cache         one, for the pages of all; it has what filters leave, too
//   background work    so many flushes and merges at once (`TaskPermits`)
//
// A store that is opened without resources has all of that for itself, and comes across nothing of
// what is here but a budget of filters with one member.
//
// Invariants
// 1. What stores take comes back when they are closed and the last reader of theirs is gone.
// 2. Nobody is called (to give something back, to divide anew) under a lock of what is shared.

internal import SedimentIO

/// Memory, a page cache and background work that several stores of a process share.
///
/// ```swift
/// let resources = try StoreResources(memoryBudget: 1 << 30)
/// let stores = try (0..<64).map { number in
///   try StateStore.open(at: "states/\(number)", options: StoreOptions(resources: resources))
/// }
/// ```
///
/// The budget holds for all of them together. Memory goes to the stores that use it: one that is
/// written while the others rest has most of it for its memtables, and filters have as much as
/// there are keys. Stores may be opened and closed at any time.
///
/// Thread-safe.
public final class StoreResources: Sendable {
  /// Bytes of memory for memtables, filters, indexes, cache and buffers of all stores together.
  public let memoryBudget: Int
  /// How many flushes and merges run at once over all stores.
  public let backgroundTasks: Int
  let plan: MemoryPlan
  let cache: PageCache
  let filters: FilterPool
  let memtables: MemtableBudget
  let permits: TaskPermits

  /// What stores hold of the shared memory at the moment, in bytes.
  public struct Usage: Sendable, Equatable {
    /// Of memtables, those kept for reuse among them.
    public var memtableBytes: Int
    /// Of filters and indexes of open tables.
    public var filterBytes: Int
    /// The most that pages may take in the cache.
    public var cacheBytes: Int
  }

  /// Makes resources that no store uses yet.
  ///
  /// - Parameters:
  ///   - memoryBudget: as `StoreOptions.memoryBudget`, for all stores together.
  ///   - backgroundTasks: how many flushes and merges run at once, 1 to 16.
  /// - Throws: `invalidArgument`; `inputOutput` when the system has no memory for the page cache.
  public init(
    memoryBudget: Int = StoreOptions.defaultMemoryBudget, backgroundTasks: Int = 2
  ) throws(StoreError) {
    let options = StoreOptions(memoryBudget: memoryBudget, backgroundThreads: backgroundTasks)
    if let complaint = options.complaint { throw StoreError(.invalidArgument, complaint) }
    self.memoryBudget = memoryBudget
    self.backgroundTasks = backgroundTasks
    let plan = MemoryPlan(budget: memoryBudget)
    self.plan = plan
    let filters = FilterPool(limit: plan.filterBytes)
    self.filters = filters
    cache = try wrapping { try PageCache(plan, beside: filters) }
    memtables = MemtableBudget(limit: plan.memtableBytes)
    permits = TaskPermits(count: backgroundTasks)
  }

  /// What is in use at the moment.
  public var usage: Usage {
    let filterBytes = filters.used
    return Usage(
      memtableBytes: memtables.used, filterBytes: filterBytes,
      cacheBytes: plan.cacheBytes + max(plan.filterBytes - filterBytes, 0))
  }
}

extension PageCache {
  /// A cache that has its own part of a plan, and what filters leave of theirs.
  convenience init(_ plan: MemoryPlan, beside filters: FilterPool) throws(AllocationError) {
    try self.init(byteBudget: plan.cacheBytes + plan.filterBytes)
    filters.observe { [weak self] in self?.resize(byteBudget: plan.cacheBytes + $0) }
  }
}

/// The parts of the resources that one store was given: shared ones, or its own.
struct ResourceShare {
  /// `nil` for its own.
  let shared: StoreResources?
  let plan: MemoryPlan
  let cache: PageCache
  let filters: ByteBudget
  /// `nil` for its own, which are divided once and for all.
  let memtables: MemtableShare?

  /// What a store with these options has.
  init(_ options: StoreOptions) throws(AllocationError) {
    shared = options.resources
    guard let shared else {
      plan = MemoryPlan(budget: options.memoryBudget)
      let pool = FilterPool(limit: plan.filterBytes)
      cache = try PageCache(plan, beside: pool)
      filters = ByteBudget(of: pool)
      memtables = nil
      return
    }
    plan = shared.plan
    cache = shared.cache
    filters = ByteBudget(of: shared.filters)
    memtables = shared.memtables.join()
  }
}
