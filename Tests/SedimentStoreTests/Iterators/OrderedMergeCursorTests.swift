import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Merging sources of an ordered keyspace")
struct OrderedMergeCursorTests {
  /// Entries dealt to two memtables, a table and a level of three tables.
  private struct Scene {
    var entries: [OrderedEntry]
    var memtables: [OrderedMemtable] = []
    var tables: [OrderedTableReader] = []
    var level: [OrderedTableReader] = []

    init(_ shape: OrderedShape, seed: UInt64) throws {
      entries = shape.entries(seed: seed)
      var generator = SeededGenerator(seed: seed)
      var parts: [[OrderedEntry]] = [[], [], [], []]
      for entry in entries { parts[Int.random(in: 0..<4, using: &generator)].append(entry) }
      for part in parts[..<2] {
        let memtable = try OrderedMemtable(byteCount: 1 << 20, seed: 3)
        for entry in part {
          let isIn = unsafe entry.withBytes {
            unsafe memtable.insert(key: $0, tag: entry.tag, value: $1)
          }
          #expect(isIn)
        }
        memtables.append(memtable)
      }
      if !parts[2].isEmpty { tables = [try OrderedTestTable(parts[2], .lz4, fileID: 1).open()] }
      // Tables of a level meet between keys.
      var start = 0
      while start < parts[3].count {
        var end = min(start + parts[3].count / 3 + 1, parts[3].count)
        while end < parts[3].count, parts[3][end].key == parts[3][end - 1].key { end += 1 }
        let table = try OrderedTestTable(
          Array(parts[3][start..<end]), .none, fileID: UInt64(10 + level.count))
        level.append(try table.open())
        start = end
      }
    }

    func cursor(_ cache: PageCache?) -> OrderedMergeCursor {
      var merge = OrderedMergeCursor(capacity: 4)
      for memtable in memtables { merge.add(OrderedSource(OrderedMemtableCursor(memtable))) }
      merge.add(OrderedSource(OrderedLevelCursor(tables, cache: cache)))
      merge.add(OrderedSource(OrderedLevelCursor(level, cache: cache)))
      return merge
    }
  }

  private static let shapes = [
    OrderedShape(count: 3, versions: 0), OrderedShape(count: 900),
    OrderedShape(count: 700, keyLengths: 8...30, alphabet: [97, 98], versions: 60),
  ]

  @Test(arguments: 0..<3, 1..<5 as Range<UInt64>)
  func aWalkGoesWhereOneThroughAListGoes(shape: Int, seed: UInt64) throws {
    let scene = try Scene(Self.shapes[shape], seed: seed)
    let entries = scene.entries
    var cursor = scene.cursor(try PageCache(byteBudget: 1 << 18))
    var generator = SeededGenerator(seed: seed)
    var place = -1
    for _ in 0..<4_000 {
      switch Int.random(in: 0..<12, using: &generator) {
      case 0:
        try cursor.seekToFirst()
        place = 0
      case 1:
        try cursor.seekToLast()
        place = entries.count - 1
      case 2, 3:
        guard let entry = entries.randomElement(using: &generator) else { continue }
        var key = entry.key
        if Bool.random(using: &generator) { key.append(97) }
        let tag = EntryTag.newest(at: .random(in: 0...UInt64(entries.count), using: &generator))
        let behind = entries.firstIndex { !$0.isBefore(key, tag) } ?? entries.count
        if Bool.random(using: &generator) {
          try unsafe key.withBytes { try unsafe cursor.seek($0, tag: tag) }
          place = behind
        } else {
          try unsafe key.withBytes { try unsafe cursor.seekBefore($0, tag: tag) }
          place = behind - 1
        }
      case 4...7:
        guard cursor.isValid else { continue }
        try cursor.moveNext()
        place += 1
      default:
        guard cursor.isValid else { continue }
        try cursor.movePrevious()
        place -= 1
      }
      try #require(cursor.isValid == entries.indices.contains(place))
      if cursor.isValid {
        let found = unsafe OrderedEntry(
          key: Array(cursor.key), tag: cursor.tag, value: Array(cursor.value))
        #expect(found == entries[place])
      }
    }
  }
}
