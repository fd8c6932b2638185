import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Row 12 of the fault matrix: tables of ordered keyspaces whose checksums hold, but whose numbers
/// were made up to hurt the reader.
@Suite("Crafted tables of ordered keyspaces")
struct CraftedOrderedTableTests {
  private typealias Entry = CraftedOrderedTable.Entry
  private typealias Block = CraftedOrderedTable.Block

  private static let hostile: [UInt64] = [
    0, 1, 3, 4095, 4096, 1 << 16, 1 << 31, 1 << 32, 1 << 40, 1 << 62, 1 << 63, .max - 4, .max,
  ]
  private static let table = Result {
    try OrderedTestTable(OrderedShape(count: 400, valueLengths: 0...60))
  }
  private static let plain = Result {
    try OrderedTestTable(OrderedShape(count: 400, valueLengths: 0...60, compression: .none))
  }

  /// Opens a table and reads it in every way. Damage that is told, or the refusal of a version,
  /// and nothing else may come of it.
  ///
  /// - Returns: the damage that reading all of it in order found first.
  @discardableResult
  private static func exercise(
    _ crafted: CraftedOrderedTable, of table: OrderedTestTable
  ) throws -> Corruption? {
    let directory = try table.replaced(by: crafted.bytes)
    let reader: OrderedTableReader
    do {
      reader = try OrderedTableReader(directory: directory, metadata: crafted.metadata)
    } catch let error as Corruption {
      return error
    } catch let error as UnsupportedFormat {
      #expect(error.version != 1 && error.supported == 1)
      return Corruption(file: error.file, offset: 0, what: "version", expected: "1", found: "")
    }
    let damage = try scan(reader)
    try search(reader, for: table.entries)
    do { try reader.verify(seed: OrderedTestTable.seed) } catch is Corruption {}
    return damage
  }

  /// Reads all entries in order and back.
  private static func scan(_ reader: OrderedTableReader) throws -> Corruption? {
    var damage: Corruption?
    var cursor = OrderedTableCursor(reader, cache: nil)
    do {
      var byteCount = 0
      try cursor.seekToFirst()
      while cursor.isValid {
        byteCount += unsafe cursor.key.count + cursor.value.count
        try cursor.moveNext()
      }
      #expect(byteCount >= 0)
    } catch let error as Corruption { damage = error }
    do {
      try cursor.seekToLast()
      while cursor.isValid { try cursor.movePrevious() }
    } catch is Corruption {}
    return damage
  }

  private static func search(_ reader: OrderedTableReader, for entries: [OrderedEntry]) throws {
    var cursor = OrderedTableCursor(reader, cache: try PageCache(byteBudget: 1 << 16))
    for index in stride(from: 0, to: entries.count, by: 16) {
      let (key, tag) = (entries[index].key, entries[index].tag)
      do {
        try unsafe key.withBytes { try unsafe cursor.seek($0, tag: tag) }
      } catch is Corruption {}
      do {
        try unsafe key.withBytes { try unsafe cursor.seekBefore($0, tag: tag) }
      } catch is Corruption {}
    }
  }

  @Test("hostile numbers in any field of the footer are refused or harmless")
  func hostileFooter() throws {
    let table = try Self.table.get()
    let whole = try CraftedOrderedTable(table)
    for field in stride(from: 8, to: 104, by: 8) {
      let original = whole.bytes.word(at: whole.footer + field)
      for value in Self.hostile + [original &+ 1, original &- 1, original &+ 4096] {
        var crafted = whole
        crafted.bytes.put(value, bytes: 8, at: whole.footer + field)
        crafted.sealFooter()
        let damage = try Self.exercise(crafted, of: table)
        // Counts, places and lengths are all told.
        if value != original && (24..<88).contains(field) {
          #expect(damage != nil, "field \(field), \(value)")
        }
      }
    }
  }

  @Test("hostile numbers in the index are refused, or lead nowhere outside")
  func hostileIndex() throws {
    let table = try Self.table.get()
    let whole = try CraftedOrderedTable(table)
    #expect(whole.blocks.count >= 3)
    // All of its numbers, and the first of the separators' bytes.
    let end = 8 + 8 * (whole.blocks.count + 1) + 8
    for place in stride(from: 0, to: min(end, whole.indexBytes - 4), by: 4) {
      let original = whole.bytes.word(at: whole.indexOffset + place) & 0xFFFF_FFFF
      for value in Self.hostile + [original &+ 1, original &- 1, original | 1 << 31] {
        var crafted = whole
        crafted.bytes.put(value, bytes: 4, at: whole.indexOffset + place)
        crafted.sealIndex()
        try Self.exercise(crafted, of: table)
      }
    }
  }

