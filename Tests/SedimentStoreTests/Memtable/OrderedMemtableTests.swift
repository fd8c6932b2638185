import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Ordered memtable")
struct OrderedMemtableTests {
  private func fill(_ entries: [OrderedEntry], bytes: Int = 1 << 20) throws -> OrderedMemtable {
    let memtable = try OrderedMemtable(byteCount: bytes, seed: 5)
    for entry in entries {
      let isIn = unsafe entry.withBytes {
        unsafe memtable.insert(key: $0, tag: entry.tag, value: $1)
      }
      #expect(isIn)
    }
    return memtable
  }

  private func entry(at cursor: OrderedMemtableCursor) -> OrderedEntry {
    unsafe OrderedEntry(key: Array(cursor.key), tag: cursor.tag, value: Array(cursor.value))
  }

  @Test(arguments: 0..<8 as Range<UInt64>)
  func entriesComeInOrderHoweverTheyWereEntered(seed: UInt64) throws {
    let entries = OrderedShape(count: 800).entries(seed: seed)
    var generator = SeededGenerator(seed: seed)
    let memtable = try fill(seed == 0 ? entries : entries.shuffled(using: &generator))
    var cursor = OrderedMemtableCursor(memtable)
    var forward: [OrderedEntry] = []
    cursor.seekToFirst()
    while cursor.isValid {
      forward.append(entry(at: cursor))
      cursor.moveNext()
    }
    #expect(forward == entries)
    var back: [OrderedEntry] = []
    cursor.seekToLast()
    while cursor.isValid {
      back.append(entry(at: cursor))
      cursor.movePrevious()
    }
    #expect(back == entries.reversed())
    #expect(memtable.counters.entries == entries.count)
    #expect(memtable.counters.others == entries.count { $0.tag.kind != .put })
    #expect(memtable.counters.smallestSequence == 0)
    #expect(memtable.counters.largestSequence == UInt64(entries.count - 1))
  }

  @Test func aSearchFindsTheNewestThatIsNotTooNew() throws {
    let entries = OrderedShape(count: 600, keyLengths: 0...4).entries(seed: 3)
    let memtable = try fill(entries)
    var generator = SeededGenerator(seed: 9)
    var cursor = OrderedMemtableCursor(memtable)
    for _ in 0..<2_000 {
      let key = OrderedShape(count: 1, keyLengths: 0...5, versions: 0)
        .entries(seed: generator.next())[0].key
      let tag = EntryTag.newest(at: .random(in: 0..<700, using: &generator))
      let behind = entries.firstIndex { !$0.isBefore(key, tag) } ?? entries.count
      unsafe key.withBytes { unsafe cursor.seek($0, tag: tag) }
      #expect(cursor.isValid == (behind < entries.count))
      if cursor.isValid { #expect(entry(at: cursor) == entries[behind]) }
      unsafe key.withBytes { unsafe cursor.seekBefore($0, tag: tag) }
      #expect(cursor.isValid == (behind > 0))
      if cursor.isValid { #expect(entry(at: cursor) == entries[behind - 1]) }
    }
  }

  @Test func aFullMemtableRefusesAndKeepsWhatItHas() throws {
    let memtable = try OrderedMemtable(byteCount: 4096, seed: 1)
    var entered: [OrderedEntry] = []
    for number in 0..<200 {
      let entry = OrderedEntry(
        key: Array("key \(number)".utf8), tag: EntryTag(sequence: UInt64(number), kind: .put),
        value: [UInt8](repeating: 7, count: 20))
      let surelyFits = memtable.fits(
        OrderedMemtable.Need(entries: 1, bytes: entry.key.count + entry.value.count))
      let isIn = unsafe entry.withBytes {
        unsafe memtable.insert(key: $0, tag: entry.tag, value: $1)
      }
      if surelyFits { #expect(isIn) }
      if isIn { entered.append(entry) }
    }
    #expect(entered.count > 40 && entered.count < 90)
    #expect(memtable.usedBytes <= 4096)
    var cursor = OrderedMemtableCursor(memtable)
    var found: [OrderedEntry] = []
    cursor.seekToFirst()
    while cursor.isValid {
      found.append(entry(at: cursor))
      cursor.moveNext()
    }
    #expect(found == entered.sorted())
  }

  @Test func readersBesideTheWriterSeeWholeEntriesInOrder() throws {
    let memtable = try OrderedMemtable(byteCount: 8 << 20)
    let count = 40_000
    let written = Atomic<Int>(0)
    @Sendable func key(_ number: Int) -> [UInt8] {
      // Spread, so that most are entered between others.
      Array("\(UInt32(truncatingIfNeeded: number) &* 2_654_435_761)/\(number)".utf8)
    }
    let problems = Mutex<[String]>([])
    let readers = try (0..<3).map { reader in
      try JoinedThread {
        var generator = SeededGenerator(seed: UInt64(reader))
        var cursor = OrderedMemtableCursor(memtable)
        while true {
          let settled = written.load(ordering: .acquiring)
          if settled > 0 {
            let number = Int.random(in: 0..<settled, using: &generator)
            let wanted = key(number)
            unsafe wanted.withBytes {
              unsafe cursor.seek($0, tag: .newest(at: EntryTag.sequenceMax))
            }
            let isThere = unsafe cursor.isValid && wanted == Array(cursor.key)
            if !isThere || cursor.tag.sequence != UInt64(number) {
              problems.withLock { $0.append("entry \(number) of \(settled) is not there") }
            }
            var last = wanted
            for _ in 0..<20 where cursor.isValid {
              let (next, value) = unsafe (Array(cursor.key), Array(cursor.value))
              let isInOrder = next == last || last.lexicographicallyPrecedes(next)
              if !isInOrder || value != Array(next.reversed()) {
                problems.withLock { $0.append("a torn entry behind \(number)") }
              }
              last = next
              cursor.moveNext()
            }
          }
          if settled == count { return }
        }
      }
    }
    for number in 0..<count {
      let key = key(number)
      let value = [UInt8](key.reversed())
      unsafe key.withBytes { key in
        unsafe value.withBytes { value in
          let tag = EntryTag(sequence: UInt64(number), kind: .put)
          let isIn = unsafe memtable.insert(key: key, tag: tag, value: value)
          if !isIn { problems.withLock { $0.append("no room for \(number)") } }
        }
      }
      written.store(number + 1, ordering: .releasing)
    }
    for reader in readers { reader.join() }
    #expect(problems.withLock { $0 } == [])
  }
}
