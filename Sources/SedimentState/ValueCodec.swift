internal import Foundation

/// How values of a type are bytes.
public struct ValueCodec<Value>: Sendable {
  /// The bytes of a value.
  public var encode: @Sendable (Value) throws -> [UInt8]
  /// The value of bytes that `encode` made.
  public var decode: @Sendable ([UInt8]) throws -> Value

  /// A codec of its two halves.
  public init(
    encode: @escaping @Sendable (Value) throws -> [UInt8],
    decode: @escaping @Sendable ([UInt8]) throws -> Value
  ) {
    self.encode = encode
    self.decode = decode
  }
}

extension ValueCodec where Value == [UInt8] {
  /// Bytes as they are.
  public static var bytes: ValueCodec { ValueCodec(encode: { $0 }, decode: { $0 }) }
}

extension ValueCodec where Value == String {
  /// Text as UTF-8.
  public static var text: ValueCodec {
    ValueCodec(
      encode: { Array($0.utf8) },
      decode: { bytes in
        guard let text = String(validating: bytes, as: UTF8.self) else {
          throw ValueDecodingError("text")
        }
        return text
      })
  }
}

extension ValueCodec where Value: FixedWidthInteger & Sendable {
  /// Integers as their bytes, the least first.
  public static var integer: ValueCodec {
    ValueCodec(
      encode: { value in
        (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
      },
      decode: { bytes in
        guard bytes.count == Value.bitWidth / 8 else { throw ValueDecodingError("\(Value.self)") }
        return bytes.reversed().reduce(0) {
          (Value.bitWidth > 8 ? $0 << 8 : 0) | Value(truncatingIfNeeded: $1)
        }
      })
  }
}

extension ValueCodec where Value: Codable & SendableMetatype {
  /// Whatever is `Codable`, as JSON.
  public static var json: ValueCodec {
    ValueCodec(
      encode: { Array(try JSONEncoder().encode($0)) },
      decode: { try JSONDecoder().decode(Value.self, from: Data($0)) })
  }
}

/// Bytes of a keyspace that are no value of the type that was asked for.
public struct ValueDecodingError: Error, Sendable, CustomStringConvertible {
  /// What was to be read.
  public var type: String

  /// An error about a type.
  public init(_ type: String) { self.type = type }

  public var description: String {
    "a value is no \(type): the keyspace was written with values of another type"
  }
}
