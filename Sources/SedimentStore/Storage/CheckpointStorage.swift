// A place that all machines reach, as checkpoints need it: keys that hold bytes.
//
// What is asked of it is what object storage and directories have in common. Keys are components
// joined by `/`, of letters, digits, `-` and `.` alone; none begins with a dot.
//
// Invariants
// 1. A key holds all bytes of one `put`, or none: nobody sees half of one.
// 2. What was put is there for whoever asks later, on any machine, and after a loss of power.
// 3. Of several who put a key that is absent by `putIfAbsent`, exactly one is told that it did.
// 4. A call that throws may have been carried out.

public import SedimentIO

/// A place for checkpoints that all machines reach: a directory, or object storage.
///
/// ```swift
/// let storage = try DirectoryStorage(at: "/mnt/shared/checkpoints")
/// let store = try StateStore.open(at: "state")
/// try store.checkpoint(to: storage)
/// ```
///
/// Calls may come from any thread, several at a time. An implementation tries again what may pass,
/// and throws when it has given up.
public protocol CheckpointStorage: Sendable {
  /// What it is called in messages, without secrets.
  var location: String { get }

  /// Puts the first `bytes` bytes of a file under a key, over what it held.
  func put(_ file: any File, bytes: UInt64, as key: String) throws(StoreError)

  /// Puts a few bytes under a key, over what it held.
  func put(_ content: [UInt8], as key: String) throws(StoreError)

  /// Puts a few bytes under a key that holds nothing.
  ///
  /// - Parameter content: no two callers ever give the same, so that an answer that was lost is
  ///   found by reading the key.
  /// - Returns: whether this call did; `false` when the key was taken.
  func putIfAbsent(_ content: [UInt8], as key: String) throws(StoreError) -> Bool

  /// Reads a part of what a key holds.
  ///
  /// - Parameter range: up to a few MiB; what lies behind the end is left out.
  /// - Returns: `nil` when it holds nothing.
  func read(_ key: String, _ range: Range<UInt64>) throws(StoreError) -> [UInt8]?

  /// All keys that begin with a prefix, which ends with `/`; in byte order.
  func list(_ prefix: String) throws(StoreError) -> [StoredObject]

  /// Lets another key hold what a key holds, over what it held.
  ///
  /// What a storage does that knows no better: the bytes go through this machine.
  ///
  /// - Parameter bytes: how much that is.
  func copy(_ key: String, bytes: UInt64, to target: String) throws(StoreError)

  /// Lets keys hold nothing. Those that do so already are passed over.
  func delete(_ keys: [String]) throws(StoreError)

  /// What was begun to be put under keys with a prefix before a moment, and never ended.
  ///
  /// - Parameters:
  ///   - millis: since 1970.
  ///   - removing: whether to remove it.
  func unfinished(
    _ prefix: String, before millis: Int64, removing: Bool
  ) throws(StoreError) -> [StoredObject]
}

extension CheckpointStorage {
  /// Copies through this machine.
  public func copy(_ key: String, bytes: UInt64, to target: String) throws(StoreError) {
    try copyThroughMemory(key, bytes: bytes, to: target)
  }

  /// Copies by reading and putting, a few MiB at a time.
  package func copyThroughMemory(
    _ key: String, bytes: UInt64, to target: String
  ) throws(StoreError) {
    try put(StoredObjectFile(key, in: self), bytes: bytes, as: target)
  }
}

/// A key and how much it holds.
public struct StoredObject: Sendable, Hashable {
  /// The key.
  public var key: String
  /// Bytes under it.
  public var bytes: UInt64

  /// An object of these parts.
  public init(key: String, bytes: UInt64) {
    self.key = key
    self.bytes = bytes
  }
}
