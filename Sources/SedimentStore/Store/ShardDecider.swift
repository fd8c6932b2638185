// The engine's hot path: which records of a chunk are the first of their key.
//
//   1. probe      every record against the active memtable; those not answered take a tentative
//      slot
//   2. frozen     the open ones against the frozen memtables
//   3. runs       newest first: filter pass, then the pages of the survivors in order of place
//   4. settle     in order: accept, cache, or withdraw the tentative slots
//   5. followers  records whose key another record of the chunk held tentatively: ask again
//
// Records come in the order of their hashes, those of one hash in the order of the batch ("in
// order" below), so that memtables, filters, indexes and pages are each walked from end to end.
//
// Invariants
// 1. When `decide` returns or throws, no slot is tentative.
// 2. A record is called a duplicate only for an entry that was compared whole: hash, time, key.
// 3. Answers do not depend on how a batch is cut into chunks: records of one key are settled in
//    the order of the batch.
//
// `find` is steps 1 to 3 as a reader, who enters nothing.
//
// Concurrency: `decide` is for whoever holds the shard; `find` for any thread, with scratch and
// pages of its own.

internal import CSedimentKernels
internal import SedimentIO

/// Decides the records of one shard.
@safe
struct ShardDecider {
  /// Counts for the statistics.
  struct Counts {
    var filterProbes: UInt64 = 0
    var pageLookups: UInt64 = 0
    var falsePositives: UInt64 = 0
  }

  private let view: ShardView
  private let columns: BatchColumns
  private let scratch: ShardScratch
  private let pages: PageReader
  private(set) var counts = Counts()
  private var bounds = Bounds()
  /// Whether pages that wait for the disk are left until all runs were asked.
  private var defersReads = false

  /// How many records ahead the active memtable's slots are asked for.
  private static let slotsAhead = 32

  /// Bounds of the times and the smallest watermark of the open records of a round.
  private struct Bounds {
    var smallestTime = Int64.max
    var largestTime = Int64.min
    var smallestWatermark = Int64.max

    @inline(__always)
    mutating func add(_ probe: MemtableProbe) {
      smallestTime = min(smallestTime, probe.time)
      largestTime = max(largestTime, probe.time)
      smallestWatermark = min(smallestWatermark, probe.watermark)
    }
  }

  init(view: ShardView, columns: BatchColumns, scratch: ShardScratch, pages: PageReader) {
    self.view = view
    self.columns = columns
    self.scratch = scratch
    self.pages = pages
  }

  /// Decides `count` records, whose indices in the batch are `scratch.records` and whose hashes
  /// are `scratch.hashes`.
  ///
  /// - Returns: how many records are left, because the active memtable had no room for them; their
  ///   indices are the first of `scratch.records`, in order. Freeze it and go on with those.
  mutating func decide(count: Int) throws -> Int {
    for position in 0..<count {
      unsafe scratch.pending[position] = UInt32(truncatingIfNeeded: position)
    }
    var left = 0
    var followers = try round(count: count, left: &left)
    // A round settles at least the first follower of each key; what a few rounds leave is a key
    // that comes again and again at times that do not match: one at a time is then linear.
    for _ in 0..<2 where followers > 0 {
      unsafe scratch.pending.update(from: scratch.followers, count: followers)
      followers = try round(count: followers, left: &left)
    }
    if followers > 0 { try decideOneByOne(count: followers, left: &left) }
    if left > 0 { gatherLeft(count: left) }
    return left
  }

  private mutating func decideOneByOne(count: Int, left: inout Int) throws {
    let order = unsafe Array(UnsafeBufferPointer(start: scratch.followers, count: count))
    for position in order {
      unsafe scratch.pending[0] = position
      let followers = try round(count: 1, left: &left)
      assert(followers == 0, "a record alone follows nobody")
    }
  }

  /// Moves the records that are left to the front, in order.
  private func gatherLeft(count: Int) {
    var positions = unsafe UnsafeMutableBufferPointer(start: scratch.left, count: count)
    unsafe positions.sort()
    for index in 0..<count {
      // A position is never smaller than its rank, so nothing is written over before it moved.
      unsafe scratch.records[index] = scratch.records[Int(positions[index])]
      unsafe scratch.hashes[index] = scratch.hashes[Int(positions[index])]
    }
  }

