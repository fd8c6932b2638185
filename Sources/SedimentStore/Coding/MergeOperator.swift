/// How the operands that `OrderedKeyspace.merge` writes become the value of their key.
///
/// A merge writes an operand without reading anything; the operator is asked when the key is read,
/// and when tables are written. So it must give the same answer whenever it is asked, and must not
/// call the store.
///
/// ```swift
/// let options = OrderedKeyspaceOptions(mergeOperator: .sum)
/// let clicks = try store.orderedKeyspace("clicks", options)
/// try clicks.merge(Array("home".utf8), MergeOperator.integer(1))
/// ```
///
/// The name is kept with the keyspace: it is opened with an operator of the same name again. Give
/// an operator that works differently another name. Two operators are equal if their names are.
public struct MergeOperator: Hashable, Sendable {
  /// Puts what `older` and `newer` give into `result`, which is empty.
  ///
  /// An error is no loss: operands are kept as they are, and a read of the key throws it.
  public typealias Combining =
    @Sendable (_ older: RawSpan, _ newer: RawSpan, _ result: inout [UInt8]) throws -> Void

  /// Puts what a value and an operand give into `result`, which is empty. The value is `nil` when
  /// the key has none.
  public typealias Applying =
    @Sendable (_ value: RawSpan?, _ operand: RawSpan, _ result: inout [UInt8]) throws -> Void

  /// The functions of an operator.
  private enum Body: Sendable {
    /// Only the name is known.
    case unknown
    case combining(Combining)
    case applying(Applying)
  }

  /// The name, 1 to 255 bytes of UTF-8.
  public let name: String
  private let body: Body
  private let isOwn: Bool

  /// An operator whose operands are values: the first is the value of a key that has none, and of
  /// two operands one can be made, in whatever order pairs are taken.
  ///
  /// - Parameter name: not beginning with `sediment.`, as those of this library do.
  public init(_ name: String, combining: @escaping Combining) {
    self.init(name, .combining(combining), isOwn: false)
  }

  /// An operator whose operands say how a value changes: one after the other.
  ///
  /// - Parameter name: not beginning with `sediment.`, as those of this library do.
  public init(_ name: String, applying: @escaping Applying) {
    self.init(name, .applying(applying), isOwn: false)
  }

  private init(_ name: String, _ body: Body, isOwn: Bool) {
    self.name = name
    self.body = body
    self.isOwn = isOwn
  }

  /// An operator of which the name was kept: one of this library, or one that is not known.
  package init(named name: String) {
    self = Self.own.first { $0.name == name } ?? MergeOperator(name, .unknown, isOwn: true)
  }

  /// Whether there is more than a name.
  package var isKnown: Bool {
    if case .unknown = body { false } else { true }
  }

  /// Whether the name is one that is kept for this library, and the operator a program's.
  package var takesReservedName: Bool {
    name.hasPrefix("sediment.") && !isOwn
  }

  /// Whether one operand can be made of two.
  package var combines: Bool {
    if case .combining = body { true } else { false }
  }

  public static func == (a: MergeOperator, b: MergeOperator) -> Bool { a.name == b.name }

  public func hash(into hasher: inout Hasher) { hasher.combine(name) }

  /// Puts what a value and an operand give into `result`, which is empty.
  package func apply(
    _ operand: RawSpan, to value: RawSpan?, into result: inout [UInt8]
  ) throws(MergeFailure) {
    do {
      switch body {
      case .unknown: throw MergeFailure.unknownOperator(name)
      case .applying(let apply): try apply(value, operand, &result)
      case .combining(let combine):
        if let value {
          try combine(value, operand, &result)
        } else {
          unsafe operand.withUnsafeBytes { unsafe result.append(contentsOf: $0) }
        }
      }
    } catch let failure as MergeFailure {
      throw failure
    } catch {
      throw .refused(operator: name, reason: "\(error)")
    }
  }
}

/// Why operands could not be merged.
public enum MergeFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// The keyspace was made with an operator of this name and opened without it.
  case unknownOperator(String)
  /// An operator threw an error.
  case refused(operator: String, reason: String)

  public var description: String {
    switch self {
    case .unknownOperator(let name):
      "the merge operator \"\(name)\" is not known: open the keyspace with it"
    case .refused(let name, let reason): "merge operator \"\(name)\": \(reason)"
    }
  }
}

// MARK: - Operators of this library

extension MergeOperator {
  /// Those of this library. Their names are on disk: never change one, or what it does.
  private static let own: [MergeOperator] = [.sum, .maximum, .minimum, .append]

  /// Adds integers of eight bytes, as `integer` makes them; wraps around.
  public static let sum = MergeOperator("sediment.sum", integers: { $0 &+ $1 })
  /// Keeps the largest of integers of eight bytes, as `integer` makes them.
  public static let maximum = MergeOperator("sediment.maximum", integers: { max($0, $1) })
  /// Keeps the smallest of integers of eight bytes, as `integer` makes them.
  public static let minimum = MergeOperator("sediment.minimum", integers: { min($0, $1) })
  /// Puts bytes behind those that are there.
  public static let append = MergeOperator(
    "sediment.append",
    .combining { older, newer, result in
      unsafe older.withUnsafeBytes { unsafe result.append(contentsOf: $0) }
      unsafe newer.withUnsafeBytes { unsafe result.append(contentsOf: $0) }
    }, isOwn: true)

  private init(
    _ name: String, integers: @escaping @Sendable (Int64, Int64) -> Int64
  ) {
    self.init(
      name,
      .combining { older, newer, result in
        result.append(
          contentsOf: Self.integer(integers(try Self.read(older, name), try Self.read(newer, name)))
        )
      }, isOwn: true)
  }

  /// The bytes of an integer, least first, for `sum`, `maximum` and `minimum`.
  public static func integer(_ value: Int64) -> [UInt8] {
    unsafe withUnsafeBytes(of: value.littleEndian) { unsafe Array($0) }
  }

  /// The integer of eight bytes, least first; `nil` when there are not eight.
  public static func integer(from bytes: [UInt8]) -> Int64? {
    unsafe try? read(bytes.span.bytes, "")
  }

  private static func read(_ bytes: RawSpan, _ name: String) throws(MergeFailure) -> Int64 {
    guard bytes.byteCount == 8 else {
      throw .refused(
        operator: name, reason: "an integer has 8 bytes, and this one \(bytes.byteCount)")
    }
    return unsafe bytes.withUnsafeBytes {
      unsafe Int64(littleEndian: $0.loadUnaligned(as: Int64.self))
    }
  }
}
