// The entries of an ordered keyspace as an asynchronous sequence.
//
// How it works: an iterator has a reader, which has the cursor. When it has nothing left to hand
// out, the reader fills a batch on one of the store's threads; the first is small, for those who
// want the first entries only, and each next one twice as large.
//
// Invariants
// 1. The reader is used by one call at a time: an iterator awaits each.
// 2. The cursor is given back on one of the store's threads, because closing what it was the last
//    to read is a call of the system: at the end, after an error, or when the iterator goes.
//
// Concurrency: one task at a time iterates; the sequence is plain data.

public import SedimentStore

extension AsyncOrderedKeyspace {
  /// The entries whose keys lie from `lower` on, up to and without `upper`, in order or back.
  ///
  /// They are of one moment, whatever is written meanwhile: that of the snapshot, else of the first
  /// `next` of each iteration. What is read is kept on disk until the iteration ends, by its last
  /// entry, an error, or the end of the loop that iterates.
  ///
  /// A batch is read when it is asked for, and none ahead. A task that is cancelled still gets the
  /// entries that were handed over; then `cancelled` is thrown. After an error the sequence has
  /// ended.
  ///
  /// - Parameters:
  ///   - lower: the least key; `nil` for no bound.
  ///   - upper: behind the greatest key; `nil` for no bound.
  ///   - isReversed: whether the greatest key comes first.
  ///   - snapshot: the moment that is read.
  public func entries(
    from lower: [UInt8]? = nil, to upper: [UInt8]? = nil, isReversed: Bool = false,
    at snapshot: Snapshot? = nil
  ) -> AsyncEntrySequence {
    AsyncEntrySequence(keyspace: self, isReversed: isReversed) { base in
      base.cursor(from: lower, to: upper, at: snapshot)
    }
  }

  /// The entries whose keys begin with `prefix`, in order or back; as `entries(from:to:)`.
  public func entries(
    prefix: [UInt8], isReversed: Bool = false, at snapshot: Snapshot? = nil
  ) -> AsyncEntrySequence {
    AsyncEntrySequence(keyspace: self, isReversed: isReversed) { base in
      base.cursor(prefix: prefix, at: snapshot)
    }
  }
}

/// Entries of an ordered keyspace, handed over in batches; see `AsyncOrderedKeyspace.entries`.
public struct AsyncEntrySequence: AsyncSequence, Sendable {
  /// A key and its value.
  public typealias Element = (key: [UInt8], value: [UInt8])
  /// What ends it early.
  public typealias Failure = StoreError

  let keyspace: AsyncOrderedKeyspace
  let isReversed: Bool
  let makeCursor: @Sendable (OrderedKeyspace) -> EntryCursor

  public func makeAsyncIterator() -> Iterator {
    Iterator(
      EntryReader(keyspace.base, isReversed: isReversed, makeCursor),
      threads: keyspace.store.threads(.reading))
  }

  /// Hands out the entries of a batch, then asks for the next.
  public struct Iterator: AsyncIteratorProtocol {
    /// What was handed over, the next one last.
    private var entries: [Element] = []
    private var source: EntrySource?
    private var count = EntryBatch.countMin

    init(_ reader: EntryReader, threads: BlockingThreads) {
      source = EntrySource(reader, threads)
    }

    public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws(StoreError) -> Element? {
      if let entry = entries.popLast() { return entry }
      guard let source else { return nil }
      do throws(StoreError) {
        let batch = try await source.read(count, isolation: actor)
        entries = batch.entries
        if batch.isLast { self.source = nil }
      } catch {
        self.source = nil
        throw error
      }
      count = Swift.min(count * 2, EntryBatch.countMax)
      return entries.popLast()
    }

    public mutating func next() async throws(StoreError) -> Element? {
      try await next(isolation: nil)
    }
  }
}

@available(*, unavailable)
extension AsyncEntrySequence.Iterator: Sendable {}

/// Entries that are handed over together.
struct EntryBatch: Sendable {
  /// The first batch, for those who want the first entries only.
  static let countMin = 16
  /// So many entries make a hop of some ten microseconds a small part of reading them.
  static let countMax = 1024
  /// Keys and values after which a batch is full, so that large ones take no more memory.
  static let bytesMax = 256 << 10

  /// The first one last, so that handing them out moves none.
  var entries: [AsyncEntrySequence.Element] = []
  /// Whether there are none behind.
  var isLast = false
}

/// The reader of an iterator, and the end of its cursor.
private final class EntrySource: Sendable {
  private let reader: EntryReader
  private let threads: BlockingThreads

  init(_ reader: EntryReader, _ threads: BlockingThreads) {
    self.reader = reader
    self.threads = threads
  }

  deinit {
    // Not here: this may be a thread of Swift's pool.
    threads.post { [reader] in reader.close() }
  }

  func read(
    _ count: Int, isolation: isolated (any Actor)?
  ) async throws(StoreError) -> EntryBatch {
    try await threads.run { [reader] () throws(StoreError) in try reader.read(count) }
  }
}

/// A cursor that fills batches.
///
/// @unchecked because one call at a time uses it: an iterator awaits each, and posts the last.
final class EntryReader: @unchecked Sendable {
  private let keyspace: OrderedKeyspace
  private let isReversed: Bool
  private let makeCursor: @Sendable (OrderedKeyspace) -> EntryCursor
  private var cursor: EntryCursor?
  private var isEnded = false

  init(
    _ keyspace: OrderedKeyspace, isReversed: Bool,
    _ makeCursor: @escaping @Sendable (OrderedKeyspace) -> EntryCursor
  ) {
    self.keyspace = keyspace
    self.isReversed = isReversed
    self.makeCursor = makeCursor
  }

  /// Gives the cursor back.
  func close() {
    isEnded = true
    cursor = nil
  }

  /// Reads up to `count` entries.
  func read(_ count: Int) throws(StoreError) -> EntryBatch {
    var batch = EntryBatch()
    do throws(StoreError) {
      try fill(&batch, count)
    } catch {
      close()
      throw error
    }
    if batch.isLast { close() }
    batch.entries.reverse()
    return batch
  }

  private func fill(_ batch: inout EntryBatch, _ count: Int) throws(StoreError) {
    guard !isEnded else {
      batch.isLast = true
      return
    }
    var cursor: EntryCursor
    if let begun = self.cursor.take() {
      cursor = begun
    } else {
      cursor = makeCursor(keyspace)
      if isReversed { try cursor.seekToLast() } else { try cursor.seekToFirst() }
    }
    var bytes = 0
    batch.entries.reserveCapacity(count)
    while cursor.isValid, batch.entries.count < count, bytes < EntryBatch.bytesMax {
      let entry = (key: cursor.keyBytes, value: cursor.valueBytes)
      bytes += entry.key.count + entry.value.count
      batch.entries.append(entry)
      if isReversed { try cursor.movePrevious() } else { try cursor.moveNext() }
    }
    batch.isLast = !cursor.isValid
    self.cursor = consume cursor
  }
}
