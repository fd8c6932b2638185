/// The raw addresses of a `KeyBatch`, for hot loops and for shards that read one batch in parallel.
///
/// Whoever takes a view keeps the batch alive and unchanged while it is in use.
@unsafe
package struct KeyBatchView {
  /// All keys, one behind the other.
  package let bytes: UnsafePointer<UInt8>
  /// `ends[i]` is the offset behind key i; a key begins where the one before it ends.
  package let ends: UnsafePointer<UInt32>
  /// Keys in the batch.
  package let count: Int

  /// A view of `count` keys; `ends` must not decrease and must lie within `bytes`.
  package init(bytes: UnsafePointer<UInt8>, ends: UnsafePointer<UInt32>, count: Int) {
    unsafe self.bytes = unsafe bytes
    unsafe self.ends = unsafe ends
    unsafe self.count = count
  }

  /// Mean bytes of a key, rounded up; 0 without keys.
  package var meanBytes: Int {
    unsafe count == 0 ? 0 : (Int(ends[count - 1]) + count - 1) / count
  }

  /// The bytes of the key at `index`.
  @inline(__always)
  package func key(at index: Int) -> UnsafeRawBufferPointer {
    unsafe precondition(index >= 0 && index < count, "no key at \(index) of \(count)")
    let start = unsafe index == 0 ? 0 : Int(ends[index - 1])
    return unsafe UnsafeRawBufferPointer(start: bytes + start, count: Int(ends[index]) - start)
  }
}

// @unchecked because the addresses are read only, and the batch does not change while a view is
// used.
extension KeyBatchView: @unsafe @unchecked Sendable {}
