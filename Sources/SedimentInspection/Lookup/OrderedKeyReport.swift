// What a state or checkpoint holds of a key of an ordered keyspace, and where that was looked for;
// read beside whoever writes it.

public import SedimentIO
public import SedimentStore

/// What an ordered keyspace holds of one key.
///
/// ```swift
/// let report = try OrderedKeyReport(of: Array("stone".utf8), in: "words", at: "state")
/// print(report.text(explains: true), terminator: "")
/// ```
public struct OrderedKeyReport: Sendable {
  /// What a read of the key finds.
  public enum Finding: Sendable, Equatable {
    case absent
    case value(InspectedVersion, file: String)
    /// A value that has expired, which is as good as none.
    case expired(InspectedVersion, file: String)
    case removed(InspectedVersion, file: String)
    /// A value that the keyspace's merge operator made; the last of its operands is given.
    case merged(value: [UInt8], InspectedVersion, file: String)
    /// An operand of the program's merge operator, which alone makes a value of it.
    case operand(InspectedVersion, file: String)
  }

  public var key: [UInt8]
  public var keyspace: String
  /// What counts.
  public var finding: Finding
  /// Where the key was looked for, the newest place first, and all that was found there.
  public var steps: [LookupStep]

  /// Looks for a key.
  ///
  /// - Parameter keyspace: may be `nil` where there is only one.
  /// - Throws: `notFound` without such a state or keyspace; `invalidArgument` when it is a hashed
  ///   one; `corrupted` …
  public init(
    of key: [UInt8], in keyspace: String? = nil, at path: String, clock: any Clock = SystemClock(),
    fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) {
    let store = try ReadOnlyStore.open(at: path, fileSystem: fileSystem)
    self.key = key
    self.keyspace = try KeyspaceChoice(keyspace, of: store).orderedName
    steps = try store.explain(key, in: self.keyspace)
    finding = Self.finding(steps, nowMillis: clock.nowMillis())
    if case .operand(let version, let file) = finding {
      do {
        let value = try store.get(key, in: self.keyspace, clock: clock)
        // Operands that have all expired, on top of nothing, are none.
        finding =
          value.map { .merged(value: $0, version, file: file) }
          ?? (version.expiry == nil ? .absent : .expired(version, file: file))
      } catch  where error.code == .mergeFailed {
        // An operator of the program's.
      }
    }
  }

  /// The newest version decides, or a removal of a range that is newer.
  private static func finding(_ steps: [LookupStep], nowMillis: Int64) -> Finding {
    let found = steps.flatMap { step in step.versions.map { (step.source.place, $0) } }
    let removal = found.filter { $0.1.kind == .removeRange }.max { $0.1.sequence < $1.1.sequence }
    guard let (file, version) = found.first(where: { $0.1.kind != .removeRange }) else {
      return removal.map { .removed($0.1, file: $0.0) } ?? .absent
    }
    if let removal, removal.1.sequence > version.sequence {
      return .removed(removal.1, file: removal.0)
    }
    switch version.kind {
    case .remove, .removeRange: return .removed(version, file: file)
    case .merge: return .operand(version, file: file)
    case .put:
      if let expiry = version.expiry, expiry <= nowMillis { return .expired(version, file: file) }
      return .value(version, file: file)
    }
  }
}

extension LookupStep.Source {
  /// The file, or the level.
  var place: String {
    switch self {
    case .log(let name), .table(let name, _): name
    case .rangeRemovals: "the manifest"
    case .level(let level): "level \(level)"
    }
  }

  /// `nil` for what is no table.
  var level: Int? {
    switch self {
    case .log, .rangeRemovals: nil
    case .table(_, let level), .level(let level): level
    }
  }
}
