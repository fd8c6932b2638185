// Writes to the ordered keyspaces of a store, in one order.
//
// Whoever comes first leads: takes what waits behind, numbers it, writes it to the log, one record
// a batch and one call for all, and synchronises when one of them wants that. Then it hands the
// lead to the first that came meanwhile, who writes to the log while this one enters its group in
// the memtables, publishes the last number and wakes the others. A step takes about a microsecond,
// less than to wake a thread: so who waits looks around for as long before it sleeps.
//
// Invariants
// 1. One thread leads at a time, and everything that writes to the log or replaces memtables does.
// 2. One group is entered at a time, in the order of the log; who enters it led before.
// 3. A write that readers see is in the log, where its keyspace has one.
// 4. Sequence numbers rise from record to record; a number is published after all below it.
// 5. Who is alone leads, and nothing is being entered.
//
// Source: the group commit of LevelDB's and RocksDB's write thread; the second step beside the
// first is RocksDB's `enable_pipelined_write`.

internal import CSedimentKernels
internal import SedimentIO
internal import Synchronization

/// See the file's header.
final class WriteQueue: @unchecked Sendable {
  // @unchecked because what changes is guarded by `monitor`, or the leader's.
  /// A batch on its way; its memory is kept for another.
  private final class Pending: @unchecked Sendable {
    // @unchecked because it is its writer's before it waits, and the leader's until it is done.
    var batch = WriteBatch()
    var durability = Durability.buffered
    var failure: StoreError?
    let turn = Atomic(Turn.waits)
    /// What is written behind it, in one group.
    var others: [Pending] = []
  }

  /// What becomes of a batch that waits.
  private enum Turn: UInt8, AtomicRepresentable {
    case waits
    /// Its writer leads.
    case leads
    /// Another one writes it.
    case isTaken
    case isDone
  }

  let log = WriteLog()
  private let monitor = Monitor()
  private var waiting: [Pending] = []
  /// Batches that nobody uses at the moment.
  private var spare: [Pending] = []
  private static let spareMax = 64
  /// More than so many bytes are not kept.
  private static let spareBytesMax = 64 << 10
  private var hasLeader = false
  /// Threads that sleep until their batch is done, or they lead.
  private var sleepers = 0
  /// Threads that wait to be alone, and those of them that all writes wait for.
  private var waiters = 0
  private var urgentWaiters = 0
  /// Whether the lead is for one of them: they and writes take turns.
  private var isReserved = false
  /// Bytes of batches that are written together.
  private static let groupBytesMax = 1 << 20
  /// How often a thread looks around before it sleeps: some microseconds.
  private static let looksMax = 200

  private let published: Atomic<UInt64>
  /// Whether a group is being entered in memtables; the leader sets it, who enters takes it back.
  private let isEntering = Atomic(false)

  // The leader's.
  /// The number of the last write.
  private var lastNumbered: UInt64
  /// That of the last one in the log.
  private var lastLogged: UInt64
  /// Of the group that is being entered.
  private var entering = OrderedMemtable.Need()

  /// Whether a group could not be entered; of who enters.
  private var isBroken = false

  /// - Parameters:
  ///   - lastSequence: of all that was ever written.
  ///   - lastLogged: of what the log holds; 0 when it holds nothing.
  init(lastSequence: UInt64, lastLogged: UInt64) {
    published = Atomic(lastSequence)
    lastNumbered = lastSequence
    self.lastLogged = lastLogged
  }

  /// The number of the last write that reads see.
  var publishedSequence: UInt64 { published.load(ordering: .acquiring) }

