internal import SedimentStore

/// The last bytes before a place in a file or stream, by which the place is known again.
package struct TailHash: Sendable, Equatable {
  /// How many bytes; at most `FileIdentity.hashedBytesMax`.
  package var bytes: UInt64
  /// Their hash.
  package var hash: UInt64

  /// A hash that was kept.
  package init(bytes: UInt64, hash: UInt64) {
    self.bytes = bytes
    self.hash = hash
  }

  /// The hash of bytes at hand.
  package init(of bytes: some Collection<UInt8>) {
    self.init(bytes: UInt64(bytes.count), hash: Checksum.of(Array(bytes), seed: 0))
  }
}

/// Keeps the last bytes of what goes by.
struct RecentBytes {
  private(set) var bytes: [UInt8] = []

  /// Adds bytes behind those so far.
  mutating func append(_ new: UnsafeBufferPointer<UInt8>) {
    let most = Int(FileIdentity.hashedBytesMax)
    let kept = unsafe new.suffix(most)
    bytes.removeFirst(unsafe max(0, bytes.count + kept.count - most))
    unsafe bytes.append(contentsOf: kept)
  }
}
