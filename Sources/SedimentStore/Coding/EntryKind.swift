/// What an entry says of its key. On disk: never renumber.
@frozen
public enum EntryKind: UInt8, Sendable {
  /// An accepted first-seen entry. Several may live for one key, their times at least a TTL apart.
  case insert = 0
  /// Authoritative: hides everything older of its key.
  case put = 1
  /// Hides everything older of its key and holds nothing itself.
  case remove = 2

  /// Whether entries of the same key that are older than this one are no longer seen.
  package var hidesOlder: Bool { self != .insert }
}