  // MARK: - A round

  /// Decides the records at the first `count` positions of `scratch.pending`, in order.
  ///
  /// - Returns: the number of followers in `scratch.followers`.
  private mutating func round(count: Int, left: inout Int) throws -> Int {
    var followers = 0
    let pending = probeActive(count: count, followers: &followers, left: &left)
    guard pending > 0 else { return followers }
    do {
      try searchOlder(pending: pending)
    } catch {
      withdrawAll(pending: pending)
      throw error
    }
    settle(pending: pending)
    return followers
  }

  /// Step 1. Leaves in `scratch.pending` the positions that hold a tentative slot, in order.
  private mutating func probeActive(count: Int, followers: inout Int, left: inout Int) -> Int {
    let core = view.active.core
    let columns = self.columns
    let scratch = self.scratch
    let refreshes = columns.refreshesOnSeen
    // Whatever becomes of the record it follows, an entry of its key will be there for ever.
    let followerIsDuplicate = columns.ttl == .max && !refreshes
    var counters = view.active.counters
    var bounds = Bounds()
    var pending = 0
    for index in 0..<min(Self.slotsAhead, count) {
      unsafe core.prefetch(scratch.hashes[Int(scratch.pending[index])])
    }
    for index in 0..<count {
      // The write index into `pending` never passes the read index.
      let ahead = min(index &+ Self.slotsAhead, count &- 1)
      unsafe core.prefetch(scratch.hashes[Int(scratch.pending[ahead])])
      let position = unsafe Int(scratch.pending[index])
      if refreshes && left > 0 {
        // No record may overtake one of its key whose answer changes the entry.
        unsafe scratch.left[left] = UInt32(truncatingIfNeeded: position)
        left &+= 1
        continue
      }
      let record = unsafe Int(scratch.records[position])
      let probe = unsafe columns.probe(record, scratch.hashes[position])
      var slot: UInt32 = 0
      var expired: UInt32 = 0
      switch core.probe(
        probe, ttl: columns.ttl, counters: &counters, slot: &slot, expired: &expired)
      {
      case .duplicate:
        if refreshes && !refresh(probe, &counters) {
          unsafe scratch.followers[followers] = UInt32(truncatingIfNeeded: position)
          followers &+= 1
          continue
        }
        unsafe columns.decisions[record] = InsertDecision.duplicate.rawValue
      case .followsTentative:
        if followerIsDuplicate {
          unsafe columns.decisions[record] = InsertDecision.duplicate.rawValue
        } else {
          unsafe scratch.followers[followers] = UInt32(truncatingIfNeeded: position)
          followers &+= 1
        }
      case .full:
        unsafe scratch.left[left] = UInt32(truncatingIfNeeded: position)
        left &+= 1
      case .hidden, .absent:
        unsafe scratch.slots[position] = slot
        unsafe scratch.expired[position] = expired
        unsafe scratch.outcomes[position] = ShardScratch.Outcome.open
        unsafe scratch.found[position] = Int64.min
        unsafe scratch.pending[pending] = UInt32(truncatingIfNeeded: position)
        pending &+= 1
        bounds.add(probe)
      }
    }
    self.bounds = bounds
    view.active.counters = counters
    return pending
  }

  /// Rewrites the live entry of a record's key in place; `false` when another record of the key
  /// holds a tentative slot, and what that will make of the entry is not known yet.
  private func refresh(_ probe: MemtableProbe, _ counters: inout Memtable.Counters) -> Bool {
    let core = view.active.core
    if unsafe core.hasTentative(probe.hash, key: probe.key) { return false }
    _ = unsafe core.put(
      probe, kind: .put, value: nil, keepsLargestTime: true, counters: &counters)
    return true
  }