  /// Writes the batch that `fill` makes of an empty one.
  func write(
    _ durability: Durability, of store: StoreCore,
    _ fill: (inout WriteBatch) throws(StoreError) -> Void
  ) throws(StoreError) {
    // Whoever finds nobody else leads at once; what comes meanwhile is of the next group.
    let (own, leads) = monitor.withLock { begin() }
    do throws(StoreError) {
      try fill(&own.batch)
    } catch {
      own.failure = error
    }
    own.durability = durability
    if own.failure != nil || own.batch.isEmpty {
      monitor.lock()
      if leads { giveLead() }
    } else if leads {
      lead(own, of: store)
    } else {
      monitor.lock()
      waiting.append(own)
      // Those who came before may be enough for a group without the caller's own batch.
      while waitForTurn(own) == .leads {
        let head = takeGroup()
        monitor.unlock()
        lead(head, of: store)
      }
    }
    let failure = own.failure
    giveBack(own)
    monitor.unlock()
    if let failure { throw failure }
  }

  /// A batch for a write, and whether its writer leads, for nobody else does or waits. The caller
  /// holds the monitor.
  private func begin() -> (Pending, leads: Bool) {
    let own = spare.popLast() ?? Pending()
    guard isFree && waiting.isEmpty else { return (own, false) }
    hasLeader = true
    return (own, true)
  }

  /// Keeps a batch for another write. The caller holds the monitor.
  private func giveBack(_ pending: Pending) {
    pending.batch.removeAll()
    pending.turn.store(.waits, ordering: .relaxed)
    pending.failure = nil
    guard pending.batch.capacity <= Self.spareBytesMax, spare.count < Self.spareMax else { return }
    spare.append(pending)
  }

  /// Waits until a batch is done, or its writer is to lead. The caller holds the monitor, and does
  /// when this returns.
  private func waitForTurn(_ own: Pending) -> Turn {
    var hasLooked = false
    while true {
      let turn = own.turn.load(ordering: .acquiring)
      if turn == .leads || turn == .isDone { return turn }
      if turn == .waits && isFree {
        hasLeader = true
        return .leads
      }
      if hasLooked {
        sleepers += 1
        monitor.wait()
        sleepers -= 1
      } else {
        monitor.unlock()
        lookAround(own)
        monitor.lock()
        hasLooked = true
      }
    }
  }

  private func lookAround(_ own: Pending) {
    var looks = 0
    while looks < Self.looksMax {
      let turn = own.turn.load(ordering: .acquiring)
      if turn == .leads || turn == .isDone { return }
      sediment_spin_hint()
      looks += 1
    }
  }

  /// Writes a batch and those behind it, in two steps, and holds the monitor when it returns. The
  /// caller leads, and does not any more afterwards.
  private func lead(_ head: Pending, of store: StoreCore) {
    var isLeading = true
    var failure: StoreError?
    do throws(StoreError) {
      try wrapping {
        let last = try number(head, of: store)
        waitUntilEntered()
        handOn(head)
        isLeading = false
        defer { isEntering.store(false, ordering: .releasing) }
        try enter(head, last: last, of: store)
      }
    } catch {
      failure = error
    }
    monitor.lock()
    if isLeading { giveLead() } else { wake() }
    if !head.others.isEmpty {
      for pending in head.others {
        pending.failure = failure
        pending.turn.store(.isDone, ordering: .releasing)
      }
      head.others.removeAll(keepingCapacity: true)
    }
    head.failure = failure
    head.turn.store(.isDone, ordering: .releasing)
  }

  /// The first of those that wait, and behind it as much as is written together. The caller leads
  /// and holds the monitor.
  private func takeGroup() -> Pending {
    var bytes = 0
    var removalWeight = 0
    var count = 0
    while count < waiting.count,
      count == 0 || (bytes < Self.groupBytesMax && removalWeight < WriteBatch.removalWeightMax)
    {
      bytes += waiting[count].batch.buffer.byteCount
      removalWeight += waiting[count].batch.removalWeight
      waiting[count].turn.store(.isTaken, ordering: .relaxed)
      count += 1
    }
    let head = waiting[0]
    if count > 1 { head.others.append(contentsOf: waiting[1..<count]) }
    waiting.removeFirst(count)
    return head
  }

  /// Lets the next one lead, while the caller, who leads, enters a group; nothing else is being
  /// entered.
  private func handOn(_ head: Pending) {
    entering = OrderedMemtable.Need()
    forEach(head) { pending in
      for index in pending.batch.parts.indices { entering += pending.batch.parts[index].need }
    }
    isEntering.store(true, ordering: .releasing)
    monitor.withLock { giveLead() }
  }

