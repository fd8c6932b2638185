/// Says in merges which entries of an ordered keyspace are of no use any more.
///
/// ```swift
/// sessions.compactionFilter = CompactionFilter { key, value in
///   value.byteCount == 0 ? .remove : .keep
/// }
/// ```
///
/// It is asked about a value when a merge writes it anew: once, several times or never, and the
/// later the colder it is; so it reclaims space, and is no way to hide anything. What a snapshot
/// sees, what expires and what is removed already it is not asked about. It runs on the store's
/// threads, several at a time, and must not call the store.
public struct CompactionFilter: Sendable {
  /// What becomes of an entry.
  public enum Decision: Hashable, Sendable {
    case keep
    /// As if the key had been removed when the entry was written.
    case remove
  }

  /// What decides.
  let decide: @Sendable (_ key: RawSpan, _ value: RawSpan) -> Decision

  /// A filter of a function.
  public init(_ decide: @escaping @Sendable (_ key: RawSpan, _ value: RawSpan) -> Decision) {
    self.decide = decide
  }
}
