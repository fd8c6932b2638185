// The operator over asynchronous sequences.
//
// Base elements are pulled one at a time, as is every sequence's way; the decision is made on the
// deduplicator's own thread, because it may read the disk or wait for a flush, and a task that
// waits for it holds no thread of Swift's pool. That is a switch of threads for each pull: where
// it counts, gather elements into chunks first and use the operator on chunks, which pays once a
// chunk.
//
// What it guarantees towards a consumer that fails is said at `deduplicated(on:at:in:)`.

internal import SedimentAsync
public import SedimentStore

extension AsyncSequence {
  /// The elements that are the first of their key, by event time.
  ///
  /// ```swift
  /// for try await event in events.deduplicated(
  ///   on: { CompositeKey(.int($0.adserverID), .int($0.timestamp)) }, at: { $0.timestamp },
  ///   in: dedup)
  /// {
  ///   try await send(event)
  /// }
  /// ```
  ///
  /// **What it guarantees.** While the store is open a key passes once within its time to live
  /// (`DedupDecision.lateUnprotected` is the exception): at most once towards a consumer that
  /// fails. An element is remembered before the consumer has it, so a consumer that throws or is
  /// cancelled in the midst of one does not receive it again from this state.
  /// What was remembered is durable with the store's next `commitEpoch` only: after a crash the
  /// elements since the last one are new again, and pass again when the source repeats them.
  ///
  /// For the effect of exactly once, commit an epoch with the source's position as its metadata
  /// after the consumer has made its own output durable, go back to that position on restart, and
  /// let the consumer's output since then be replaced; the dedup job does this for files.
  ///
  /// Elements that the late policy or the limit for times ahead turns away do not pass either;
  /// `Deduplicator.counters` tells how many. Order is kept. After an error the sequence has ended.
  ///
  /// - Parameters:
  ///   - key: what makes two elements the same.
  ///   - time: milliseconds since 1970.
  public func deduplicated(
    on key: @escaping @Sendable (Element) -> CompositeKey,
    at time: @escaping @Sendable (Element) -> Int64, in deduplicator: Deduplicator
  ) -> AsyncDeduplicatedSequence<Self> {
    AsyncDeduplicatedSequence(
      base: self, question: DedupQuestion(deduplicator: deduplicator, key: key, time: time))
  }

  /// The elements that are the first of their key, by processing time.
  ///
  /// See `deduplicated(on:at:in:)` for what it guarantees.
  public func deduplicated(
    on key: @escaping @Sendable (Element) -> CompositeKey, in deduplicator: Deduplicator
  ) -> AsyncDeduplicatedSequence<Self> {
    AsyncDeduplicatedSequence(
      base: self, question: DedupQuestion(deduplicator: deduplicator, key: key, time: nil))
  }

  /// The elements whose key has not passed `within` a time, by processing time, remembered in a
  /// keyspace of a store.
  ///
  /// See `deduplicated(on:at:in:)` for what it guarantees.
  ///
  /// - Throws: what `Deduplicator.init` throws.
  public func deduplicated(
    on key: @escaping @Sendable (Element) -> CompositeKey, within duration: Duration,
    in store: StateStore, name: String = Deduplicator.defaultName
  ) throws(StoreError) -> AsyncDeduplicatedSequence<Self> {
    let deduplicator = try Deduplicator(
      store: store, name: name,
      options: .init(timeToLive: try TimeToLive(duration), time: .processing))
    return deduplicated(on: key, in: deduplicator)
  }
}

extension AsyncSequence where Element: Collection {
  /// The elements of chunks that are the first of their key, chunk by chunk, by event time; a chunk
  /// of which nothing is left is passed over.
  ///
  /// See `deduplicated(on:at:in:)` for what it guarantees.
  public func deduplicatedChunks(
    on key: @escaping @Sendable (Element.Element) -> CompositeKey,
    at time: @escaping @Sendable (Element.Element) -> Int64, in deduplicator: Deduplicator
  ) -> AsyncDeduplicatedChunksSequence<Self> {
    AsyncDeduplicatedChunksSequence(
      base: self, question: DedupQuestion(deduplicator: deduplicator, key: key, time: time))
  }

  /// The elements of chunks that are the first of their key, chunk by chunk, by processing time.
  ///
  /// See `deduplicated(on:at:in:)` for what it guarantees.
  public func deduplicatedChunks(
    on key: @escaping @Sendable (Element.Element) -> CompositeKey, in deduplicator: Deduplicator
  ) -> AsyncDeduplicatedChunksSequence<Self> {
    AsyncDeduplicatedChunksSequence(
      base: self, question: DedupQuestion(deduplicator: deduplicator, key: key, time: nil))
  }
}