  /// Whether a write may lead. The caller holds the monitor.
  private var isFree: Bool {
    !hasLeader && urgentWaiters == 0 && !(isReserved && waiters > 0)
  }

  /// The caller leads and holds the monitor.
  private func giveLead() {
    isReserved = waiters > 0
    passLead(isWanted: isReserved)
  }

  /// Lets the first write that waits lead, or, where it is wanted, whoever waits to be alone. The
  /// caller leads and holds the monitor.
  private func passLead(isWanted: Bool) {
    if !isWanted, let next = waiting.first {
      next.turn.store(.leads, ordering: .releasing)
    } else {
      hasLeader = false
    }
    wake()
  }

  /// Has whoever sleeps look again. The caller holds the monitor.
  private func wake() {
    if sleepers > 0 || waiters > 0 { monitor.broadcast() }
  }

  /// Calls `body` with each batch of a group.
  @inline(__always)
  private func forEach(_ head: Pending, _ body: (Pending) throws -> Void) rethrows {
    try body(head)
    if !head.others.isEmpty {
      for pending in head.others { try body(pending) }
    }
  }

  /// Waits until nothing is being entered in memtables. The caller leads.
  private func waitUntilEntered() {
    var looks = 0
    while isEntering.load(ordering: .acquiring) {
      if looks < Self.looksMax {
        sediment_spin_hint()
        looks += 1
      } else {
        monitor.withLock { sleepUntilEntered() }
      }
    }
  }

  /// The caller leads and holds the monitor.
  private func sleepUntilEntered() {
    while isEntering.load(ordering: .acquiring) {
      sleepers += 1
      monitor.wait()
      sleepers -= 1
    }
  }

  /// Runs `body` alone: no write is under way.
  ///
  /// - Parameter hasPriority: whether writes that come meanwhile wait behind it.
  func withExclusive<Answer, Failure: Error>(
    hasPriority: Bool = false, _ body: () throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    monitor.withLock {
      waiters += 1
      if hasPriority { urgentWaiters += 1 }
      while hasLeader || (!hasPriority && urgentWaiters > 0) { monitor.wait() }
      waiters -= 1
      if hasPriority { urgentWaiters -= 1 }
      isReserved = false
      hasLeader = true
      sleepUntilEntered()
    }
    defer { monitor.withLock { passLead(isWanted: urgentWaiters > 0) } }
    return try body()
  }

  /// Writes a batch for a caller that is alone.
  func writeAlone(_ batch: WriteBatch, _ durability: Durability, of store: StoreCore) throws {
    let own = Pending()
    own.batch = batch
    own.durability = durability
    let last = try number(own, of: store)
    try enter(own, last: last, of: store)
  }

  /// Takes numbers for writes that go neither to the log nor to a memtable, for a caller that is
  /// alone, and publishes them once `body` has made visible what has them.
  func number(_ count: Int, _ body: (_ first: UInt64) throws -> Void) rethrows {
    try body(lastNumbered + 1)
    lastNumbered += UInt64(count)
    published.store(lastNumbered, ordering: .releasing)
  }

  // MARK: - Leading

  /// Numbers a group and writes it to the log, where memtables have room for it.
  ///
  /// - Returns: the number of its last write.
  private func number(_ head: Pending, of store: StoreCore) throws -> UInt64 {
    try store.checkWritable()
    try makeRoom(for: head)
    lastNumbered = try append(head, of: store)
    return lastNumbered
  }

  /// Sees to it that the memtables take what a group has.
  private func makeRoom(for head: Pending) throws {
    if head.others.isEmpty, head.batch.parts.count == 1, hasRoom(for: head.batch.parts[0]) {
      return
    }
    // What is being entered goes to the memtables that are there.
    waitUntilEntered()
    var parts = head.batch.parts
    for pending in head.others {
      for part in pending.batch.parts {
        if let index = parts.firstIndex(where: { $0.keyspace === part.keyspace }) {
          parts[index].need += part.need
        } else {
          parts.append(part)
        }
      }
    }
    // Room for one may have another's memtable flushed that holds the log back, and replaced by one
    // of the usual size.
    while let part = parts.first(where: { !hasRoom(for: $0) }) {
      try part.keyspace.makeRoom(
        entries: part.need.entries, bytes: part.need.bytes, lastSequence: lastNumbered)
    }
  }

