// Reads those partitions that the group gives this instance, cooperatively: what stays is read on
// while others come and go.
//
//   assigned ─▶ told to the job ─▶ its state is opened ─▶ begin: where? ─▶ order: add it
//   revoked  ─▶ nothing more is given ─▶ told ─▶ the job commits ─▶ release ─▶ order: remove it
//
// Orders are carried out by the thread that reads, between two calls for messages. librdkafka notes
// the place behind each message that it hands over, and goes back to it after a pause: if a
// partition went just then, that place would stay, and hold for the next time that it is ours.
//
// librdkafka waits for the answer to a revocation, and so do the instances that the partitions go
// to: they read the committed offsets only then. An assignment is answered at once with none of its
// partitions, which are added one by one as their states are open.
//
// A commit is in the name of the generation that the deciding thread knows (`took`). The present
// one is not good enough: a member that was paused, and has joined anew, would commit what it read
// when the partitions were its own.
//
// Invariants
// 1. Records come of partitions only that were begun and not revoked since.
// 2. A batch holds records of one partition.
//
// Concurrency: one thread at a time calls `next`, and nothing else changes what librdkafka reads;
// `begin` and `release` are any thread's, and what they share with it is in `shared`.

internal import CRdKafka
internal import SedimentIO
internal import SedimentJob
internal import Synchronization

/// See the file's header.
// @unchecked because all but `shared` belongs to the thread that calls `next`.
final class KafkaShareReader: GroupReader, GroupMember, @unchecked Sendable {
  private struct Shared {
    /// The group says that they are ours.
    var assigned: Set<TopicPartition> = []
    /// Of those the ones that are read, or about to be.
    var begun: Set<TopicPartition> = []
    /// What librdkafka is to be told, in this order.
    var orders: [Order] = []
    var cursors: [MessageCopier.Cursor] = []
    var membership = KnownMembership()
    var told = LagOffsets()
    var partitionCounts: [String: Int] = [:]
    var endsAtEnds: Bool
    /// Of topics that are this job's own.
    var committed = CommittedRecords()
    var hasJoined = false
    var isClosed = false
    var lastLag: TopicLag?

    init(endsAtEnds: Bool) {
      self.endsAtEnds = endsAtEnds
    }

    func isOurs(_ partition: TopicPartition) -> Bool {
      assigned.contains(partition) && !isClosed
    }
  }

  private enum Order {
    /// Reads a partition; where reading of it ends, `nil` when that was not asked for yet.
    case add(StartPlan.TopicPosition, end: Int64?)
    /// Reads these no more, which answers a revocation.
    case remove([TopicPartition])
  }

  private enum Phase {
    case connecting
    case reading
    case ended
  }

  private let input: KafkaInput
  private let start: TopicStart
  private let client: KafkaClient
  private let watch: BrokerWatch
  private var copier: MessageCopier
  private let shared: Mutex<Shared>
  private var phase = Phase.connecting
  private var cluster = ""
  private var positions = TopicPositions()
  /// What librdkafka reads.
  private var added: Set<TopicPartition> = []
  /// Where reading ends, if it does, as far as it was asked.
  private var ends: [TopicPartition: Int64] = [:]
  private var restMillis: Int64 = 0
  private let removal: RecordRemoval?
  private var hasToldOfRemoval = false

  init(_ input: KafkaInput, _ start: TopicStart) throws {
    self.input = input
    self.start = start
    client = try KafkaClient(
      input.address, group: input.group, properties: input.properties,
      events: KafkaEvents(report: start.report, isCooperative: true))
    removal = input.removesCommitted ? try RecordRemoval(client) : nil
    watch = BrokerWatch(input, start, client)
    copier = MessageCopier(start, isOfOnePartition: true)
    shared = Mutex(Shared(endsAtEnds: input.endsAtEnds))
  }

  deinit {
    copier.removeAll()
  }

  // MARK: - Steps

  func next(into batch: RecordBatch) throws -> InputStep {
    guard watch.nowMillis >= restMillis else { return .idle }
    do throws(KafkaError) {
      switch phase {
      case .connecting:
        try connect()
        return .idle
      case .reading: return try serve(batch)
      case .ended: return .ended
      }
    } catch {
      try watch.take(error)
      restMillis = watch.nowMillis + KafkaReader.retryMillis
      return .idle
    }
  }

  private func connect() throws(KafkaError) {
    try watch.takeFaults()
    let all = try watch.allPartitions(wereThere: false)
    cluster = client.clusterID(timeoutMillis: BrokerWatch.requestMillis)
    let counts = Dictionary(all.map { ($0.topic, 1) }, uniquingKeysWith: +)
    shared.withLock { $0.partitionCounts = counts }
    try client.subscribe(to: input.address.topics)
    phase = .reading
  }

