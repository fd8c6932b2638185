// The canonical encoding of composite keys.
//
// A key is its fields one after the other, each with a tag and, where the size is not given by the
// tag, a length. So ("ab", "c") is never ("a", "bc"), and 1 is never "1".
//
//   tag  field                                    payload
//   1    null                                     none
//   2    false                                    none
//   3    true                                     none
//   4    integer that fits Int64                  8 bytes, big-endian two's complement
//   5    integer that fits UInt64 but not Int64   8 bytes, big-endian
//   6    other number that a double holds exactly 8 bytes, big-endian, the IEEE 754 bits
//   7    any other number                         varint length, text
//   8    string                                   varint length, bytes (UTF-8 after unescaping)
//
// Invariants
// 1. One value has one encoding: a number takes the first of the tags 4, 5, 6 that holds its exact
//    value. 1, 1.0, 1e0 and 10e-1 are the same key, -0 is 0, 5e-1 is 0.5.
// 2. A number under tag 7 is, for integers, its digits without trailing zeros and `e` with the
//    count of those zeros; for all others the text as it was written. So 0.1 and 0.10 differ: no
//    double holds either, and their text is all there is.
// 3. A varint is the shortest LEB128 form.

internal import SedimentStore

/// What a field of an encoded key is. On disk: never renumber.
package enum KeyTag: UInt8, Sendable {
  case null = 1
  case `false` = 2
  case `true` = 3
  case int64 = 4
  case uint64 = 5
  case double = 6
  case numberText = 7
  case string = 8
}

/// Limits of encoded keys.
package enum KeyFormat {
  /// The longest encoded key, in bytes; a limit of the store's format.
  package static let keyBytesMax = KeyBatch.keyBytesMax
  /// The most bytes that a field takes beyond its text: a tag and a varint of 64 bits, or a tag
  /// and eight bytes.
  package static let fieldOverheadBytes = 11
}