  @Test("an index of more blocks than it has bytes for is refused")
  func countsBeyondTheIndex() throws {
    let table = try Self.table.get()
    let whole = try CraftedOrderedTable(table)
    for count in [0, UInt64(whole.blocks.count) + 1, 1 << 20, 1 << 29, 1 << 31, 0xFFFF_FFFF] {
      var crafted = whole
      crafted.bytes.put(count, bytes: 4, at: whole.indexOffset)
      crafted.sealIndex()
      #expect(try Self.exercise(crafted, of: table)?.what == "index", "\(count) blocks")
    }
  }

  @Test("hostile sizes and codecs of a block are refused before memory is taken")
  func hostileFrames() throws {
    for table in [try Self.table.get(), try Self.plain.get()] {
      let whole = try CraftedOrderedTable(table)
      let block = whole.blocks[0]
      let original = whole.bytes.word(at: block.lowerBound + 8)
      for value in Self.hostile + [(64 << 20) + (1 << 17), original &+ 1, original &- 1] {
        for (offset, count) in [(8, 4), (12, 1)] {
          var crafted = whole
          crafted.bytes.put(value, bytes: count, at: block.lowerBound + offset)
          let isChanged = crafted.bytes != whole.bytes
          crafted.sealBlock(block)
          let damage = try Self.exercise(crafted, of: table)
          #expect(!isChanged || damage?.what == "block", "\(value) at \(offset)")
        }
      }
    }
  }

  @Test("any bytes in a block whose checksum holds stay inside the block")
  func randomBlocks() throws {
    var generator = SeededGenerator(seed: 6)
    for table in [try Self.table.get(), try Self.plain.get()] {
      let whole = try CraftedOrderedTable(table)
      let block = whole.blocks[0]
      let content = (block.lowerBound + CraftedOrderedTable.frameBytes)..<block.upperBound
      for round in 0..<400 {
        var crafted = whole
        // Mostly few bytes, and mostly of what stands in front.
        for _ in 0..<Int.random(in: 1...(round % 4 == 0 ? 40 : 3), using: &generator) {
          let end = Bool.random(using: &generator) ? content.upperBound : content.lowerBound + 40
          crafted.bytes[Int.random(in: content.lowerBound..<end, using: &generator)] =
            UInt8.random(in: 0...255, using: &generator)
        }
        crafted.sealBlock(block)
        try Self.exercise(crafted, of: table)
      }
    }
  }

  // MARK: - Entries

  private static func damage(of blocks: [Block]) throws -> Corruption? {
    let table = try Self.table.get()
    var crafted = try CraftedOrderedTable(table)
    crafted.replaceBlocks(blocks)
    return try exercise(crafted, of: table)
  }

  private static let good: [Entry] = [
    Entry(rest: 2, value: 1, bytes: [97, 98, 1]), Entry(shared: 2, rest: 1, bytes: [99]),
  ]

  @Test("a block that was made up is read when it is one")
  func goodBlock() throws {
    let table = try Self.table.get()
    var crafted = try CraftedOrderedTable(table)
    crafted.replaceBlocks([Block(CraftedOrderedTable.block(Self.good))])
    let reader = try OrderedTableReader(
      directory: try table.replaced(by: crafted.bytes), metadata: crafted.metadata)
    var cursor = OrderedTableCursor(reader, cache: nil)
    let entries = try cursor.drain()
    #expect(entries.map(\.key) == [[97, 98], [97, 98, 99]] && entries.map(\.value) == [[1], []])
    // It is not what the manifest says.
    #expect(throws: Corruption.self) { try reader.verify() }
  }

