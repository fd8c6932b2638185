// A batch of keys, as the operations of a hashed keyspace take them.
//
// All keys lie one behind the other in one buffer; `ends[i]` is the offset behind key i. Both
// buffers grow by doubling and are kept by `removeAll`, so a batch that is used again takes no
// memory.
//
// Invariants
// 1. `ends` never decreases, and `ends[count - 1] == byteCount` (0 when empty).
// 2. Every key is at most `keyBytesMax` long; `count <= countMax`; `byteCount < 2 GiB`.
// 3. `byteCount <= byteCapacity`, `count <= endCapacity`; both buffers exist from the start.
//
// Concurrency: one thread fills a batch. While others read it through `view`, nobody changes it.

/// Keys of 0 to 65,536 bytes each, kept one behind the other.
///
/// ```swift
/// let keys = KeyBatch()
/// try keys.append("a key")
/// try keys.append([0x01, 0x02])
/// ```
///
/// A batch is filled by one thread at a time and is therefore not `Sendable`.
@safe
public final class KeyBatch {
  /// Longest key.
  public static let keyBytesMax = 65_536
  /// Most keys in a batch.
  public static let countMax = 1_048_576
  /// Most bytes in a batch: offsets stay in 31 bits.
  public static let byteCountMax = Int(Int32.max)

  /// Why a key was not taken; the batch is as it was before.
  public enum LimitError: Error, Hashable, Sendable {
    /// The key is longer than `keyBytesMax`.
    case keyTooLong(bytes: Int)
    /// The batch holds `countMax` keys. Use this one and begin another.
    case tooManyKeys
    /// The batch would grow beyond `byteCountMax`. Use this one and begin another.
    case tooManyBytes
  }

  /// What changes. It lives behind a pointer, because a stored property of a class is checked for
  /// exclusive access at every use: a tenth of the time of filling a batch.
  @safe
  private struct Storage {
    var count = 0
    var byteCount = 0
    var byteCapacity: Int
    var endCapacity: Int
    var bytes: UnsafeMutablePointer<UInt8>
    var ends: UnsafeMutablePointer<UInt32>

    init(keys: Int, bytes byteCount: Int) {
      endCapacity = keys
      byteCapacity = byteCount
      unsafe bytes = .allocate(capacity: byteCount)
      unsafe ends = .allocate(capacity: keys)
    }
  }

  private let storage: UnsafeMutablePointer<Storage>

  /// Keys in the batch.
  public private(set) var count: Int {
    get { unsafe storage.pointee.count }
    set { unsafe storage.pointee.count = newValue }
  }
  /// Bytes of all keys together.
  public private(set) var byteCount: Int {
    get { unsafe storage.pointee.byteCount }
    set { unsafe storage.pointee.byteCount = newValue }
  }
  private var byteCapacity: Int {
    get { unsafe storage.pointee.byteCapacity }
    set { unsafe storage.pointee.byteCapacity = newValue }
  }
  private var endCapacity: Int {
    get { unsafe storage.pointee.endCapacity }
    set { unsafe storage.pointee.endCapacity = newValue }
  }
  private var bytes: UnsafeMutablePointer<UInt8> {
    get { unsafe storage.pointee.bytes }
    set { unsafe storage.pointee.bytes = newValue }
  }
  private var ends: UnsafeMutablePointer<UInt32> {
    get { unsafe storage.pointee.ends }
    set { unsafe storage.pointee.ends = newValue }
  }

  /// An empty batch with room for `count` keys of `bytes` bytes in all; it grows as needed.
  public init(reservingKeys count: Int = 64, bytes byteCount: Int = 1024) {
    unsafe storage = .allocate(capacity: 1)
    unsafe storage.initialize(
      to: Storage(
        keys: min(max(count, 1), KeyBatch.countMax),
        bytes: min(max(byteCount, 1), KeyBatch.byteCountMax)))
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe ends.deallocate()
    unsafe storage.deinitialize(count: 1)
    unsafe storage.deallocate()
  }

  /// Whether the batch holds no keys.
  public var isEmpty: Bool { count == 0 }

  /// Makes room for `keys` more keys of `bytes` bytes in all, as far as the limits allow.
  public func reserve(keys: Int, bytes: Int) {
    growEnds(to: min(count + max(keys, 0), KeyBatch.countMax))
    growBytes(to: min(byteCount + max(bytes, 0), KeyBatch.byteCountMax))
  }

  /// Empties the batch. Its memory is kept for the next keys unless told otherwise.
  public func removeAll(keepingCapacity: Bool = true) {
    count = 0
    byteCount = 0
    guard !keepingCapacity else { return }
    unsafe bytes.deallocate()
    unsafe ends.deallocate()
    (byteCapacity, endCapacity) = (1024, 64)
    unsafe bytes = .allocate(capacity: byteCapacity)
    unsafe ends = .allocate(capacity: endCapacity)
  }

  /// Appends a copy of `key`.
  public func append(_ key: UnsafeRawBufferPointer) throws(LimitError) {
    guard key.count <= KeyBatch.keyBytesMax else { throw .keyTooLong(bytes: key.count) }
    let tail = try unsafe reserveTail(maxBytes: key.count)
    // SAFETY: `tail` has room for `key.count` bytes and is memory of this batch alone.
    if let base = key.baseAddress {
      unsafe UnsafeMutableRawPointer(tail).copyMemory(from: base, byteCount: key.count)
    }
    try commitTail(length: key.count)
  }

