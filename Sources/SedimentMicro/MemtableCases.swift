import SedimentStore

extension MicroCase {
  /// The memtable as its writer and a flush use it, half full.
  static let memtableCases = [
    MicroCase("memtable-insert", item: "new hash") { input in
      let memtable = try makeMemtable(input)
      let hashes = input.hashes
      return { try WrongAnswer.check(insert(hashes, into: memtable), input.items) }
    },
    MicroCase("memtable-probe", item: "hash that is there") { input in
      let memtable = try makeMemtable(input)
      let hashes = input.hashes
      try WrongAnswer.check(insert(hashes, into: memtable), input.items)
      return { try WrongAnswer.check(insert(hashes, into: memtable), 0) }
    },
    MicroCase("flush-sort", item: "entry") { input in
      let memtable = try makeMemtable(input)
      try WrongAnswer.check(insert(input.hashes, into: memtable), input.items)
      return {
        var cursor = MemtableCursor(memtable)
        var entries = 0
        var last: UInt64 = 0
        var block = EntryBlock(layout: memtable.layout, hasKinds: false)
        while cursor.fill(&block) {
          entries += block.count
          // One look a block: it is the sorting that is measured.
          try WrongAnswer.check(last <= block.entry(at: 0).hash.high ? 1 : 0, 1)
          last = block.entry(at: block.count - 1).hash.high
        }
        try WrongAnswer.check(entries, input.items)
      }
    },
  ]

  private static func makeMemtable(_ input: MicroInput) throws -> Memtable {
    try Memtable(
      layout: EntryLayout(isExact: false, valueWidth: 0),
      geometry: MemtableGeometry(slots: 2 * input.items, range: 0...UInt64.max), arenaBytes: 0)
  }

  /// Inserts what is not there yet.
  ///
  /// - Returns: how many that were.
  private static func insert(_ hashes: [KeyHash], into memtable: Memtable) -> Int {
    let core = memtable.core
    var counters = memtable.counters
    var accepted = 0
    for hash in hashes {
      let record = unsafe MemtableProbe(
        hash: hash, time: MicroInput.time, watermark: MicroInput.time,
        key: UnsafeRawBufferPointer(start: nil, count: 0))
      var slot: UInt32 = 0
      var expired: UInt32 = 0
      let answer = core.probe(
        record, ttl: .max, counters: &counters, slot: &slot, expired: &expired)
      if answer == .absent {
        unsafe core.accept(
          slot: slot, expired: expired, time: MicroInput.time, value: nil, counters: &counters)
        accepted += 1
      }
    }
    memtable.counters = counters
    return accepted
  }
}
