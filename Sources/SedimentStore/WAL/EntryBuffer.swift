/// Entries in the log's encoding, appended at memory speed: what the cut of an epoch copies.
///
/// The bytes are cut into pieces of about `EntryBatchCoding.recordBytesTarget`, each one record.
@safe
package struct EntryBuffer: ~Copyable {
  private var memory: UnsafeMutableRawPointer
  private var capacity: Int
  private var used = 0
  /// (end offset, entries) of every finished piece.
  private var pieces: [(end: Int, count: Int)] = []
  private var countInPiece = 0
  private let layout: EntryLayout

  /// An empty buffer with room for `expectedEntries` without growing (keys not counted).
  package init(layout: EntryLayout, expectedEntries: Int) {
    self.layout = layout
    capacity = max(expectedEntries, 16) * Self.entryBytes(layout)
    unsafe memory = .allocate(byteCount: capacity, alignment: 8)
  }

  deinit { unsafe memory.deallocate() }

  /// Whether nothing was appended.
  package var isEmpty: Bool { used == 0 }
  /// Bytes of the entries as the log will hold them.
  package var byteCount: Int { used }

  private static func entryBytes(_ layout: EntryLayout) -> Int {
    EntryBatchCoding.fixedBytes + Int(layout.valueWidth) + (layout.isExact ? 4 : 0)
  }

  /// Copies an entry, its value and key, to the end.
  package mutating func append(_ entry: EntryReference) {
    let width = Int(layout.valueWidth)
    let bytes = Self.entryBytes(layout) + Int(entry.keyLength)
    if used + bytes > capacity { grow(toFit: used + bytes) }
    var at = unsafe memory + used
    unsafe at.storeBytes(of: entry.hash.high.littleEndian, as: UInt64.self)
    unsafe at.storeBytes(of: entry.hash.low.littleEndian, toByteOffset: 8, as: UInt64.self)
    unsafe at.storeBytes(of: entry.time.littleEndian, toByteOffset: 16, as: Int64.self)
    unsafe at.storeBytes(of: entry.kind.rawValue, toByteOffset: 24, as: UInt8.self)
    unsafe at += EntryBatchCoding.fixedBytes
    if width > 0 {
      if let value = unsafe entry.value {
        unsafe at.copyMemory(from: value, byteCount: width)
      } else {
        unsafe at.initializeMemory(as: UInt8.self, repeating: 0, count: width)
      }
      unsafe at += width
    }
    if layout.isExact {
      unsafe at.storeBytes(of: entry.keyLength.littleEndian, as: UInt32.self)
      if let key = unsafe entry.key {
        unsafe (at + 4).copyMemory(from: key, byteCount: Int(entry.keyLength))
      }
    }
    used += bytes
    countInPiece += 1
    if used - (pieces.last?.end ?? 0) >= EntryBatchCoding.recordBytesTarget { endPiece() }
  }

  private mutating func endPiece() {
    pieces.append((used, countInPiece))
    countInPiece = 0
  }

  private mutating func grow(toFit bytes: Int) {
    let larger = max(capacity * 2, bytes)
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 8)
    unsafe moved.copyMemory(from: memory, byteCount: used)
    unsafe memory.deallocate()
    unsafe memory = moved
    capacity = larger
  }

  /// Appends all entries to a log, as records; an empty buffer as one that carries the time alone.
  package mutating func write(to log: RecordLogWriter, largestTime: Int64) throws {
    if countInPiece > 0 || pieces.isEmpty { endPiece() }
    var start = 0
    for piece in pieces {
      var payload = ByteWriter(capacity: piece.end - start + 12)
      payload.writeInt64(largestTime)
      payload.writeUInt32(UInt32(piece.count))
      unsafe payload.writeBytes(
        UnsafeRawBufferPointer(start: memory + start, count: piece.end - start))
      log.append(type: EntryBatchCoding.recordType, payload)
      try log.write()
      start = piece.end
    }
  }
}
