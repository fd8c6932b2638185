import SedimentDedup
import SedimentStore

/// The tail of a `KeyBatch`, where the fields of one record are encoded in place.
struct KeySink {
  private let keys: KeyBatch
  var writer: KeyWriter

  /// Begins a key; nothing is appended until `commit`.
  @inline(__always)
  init(_ keys: KeyBatch) throws(FormatError) {
    self.keys = keys
    do {
      let tail = try unsafe keys.reserveTail(maxBytes: KeyFormat.keyBytesMax)
      // SAFETY: the tail has that many bytes and stays until the batch changes, which it does with
      // `commit`, the end of this sink.
      unsafe writer = KeyWriter(tail, capacity: KeyFormat.keyBytesMax)
    } catch {
      throw .batchTooLarge
    }
  }

  /// Appends the key that comes beside record `index` as one field, a string of bytes.
  @inline(__always)
  mutating func appendBesideKey(of index: Int, in batch: RecordBatch) {
    let key = unsafe batch.besideKeys.view.key(at: index)
    unsafe writer.appendString(key.bindMemory(to: UInt8.self))
  }

  /// Takes the fields written as a key; false when they did not fit.
  @inline(__always)
  func commit() throws(FormatError) -> Bool {
    if writer.isOverflowed { return false }
    do {
      try keys.commitTail(length: writer.count)
    } catch {
      throw .batchTooLarge
    }
    return true
  }
}
