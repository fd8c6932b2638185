package import SedimentIO

/// Appends records to a new record log.
///
/// Not thread-safe: whoever owns it serialises its calls. After an error of `write` or
/// `synchronize` the log must not be appended to: what is on disk is not known.
package final class RecordLogWriter {
  /// The id in the header, which seeds the checksums.
  package let fileID: UInt64
  private let file: any File
  private var pending = ByteWriter()
  /// Bytes handed to the file so far.
  private var writtenBytes: UInt64 = 0

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

  /// Bytes in the buffer.
  package var pendingBytes: Int { pending.count }

  /// Writes the buffer and makes all records durable.
  package func synchronize() throws(FileError) {
    try write()
    try file.synchronize()
  }

  /// Makes durable what `write` handed over; unlike all else here, from any thread.
  package func synchronizeWritten() throws(FileError) {
    try file.synchronize()
  }

  /// Notes that all records so far are durable; itself durable with the next `synchronize`.
  package func acknowledge() throws(FileError) {
    append(type: RecordLogFormat.acknowledgementType, ByteWriter())
    try write()
  }

  /// Closes the file; without a `synchronize` before, the last records may be lost.
  package func close() {
    file.close()
  }
}
