// Reads those partitions that the group gives this instance, cooperatively: what stays is read on
// while others come and go.
//
//   assigned ─▶ told to the job ─▶ its state is opened ─▶ begin: where? ─▶ incremental assign
//   revoked  ─▶ nothing more is given ─▶ told ─▶ the job commits ─▶ release: incremental unassign
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
// Concurrency: one thread at a time calls `next`; `begin` and `release` are any thread's, and what
// they share with it is in `shared`.

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
    /// Of those the ones that librdkafka reads.
    var begun: Set<TopicPartition> = []
    /// Begun, and not looked at by the reading thread yet.
    var started: [(cursor: MessageCopier.Cursor, end: Int64)] = []
    var cursors: [MessageCopier.Cursor] = []
    var membership = KnownMembership()
    var partitionCount = 0
    var hasJoined = false
    var isClosed = false
    var lastLag: TopicLag?
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
  private let shared = Mutex(Shared())
  private var phase = Phase.connecting
  private var cluster = ""
  private var positions = TopicPositions()
  /// Where reading ends, if it does.
  private var ends: [TopicPartition: Int64] = [:]
  private var restMillis: Int64 = 0

  init(_ input: KafkaInput, _ start: TopicStart) throws {
    self.input = input
    self.start = start
    client = try KafkaClient(
      input.address, group: input.group, properties: input.properties,
      events: KafkaEvents(report: start.report, isCooperative: true))
    watch = BrokerWatch(input, start, client)
    copier = MessageCopier(start, isOfOnePartition: true)
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
    let count = try watch.allPartitions(wereThere: false).count
    cluster = client.clusterID(timeoutMillis: BrokerWatch.requestMillis)
    shared.withLock { $0.partitionCount = count }
    try client.subscribe(to: input.address.topics)
    phase = .reading
  }

  private func serve(_ batch: RecordBatch) throws(KafkaError) -> InputStep {
    try watch.checkTopics()
    copier.fill(from: client, timeoutMillis: KafkaReader.pollMillis)
    try watch.takeFaults()
    if let (change, place) = client.events.takeChange() {
      shared.withLock { $0.membership.hand(change, place: place) }
      take(change)
      return .group(change)
    }
    adoptStarted()
    let moved = try copy(into: batch)
    if batch.count > 0 {
      watch.tellRestored()
      return .records(.topics(moved, cluster: cluster))
    }
    if !moved.isEmpty { return .moved(.topics(moved, cluster: cluster)) }
    if isAtEnds {
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
      shared.started.removeAll { !shared.assigned.contains($0.cursor.partition) }
    }
    let assigned = shared.withLock { $0.assigned }
    copier.keep { assigned.contains($0) }
    show()
  }

  /// Takes over the partitions that were begun.
  private func adoptStarted() {
    let started = shared.withLock { shared in
      defer { shared.started.removeAll() }
      return shared.started
    }
    guard !started.isEmpty else { return }
    for (cursor, end) in started {
      copier.cursors.append(cursor)
      positions[cursor.partition] = cursor.next
      ends[cursor.partition] = end
    }
    show()
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

  /// All that is ours was read to where it ended when it was begun.
  private var isAtEnds: Bool {
    guard input.endsAtEnds else { return false }
    let isWhole = shared.withLock { $0.hasJoined && $0.assigned.count == copier.cursors.count }
    return isWhole && copier.cursors.allSatisfy { $0.next >= ends[$0.partition] ?? .max }
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
      let name = partition?.description ?? input.name
      throw .failed("\(name): offset \(offset) is gone while it was read; start again")
    default: try watch.take(fault, of: partition, at: offset)
    }
  }

  // MARK: - What other threads call

  var partitionCount: Int { shared.withLock { $0.partitionCount } }

  func took(_ change: GroupChange) {
    shared.withLock { $0.membership.took(change) }
  }

  func begin(
    _ partition: TopicPartition, at position: Int64?, ready: (Int64) -> Void
  ) throws -> Bool {
    while shared.withLock({ $0.assigned.contains(partition) && !$0.isClosed }) {
      do throws(KafkaError) {
        let (place, end) = try place(of: partition, position)
        return try begin(place, end: end, ready: ready)
      } catch {
        try watch.take(error)
      }
    }
    return false
  }

  /// Where reading begins, and where the partition ends.
  private func place(
    of partition: TopicPartition, _ position: Int64?
  ) throws(KafkaError) -> (StartPlan.TopicPosition, end: Int64) {
    let ends = try client.ends(of: partition, timeoutMillis: BrokerWatch.requestMillis)
    var found: [TopicPartition: Int64] = [:]
    if position == nil, case .timestamp(let millis) = input.startPoint {
      found[partition] = try client.offset(
        in: partition, at: millis, timeoutMillis: BrokerWatch.requestMillis)
    }
    var known = TopicPositions()
    known[partition] = position
    let plan = try StartPlan(
      ends: [partition: ends], positions: known, startPoint: input.startPoint, found: found,
      allowsGaps: input.allowsGaps)
    for message in plan.messages { start.report(message) }
    return (plan.starts.first ?? StartPlan.TopicPosition(partition, ends.low), ends.high)
  }

  private func begin(
    _ place: StartPlan.TopicPosition, end: Int64, ready: (Int64) -> Void
  ) throws(KafkaError) -> Bool {
    let isOurs = shared.withLock { shared in
      guard shared.assigned.contains(place.partition), !shared.isClosed else { return false }
      // Before it is assigned, so that its first message finds it.
      shared.started.append(
        (MessageCopier.Cursor(partition: place.partition, next: place.offset), end))
      shared.begun.insert(place.partition)
      return true
    }
    guard isOurs else { return false }
    ready(place.offset)
    try client.addAssignment([place])
    return true
  }

  func release(_ partitions: [TopicPartition]) {
    let begun = shared.withLock { shared in
      defer { shared.begun.subtract(partitions) }
      return shared.isClosed ? nil : shared.begun.intersection(partitions)
    }
    // What was never begun is not librdkafka's to take back; it waits for an answer all the same.
    if let begun { client.removeAssignment(begun.sorted()) }
  }

  var lag: TopicLag? {
    shared.withLock { shared in
      if !shared.isClosed, !shared.cursors.isEmpty {
        let records = shared.cursors.reduce(UInt64(0)) { sum, cursor in
          guard let high = client.lastHigh(of: cursor.partition) else { return sum }
          return sum + UInt64(max(0, high - cursor.next))
        }
        shared.lastLag = TopicLag(partitions: shared.cursors.count, records: records)
      }
      return shared.lastLag
    }
  }

  /// Only transactions commit offsets.
  func epochCommitted(_ positions: TopicPositions) {}

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
    client.events.answerAtOnce()
    client.close(clock: start.clock, timeoutMillis: KafkaReader.closeMillis)
  }
}
