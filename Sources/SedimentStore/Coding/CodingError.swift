/// Why bytes could not be decoded. Whoever knows the file turns it into a `Corruption`.
package enum CodingError: Error, Hashable, Sendable {
  /// The bytes end before the value that begins at `offset` of them does.
  case truncated(offset: Int)
  /// The value is impossible; the text says what it is.
  case invalid(String)
  /// The value is of a version that is not known.
  case unknownVersion(UInt64, supported: UInt64)
}

extension CodingError: CustomStringConvertible {
  /// One clause without a full stop.
  package var description: String {
    switch self {
    case .truncated(let offset): "the bytes end within the value at \(offset)"
    case .invalid(let what): what
    case .unknownVersion(let version, let supported): "version \(version), not \(supported)"
    }
  }
}
