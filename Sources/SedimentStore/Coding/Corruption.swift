/// Damage in a file: where it is, what was expected there and what was found.
package struct Corruption: Error, Hashable, Sendable {
  /// Name of the file, as people see it in the directory.
  package var file: String
  /// Where in the file, in bytes from its start.
  package var offset: UInt64
  /// The part that is wrong, such as "page checksum".
  package var what: String
  /// What should stand there.
  package var expected: String
  /// What stands there.
  package var found: String

  /// Damage described in words.
  package init(file: String, offset: UInt64, what: String, expected: String, found: String) {
    self.file = file
    self.offset = offset
    self.what = what
    self.expected = expected
    self.found = found
  }

  /// A word, such as a checksum or magic number, that differs; shown in hexadecimal.
  package init(file: String, offset: UInt64, what: String, expected: UInt64, found: UInt64) {
    self.init(
      file: file, offset: offset, what: what, expected: Corruption.hexadecimal(expected),
      found: Corruption.hexadecimal(found))
  }

  /// A part that could not be decoded.
  package init(file: String, offset: UInt64, what: String, undecodable error: CodingError) {
    self.init(
      file: file, offset: offset, what: what, expected: "a well-formed value",
      found: "damaged (\(error))")
  }

  private static func hexadecimal(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension Corruption: CustomStringConvertible {
  /// One sentence without a full stop, such as "000000000012.sst at offset 4096: page checksum is
  /// 0x… where 0x… was expected".
  package var description: String {
    "\(file) at offset \(offset): \(what) is \(found) where \(expected) was expected"
  }
}
