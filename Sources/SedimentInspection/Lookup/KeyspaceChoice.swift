public import SedimentStore

/// The keyspace that is meant by a name, or by none where there is only one.
public struct KeyspaceChoice: Sendable, Equatable {
  public var name: String
  /// Whether it is ordered; hashed otherwise.
  public var isOrdered: Bool

  /// Finds the keyspace.
  ///
  /// - Throws: `notFound` when there is none of that name, or none at all; `invalidArgument` when
  ///   one of several must be named.
  public init(_ name: String?, of store: ReadOnlyStore) throws(StoreError) {
    let names = store.keyspaceNames
    guard !names.isEmpty else {
      throw StoreError(.notFound, "\(store.path) has no keyspaces")
    }
    let list = names.joined(separator: ", ")
    if let name, !names.contains(name) {
      throw StoreError(.notFound, "\(store.path) has no keyspace \(name), only \(list)")
    }
    guard let found = name ?? (names.count == 1 ? names.first : nil) else {
      throw StoreError(.invalidArgument, "\(store.path) has several keyspaces: name one of \(list)")
    }
    self.name = found
    isOrdered = store.orderedKeyspaceNames.contains(found)
  }

  /// The name of a hashed keyspace.
  ///
  /// - Throws: `invalidArgument` when it is an ordered one.
  var hashedName: String {
    get throws(StoreError) {
      guard !isOrdered else {
        throw StoreError(.invalidArgument, "keyspace \(name) is an ordered one, not a hashed one")
      }
      return name
    }
  }

  /// The name of an ordered keyspace.
  ///
  /// - Throws: `invalidArgument` when it is a hashed one.
  public var orderedName: String {
    get throws(StoreError) {
      guard isOrdered else {
        throw StoreError(
          .invalidArgument,
          "keyspace \(name) is a hashed one, whose keys have no order: its keys are looked up one "
            + "by one")
      }
      return name
    }
  }
}
