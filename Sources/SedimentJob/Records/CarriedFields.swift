// What records of topics have beside their values and pass on to topics: key, headers, time.
//
// The columns are raw memory that is kept from batch to batch, as those of `RecordBatch` are.
// Headers of a record lie one behind the other, in the order they came:
//
//     u32 bytes of the name with its zero │ name │ zero │ i32 bytes of the value, -1: null │ value
//
// Integers have the machine's order: nothing of this leaves the process.
//
// Concurrency: as the batch it belongs to.

/// Keys, headers and times of a batch's records. See the file's header.
// @unchecked because it goes with its batch, which one stage at a time owns.
@safe
package final class CarriedFields: @unchecked Sendable {
  /// Of one record; places are in `bytes`.
  package struct Entry: BitwiseCopyable {
    package var keyStart: UInt32 = 0
    /// -1 for a record without a key.
    package var keyLength: Int32 = -1
    package var headersStart: UInt32 = 0
    package var headersLength: UInt32 = 0
    /// In ms since 1970; negative for none.
    package var time: Int64 = -1
  }

  /// Records so far.
  package private(set) var count = 0
  /// Bytes of keys and headers so far.
  package private(set) var byteCount = 0
  /// Memory that was taken.
  package var heldByteCount: Int { byteCapacity + entryCapacity * MemoryLayout<Entry>.stride }
  private var entries: UnsafeMutablePointer<Entry>
  private var entryCapacity = 256
  private var bytes: UnsafeMutableRawPointer
  private var byteCapacity = 4096

  /// Room for a few.
  package init() {
    unsafe entries = .allocate(capacity: entryCapacity)
    unsafe bytes = .allocate(byteCount: byteCapacity, alignment: 8)
  }

  deinit {
    unsafe entries.deallocate()
    unsafe bytes.deallocate()
  }

  /// Forgets all and keeps the memory.
  package func removeAll() {
    count = 0
    byteCount = 0
  }

  /// Adds a record without headers.
  ///
  /// - Parameter key: `nil` for none.
  package func append(key: UnsafeRawBufferPointer?, time: Int64) {
    if count == entryCapacity { growEntries() }
    var entry = Entry()
    if let key = unsafe key {
      entry.keyStart = UInt32(truncatingIfNeeded: byteCount)
      entry.keyLength = Int32(truncatingIfNeeded: key.count)
      unsafe append(key)
    }
    entry.headersStart = UInt32(truncatingIfNeeded: byteCount)
    entry.time = time
    // SAFETY: there is room for it.
    unsafe entries[count] = entry
    count += 1
  }

  /// Adds a header to the last record.
  ///
  /// - Parameters:
  ///   - name: without a zero.
  ///   - value: `nil` for null.
  package func appendHeader(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?) {
    precondition(count > 0, "a header without a record")
    append(word: UInt32(truncatingIfNeeded: name.count + 1))
    unsafe append(name)
    append(byte: 0)
    let length = unsafe value.map { Int32(truncatingIfNeeded: $0.count) } ?? -1
    append(word: UInt32(bitPattern: length))
    if let value = unsafe value { unsafe append(value) }
    // SAFETY: `count - 1` is a record.
    unsafe entries[count - 1].headersLength =
      UInt32(truncatingIfNeeded: byteCount) - entries[count - 1].headersStart
  }

  /// Adds what another has of record `index`, which must be below its count.
  package func append(_ index: Int, of other: CarriedFields) {
    unsafe append(key: other.key(index), time: other.time(index))
    let headers = unsafe other.headers(index)
    unsafe append(headers)
    // SAFETY: the record was just added.
    unsafe entries[count - 1].headersLength = UInt32(truncatingIfNeeded: headers.count)
  }

  /// The key of a record, good until something is added; `nil` for none.
  @inline(__always)
  package func key(_ index: Int) -> UnsafeRawBufferPointer? {
    precondition(index >= 0 && index < count, "record \(index) of \(count)")
    // SAFETY: places of entries lie in the bytes.
    let entry = unsafe entries[index]
    guard entry.keyLength >= 0 else { return nil }
    return unsafe UnsafeRawBufferPointer(
      start: bytes + Int(entry.keyStart), count: Int(entry.keyLength))
  }

  /// The headers of a record as the file's header says, good until something is added.
  @inline(__always)
  package func headers(_ index: Int) -> UnsafeRawBufferPointer {
    precondition(index >= 0 && index < count, "record \(index) of \(count)")
    // SAFETY: as of keys.
    let entry = unsafe entries[index]
    return unsafe UnsafeRawBufferPointer(
      start: bytes + Int(entry.headersStart), count: Int(entry.headersLength))
  }

  /// The time of a record in ms since 1970; negative for none.
  @inline(__always)
  package func time(_ index: Int) -> Int64 {
    precondition(index >= 0 && index < count, "record \(index) of \(count)")
    return unsafe entries[index].time
  }

  // MARK: - Memory

  private func append(_ source: UnsafeRawBufferPointer) {
    guard let base = source.baseAddress, source.count > 0 else { return }
    reserve(source.count)
    // SAFETY: there is room behind `byteCount`.
    unsafe (bytes + byteCount).copyMemory(from: base, byteCount: source.count)
    byteCount += source.count
  }

  private func append(word: UInt32) {
    reserve(4)
    unsafe bytes.storeBytes(of: word, toByteOffset: byteCount, as: UInt32.self)
    byteCount += 4
  }

  private func append(byte: UInt8) {
    reserve(1)
    unsafe bytes.storeBytes(of: byte, toByteOffset: byteCount, as: UInt8.self)
    byteCount += 1
  }

  private func reserve(_ more: Int) {
    guard byteCount + more > byteCapacity else { return }
    let capacity = max(byteCount + more, byteCapacity * 2)
    let grown = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
    unsafe grown.copyMemory(from: bytes, byteCount: byteCount)
    unsafe bytes.deallocate()
    unsafe bytes = grown
    byteCapacity = capacity
  }

  private func growEntries() {
    let grown = UnsafeMutablePointer<Entry>.allocate(capacity: entryCapacity * 2)
    unsafe grown.update(from: entries, count: count)
    unsafe entries.deallocate()
    unsafe entries = grown
    entryCapacity *= 2
  }
}

