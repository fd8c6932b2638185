internal import SedimentIO

extension SHA256 {
  /// Read at a time.
  private static let chunkBytes = 1 << 20

  /// The digest of the first `bytes` bytes of a file.
  ///
  /// - Throws: `Corruption` when it is shorter.
  static func digest(of file: any File, bytes: UInt64, name: String) throws -> Digest {
    var sum = SHA256()
    var chunk = [UInt8](repeating: 0, count: Int(min(UInt64(chunkBytes), bytes)))
    var offset: UInt64 = 0
    while offset < bytes {
      let wanted = Int(min(UInt64(chunk.count), bytes - offset))
      if wanted < chunk.count { chunk.removeLast(chunk.count - wanted) }
      let count = try file.read(into: &chunk, at: offset)
      guard count == wanted else {
        throw Corruption(
          file: name, offset: offset, what: "file size", expected: "\(bytes)",
          found: "\(offset + UInt64(count))")
      }
      sum.update(chunk)
      offset += UInt64(count)
    }
    return sum.finish()
  }
}
