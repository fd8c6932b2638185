/// One field of a composite key, as a program has it.
///
/// Numbers are equal by value across the cases: `.int(1)`, `.uint(1)` and `.double(1.0)` make the
/// same key. A double stands for its exact value, so `.double(0.1)` is not the number that a JSON
/// record writes as `0.1`.
public enum KeyValue: Sendable, Hashable {
  case null
  case bool(Bool)
  case int(Int64)
  case uint(UInt64)
  case double(Double)
  case string(String)
}

extension KeyValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(stringLiteral value: String) { self = .string(value) }
}

/// A key of one or more fields in its canonical encoding.
///
///     let key = CompositeKey(4711, 1_700_000_000_123, "request-1")
///     key == CompositeKey(4711.0, 1_700_000_000_123, "request-1")  // true: numbers go by value
///     CompositeKey("ab", "c") == CompositeKey("a", "bc")  // false: every field has its length
public struct CompositeKey: Sendable, Hashable {
  /// The encoding; what the store hashes and, in exact mode, keeps.
  public let bytes: [UInt8]

  public init(_ fields: KeyValue...) {
    self.init(fields)
  }

  public init(_ fields: [KeyValue]) {
    var encoder = KeyEncoder()
    for field in fields { encoder.append(field) }
    bytes = encoder.bytes
  }
}

extension CompositeKey: CustomStringConvertible {
  /// The fields as a JSON array.
  public var description: String { KeyDescription.describe(bytes) }
}

/// Builds the encoding of a key field by field, for callers with fields of their own types.
///
/// The bytes may grow beyond the 64 KiB that a store takes; the store then refuses the key.
public struct KeyEncoder: Sendable {
  /// The fields appended so far.
  public private(set) var bytes: [UInt8] = []

  public init() {}

  /// Forgets all fields and keeps the memory.
  public mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
  }

  public mutating func append(_ field: KeyValue) {
    switch field {
    case .string(var text):
      text.withUTF8 { utf8 in unsafe appendString(utf8) }
    default:
      unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { memory in
        guard let base = memory.baseAddress else { return }
        var writer = unsafe KeyWriter(base, capacity: memory.count)
        switch field {
        case .null: writer.appendNull()
        case .bool(let value): writer.append(value)
        case .int(let value): writer.append(value)
        case .uint(let value): writer.append(value)
        case .double(let value): writer.append(value)
        case .string: break
        }
        unsafe bytes.append(contentsOf: memory[0..<writer.count])
      }
    }
  }

  private mutating func appendString(_ utf8: UnsafeBufferPointer<UInt8>) {
    bytes.append(KeyTag.string.rawValue)
    var rest = UInt(bitPattern: utf8.count)
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
    unsafe bytes.append(contentsOf: utf8)
  }
}
