import SedimentStore
import Synchronization

/// A key and its value.
struct ReadOnlyEntry: Hashable {
  var key: [UInt8]
  var value: [UInt8]
}

/// What a cursor shows, and how a keyspace that is read only differs from a model.
enum ReadOnlyEntries {
  /// All entries of a cursor, in order or back.
  static func all(
    of cursor: consuming EntryCursor, goingBack: Bool = false
  ) throws -> [ReadOnlyEntry] {
    if goingBack { try cursor.seekToLast() } else { try cursor.seekToFirst() }
    return try rest(of: cursor, goingBack: goingBack)
  }

  /// The entry a cursor is at, and those that follow.
  static func rest(
    of cursor: consuming EntryCursor, goingBack: Bool = false
  ) throws -> [ReadOnlyEntry] {
    var found: [ReadOnlyEntry] = []
    while cursor.isValid {
      found.append(ReadOnlyEntry(key: cursor.keyBytes, value: cursor.valueBytes))
      if goingBack { try cursor.movePrevious() } else { try cursor.moveNext() }
    }
    return found
  }

  /// How a keyspace differs from a model: by its cursors in both directions, within two bounds and
  /// a prefix, and by single reads; `nil` when it does not.
  static func difference(
    _ keyspace: ReadOnlyKeyspace, _ model: OrderedScript.Model, _ bounds: [[UInt8]]
  ) throws -> String? {
    let entries = model.map { ReadOnlyEntry(key: $0, value: $1) }
      .sorted { $0.key.lexicographicallyPrecedes($1.key) }
    if try all(of: keyspace.cursor()) != entries { return "all entries" }
    if try all(of: keyspace.cursor(), goingBack: true) != entries.reversed() { return "going back" }
    let within = entries.filter {
      !$0.key.lexicographicallyPrecedes(bounds[0]) && $0.key.lexicographicallyPrecedes(bounds[1])
    }
    for goingBack in [false, true] {
      let found = try all(of: keyspace.cursor(from: bounds[0], to: bounds[1]), goingBack: goingBack)
      if found != (goingBack ? within.reversed() : within) { return "between \(bounds)" }
    }
    let prefix = Array(bounds[1].prefix(2))
    let beginning = entries.filter { $0.key.starts(with: prefix) }
    if try all(of: keyspace.cursor(prefix: prefix)) != beginning { return "prefix \(prefix)" }
    for key in bounds + model.keys where try keyspace.get(key) != model[key] {
      return "reading \(key)"
    }
    return nil
  }
}

/// Counts calls.
final class CallCounter: Sendable {
  private let count = Mutex(0)

  /// How many calls came before.
  func next() -> Int {
    count.withLock { count in
      defer { count += 1 }
      return count
    }
  }
}
