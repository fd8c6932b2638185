package import SedimentIO
internal import Synchronization

/// Appends records to a new record log.
///
/// Not thread-safe, `synchronizeWritten` apart: whoever owns it serialises its calls. After an
/// error of `write` the log must not be appended to. A synchronisation that failed fails all that
/// follow, because the system reports a lost page once only.
package final class RecordLogWriter {
  /// The id in the header, which seeds the checksums.
  package let fileID: UInt64
  private let file: any File
  private var pending = ByteWriter()
  /// Bytes handed to the file so far.
  private var writtenBytes: UInt64 = 0
  /// What a synchronisation failed with. Held while the system is asked, so that of two threads
  /// none is told that all is well after the other was told that it is not.
  private let synchronizationFailure = Mutex<FileError?>(nil)

  /// Creates `name` in `directory` and writes its header (buffered).
  package init(
    directory: any Directory, name: String, kind: RecordLogFormat.Kind, fileID: UInt64
  ) throws(FileError) {
    file = try directory.openFile(name, .create)
    self.fileID = fileID
    pending.writeUInt64(RecordLogFormat.magic)
    pending.writeUInt32(RecordLogFormat.version)
    pending.writeUInt32(kind.rawValue)
    pending.writeUInt64(fileID)
    pending.writeUInt64(Checksum.of(pending.bytes, seed: Checksum.seed(fileID: fileID, place: 0)))
  }

  /// Length of the log with all records appended so far.
  package var length: UInt64 { writtenBytes + UInt64(pending.count) }

  /// Length of what was handed to the file.
  package var writtenLength: UInt64 { writtenBytes }

  /// Appends a record to the buffer.
  ///
  /// - Precondition: `payload` has at most `RecordLogFormat.payloadBytesMax` bytes.
  package func append(type: UInt8, _ payload: ByteWriter) {
    precondition(payload.count <= RecordLogFormat.payloadBytesMax, "record too long")
    let offset = length
    let start = pending.count
    pending.writeUInt64(0)
    pending.writeUInt32(UInt32(payload.count))
    pending.writeUInt8(type)
    pending.writeZeros(3)
    unsafe payload.withUnsafeBytes { unsafe pending.writeBytes($0) }
    let checksum = unsafe pending.withUnsafeBytes { bytes in
      unsafe Checksum.of(
        UnsafeRawBufferPointer(rebasing: bytes[(start + 8)...]),
        seed: Checksum.seed(fileID: fileID, place: offset))
    }
    pending.patchUInt64(checksum, at: start)
    pending.writeZeros(
      RecordLogFormat.recordBytes(payload: payload.count) - (pending.count - start))
  }

  /// Hands the buffer to the file.
  package func write() throws(FileError) {
    guard pending.count > 0 else { return }
    let offset = writtenBytes
    try unsafe pending.withUnsafeBytes { bytes throws(FileError) in
      try unsafe file.write(bytes, at: offset)
    }
    writtenBytes += UInt64(pending.count)
    pending.removeAll()
  }

  /// Takes back what a `write` that failed may have left in the file, and what it had in hand: the
  /// log ends where it did before, and may be appended to.
  package func rollBack() throws(FileError) {
    pending.removeAll()
    try file.truncate(to: writtenBytes)
  }

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

  /// Closes the file; without a `synchronize` before, the last records may be lost.
  package func close() {
    file.close()
  }
}
