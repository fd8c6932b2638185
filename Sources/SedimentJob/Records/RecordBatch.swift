// The records of one step through the job: bytes as they were read, and what was found in them.
//
// A reader fills the bytes and cuts them into records, a parser adds status, time and key of each.
// All per-record facts are columns in raw memory that is kept when the batch is used again, so a
// batch in steady use takes no memory and no record is an object.
//
// Invariants
// 1. Record i is the `lengths[i]` bytes at `starts[i]`, its line end not counted; `extents[i]`
//    bytes with it. Records lie in ascending order, apart by a newline, within `byteCount`.
// 2. `firstOffset + starts[i]` is the record's offset in the uncompressed source. Only the last
//    record may be an overlong one, of which the batch holds the beginning.
// 3. `keys` has one key for each record with status `ok`, in order, once a parser has run.
// 4. `columns` hold `recordCapacity` elements, `bytes` `byteCapacity`.
// 5. In a batch of a topic's records every record belongs to a stretch, `lines` count offsets from
//    the stretch's first, and `besideKeys` has a key for every record if any. `destinations` has
//    one for every record or none.
//
// Concurrency: one stage of the pipeline owns a batch at a time.

package import SedimentStore

/// Where a record was read.
package enum RecordPlace: Sendable, Equatable, CustomStringConvertible {
  /// A line, from 1, and the offset of its first byte in the uncompressed file.
  case file(String, line: UInt64, offset: UInt64)
  case topic(TopicPartition, offset: Int64)

  package var description: String {
    switch self {
    case .file(let path, let line, _): "\(path), line \(line)"
    case .topic(let partition, let offset): "\(partition), offset \(offset)"
    }
  }
}