  /// Step 4 in refresh mode: a key has one entry, the largest time it was seen at.
  ///
  /// A record more than a TTL older than that one is not remembered, whether it is accepted or not,
  /// so that what is remembered does not depend on where the entry lies.
  private func settleRefreshing(
    slot: UInt32, position: Int, record: Int, counters: inout Memtable.Counters
  ) {
    let core = view.active.core
    let probe = unsafe columns.probe(record, scratch.hashes[position])
    let seen = unsafe scratch.found[position]
    let isDuplicate = unsafe scratch.outcomes[position] == ShardScratch.Outcome.duplicate
    let decision =
      isDuplicate
      ? .duplicate
      : Self.decide(
        time: probe.time, watermark: probe.watermark, ttl: columns.ttl, late: columns.late)
    unsafe columns.decisions[record] = decision.rawValue
    let isRemembered = isDuplicate || decision == .new || decision == .lateNew
    if isRemembered && (isDuplicate || probe.time > seen) {
      core.acceptAlone(slot: slot, probe, time: max(probe.time, seen), counters: &counters)
    } else {
      core.withdraw(slot: slot, counters: &counters)
    }
  }

  /// Step 4.
  private func settle(pending: Int) {
    let core = view.active.core
    let columns = self.columns
    let scratch = self.scratch
    let refreshes = columns.refreshesOnSeen
    var counters = view.active.counters
    defer { view.active.counters = counters }
    for index in 0..<pending {
      let position = unsafe Int(scratch.pending[index])
      let record = unsafe Int(scratch.records[position])
      let slot = unsafe scratch.slots[position]
      if refreshes {
        settleRefreshing(slot: slot, position: position, record: record, counters: &counters)
        continue
      }
      if unsafe scratch.outcomes[position] == ShardScratch.Outcome.duplicate {
        unsafe columns.decisions[record] = InsertDecision.duplicate.rawValue
        unsafe core.cache(slot: slot, firstSeen: scratch.found[position], counters: &counters)
        continue
      }
      let decision = unsafe Self.decide(
        time: columns.times[record], watermark: columns.watermark(record), ttl: columns.ttl,
        late: columns.late)
      unsafe columns.decisions[record] = decision.rawValue
      if decision == .new || decision == .lateNew {
        unsafe core.accept(
          slot: slot, expired: scratch.expired[position], time: columns.times[record],
          value: columns.value(record), counters: &counters)
      } else {
        core.withdraw(slot: slot, counters: &counters)
      }
    }
  }

  /// What becomes of a record whose key was not found.
  @inline(__always)
  static func decide(
    time: Int64, watermark: Int64, ttl: Int64, late: LatePolicy
  ) -> InsertDecision {
    if time >= watermark { return .new }
    if late == .refuse { return .lateRefused }
    return watermark &- time >= ttl ? .lateUnprotected : .lateNew
  }

  private func withdrawAll(pending: Int) {
    let core = view.active.core
    for index in 0..<pending {
      unsafe core.withdraw(
        slot: scratch.slots[Int(scratch.pending[index])], counters: &view.active.counters)
    }
  }

  // MARK: - Older sources

  /// Says of `count` records, given as to `decide`, whether it would call them duplicates, and
  /// changes nothing: 1 or 0 in `columns.decisions`. For any thread, with scratch of its own.
  mutating func find(count: Int) throws {
    bounds = Bounds()
    for position in 0..<count {
      let record = unsafe Int(scratch.records[position])
      unsafe bounds.add(columns.probe(record, scratch.hashes[position]))
      unsafe scratch.outcomes[position] = ShardScratch.Outcome.open
      unsafe scratch.open[position] = UInt32(truncatingIfNeeded: position)
    }
    let open = search(view.active, open: count)
    try searchFrozenAndRuns(open: open)
    for position in 0..<count {
      let isFound = unsafe scratch.outcomes[position] == ShardScratch.Outcome.duplicate
      unsafe columns.decisions[Int(scratch.records[position])] = isFound ? 1 : 0
    }
  }

