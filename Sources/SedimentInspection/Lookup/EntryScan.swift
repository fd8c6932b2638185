public import SedimentIO
public import SedimentStore

/// The entries of an ordered keyspace in the order of their keys, or back; read beside whoever
/// writes it.
///
/// ```swift
/// var range = EntryScan.Range()
/// range.prefix = Array("st".utf8)
/// try EntryScan(in: "words", at: "state").run(range, limit: 10) { entry in
///   print(entry.text)
/// }
/// ```
public struct EntryScan: Sendable {
  /// An entry as it is shown.
  public struct Entry: Sendable, Equatable {
    public var key: [UInt8]
    public var value: [UInt8]

    /// For people: key and value, each as text in quotes or hexadecimal.
    public var text: String { ByteText.shown(key) + "  " + ByteText.shown(value) }

    /// For programs. What is no UTF-8 is hexadecimal, under a name that ends with `_hex`.
    public var json: JSONValue {
      .object([.init("key", bytes: key), .init("value", bytes: value)])
    }
  }

  /// Which keys are shown; all, unless it says less.
  public struct Range: Sendable, Equatable {
    /// What keys begin with. Stands alone: the bounds count without it only.
    public var prefix: [UInt8]?
    /// The least key.
    public var lower: [UInt8]?
    /// Behind the greatest key.
    public var upper: [UInt8]?

    /// All keys.
    public init() {}
  }

  private let keyspace: ReadOnlyKeyspace

  /// Opens a keyspace as it is now.
  ///
  /// - Parameters:
  ///   - keyspace: may be `nil` where there is only one.
  ///   - memoryBudget: see `ReadOnlyStore.orderedKeyspace(_:)`.
  /// - Throws: `notFound` without such a state or keyspace; `invalidArgument` when it is a hashed
  ///   one, or the memory is too little; `corrupted` …
  public init(
    in keyspace: String? = nil, at path: String, memoryBudget: Int = 256 << 20,
    clock: any Clock = SystemClock(), fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) {
    let store = try ReadOnlyStore.open(at: path, fileSystem: fileSystem)
    let name = try KeyspaceChoice(keyspace, of: store).orderedName
    self.keyspace = try store.orderedKeyspace(name, memoryBudget: memoryBudget, clock: clock)
  }

  /// Shows entries one by one, in constant memory.
  ///
  /// - Parameter limit: how many at the most.
  /// - Throws: `corrupted`, `inputOutput`, and what `show` throws.
  public func run(
    _ range: Range = Range(), goingBack: Bool = false, limit: Int = .max,
    _ show: (Entry) throws -> Void
  ) throws {
    guard limit > 0 else { return }
    var cursor = cursor(range)
    var count = 0
    if goingBack { try cursor.seekToLast() } else { try cursor.seekToFirst() }
    while cursor.isValid {
      try show(Entry(key: cursor.keyBytes, value: cursor.valueBytes))
      count += 1
      if count == limit { return }
      if goingBack { try cursor.movePrevious() } else { try cursor.moveNext() }
    }
  }

  private func cursor(_ range: Range) -> EntryCursor {
    if let prefix = range.prefix { return keyspace.cursor(prefix: prefix) }
    return keyspace.cursor(from: range.lower, to: range.upper)
  }
}