/// Walks the headers of one record.
@safe
package struct CarriedHeaders {
  private let bytes: UnsafeRawBufferPointer
  private var next = 0

  /// - Parameter bytes: as `CarriedFields.headers` gives them, good during the walk.
  package init(_ bytes: UnsafeRawBufferPointer) {
    unsafe self.bytes = bytes
  }

  /// One header; its addresses are good as long as the bytes.
  @unsafe
  package struct Header {
    /// With a zero behind it, which `count` does not count.
    package var name: UnsafeRawBufferPointer
    /// `nil` for null.
    package var value: UnsafeRawBufferPointer?
  }

  /// The next header; `nil` at the end.
  package mutating func nextHeader() -> Header? {
    guard unsafe next < bytes.count else { return nil }
    // SAFETY: the bytes are whole headers, as the file's header says.
    let nameBytes = unsafe Int(bytes.loadUnaligned(fromByteOffset: next, as: UInt32.self))
    let name = unsafe UnsafeRawBufferPointer(
      rebasing: bytes[(next + 4)..<(next + 4 + nameBytes - 1)])
    next += 4 + nameBytes
    let valueBytes = unsafe Int(bytes.loadUnaligned(fromByteOffset: next, as: Int32.self))
    next += 4
    guard valueBytes >= 0 else { return unsafe Header(name: name, value: nil) }
    let value = unsafe UnsafeRawBufferPointer(rebasing: bytes[next..<(next + valueBytes)])
    next += valueBytes
    return unsafe Header(name: name, value: value)
  }
}