  /// Whether a memtable takes what a group has for it, and what is being entered.
  private func hasRoom(for part: WriteBatch.Part) -> Bool {
    var need = part.need
    if isEntering.load(ordering: .acquiring) { need += entering }
    return part.keyspace.memtable.fits(need)
  }

  /// Writes a group to the log, as far as its keyspaces have it, and makes it durable when one of
  /// its batches is to be.
  ///
  /// - Returns: the number of its last write.
  private func append(_ head: Pending, of store: StoreCore) throws -> UInt64 {
    var logged = lastLogged
    var last = lastNumbered
    var durability: Durability?
    forEach(head) { pending in
      pending.batch.buffer.number(firstSequence: last + 1, previous: logged)
      last += UInt64(pending.batch.count)
      if pending.batch.isLogged {
        logged = last
        durability = max(durability ?? .buffered, pending.durability)
      }
    }
    guard let durability else { return last }
    do {
      while !(try log.write { append(head, to: $0) }) { try store.makeWriteLog() }
    } catch {
      // What the log may have held of it is gone again, or the store stops.
      if !StoreCore.isFullDisk(error) { store.poison(error) }
      throw error
    }
    lastLogged = logged
    guard durability == .synchronized else { return last }
    do {
      try log.synchronize()
    } catch {
      // Whether it is durable is not known, so nothing may be said of anything behind it.
      store.poison(error)
      throw error
    }
    return last
  }

  private func append(_ head: Pending, to writer: RecordLogWriter) {
    forEach(head) { pending in
      guard pending.batch.isLogged else { return }
      unsafe pending.batch.buffer.withPayload {
        unsafe writer.append(type: WriteBatchCoding.recordType, $0)
      }
    }
  }

  // MARK: - Entering

  /// Enters a group, which the log has, in the memtables, and publishes it.
  private func enter(_ head: Pending, last: UInt64, of store: StoreCore) throws {
    if isBroken { try store.checkWritable() }
    do {
      try forEach(head, enter)
    } catch {
      // The log has it.
      isBroken = true
      store.poison(error)
      throw error
    }
    published.store(last, ordering: .releasing)
  }

  /// Enters a batch in the memtables, which have room.
  private func enter(_ pending: Pending) throws {
    try unsafe pending.batch.buffer.withPayload { payload in
      if pending.batch.parts.count == 1 {
        let memtable = pending.batch.parts[0].keyspace.memtable
        _ = try unsafe WriteBatchCoding.read(payload) { try Self.enter($0, into: memtable) }
      } else {
        let keyspaces = pending.batch.parts.map(\.keyspace)
        _ = try unsafe WriteBatchCoding.read(payload) { write in
          if let keyspace = keyspaces.first(where: { $0.id == write.keyspace }) {
            try Self.enter(write, into: keyspace.memtable)
          }
        }
      }
    }
  }

  private static func enter(
    _ write: WriteBatchCoding.Write, into memtable: OrderedMemtable
  ) throws(CodingError) {
    let isIn = try memtable.enter(write)
    precondition(isIn, "a memtable without the room that was made")
  }
}

extension OrderedMemtable {
  /// Enters a write of the log.
  ///
  /// - Returns: whether there was room.
  func enter(_ write: WriteBatchCoding.Write) throws(CodingError) -> Bool {
    guard write.tag.kind == .removeRange else {
      return unsafe insert(key: write.key, tag: write.tag, value: write.value)
    }
    let removal = unsafe RangeRemoval(
      key: write.key, value: write.value, sequence: write.tag.sequence)
    guard let removal else { throw .invalid("bounds of a removal") }
    return unsafe insert(removal, bytes: write.key.count + write.value.count)
  }
}
