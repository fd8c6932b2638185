// Keys as bytes that order as the values do.
//
//   unsigned integers   big-endian
//   signed integers     the same with the sign bit flipped
//   Bool                one byte
//   Double, Date        the bits; all flipped when negative, else the sign bit
//   UUID                its 16 bytes
//   String, [UInt8]     UTF-8 or the bytes, with 0 as 0 1, ended by 0 0
//   several             one behind the other
//
// On disk in the users' keyspaces: never change.

public import Foundation

/// A value that can be a key: its bytes order as the values do, and nothing that follows them
/// changes that.
///
/// Strings order by their UTF-8, as `sort(1)` in the C locale does, not as Swift compares them.
public protocol OrderedKey {
  /// Appends the bytes of the value.
  func encode(into bytes: inout [UInt8])
  /// Takes the bytes of a value from the front of `bytes`.
  ///
  /// - Throws: `KeyDecodingError` when they are not what `encode` makes.
  static func decode(from bytes: inout ArraySlice<UInt8>) throws(KeyDecodingError) -> Self
}

/// Bytes of a keyspace that are no key of the type that was asked for.
public struct KeyDecodingError: Error, Sendable, CustomStringConvertible {
  /// What was to be read.
  public var type: String

  /// An error about a type.
  public init(_ type: String) { self.type = type }

  public var description: String {
    "a key is no \(type): the keyspace was written with keys of another type"
  }
}

extension OrderedKey {
  /// The key's bytes.
  public var keyBytes: [UInt8] {
    var bytes: [UInt8] = []
    encode(into: &bytes)
    return bytes
  }

  /// The value of all of a key's bytes.
  public init(keyBytes: [UInt8]) throws(KeyDecodingError) {
    var rest = keyBytes[...]
    self = try Self.decode(from: &rest)
    guard rest.isEmpty else { throw KeyDecodingError("\(Self.self)") }
  }
}

// MARK: - Integers

extension OrderedKey where Self: FixedWidthInteger & UnsignedInteger {
  public func encode(into bytes: inout [UInt8]) { appendBigEndian(to: &bytes) }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> Self {
    try Self(bigEndianPrefixOf: &bytes)
  }
}

extension OrderedKey where Self: FixedWidthInteger & SignedInteger {
  public func encode(into bytes: inout [UInt8]) { (self ^ Self.min).appendBigEndian(to: &bytes) }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> Self {
    try Self(bigEndianPrefixOf: &bytes) ^ Self.min
  }
}

extension FixedWidthInteger {
  fileprivate func appendBigEndian(to bytes: inout [UInt8]) {
    var rest = self.byteSwapped
    for _ in 0..<Self.bitWidth / 8 {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      rest = Self.bitWidth > 8 ? rest >> 8 : 0
    }
  }

  fileprivate init(
    bigEndianPrefixOf bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) {
    let count = Self.bitWidth / 8
    guard bytes.count >= count else { throw KeyDecodingError("\(Self.self)") }
    self = bytes.prefix(count).reduce(0) {
      (Self.bitWidth > 8 ? $0 << 8 : 0) | Self(truncatingIfNeeded: $1)
    }
    bytes = bytes.dropFirst(count)
  }
}

extension UInt8: OrderedKey {}
extension UInt16: OrderedKey {}
extension UInt32: OrderedKey {}
extension UInt64: OrderedKey {}
extension UInt: OrderedKey {}
extension Int8: OrderedKey {}
extension Int16: OrderedKey {}
extension Int32: OrderedKey {}
extension Int64: OrderedKey {}
extension Int: OrderedKey {}

extension Bool: OrderedKey {
  public func encode(into bytes: inout [UInt8]) { bytes.append(self ? 1 : 0) }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> Bool {
    guard let first = bytes.popFirst(), first <= 1 else { throw KeyDecodingError("Bool") }
    return first == 1
  }
}

// MARK: - Numbers and dates

extension Double: OrderedKey {
  public func encode(into bytes: inout [UInt8]) {
    let bits = bitPattern
    (bits >> 63 == 1 ? ~bits : bits | 1 << 63).encode(into: &bytes)
  }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> Double {
    let word = try UInt64.decode(from: &bytes)
    return Double(bitPattern: word >> 63 == 1 ? word & ~(1 << 63) : ~word)
  }
}

extension Date: OrderedKey {
  public func encode(into bytes: inout [UInt8]) {
    timeIntervalSinceReferenceDate.encode(into: &bytes)
  }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> Date {
    Date(timeIntervalSinceReferenceDate: try Double.decode(from: &bytes))
  }
}

extension UUID: OrderedKey {
  public func encode(into bytes: inout [UInt8]) {
    unsafe withUnsafeBytes(of: uuid) { unsafe bytes.append(contentsOf: $0) }
  }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> UUID {
    let own = Array(bytes.prefix(16))
    guard own.count == 16 else { throw KeyDecodingError("UUID") }
    bytes = bytes.dropFirst(16)
    return UUID(
      uuid: (
        own[0], own[1], own[2], own[3], own[4], own[5], own[6], own[7], own[8], own[9], own[10],
        own[11], own[12], own[13], own[14], own[15]
      ))
  }
}

// MARK: - Bytes and strings

extension [UInt8]: OrderedKey {
  public func encode(into bytes: inout [UInt8]) {
    for byte in self {
      bytes.append(byte)
      if byte == 0 { bytes.append(1) }
    }
    bytes += [0, 0]
  }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> [UInt8] {
    var own: [UInt8] = []
    while let byte = bytes.popFirst() {
      if byte == 0 {
        let next = bytes.popFirst()
        if next == 0 { return own }
        guard next == 1 else { break }
      }
      own.append(byte)
    }
    throw KeyDecodingError("[UInt8]")
  }
}

extension String: OrderedKey {
  public func encode(into bytes: inout [UInt8]) { Array(utf8).encode(into: &bytes) }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> String {
    guard let text = String(validating: try [UInt8].decode(from: &bytes), as: UTF8.self) else {
      throw KeyDecodingError("String")
    }
    return text
  }
}

// MARK: - Several

/// Several values as one key, which orders by the first, then the second, and so on.
///
/// ```swift
/// let key = KeyTuple("berlin", Int64(1_700_000_000))
/// ```
public struct KeyTuple<each Part: OrderedKey>: OrderedKey {
  /// The values.
  public var parts: (repeat each Part)

  /// A key of its values.
  public init(_ parts: repeat each Part) { self.parts = (repeat each parts) }

  public func encode(into bytes: inout [UInt8]) {
    repeat (each parts).encode(into: &bytes)
  }

  public static func decode(
    from bytes: inout ArraySlice<UInt8>
  ) throws(KeyDecodingError) -> KeyTuple<repeat each Part> {
    KeyTuple(repeat try (each Part).decode(from: &bytes))
  }
}

extension KeyTuple: Sendable where repeat each Part: Sendable {}