  private func serve(_ batch: RecordBatch) throws(KafkaError) -> InputStep {
    copier.fill(from: client, timeoutMillis: KafkaReader.pollMillis)
    // Before anything can fail: other instances wait for what is given back.
    try carryOutOrders()
    try watch.checkTopics()
    try watch.takeFaults()
    if let (change, place) = client.events.takeChange() {
      shared.withLock { $0.membership.hand(change, place: place) }
      take(change)
      return .group(change)
    }
    removeCommitted()
    tellAgain()
    let moved = try copy(into: batch)
    if batch.count > 0 {
      watch.tellRestored()
      return .records(.topics(moved, cluster: cluster))
    }
    if !moved.isEmpty { return .moved(.topics(moved, cluster: cluster)) }
    if try isAtEnds() {
      phase = .ended
      return .ended
    }
    return .idle
  }

  private func take(_ change: GroupChange) {
    shared.withLock { shared in
      switch change {
      case .assigned(let partitions):
        shared.assigned.formUnion(partitions)
        shared.hasJoined = true
      case .revoked(let partitions): shared.assigned.subtract(partitions)
      case .lost: shared.assigned.removeAll()
      }
    }
    let assigned = shared.withLock { $0.assigned }
    copier.keep { assigned.contains($0) }
    show()
  }

  private func carryOutOrders() throws(KafkaError) {
    while let order = shared.withLock({ $0.orders.first }) {
      switch order {
      case .add(let place, let end): try add(place, end: end)
      case .remove(let partitions):
        // What was never added is not librdkafka's to take back; it waits for an answer all the
        // same.
        client.removeAssignment(partitions.filter { added.remove($0) != nil })
      }
      // The one that was carried out: nobody else takes any.
      _ = shared.withLock { $0.orders.removeFirst() }
    }
  }

  private func add(_ place: StartPlan.TopicPosition, end: Int64?) throws(KafkaError) {
    guard shared.withLock({ $0.assigned.contains(place.partition) }) else { return }
    try client.addAssignment([place])
    added.insert(place.partition)
    copier.cursors.append(MessageCopier.Cursor(partition: place.partition, next: place.offset))
    positions[place.partition] = place.offset
    ends[place.partition] = end
    show()
  }

  /// Has records removed that were committed a while ago, where that is ours to do.
  private func removeCommitted() {
    guard let removal else { return }
    let now = watch.nowMillis
    if let due = shared.withLock({ $0.committed.due(atMillis: now) }) { removal.ask(due) }
    guard let fault = removal.takeFault(), !hasToldOfRemoval else { return }
    hasToldOfRemoval = true
    start.report(
      JobMessage(
        .warning,
        "\(input.name): records that are done with cannot be removed (\(fault)): they stay as "
          + "long as the topic's retention says"))
  }

  /// Lets other threads see where reading stands.
  private func show() {
    let cursors = copier.cursors
    shared.withLock { $0.cursors = cursors }
  }

  private func copy(into batch: RecordBatch) throws(KafkaError) -> TopicPositions {
    while true {
      let stop: MessageCopier.Stop
      do throws(FormatError) {
        stop = try copier.copy(into: batch)
      } catch {
        throw .failed("\(input.name): \(error)")
      }
      guard case .fault(let cursor, let offset, let fault) = stop else { return takeMoves() }
      try take(fault, of: cursor, at: offset)
    }
  }

  /// What the cursors have moved by since the last time.
  private func takeMoves() -> TopicPositions {
    var moved = TopicPositions()
    for cursor in copier.cursors where positions[cursor.partition] != cursor.next {
      moved[cursor.partition] = cursor.next
    }
    guard !moved.isEmpty else { return moved }
    positions.merge(moved)
    show()
    return moved
  }

  /// All that is ours was read to where it ended when it was begun, or when it was to end.
  private func isAtEnds() throws(KafkaError) -> Bool {
    let mayEnd = shared.withLock {
      $0.endsAtEnds && $0.hasJoined && $0.assigned.count == copier.cursors.count
    }
    guard mayEnd else { return false }
    for cursor in copier.cursors where ends[cursor.partition] == nil {
      ends[cursor.partition] =
        try client.ends(of: cursor.partition, timeoutMillis: BrokerWatch.requestMillis).high
    }
    return copier.cursors.allSatisfy { $0.next >= ends[$0.partition] ?? .max }
  }

  /// Takes what came in place of a record.
  private func take(
    _ fault: KafkaFault, of cursor: Int?, at offset: Int64
  ) throws(KafkaError) {
    let partition = cursor.map { copier.cursors[$0].partition }
    switch fault.meaning {
    case .endOfPartition:
      if let cursor { copier.cursors[cursor].next = max(copier.cursors[cursor].next, offset) }
    case .outOfRange:
      // Of a partition that is not read here any more it says nothing.
      guard let partition else { return }
      throw .failed("\(partition): offset \(offset) is gone while it was read; start again")
    default: try watch.take(fault, of: partition, at: offset)
    }
  }

