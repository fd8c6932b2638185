// A large merge by several threads: each takes parts of the keys, with a cursor and tables of its
// own for each.
//
// Parts are cut where tables begin, so that each has about as many bytes. The thread that began the
// merge takes one part after the other, and so does any background thread that has nothing else to
// do: with none the merge is done by one thread as ever. All versions of a key lie in one part, so
// parts need to know nothing of each other.
//
// Concurrency: who has which part, and what came of it, is guarded by the store's monitor.

internal import SedimentIO

/// A range of keys, of which one thread merges what there is.
package struct MergePart: Sendable {
  /// The first key; `nil` for the first there is.
  package var start: [UInt8]?
  /// Behind the last key; `nil` for the end.
  package var end: [UInt8]?

  /// All keys.
  static let all = MergePart()

  /// Goes to the first entry in it.
  func seek(_ cursor: inout OrderedMergeCursor) throws {
    guard let start else { return try cursor.seekToFirst() }
    let newest = EntryTag.newest(at: EntryTag.sequenceMax)
    try unsafe start.span.bytes.withUnsafeBytes { try unsafe cursor.seek($0, tag: newest) }
  }

  /// Cuts the keys of tables where tables begin, into parts of about as many bytes.
  ///
  /// - Returns: as many parts at the most, in order of keys.
  package static func cut(_ tables: [OrderedTableMetadata], into count: Int) -> [MergePart] {
    let sorted = tables.sorted { $0.smallestKey.lexicographicallyPrecedes($1.smallestKey) }
    let total = tables.reduce(0) { $0 + $1.fileBytes }
    var parts = [MergePart()]
    var bytes: UInt64 = 0
    for (before, table) in zip(sorted, sorted.dropFirst()) {
      bytes += before.fileBytes
      guard parts.count < count, bytes * UInt64(count) >= total * UInt64(parts.count),
        (parts.last?.start ?? sorted[0].smallestKey).lexicographicallyPrecedes(table.smallestKey)
      else { continue }
      parts[parts.count - 1].end = table.smallestKey
      parts.append(MergePart(start: table.smallestKey))
    }
    return parts
  }
}

/// The parts of one merge, and what came of them.
///
/// @unchecked because what changes is guarded by the store's monitor.
final class PartedMerge: @unchecked Sendable {
  private let store: StoreCore
  private let count: Int
  private let body: (Int) throws -> [OpenOrderedTable]
  private var nextPart = 0
  private var runningCount = 0
  private var outputs: [[OpenOrderedTable]]
  private var failure: (any Error)?

  /// - Parameter body: writes the tables of a part; called by several threads, and on one thread
  ///   for each part.
  init(_ store: StoreCore, count: Int, _ body: @escaping (Int) throws -> [OpenOrderedTable]) {
    self.store = store
    self.count = count
    self.body = body
    outputs = Array(repeating: [], count: count)
  }

  /// Takes a part that nobody has; `nil` when there is none. The caller holds the monitor.
  func claim() -> Int? {
    guard nextPart < count, failure == nil else { return nil }
    defer { nextPart += 1 }
    runningCount += 1
    return nextPart
  }

  /// Does a part that was claimed.
  func perform(_ index: Int) {
    let outcome = Result { try body(index) }
    store.monitor.withLock {
      runningCount -= 1
      switch outcome {
      case .success(let tables): outputs[index] = tables
      case .failure(let error): failure = failure ?? error
      }
      store.monitor.broadcast()
    }
  }

  /// Takes parts until there are none, and waits for those that others have.
  ///
  /// - Returns: the tables of all parts, in order of keys.
  /// - Throws: what a part failed with; the tables of the others are gone.
  func finish() throws -> [OpenOrderedTable] {
    while let index = store.monitor.withLock({ claim() }) { perform(index) }
    store.monitor.withLock {
      while runningCount > 0 { store.monitor.wait() }
    }
    let tables = outputs.flatMap(\.self)
    if let failure {
      store.giveUp(tables.map(\.reader.metadata.number))
      throw failure
    }
    return tables
  }
}

extension StoreCore {
  /// Writes what becomes of tables, in parts where they are large.
  ///
  /// - Parameter write: writes a part, of how many; called by several threads.
  func writeInParts(
    _ tables: [OrderedTableMetadata], into level: Int,
    _ write: @escaping (MergePart, _ count: Int) throws -> [OpenOrderedTable]
  ) throws -> [OpenOrderedTable] {
    let bytes = tables.reduce(0) { $0 + $1.fileBytes }
    let wanted = bytes / options.orderedPartBytes
    guard level > 0, wanted > 1 else { return try write(.all, 1) }
    let parts = MergePart.cut(tables, into: Int(wanted))
    guard parts.count > 1 else { return try write(.all, 1) }
    let merge = PartedMerge(self, count: parts.count) { try write(parts[$0], parts.count) }
    monitor.withLock {
      partedMerges.append(merge)
      monitor.broadcast()
    }
    defer { monitor.withLock { partedMerges.removeAll { $0 === merge } } }
    return try merge.finish()
  }
}
