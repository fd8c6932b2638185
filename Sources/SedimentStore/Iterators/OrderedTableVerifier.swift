// Reads a table of an ordered keyspace from end to end and holds every part of it against the
// others.
//
// Checked: every checksum (all of the filter and all blocks), the order of entries, that the index
// leads to each block by its first key, that counts, keys and sequence numbers are those of the
// manifest, and, where the seed is known, that the filter excludes no key.

internal import SedimentIO

extension OrderedTableReader {
  /// Checks all of the table. Throws the first `Corruption`, or `FileError`.
  ///
  /// Costs a read of the file and, for the time it takes, memory for the whole filter.
  package func verify(seed: HashSeed? = nil) throws {
    let filter = try loadWholeFilter()
    let buffer = BlockBuffer()
    var verification = OrderedTableVerification(table: self)
    for index in 0..<blockCount {
      let block = try readBlock(index, into: buffer)
      try verification.check(block, at: index)
    }
    try verification.checkTotals()
    if let seed {
      try verification.checkFilter(filter.probe, hasher: KeyHasher(seed: seed), buffer)
    }
    withExtendedLifetime(filter) {}
  }
}

/// What was seen of a table so far.
private struct OrderedTableVerification: ~Copyable {
  let table: OrderedTableReader
  private var cursor = BlockCursor()
  private var entryCount: UInt64 = 0
  private var otherCount: UInt64 = 0
  private var smallestSequence = UInt64.max
  private var largestSequence: UInt64 = 0
  private var lastKey: [UInt8] = []
  private var lastTag = EntryTag(word: 0)

  init(table: OrderedTableReader) { self.table = table }

  /// Checks a block, whose checksum and lengths hold.
  mutating func check(_ block: BlockView, at index: Int) throws {
    cursor.enter(block)
    cursor.seekToFirst()
    let first = unsafe table.index.block(of: cursor.key)
    guard first == index || (first < index && table.index.isContinued(into: index)) else {
      throw table.flaw(inBlock: index, "the index leads to block \(first) for its first key")
    }
    while cursor.isValid {
      let key = unsafe Array(cursor.key)
      let tag = cursor.tag
      let isBehind =
        lastKey.lexicographicallyPrecedes(key) || (key == lastKey && tag < lastTag)
      guard entryCount == 0 || isBehind else {
        throw table.flaw(inBlock: index, "entries out of order")
      }
      if entryCount == 0, key != table.metadata.smallestKey {
        throw table.flaw(inBlock: index, "another first key than the manifest's")
      }
      smallestSequence = min(smallestSequence, tag.sequence)
      largestSequence = max(largestSequence, tag.sequence)
      if tag.kind != .put { otherCount += 1 }
      entryCount += 1
      lastKey = key
      lastTag = tag
      cursor.moveNext()
    }
  }

  func checkTotals() throws {
    let metadata = table.metadata
    guard entryCount == metadata.entryCount, otherCount == metadata.otherCount else {
      throw table.flaw("entry count", "\(entryCount), of which \(otherCount) are no puts")
    }
    guard lastKey == metadata.largestKey else {
      throw table.flaw("largest key", "another in the blocks")
    }
    guard smallestSequence...largestSequence == metadata.sequencesInFile else {
      throw table.flaw("sequence numbers", "from \(smallestSequence) to \(largestSequence)")
    }
  }

  mutating func checkFilter(
    _ filter: FilterProbe, hasher: KeyHasher, _ buffer: BlockBuffer
  ) throws {
    for index in 0..<table.blockCount {
      cursor.enter(try table.readBlock(index, into: buffer))
      cursor.seekToFirst()
      while cursor.isValid {
        guard filter.mayContain(unsafe hasher.hash(cursor.key)) else {
          throw table.flaw(inBlock: index, "a key is not in the filter")
        }
        cursor.moveNext()
      }
    }
  }
}