/// A batch of records.
// @unchecked because a batch is handed from stage to stage and only its owner touches it.
@safe
package final class RecordBatch: @unchecked Sendable {
  /// Addresses of the per-record columns; good until a record is added.
  @unsafe
  package struct Columns {
    package var starts: UnsafeMutablePointer<UInt32>
    package var lengths: UnsafeMutablePointer<UInt32>
    package var extents: UnsafeMutablePointer<UInt32>
    /// Lines from `firstLine` to the record's first; in a stretch, offsets from its first record.
    package var lines: UnsafeMutablePointer<UInt32>
    /// Raw values of `RecordStatus`.
    package var statuses: UnsafeMutablePointer<UInt8>
    /// Event times in ms; 0 where no time field was asked for, or the record is not ok.
    package var times: UnsafeMutablePointer<Int64>
    /// Raw values of `DedupDecision`, of the records with status `ok` in order, once decided.
    package var decisions: UnsafeMutablePointer<UInt8>

    fileprivate init(capacity: Int) {
      unsafe starts = .allocate(capacity: capacity)
      unsafe lengths = .allocate(capacity: capacity)
      unsafe extents = .allocate(capacity: capacity)
      unsafe lines = .allocate(capacity: capacity)
      unsafe statuses = .allocate(capacity: capacity)
      unsafe times = .allocate(capacity: capacity)
      unsafe decisions = .allocate(capacity: capacity)
    }

    fileprivate func deallocate() {
      unsafe starts.deallocate()
      unsafe lengths.deallocate()
      unsafe extents.deallocate()
      unsafe lines.deallocate()
      unsafe statuses.deallocate()
      unsafe times.deallocate()
      unsafe decisions.deallocate()
    }

    fileprivate func copy(_ count: Int, to other: Columns) {
      unsafe other.starts.update(from: starts, count: count)
      unsafe other.lengths.update(from: lengths, count: count)
      unsafe other.extents.update(from: extents, count: count)
      unsafe other.lines.update(from: lines, count: count)
      unsafe other.statuses.update(from: statuses, count: count)
      unsafe other.times.update(from: times, count: count)
    }
  }

  /// Records in the batch.
  package private(set) var count = 0
  /// Bytes in the batch.
  package private(set) var byteCount = 0
  /// Bytes it can hold without taking more memory.
  package private(set) var byteCapacity: Int
  /// Keys of the records with status `ok`.
  package let keys = KeyBatch()
  /// Addresses of the per-record columns.
  package private(set) var columns: Columns

  /// The source's place in the list of inputs.
  package var sourceIndex = 0
  /// Offset of the first byte in the uncompressed source.
  package var firstOffset: UInt64 = 0
  /// Line number of the first byte, from 1.
  package var firstLine: UInt64 = 1
  /// Where reading goes on after this batch.
  package var endOffset: UInt64 = 0
  package var endLine: UInt64 = 1
  /// The source's CSV header, when it has one.
  package var header: CSVHeader?

  /// Records that lie side by side in one partition of a topic.
  package struct Stretch: Sendable {
    /// Its first record's index in the batch.
    package var firstRecord: Int
    package var partition: TopicPartition
    /// Its first record's offset in the partition.
    package var firstOffset: Int64
  }
  /// Where the records of a batch of a topic come from; empty for files.
  package private(set) var stretches: [Stretch] = []
  /// Keys that come beside the records, one for each, where the format's keys are not in them. Its
  /// memory is taken at the first use.
  package var besideKeys: KeyBatch {
    if let keys = madeBesideKeys { return keys }
    let made = KeyBatch()
    madeBesideKeys = made
    return made
  }
  private var madeBesideKeys: KeyBatch?
  /// What a topic's records pass on beside their values, one for each; `nil` where nobody asks.
  package private(set) var carried: CarriedFields?
  private var madeCarried: CarriedFields?

  /// The partition of a topic that each record goes to, where the job chooses it; else empty.
  package var destinations: [Int32] = []

  private var bytes: UnsafeMutablePointer<UInt8>
  private var recordCapacity: Int

  package init(recordCapacity: Int = 1024, byteCapacity: Int = 65_536) {
    self.recordCapacity = max(recordCapacity, 1)
    self.byteCapacity = max(byteCapacity, 1)
    unsafe columns = unsafe Columns(capacity: self.recordCapacity)
    unsafe bytes = .allocate(capacity: self.byteCapacity)
  }

  deinit {
    unsafe columns.deallocate()
    unsafe bytes.deallocate()
  }

  /// The bytes of all records; good until bytes are added.
  package var input: UnsafeBufferPointer<UInt8> {
    unsafe UnsafeBufferPointer(start: bytes, count: byteCount)
  }

  /// Empties the batch and keeps its memory.
  package func removeAll() {
    count = 0
    byteCount = 0
    keys.removeAll()
    stretches.removeAll(keepingCapacity: true)
    madeBesideKeys?.removeAll()
    madeCarried?.removeAll()
    carried = nil
    destinations.removeAll(keepingCapacity: true)
    header = nil
  }

  /// Bytes of records, and of what they carry.
  package var memoryByteCount: Int { byteCount + (carried?.byteCount ?? 0) }

  /// Memory that the batch has taken for records and what they carry, whether it is in use or not.
  package var heldByteCount: Int {
    byteCapacity + recordCapacity * Self.columnBytes + (madeCarried?.heldByteCount ?? 0)
      + destinations.capacity * MemoryLayout<Int32>.stride
  }

  /// Of one record in all columns.
  private static let columnBytes = 4 * 4 + 2 * 1 + 8

  /// Where the next record's key, headers and time go; from its first record on a batch has such
  /// fields or none.
  package func beginCarrying() -> CarriedFields {
    let fields = madeCarried ?? CarriedFields()
    madeCarried = fields
    carried = fields
    return fields
  }

  /// Appends bytes as they were read.
  package func appendBytes(_ source: UnsafeBufferPointer<UInt8>) {
    if byteCount + source.count > byteCapacity { growBytes(to: byteCount + source.count) }
    guard let base = source.baseAddress else { return }
    // SAFETY: the capacity was just made sufficient.
    unsafe (bytes + byteCount).update(from: base, count: source.count)
    byteCount += source.count
  }

  /// Appends the newline that the last line of a source lacks.
  package func appendNewline() {
    if byteCount + 1 > byteCapacity { growBytes(to: byteCount + 1) }
    // SAFETY: one byte fits.
    unsafe bytes[byteCount] = UInt8(ascii: "\n")
    byteCount += 1
  }

  /// Replaces one byte, of those there are.
  func replaceByte(at offset: Int, by byte: UInt8) {
    precondition(offset >= 0 && offset < byteCount, "byte \(offset) of \(byteCount)")
    unsafe bytes[offset] = byte
  }

  /// Adds a record; `start` + `extent` may lie beyond the bytes so far, which are then to follow.
  @inline(__always)
  package func addRecord(
    start: Int, length: Int, extent: Int, line: Int, status: RecordStatus = .ok
  ) {
    if count == recordCapacity { growColumns() }
    // SAFETY: `count < recordCapacity`, the size of every column. A batch holds less than 4 GiB.
    unsafe columns.starts[count] = UInt32(truncatingIfNeeded: start)
    unsafe columns.lengths[count] = UInt32(truncatingIfNeeded: length)
    unsafe columns.extents[count] = UInt32(truncatingIfNeeded: extent)
    unsafe columns.lines[count] = UInt32(truncatingIfNeeded: line)
    unsafe columns.statuses[count] = status.rawValue
    unsafe columns.times[count] = 0
    count += 1
  }

  /// Begins a stretch with the next record that is added; the first one makes the batch a topic's.
  package func beginStretch(of partition: TopicPartition, at offset: Int64) {
    if stretches.isEmpty { (firstOffset, endOffset) = (0, 0) }
    stretches.append(Stretch(firstRecord: count, partition: partition, firstOffset: offset))
  }

  /// Whether the first record may begin with a byte order mark: it is the first of a file.
  package var beginsFile: Bool { firstOffset == 0 && stretches.isEmpty }

  /// Where record `index` was read, which must be below `count`.
  ///
  /// - Parameter path: the source's name, if it is a file.
  package func place(of index: Int, path: String) -> RecordPlace {
    guard let after = stretches.firstIndex(where: { $0.firstRecord > index }) ?? lastStretchEnd
    else { return .file(path, line: lineNumber(index), offset: offset(index)) }
    let stretch = stretches[after - 1]
    return .topic(
      stretch.partition, offset: stretch.firstOffset + Int64(unsafe columns.lines[index]))
  }

  private var lastStretchEnd: Int? { stretches.isEmpty ? nil : stretches.count }

  /// Counts the newline that `appendNewline` adds to the last record.
  package func extendLastRecord() {
    guard count > 0 else { return }
    // SAFETY: `count - 1` is a record.
    unsafe columns.extents[count - 1] += 1
  }

  /// The status of record `index`, which must be below `count`.
  package func status(_ index: Int) -> RecordStatus {
    precondition(index >= 0 && index < count, "record \(index) of \(count)")
    return RecordStatus(rawValue: unsafe columns.statuses[index]) ?? .invalidJSON
  }

  /// The bytes of record `index` without its line end.
  package func record(_ index: Int) -> UnsafeBufferPointer<UInt8> {
    precondition(index >= 0 && index < count, "record \(index) of \(count)")
    // SAFETY: invariant 1.
    return unsafe UnsafeBufferPointer(
      start: bytes + Int(columns.starts[index]), count: Int(columns.lengths[index]))
  }

  /// The bytes of record `index` with its line end: what passes through to the output.
  package func line(_ index: Int) -> UnsafeBufferPointer<UInt8> {
    precondition(index >= 0 && index < count, "record \(index) of \(count)")
    // SAFETY: invariant 1.
    return unsafe UnsafeBufferPointer(
      start: bytes + Int(columns.starts[index]), count: Int(columns.extents[index]))
  }

  /// Number of the record's first line in its source, from 1.
  package func lineNumber(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < count, "record \(index) of \(count)")
    return unsafe firstLine + UInt64(columns.lines[index])
  }

  /// Offset of the record in its uncompressed source.
  package func offset(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < count, "record \(index) of \(count)")
    return unsafe firstOffset + UInt64(columns.starts[index])
  }

  private func growBytes(to needed: Int) {
    let capacity = max(needed, byteCapacity * 2)
    let grown = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    unsafe grown.update(from: bytes, count: byteCount)
    unsafe bytes.deallocate()
    unsafe bytes = grown
    byteCapacity = capacity
  }

  private func growColumns() {
    let grown = unsafe Columns(capacity: recordCapacity * 2)
    unsafe columns.copy(count, to: grown)
    unsafe columns.deallocate()
    unsafe columns = unsafe grown
    recordCapacity *= 2
  }
}