  /// Steps 2 and 3: fills `outcomes` and `found` of the pending positions.
  private mutating func searchOlder(pending: Int) throws {
    guard view.active.counters.hasKinds else {
      unsafe scratch.open.update(from: scratch.pending, count: pending)
      return try searchFrozenAndRuns(open: pending)
    }
    // A `put` or `remove` in the active memtable hides everything older.
    var open = 0
    for index in 0..<pending {
      let position = unsafe scratch.pending[index]
      if isHidden(position: Int(position)) { continue }
      unsafe scratch.open[open] = position
      open += 1
    }
    try searchFrozenAndRuns(open: open)
  }

  private mutating func searchFrozenAndRuns(open count: Int) throws {
    var open = count
    for frozen in view.frozen where open > 0 {
      open = search(frozen.memtable, open: open)
    }
    pages.dropDeferred()
    // Where no entry hides another, the order in which runs answer is of no account, and pages of
    // all of them may wait for the disk together.
    defersReads = !columns.refreshesOnSeen && !view.runs.contains(where: \.hasKinds)
    do {
      for run in view.runs where open > 0 {
        guard canAnswer(run) else { continue }
        open = try search(run, open: open)
      }
      try unsafe pages.readDeferred { page, reads in
        for index in reads.indices { unsafe match(reads[index], in: page) }
      }
    } catch {
      // What waits holds its tables.
      pages.dropDeferred()
      throw error
    }
  }

  /// Whether the key of a pending record has a live `put` or `remove` in the active memtable.
  private func isHidden(position: Int) -> Bool {
    let record = unsafe Int(scratch.records[position])
    let found = unsafe view.active.core.find(
      scratch.hashes[position], key: columns.key(record), value: nil, accepts: { _ in false })
    guard let found else { return false }
    noteHidden(position: position, by: found.kind, time: found.time)
    return true
  }

  /// Notes that an entry that does not match hides all that are older.
  private func noteHidden(position: Int, by kind: EntryKind, time: Int64) {
    unsafe scratch.outcomes[position] = ShardScratch.Outcome.new
    if kind == .put { unsafe scratch.found[position] = time }
  }

  /// Looks the open records up in a memtable as a reader; returns how many stay open.
  private func search(_ memtable: Memtable, open: Int) -> Int {
    let core = memtable.core
    let columns = self.columns
    let scratch = self.scratch
    var kept = 0
    for index in 0..<open {
      unsafe core.prefetch(scratch.hashes[Int(scratch.open[min(index + 12, open - 1)])])
      let position = unsafe Int(scratch.open[index])
      let probe = unsafe columns.probe(
        Int(scratch.records[position]), scratch.hashes[position])
      let ttl = columns.ttl
      let found = unsafe core.find(probe.hash, key: probe.key, value: nil) {
        probe.matches($0, ttl: ttl)
      }
      guard let found else {
        unsafe scratch.open[kept] = UInt32(truncatingIfNeeded: position)
        kept &+= 1
        continue
      }
      guard found.isAccepted else {
        noteHidden(position: position, by: found.kind, time: found.time)
        continue
      }
      unsafe scratch.found[position] = found.time
      unsafe scratch.outcomes[position] = ShardScratch.Outcome.duplicate
    }
    return kept
  }

  /// Whether any open record could match, or be hidden by, an entry of the run.
  private func canAnswer(_ run: OpenRun) -> Bool {
    let ttl = columns.ttl
    if ttl == .max || run.hasKinds { return true }
    return run.largestTime > bounds.smallestTime &- ttl
      && run.smallestTime < bounds.largestTime &+ ttl
      && run.largestTime &+ ttl > bounds.smallestWatermark
  }

  /// Looks the open records up in a run; returns how many stay open.
  private mutating func search(_ run: OpenRun, open: Int) throws -> Int {
    var answered = 0
    var walk = RunWalk(open: open)
    // A large run has so many tables that a chunk brings each a few records: the memory of their
    // filters is asked for some tables ahead.
    var scout = walk
    while unsafe walk.advance(through: run.tables, scratch.hashes, scratch.open) {
      while scout.end < walk.end + FilterProbe.prefetchDistance,
        unsafe scout.advance(through: run.tables, scratch.hashes, scratch.open)
      {
        unsafe run.tables[scout.table].reader.probe.filter.prefetch(
          scratch.hashes, candidates: scratch.open + scout.start, count: scout.count)
      }
      answered += try search(run.tables[walk.table], from: walk.start, count: walk.count)
    }
    guard answered > 0 else { return open }
    var kept = 0
    for index in 0..<open {
      let position = unsafe scratch.open[index]
      unsafe scratch.open[kept] = position
      kept &+= unsafe scratch.outcomes[Int(position)] == ShardScratch.Outcome.open ? 1 : 0
    }
    return kept
  }

