/// The shape of a keyspace's entries: everything that is the same for all of them.
public struct EntryLayout: Sendable, Hashable {
  /// The widest value, in bytes.
  public static let valueWidthMax: UInt8 = 64
  /// The longest key, in bytes.
  public static let keyBytesMax = KeyBatch.keyBytesMax

  /// Whether an entry carries its key; otherwise the 128-bit hash stands for it.
  public let isExact: Bool
  /// Bytes of value in every entry, 0 to `valueWidthMax`.
  public let valueWidth: UInt8

  /// - Precondition: `valueWidth` ≤ `valueWidthMax`.
  public init(isExact: Bool, valueWidth: UInt8) {
    precondition(valueWidth <= Self.valueWidthMax, "a value has at most 64 bytes")
    self.isExact = isExact
    self.valueWidth = valueWidth
  }

  /// Bytes of an entry in a table at most, its key left out.
  package var fixedEntryBytes: Int { 16 + 8 + 1 + Int(valueWidth) + (isExact ? 4 : 0) }
}