  // MARK: - What other threads call

  var partitionCounts: [String: Int] { shared.withLock { $0.partitionCounts } }

  func endAtEnds() { shared.withLock { $0.endsAtEnds = true } }

  func took(_ change: GroupChange) {
    shared.withLock { $0.membership.took(change) }
  }

  func begin(
    _ partition: TopicPartition, at position: Int64?, isAdded: Bool, ready: (Int64) -> Void
  ) throws -> Bool {
    while shared.withLock({ $0.isOurs(partition) }) {
      do throws(KafkaError) {
        // An end that is asked for before reading is to end may be too early.
        let endsAtEnds = shared.withLock { $0.endsAtEnds }
        let (place, end) = try place(of: partition, position, isAdded: isAdded)
        return begin(place, end: endsAtEnds ? end : nil, ready: ready)
      } catch {
        try watch.take(error)
      }
    }
    return false
  }

  /// Where reading begins, and where the partition ends.
  private func place(
    of partition: TopicPartition, _ position: Int64?, isAdded: Bool
  ) throws(KafkaError) -> (StartPlan.TopicPosition, end: Int64) {
    let ends = try client.ends(of: partition, timeoutMillis: BrokerWatch.requestMillis)
    var found: [TopicPartition: Int64] = [:]
    if position == nil, !isAdded, case .timestamp(let millis) = input.startPoint {
      found[partition] = try client.offset(
        in: partition, at: millis, timeoutMillis: BrokerWatch.requestMillis)
    }
    var known = TopicPositions()
    known[partition] = position
    let plan = try StartPlan(
      ends: [partition: ends], positions: known, startPoint: input.startPoint, found: found,
      isAdded: isAdded, allowsGaps: input.allowsGaps)
    for message in plan.messages { start.report(message) }
    return (plan.starts.first ?? StartPlan.TopicPosition(partition, ends.low), ends.high)
  }

  private func begin(
    _ place: StartPlan.TopicPosition, end: Int64?, ready: (Int64) -> Void
  ) -> Bool {
    let mayBegin = shared.withLock { shared in
      guard shared.isOurs(place.partition) else { return false }
      shared.begun.insert(place.partition)
      return true
    }
    guard mayBegin else { return false }
    ready(place.offset)
    return shared.withLock { shared in
      guard shared.isOurs(place.partition) else { return false }
      shared.orders.append(.add(place, end: end))
      client.wakeConsumer()
      return true
    }
  }

  func release(_ partitions: [TopicPartition]) {
    shared.withLock { shared in
      shared.begun.subtract(partitions)
      shared.told.keep { [begun = shared.begun] in begun.contains($0) }
      guard !shared.isClosed else { return }
      shared.orders.append(.remove(partitions.sorted()))
      client.wakeConsumer()
    }
  }

  var lag: TopicLag? {
    shared.withLock { shared in
      if !shared.isClosed, !shared.cursors.isEmpty {
        shared.lastLag = TopicLag(
          of: shared.cursors.map { cursor in
            let high = client.lastHigh(of: cursor.partition) ?? cursor.next
            return PartitionLag(cursor.partition, records: UInt64(max(0, high - cursor.next)))
          })
      }
      return shared.lastLag
    }
  }

  /// For monitors of lag: where outputs are topics only transactions commit offsets, and where they
  /// are files the states say where reading goes on.
  func epochCommitted(_ positions: TopicPositions) {
    shared.withLock { shared in
      let ours = positions.filter { shared.begun.contains($0) }
      guard !ours.isEmpty, !shared.isClosed else { return }
      shared.told.note(ours)
      client.commit(ours)
    }
  }

  private func tellAgain() {
    let (hasFailed, now) = (client.events.takeFailedCommit(), watch.nowMillis)
    shared.withLock { shared in
      if hasFailed { shared.told.fail(atMillis: now) }
      if let due = shared.told.due(atMillis: now), !shared.isClosed { client.commit(due) }
    }
  }

  func isDone(with positions: TopicPositions) {
    guard removal != nil else { return }
    shared.withLock { $0.committed.note(positions) }
  }

  func groupMetadata() -> OpaquePointer? {
    unsafe GroupMembership.known(of: client, clock: start.clock) {
      shared.withLock { $0.isClosed ? nil : $0.membership }
    }
  }

  func close() {
    _ = lag
    let wasOpen = shared.withLock { shared in
      defer { shared.isClosed = true }
      return !shared.isClosed
    }
    guard wasOpen else { return }
    // Before the client goes, what it lent goes back.
    copier.removeAll()
    client.close(timeoutMillis: KafkaReader.closeMillis)
  }
}