  /// The tables of a run that open records fall into, and which these are.
  private struct RunWalk {
    private let open: Int
    private var next = 0
    /// Index of the table.
    var table: Int { next - 1 }
    /// The first of its records, and the one behind the last.
    private(set) var start = 0
    private(set) var end = 0
    var count: Int { end - start }

    init(open: Int) { self.open = open }

    /// Goes to the next table that any of the open records falls into.
    ///
    /// Records are in the order of their hashes, and so are the tables.
    mutating func advance(
      through tables: [OpenTable], _ hashes: UnsafePointer<KeyHash>,
      _ positions: UnsafePointer<UInt32>
    ) -> Bool {
      while next < tables.count && end < open {
        let clip = tables[next].clip
        next += 1
        start = end
        while start < open, unsafe hashes[Int(positions[start])].high < clip.lowerBound {
          start += 1
        }
        end = start
        if start < open, unsafe hashes[Int(positions[open - 1])].high <= clip.upperBound {
          end = open
        } else {
          while end < open, unsafe hashes[Int(positions[end])].high <= clip.upperBound { end += 1 }
        }
        if end > start { return true }
      }
      return false
    }
  }

  /// Filters `count` of the open positions and reads the pages of those that pass.
  ///
  /// - Returns: how many passed.
  private mutating func search(
    _ table: OpenTable, from start: Int, count: Int
  ) throws -> Int {
    let probe = table.reader.probe
    let scratch = self.scratch
    let passed = unsafe probe.filter.filter(
      scratch.hashes, candidates: scratch.open + start, count: count, into: scratch.survivors)
    counts.filterProbes &+= UInt64(count)
    // Pages are in the order of hashes too: the reads come out sorted.
    var reads = 0
    for index in 0..<passed {
      let position = unsafe Int(scratch.survivors[index])
      let place = unsafe probe.place(for: scratch.hashes[position])
      guard place.count > 0 else { continue }
      pages.prefetch(probe, unit: place.first)
      unsafe scratch.reads[reads] = PageRead(
        place: place, position: UInt32(truncatingIfNeeded: position))
      reads &+= 1
    }
    counts.pageLookups &+= UInt64(reads)
    unsafe try pages.read(scratch.reads, count: reads, of: table.reader, defers: defersReads) {
      page, reads in
      for index in reads.indices { unsafe match(reads[index], in: page) }
    }
    return reads
  }

  /// Compares a record with the entries of its hash in a page, newest first.
  private mutating func match(_ read: PageRead, in page: PageView) {
    let position = Int(read.position)
    let record = unsafe Int(scratch.records[position])
    let probe = unsafe columns.probe(record, scratch.hashes[position])
    let ttl = columns.ttl
    let range = page.range(of: probe.hash, near: read.place.part)
    if range.isEmpty { counts.falsePositives &+= 1 }
    for index in range {
      if unsafe columns.layout.isExact && !isEqual(page.key(at: index), probe.key) { continue }
      let kind = page.kind(at: index) ?? .insert
      let time = page.time(at: index)
      if kind != .remove && probe.matches(time, ttl: ttl) {
        unsafe scratch.found[position] = time
        unsafe scratch.outcomes[position] = ShardScratch.Outcome.duplicate
        return
      }
      if kind.hidesOlder {
        noteHidden(position: position, by: kind, time: time)
        return
      }
    }
  }

  @inline(__always)
  private func isEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard a.count == b.count else { return false }
    guard a.count > 0, let left = a.baseAddress, let right = b.baseAddress else {
      return true
    }
    return unsafe sediment_bytes_equal(left, right, a.count)
  }
}
