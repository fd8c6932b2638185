/// A borrowed view of one entry: valid until the source that gave it advances or is closed.
///
/// Trivially copyable, so that it passes in registers. Flushes and merges pass entries in an
/// `EntryBlock` instead. The pointers are the
/// source's memory: copy what must live longer.
@safe
package struct EntryReference {
  /// The keyed hash of the key.
  package var hash: KeyHash
  /// When the key was first seen (or put, or removed), in milliseconds.
  package var time: Int64
  /// What the entry does to older ones of its key.
  package var kind: EntryKind
  /// Bytes of `key`; 0 in fingerprint mode.
  package var keyLength: UInt32
  /// The keyspace's `valueWidth` bytes; may be `nil` when that is 0.
  package var value: UnsafeRawPointer?
  /// `keyLength` bytes; `nil` in fingerprint mode.
  package var key: UnsafeRawPointer?

  /// An entry without value and key.
  @inline(__always)
  package init(hash: KeyHash, time: Int64, kind: EntryKind = .insert) {
    unsafe self.init(hash: hash, time: time, kind: kind, value: nil)
  }

  /// An entry that borrows its value and key.
  @inline(__always)
  package init(
    hash: KeyHash, time: Int64, kind: EntryKind, value: UnsafeRawPointer?,
    key: UnsafeRawPointer? = nil, keyLength: UInt32 = 0
  ) {
    self.hash = hash
    self.time = time
    self.kind = kind
    self.keyLength = keyLength
    unsafe self.value = unsafe value
    unsafe self.key = unsafe key
  }

  /// The key's bytes; empty in fingerprint mode.
  package var keyBytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: key, count: key == nil ? 0 : Int(keyLength))
  }
}
