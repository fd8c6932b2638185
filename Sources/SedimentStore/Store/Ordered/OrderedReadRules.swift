internal import SedimentIO
internal import Synchronization

/// What reads of an ordered keyspace go by: how versions of a key become its value.
struct OrderedReadRules: Sendable {
  /// The keyspace's name, for messages.
  let name: String
  /// Says what has expired.
  let clock: any Clock
  /// The operator that operands are merged by.
  let merging: MergeOperatorHolder

  /// What of an entry's value is the user's; `nil` when it has expired.
  @inline(__always)
  func live(_ value: UnsafeRawBufferPointer, _ tag: EntryTag) -> UnsafeRawBufferPointer? {
    unsafe EntryExpiry.live(value, tag, clock)
  }

  /// The value that the operands of a key give on top of what is below them.
  func merge(
    _ operands: MergeOperands, onto base: UnsafeRawBufferPointer?, of key: UnsafeRawBufferPointer
  ) throws(StoreError) -> [UInt8] {
    guard let mergeOperator = merging.current else {
      // Nothing but the keyspace's own options lets operands in.
      throw StoreError(.corrupted, "keyspace \(name) has operands and no merge operator")
    }
    do throws(MergeFailure) {
      return try unsafe operands.fold(onto: base, by: mergeOperator)
    } catch {
      let shown = unsafe String(decoding: key.prefix(Self.shownBytesMax), as: UTF8.self)
      throw StoreError(
        .mergeFailed, "keyspace \(name), key \(shown.debugDescription): \(error)", cause: error)
    }
  }

  /// Bytes of a key in a message.
  private static let shownBytesMax = 80

  /// Calls `body` with the value that the versions of a key make.
  ///
  /// - Returns: what `body` does; `nil` when the key has no value.
  @inline(__always)
  func withValue<Answer>(
    of key: UnsafeRawBufferPointer, in source: some VersionSource, _ body: (RawSpan) -> Answer
  ) throws -> Answer? {
    var answer: Answer?
    var operands = MergeOperands(.newestFirst)
    let removal = unsafe source.newestRemoval(of: key)
    try unsafe source.forEachVersion(of: key) { tag, value in
      if tag.sequence < removal { return false }
      let value = unsafe live(value, tag)
      if tag.kind == .merge {
        if let value = unsafe value { unsafe operands.add(value, tag) }
        return true
      }
      let base = unsafe tag.kind == .put ? value : nil
      if !operands.isEmpty {
        let merged = try unsafe merge(operands, onto: base, of: key)
        operands.removeAll()
        answer = body(unsafe merged.span.bytes)
      } else if let base = unsafe base {
        answer = body(unsafe RawSpan(_unsafeBytes: base))
      }
      return false
    }
    if !operands.isEmpty {
      let merged = try unsafe merge(operands, onto: nil, of: key)
      answer = body(unsafe merged.span.bytes)
    }
    return answer
  }
}

/// Where a read finds the versions of keys.
protocol VersionSource {
  /// The number of the newest removal of a range that holds a key and that the read sees; 0 for
  /// none.
  func newestRemoval(of key: UnsafeRawBufferPointer) -> UInt64

  /// Calls `body` with each version of a key that the read sees, newest first, until it answers
  /// `false`.
  func forEachVersion(
    of key: UnsafeRawBufferPointer, _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws
}

/// The merge operator of a keyspace: its name from the first, and the function once a program gives
/// it.
final class MergeOperatorHolder: Sendable {
  private let state: Mutex<MergeOperator?>

  /// What the keyspace's options say, or nothing.
  init(_ stored: MergeOperator?) { state = Mutex(stored) }

  /// The operator with the function, if that is known.
  var current: MergeOperator? { state.withLock { $0 } }

  /// Takes the function over of the operator whose name the options have.
  func adopt(_ mergeOperator: MergeOperator?) {
    guard let mergeOperator, mergeOperator.isKnown else { return }
    state.withLock { $0 = mergeOperator }
  }
}

/// A read of an ordered keyspace: a view, and the number of the last write that it sees.
struct OrderedRead: VersionSource {
  let keyspace: OrderedKeyspace
  let lent: LentView
  let sequence: UInt64
  let context: ReadContext

  /// Calls `body` with the value of a key; see `OrderedKeyspace.withValue`.
  func withValue<Answer>(
    of key: UnsafeRawBufferPointer, _ body: (RawSpan) -> Answer
  ) throws(StoreError) -> Answer? {
    try wrapping { try unsafe keyspace.rules.withValue(of: key, in: self, body) }
  }

  @inline(__always)
  func newestRemoval(of key: UnsafeRawBufferPointer) -> UInt64 {
    unsafe lent.view.newestRemoval(of: key, at: sequence)
  }

  @inline(__always)
  func forEachVersion(
    of key: UnsafeRawBufferPointer, _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws {
    try unsafe lent.view.forEachVersion(
      of: key, at: sequence, hasher: keyspace.hasher, cache: keyspace.store.cache,
      scratch: context.scratch, body)
  }
}