/// What an operator asks of its elements.
struct DedupQuestion<Element>: Sendable {
  let deduplicator: Deduplicator
  let key: @Sendable (Element) -> CompositeKey
  /// `nil` with processing time.
  let time: (@Sendable (Element) -> Int64)?
}

/// The elements of a sequence that are the first of their key.
public struct AsyncDeduplicatedSequence<Base: AsyncSequence>: AsyncSequence {
  /// What it yields.
  public typealias Element = Base.Element
  /// An error of the base, or a `StoreError`.
  public typealias Failure = any Error

  let base: Base
  let question: DedupQuestion<Base.Element>

  public func makeAsyncIterator() -> Iterator {
    Iterator(base: base.makeAsyncIterator(), question: question)
  }

  /// Pulls elements until one passes.
  public struct Iterator: AsyncIteratorProtocol {
    private var base: Base.AsyncIterator
    private let question: DedupQuestion<Base.Element>
    private var isEnded = false

    init(base: Base.AsyncIterator, question: DedupQuestion<Base.Element>) {
      self.base = base
      self.question = question
    }

    public mutating func next() async throws -> Base.Element? {
      try await next(isolation: nil)
    }

    public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws -> Base.Element? {
      while !isEnded {
        do {
          guard let element = try await base.next(isolation: actor) else { break }
          let decisions = try await question.deduplicator.decisions(
            on: [question.key(element)], times: question.time.map { [$0(element)] })
          if decisions[0].isNew { return element }
        } catch {
          isEnded = true
          throw error
        }
      }
      isEnded = true
      return nil
    }
  }
}

/// The elements of a sequence of chunks that are the first of their key, chunk by chunk.
public struct AsyncDeduplicatedChunksSequence<Base: AsyncSequence>: AsyncSequence
where Base.Element: Collection {
  /// What it yields.
  public typealias Element = [Base.Element.Element]
  /// An error of the base, or a `StoreError`.
  public typealias Failure = any Error

  let base: Base
  let question: DedupQuestion<Base.Element.Element>

  public func makeAsyncIterator() -> Iterator {
    Iterator(base: base.makeAsyncIterator(), question: question)
  }

  /// Pulls chunks until something of one passes.
  public struct Iterator: AsyncIteratorProtocol {
    private var base: Base.AsyncIterator
    private let question: DedupQuestion<Base.Element.Element>
    private var isEnded = false

    init(base: Base.AsyncIterator, question: DedupQuestion<Base.Element.Element>) {
      self.base = base
      self.question = question
    }

    public mutating func next() async throws -> [Base.Element.Element]? {
      try await next(isolation: nil)
    }

    public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws -> [Base.Element.Element]? {
      while !isEnded {
        do {
          guard let chunk = try await base.next(isolation: actor) else { break }
          let decisions = try await question.deduplicator.decisions(
            on: chunk.map(question.key), times: question.time.map { chunk.map($0) })
          let first = zip(chunk, decisions).filter { $0.1.isNew }.map(\.0)
          if !first.isEmpty { return first }
        } catch {
          isEnded = true
          throw error
        }
      }
      isEnded = true
      return nil
    }
  }
}

// An iterator that is not started is plain data.
extension AsyncDeduplicatedSequence: Sendable where Base: Sendable {}
extension AsyncDeduplicatedChunksSequence: Sendable where Base: Sendable {}

@available(*, unavailable)
extension AsyncDeduplicatedSequence.Iterator: Sendable {}

@available(*, unavailable)
extension AsyncDeduplicatedChunksSequence.Iterator: Sendable {}

extension Deduplicator {
  /// Decides the records of a batch on the deduplicator's own thread, so that no thread of Swift's
  /// pool waits for the disk. The batches of a task are decided in the order it awaits them.
  ///
  /// Not stopped by cancellation: what was asked is decided.
  ///
  /// - Parameter times: milliseconds since 1970, one a key; `nil` with processing time.
  public func decisions(
    on keys: [CompositeKey], times: [Int64]? = nil
  ) async throws(StoreError) -> [DedupDecision] {
    try await thread.run(isCancellable: false) { [self] () throws(StoreError) in
      let batch = KeyBatch(
        reservingKeys: keys.count, bytes: keys.reduce(0) { $0 + $1.bytes.count })
      try wrapping { for key in keys { try batch.append(key.bytes) } }
      guard let times else { return try process(batch).decisions }
      return try process(batch, times: times).decisions
    }
  }
}
