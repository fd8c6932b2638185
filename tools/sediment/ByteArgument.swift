import ArgumentParser
import SedimentInspection

/// A key of an ordered keyspace on the command line: the text itself, or hexadecimal digits.
///
/// - Throws: `ValidationError` when it is to be digits and is not.
func bytes(of text: String, isHex: Bool) throws -> [UInt8] {
  guard isHex else { return Array(text.utf8) }
  guard let bytes = ByteText.bytes(hexadecimal: text) else {
    throw ValidationError("\(text) is no even number of hexadecimal digits.")
  }
  return bytes
}