  private static let hostileEntries: [(what: String, entries: [Entry])] = [
    ("a key of 2⁶⁴-1 bytes", [Entry(rest: .max, bytes: [97])]),
    ("a key of 2³² bytes", [Entry(rest: 1 << 32, bytes: [97])]),
    ("a key and a value that wrap 64 bits", [Entry(rest: .max - 3, value: 8, bytes: [97, 98])]),
    ("a value that wraps 64 bits", [Entry(rest: 1, value: .max, bytes: [97])]),
    ("a value of 2³² bytes", [Entry(rest: 1, value: 1 << 32, bytes: [97])]),
    ("a value a byte too long", [Entry(rest: 1, value: 1, bytes: [97])]),
    ("a byte behind it", [Entry(rest: 1, bytes: [97, 98])]),
    (
      "what is shared and the rest wrap 64 bits",
      [good[0], Entry(shared: .max, rest: 2, bytes: [99, 100])]
    ),
    (
      "what is shared and the rest wrap 32 bits",
      [good[0], Entry(shared: 0xFFFF_FFFF, rest: 2, bytes: [99, 100])]
    ),
    (
      "what is shared and the value wrap 32 bits",
      [good[0], Entry(shared: 0xFFFF_FFFE, rest: 1, value: 3, bytes: [99, 1, 2, 3])]
    ),
    ("more shared than there is", [good[0], Entry(shared: 3, rest: 1, bytes: [99])]),
    ("a first key that shares", [Entry(shared: 1, rest: 1, bytes: [99])]),
    (
      "a restart that shares",
      (0..<17).map { Entry(shared: $0 == 0 ? 0 : 1, rest: 1, bytes: [97 + UInt8($0)]) }
    ),
    ("a key of 65,537 bytes", [Entry(rest: 65_537, bytes: Array(repeating: 97, count: 65_537))]),
    ("a kind of 7", [Entry(rest: 1, tag: 7, bytes: [97])]),
    ("a time of 7 bytes", [Entry(rest: 1, value: 7, tag: 8, bytes: Array(repeating: 1, count: 8))]),
    ("no entries", []),
  ]

  @Test("lengths in entries that wrap, or lead outside the block, are told")
  func hostileLengths() throws {
    for (what, entries) in Self.hostileEntries {
      let damage = try Self.damage(of: [Block(CraftedOrderedTable.block(entries))])
      #expect(damage?.what == "block", "\(what)")
    }
  }

  @Test("hostile counts and places in a block's head are told")
  func hostileHeads() throws {
    let good = CraftedOrderedTable.block(Self.good)
    for (offset, count) in [(0, 4), (4, 2), (6, 2), (good.count - 2, 2)] {
      let original = good.word(at: offset, bytes: count)
      for value in Self.hostile + [original &+ 1, original &- 1, UInt64(good.count)] {
        var bytes = good
        bytes.put(value, bytes: count, at: offset)
        if bytes == good { continue }
        #expect(
          try Self.damage(of: [Block(bytes)])?.what == "block", "\(value) at \(offset) of a block")
      }
    }
    for count in 0..<good.count {
      #expect(try Self.damage(of: [Block(Array(good[..<count]))]) != nil, "\(count) bytes")
    }
  }

  @Test("several entries in more than 4096 bytes are told")
  func longBlock() throws {
    let value = [UInt8](repeating: 0, count: 5_000)
    let entry = Entry(rest: 1, value: 5_000, bytes: [97] + value)
    #expect(try Self.damage(of: [Block(CraftedOrderedTable.block([entry]))]) == nil)
    let two = [entry, Entry(rest: 1, bytes: [98])]
    #expect(try Self.damage(of: [Block(CraftedOrderedTable.block(two))])?.what == "block")
  }

  @Test("blocks that become large are bounded by what LZ4 can make, and by what a block may be")
  func bombs() throws {
    for count in [5_000, 1 << 20, 16 << 20] {
      let payload = CraftedOrderedTable.zeros(count)
      let said: [Int] = [count, count - 1, count + 1, 255 * payload.count, 256 * payload.count]
      for size in said + [65 << 20, 0x7FFF_FFFF, 0xFFFF_FFFF] {
        let block = Block(payload, blockBytes: UInt64(size), codec: .lz4)
        #expect(try Self.damage(of: [block])?.what == "block", "\(count) zeros, said to be \(size)")
      }
    }
    // No zeros: one entry that is large in truth.
    let value = [UInt8](repeating: 0, count: 1 << 20)
    let entry = Entry(rest: 1, value: 1 << 20, bytes: [97] + value)
    let whole = CraftedOrderedTable.block([entry])
    #expect(try Self.damage(of: [Block(whole)]) == nil)
    // Its frame may not say that it is compressed.
    #expect(try Self.damage(of: [Block(whole, codec: .lz4)])?.what == "block")
  }

  @Test("many blocks that are each the same bytes elsewhere are told")
  func copiedBlocks() throws {
    let table = try Self.table.get()
    var crafted = try CraftedOrderedTable(table)
    let block = Block(CraftedOrderedTable.block(Self.good))
    crafted.replaceBlocks([block, block, block])
    #expect(try Self.exercise(crafted, of: table) == nil, "each has a checksum of its own place")
    let first = crafted.blocks[0]
    let second = crafted.blocks[1]
    crafted.bytes.replaceSubrange(second, with: crafted.bytes[first])
    #expect(try Self.exercise(crafted, of: table)?.what == "block")
  }
}