  /// Appends a copy of `key`.
  public func append(_ key: RawSpan) throws(LimitError) {
    try unsafe key.withUnsafeBytes { (bytes) throws(LimitError) in try unsafe append(bytes) }
  }

  /// Appends a copy of `key`.
  public func append(_ key: Span<UInt8>) throws(LimitError) {
    // SAFETY: a span of bytes has no padding.
    try unsafe append(key.bytes)
  }

  /// Appends a copy of `key`.
  public func append(_ key: [UInt8]) throws(LimitError) {
    try append(key.span)
  }

  /// Appends keys of one length that lie one behind the other, much faster than one by one.
  ///
  /// - Parameters:
  ///   - keys: their bytes, a multiple of `width`.
  ///   - width: bytes of each key, 1 to `keyBytesMax`.
  public func append(contentsOf keys: RawSpan, width: Int) throws(LimitError) {
    precondition(
      width > 0 && keys.byteCount % width == 0, "\(keys.byteCount) bytes are no keys of \(width)")
    guard width <= KeyBatch.keyBytesMax else { throw .keyTooLong(bytes: width) }
    let added = keys.byteCount / width
    guard added <= KeyBatch.countMax - count else { throw .tooManyKeys }
    guard keys.byteCount <= KeyBatch.byteCountMax - byteCount else { throw .tooManyBytes }
    reserve(keys: added, bytes: keys.byteCount)
    let target = unsafe UnsafeMutableRawBufferPointer(
      start: bytes + byteCount, count: keys.byteCount)
    unsafe keys.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    let (ends, start) = unsafe (self.ends + count, byteCount)
    for index in 0..<added {
      unsafe ends[index] = UInt32(truncatingIfNeeded: start &+ (index &+ 1) &* width)
    }
    count += added
    byteCount += keys.byteCount
  }

  /// Appends keys of one length that lie one behind the other; see the overload for `RawSpan`.
  public func append(contentsOf keys: Span<UInt8>, width: Int) throws(LimitError) {
    // SAFETY: a span of bytes has no padding.
    try unsafe append(contentsOf: keys.bytes, width: width)
  }

  /// Appends the UTF-8 of `key`.
  public func append(_ key: String) throws(LimitError) {
    var key = key
    let result = key.withUTF8 { (utf8) -> Result<Void, LimitError> in
      Result { () throws(LimitError) in try unsafe append(UnsafeRawBufferPointer(utf8)) }
    }
    try result.get()
  }

  /// Calls `body` with the bytes of the key at `index`, which must be below `count`.
  public func withKey<Answer, Failure: Error>(
    at index: Int, _ body: (RawSpan) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    let key = unsafe view.key(at: index)
    return try body(unsafe key.bytes)
  }

  // MARK: - Writing keys in place

  /// Room for one more key of at most `maxBytes` bytes, to be written in place by an encoder and
  /// then taken by `commitTail`. Without it nothing was appended.
  ///
  /// `maxBytes` is a bound and may exceed `keyBytesMax`; only the committed length must not.
  /// The address is good until the next call that changes the batch.
  public func reserveTail(maxBytes: Int) throws(LimitError) -> UnsafeMutablePointer<UInt8> {
    precondition(maxBytes >= 0, "a key cannot have \(maxBytes) bytes")
    guard count < KeyBatch.countMax else { throw .tooManyKeys }
    guard maxBytes <= KeyBatch.byteCountMax - byteCount else { throw .tooManyBytes }
    if byteCount + maxBytes > byteCapacity { growBytes(to: byteCount + maxBytes) }
    if count == endCapacity { growEnds(to: count + 1) }
    return unsafe bytes + byteCount
  }

  /// Takes the first `length` bytes written at the address of the last `reserveTail` as a key.
  public func commitTail(length: Int) throws(LimitError) {
    precondition(
      length >= 0 && byteCount + length <= byteCapacity && count < endCapacity,
      "commitTail without a reserveTail of at least as many bytes")
    guard length <= KeyBatch.keyBytesMax else { throw .keyTooLong(bytes: length) }
    byteCount += length
    unsafe ends[count] = UInt32(truncatingIfNeeded: byteCount)
    count += 1
  }

  /// The addresses of the batch as it is now. Good until the batch changes or goes.
  package var view: KeyBatchView {
    unsafe KeyBatchView(bytes: UnsafePointer(bytes), ends: UnsafePointer(ends), count: count)
  }

  // MARK: - Growth

  private func growBytes(to needed: Int) {
    guard needed > byteCapacity else { return }
    let capacity = min(max(needed, byteCapacity * 2), KeyBatch.byteCountMax)
    let grown = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    unsafe grown.initialize(from: bytes, count: byteCount)
    unsafe bytes.deallocate()
    unsafe bytes = grown
    byteCapacity = capacity
  }

  private func growEnds(to needed: Int) {
    guard needed > endCapacity else { return }
    let capacity = min(max(needed, endCapacity * 2), KeyBatch.countMax)
    let grown = UnsafeMutablePointer<UInt32>.allocate(capacity: capacity)
    unsafe grown.initialize(from: ends, count: count)
    unsafe ends.deallocate()
    unsafe ends = grown
    endCapacity = capacity
  }
}
