package import SedimentIO
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

extension TailHash {
  /// The bytes before `offset` in a file; `nil` when it is shorter.
  package init?(before offset: UInt64, in file: any File) throws(FileError) {
    let count = min(offset, FileIdentity.hashedBytesMax)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(count), alignment: 8)
    defer { unsafe buffer.deallocate() }
    let read = count == 0 ? 0 : try unsafe file.read(into: buffer, at: offset - count)
    guard UInt64(read) == count else { return nil }
    self.init(bytes: count, hash: unsafe Checksum.of(UnsafeRawBufferPointer(buffer), seed: 0))
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
