package import SedimentIO
internal import Synchronization

/// Appends records to a new record log.
///
/// Not thread-safe, `synchronizeWritten` and `writtenLength` apart: whoever owns it serialises its
/// calls. After an error of `write` the log must not be appended to. A synchronisation that failed
/// fails all that follow, because the system reports a lost page once only.
package final class RecordLogWriter {
  /// The id in the header, which seeds the checksums.
  package let fileID: UInt64
  private let name: String
  private let file: any File
  private var pending = Pending()
  /// Where the zeros end that were written ahead of the records.
  private var reservedEnd: UInt64 = 0
  /// Where the records end when that is tried again after it failed.
  private var reservesFrom: UInt64 = 0
  /// Bytes handed to the file so far.
  private let writtenBytes = Atomic<UInt64>(0)
  /// What a synchronisation failed with. Held while the system is asked, so that of two threads
  /// none is told that all is well after the other was told that it is not.
  private let synchronizationFailure = Mutex<FileError?>(nil)

  /// Records on their way to the file. A value of its own, so that a call of the writer has to be
  /// checked for exclusive access once and not at every integer.
  private struct Pending {
    var bytes = ByteWriter()

    mutating func appendHeader(_ kind: RecordLogFormat.Kind, fileID: UInt64) {
      bytes.writeUInt64(RecordLogFormat.magic)
      bytes.writeUInt32(kind.version)
      bytes.writeUInt32(kind.rawValue)
      bytes.writeUInt64(fileID)
      bytes.writeUInt64(Checksum.of(bytes.bytes, seed: Checksum.seed(fileID: fileID, place: 0)))
    }

    mutating func append(
      type: UInt8, _ payload: UnsafeRawBufferPointer, fileID: UInt64, behind written: UInt64
    ) {
      precondition(payload.count <= RecordLogFormat.payloadBytesMax, "record too long")
      let start = bytes.count
      bytes.writeUInt64(0)
      // The length, the type and three zeros.
      bytes.writeUInt64(UInt64(payload.count) | UInt64(type) << 32)
      unsafe bytes.writeBytes(payload)
      let checksum = unsafe bytes.withUnsafeBytes { bytes in
        unsafe Checksum.of(
          UnsafeRawBufferPointer(rebasing: bytes[(start + 8)...]),
          seed: Checksum.seed(fileID: fileID, place: written + UInt64(start)))
      }
      bytes.patchUInt64(checksum, at: start)
      bytes.writeZeros(
        RecordLogFormat.recordBytes(payload: payload.count) - (bytes.count - start))
    }

    /// - Returns: where they end in the file.
    mutating func write(to file: any File, at offset: UInt64) throws(FileError) -> UInt64 {
      guard bytes.count > 0 else { return offset }
      try unsafe bytes.withUnsafeBytes { bytes throws(FileError) in
        try unsafe file.write(bytes, at: offset)
      }
      defer { bytes.removeAll() }
      return offset + UInt64(bytes.count)
    }
  }

  /// Creates `name` in `directory` and writes its header (buffered).
  package init(
    directory: any Directory, name: String, kind: RecordLogFormat.Kind, fileID: UInt64
  ) throws(FileError) {
    file = try directory.openFile(name, .create)
    self.name = name
    self.fileID = fileID
    pending.appendHeader(kind, fileID: fileID)
  }

  /// Length of the log with all records appended so far.
  package var length: UInt64 { writtenLength + UInt64(pending.bytes.count) }

  /// Length of what was handed to the file; for any thread.
  package var writtenLength: UInt64 { writtenBytes.load(ordering: .acquiring) }

  /// Appends a record to the buffer.
  ///
  /// - Precondition: `payload` has at most `RecordLogFormat.payloadBytesMax` bytes.
  package func append(type: UInt8, _ payload: ByteWriter) {
    unsafe payload.withUnsafeBytes { unsafe append(type: type, $0) }
  }

  /// Appends a record to the buffer.
  ///
  /// - Precondition: as above.
  package func append(type: UInt8, _ payload: UnsafeRawBufferPointer) {
    unsafe pending.append(type: type, payload, fileID: fileID, behind: writtenLength)
  }

  /// Appends a record to the buffer, of which it is not known how long it is: that of a state.
  ///
  /// - Throws: `inputOutput` where no reader would take it; nothing is appended then.
  package func append(type: UInt8, unbounded payload: ByteWriter) throws(FileError) {
    guard payload.count <= RecordLogFormat.payloadBytesMax else {
      throw FileError(
        code: .inputOutput,
        operation:
          "write a record of \(payload.count) bytes, of \(RecordLogFormat.payloadBytesMax) at the "
          + "most, into",
        path: name)
    }
    append(type: type, payload)
  }

  /// Hands the buffer to the file.
  package func write() throws(FileError) {
    let offset = writtenLength
    let end = try pending.write(to: file, at: offset)
    writtenBytes.store(end, ordering: .releasing)
  }

  /// Takes back what a `write` that failed may have left in the file, and what it had in hand: the
  /// log ends where it did before, and may be appended to.
  package func rollBack() throws(FileError) {
    pending.bytes.removeAll()
    reservedEnd = 0
    try file.truncate(to: writtenLength)
  }

  /// Writes zeros ahead of the records, where there is little room before the end of the file: a
  /// record that replaces zeros is made durable without the file's new length, which is a second
  /// write in the journal of most file systems. A reader takes zeros for the end.
  ///
  /// What cannot be written now is no loss.
  package func reserve() {
    let written = writtenLength
    guard reservedEnd < written + Self.reservedBytesMin, written >= reservesFrom else { return }
    let count = min(max(written, Self.reservedBytesFirst), Self.reservedBytesMax)
    let zeros = [UInt8](repeating: 0, count: Int(count))
    do throws(FileError) {
      try unsafe zeros.span.bytes.withUnsafeBytes { zeros throws(FileError) in
        try unsafe file.write(zeros, at: written)
      }
      reservedEnd = written + count
    } catch {
      // A full disk has better use for what was written of it.
      try? file.truncate(to: written)
      reservedEnd = 0
      reservesFrom = written + Self.reservedBytesFirst
    }
  }

  /// Room that is little, what is reserved in a log that has little, and in one that has much.
  private static let reservedBytesMin: UInt64 = 4 << 10
  private static let reservedBytesFirst: UInt64 = 64 << 10
  private static let reservedBytesMax: UInt64 = 1 << 20

  /// Writes the buffer and makes all records durable.
  package func synchronize() throws(FileError) {
    try write()
    try synchronizeWritten()
  }

  /// Makes durable what `write` handed over; unlike all else here, from any thread.
  package func synchronizeWritten() throws(FileError) {
    try synchronizationFailure.withLock { failure throws(FileError) in
      if let failure { throw failure }
      do throws(FileError) {
        try file.synchronize()
      } catch {
        failure = error
        throw error
      }
    }
  }

  /// Notes that all records so far are durable; itself durable with the next `synchronize`.
  ///
  /// One that cannot be written now stays in the buffer and goes with the next record: what is
  /// durable does not fail for lack of its note.
  package func acknowledge() {
    append(type: RecordLogFormat.acknowledgementType, ByteWriter())
    try? write()
  }

  /// Takes back what was reserved; nothing is appended any more.
  package func trim() {
    guard reservedEnd > writtenLength else { return }
    try? file.truncate(to: writtenLength)
    reservedEnd = 0
  }

  /// Closes the file; without a `synchronize` before, the last records may be lost.
  package func close() {
    file.close()
  }
}
