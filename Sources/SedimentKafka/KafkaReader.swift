// Reads the topics of a job: a machine of phases, whose every step is short, so that whoever stops
// the job waits for one request at the most.
//
//   connecting ─▶ joining ◀─▶ reading ─▶ ended
//
//   connecting  asks for the cluster's id and the topics; then joins the group
//   joining     waits until the group gives this instance all partitions, and finds out where each
//               begins: at its position, if that is there
//   reading     copies messages into batches
//
// The group's part is to say which partitions are ours, which must be all. Where reading begins is
// never the group's to say.
//
// Invariants
// 1. `positions` says of every partition that was ever read where its next record is: it moves when
//    records are handed over, and over a gap that was allowed.
// 2. Nothing is read but of all partitions.
//
// Concurrency: one thread at a time calls `next`; `shared` guards what others look at.

internal import SedimentIO
internal import SedimentJob
internal import Synchronization

/// A reader that is a member of a group.
protocol GroupMember: Sendable {
  /// This member's place in the group, which the caller destroys; `nil` while it is none.
  func groupMetadata() -> OpaquePointer?
}

/// Reads topics with one client.
// @unchecked because all but `shared` belongs to the thread that calls `next`.
final class KafkaReader: TopicReader, GroupMember, @unchecked Sendable {
  private enum Phase {
    case connecting
    case joining
    case reading
    case ended
  }

  /// What other threads look at.
  private struct Shared {
    var cursors: [MessageCopier.Cursor] = []
    /// This instance is a member of the group: a commit of anybody else would make it join anew.
    var isMember = false
    var membership = KnownMembership()
    var told = LagOffsets()
    var isClosed = false
    var lastLag: TopicLag?
  }

  let input: KafkaInput
  let start: TopicStart
  let client: KafkaClient
  private let watch: BrokerWatch
  private var copier: MessageCopier
  private let shared = Mutex(Shared())

  private var phase = Phase.connecting
  private var cluster = ""
  private var positions: TopicPositions
  /// Where reading ends, if it does.
  private var endOffsets: [TopicPartition: Int64]?
  /// What the group gave last, and when; `nil` while it gives out anew.
  private var assigned: (partitions: Set<TopicPartition>, sinceMillis: Int64)?
  private var hadAll = false
  /// Requests rest until then.
  private var restMillis: Int64 = 0
  /// Since when the group has given nothing, and whether that was told.
  private var waiting: (sinceMillis: Int64, isTold: Bool)

  /// How long messages are waited for.
  static let pollMillis: Int32 = 100
  /// From one attempt to the next.
  static let retryMillis: Int64 = 500
  /// When waiting for the group is worth a message.
  static let groupPatienceMillis: Int64 = 5000
  /// How long leaving the group may take.
  static let closeMillis: Int64 = 5000

  init(_ input: KafkaInput, _ start: TopicStart) throws {
    self.input = input
    self.start = start
    positions = start.positions
    client = try KafkaClient(
      input.address, group: input.group, properties: input.properties,
      events: KafkaEvents(report: start.report))
    watch = BrokerWatch(input, start, client)
    copier = MessageCopier(start)
    waiting = (watch.nowMillis, false)
  }

  deinit {
    copier.removeAll()
  }

  private var nowMillis: Int64 { watch.nowMillis }

  private func tell(_ level: JobMessage.Level, _ text: String) { watch.tell(level, text) }

  // MARK: - Steps

  func next(into batch: RecordBatch) throws -> InputStep {
    do throws(KafkaError) {
      switch phase {
      case .connecting:
        try connect()
        return .idle
      case .joining, .reading: return try serve(batch)
      case .ended: return .ended
      }
    } catch {
      try watch.take(error)
      restMillis = nowMillis + Self.retryMillis
      return .idle
    }
  }

  private var isResting: Bool { nowMillis < restMillis }

  private func connect() throws(KafkaError) {
    guard !isResting else { return }
    try watch.takeFaults()
    _ = try watch.allPartitions(wereThere: false)
    let id = client.clusterID(timeoutMillis: BrokerWatch.requestMillis)
    if let known = start.origin.cluster, known != id {
      throw .failed(
        "the state was made with topics of the cluster \"\(known)\", and these brokers are of "
          + "\"\(id)\": give its brokers, or another --state, or --fresh for a new job")
    }
    cluster = id
    try client.subscribe(to: input.address.topics)
    waiting = (nowMillis, false)
    phase = .joining
  }

  /// Takes what came: messages, and what the group says.
  private func serve(_ batch: RecordBatch) throws(KafkaError) -> InputStep {
    // Without its topic a group gives nothing any more.
    if phase == .reading || assigned == nil, !isResting { try watch.checkTopics() }
    copier.fill(from: client, timeoutMillis: Self.pollMillis)
    try watch.takeFaults()
    if let (change, place) = client.events.takeChange() {
      shared.withLock { $0.membership.hand(change, place: place) }
      take(change)
      return .group(change)
    }
    tellAgain()
    let moved = try copy(into: batch)
    if batch.count > 0 {
      watch.tellRestored()
      return .records(.topics(moved, cluster: cluster))
    }
    if !moved.isEmpty { return .moved(.topics(moved, cluster: cluster)) }
    if phase == .joining { return try settle() }
    if isAtEnds {
      phase = .ended
      return .ended
    }
    return .idle
  }

  /// Copies what is held until the batch is full; what the positions moved to.
  private func copy(into batch: RecordBatch) throws(KafkaError) -> TopicPositions {
    var moved = TopicPositions()
    while true {
      let stop: MessageCopier.Stop
      do throws(FormatError) {
        stop = try copier.copy(into: batch)
      } catch {
        throw .failed("\(input.name): \(error)")
      }
      moved.merge(takeMoves())
      guard case .fault(let cursor, let offset, let fault) = stop else { return moved }
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
    let cursors = copier.cursors
    shared.withLock { $0.cursors = cursors }
    return moved
  }

  private var isAtEnds: Bool {
    guard let endOffsets, phase == .reading else { return false }
    return endOffsets.allSatisfy { positions[$0.key] ?? 0 >= $0.value }
  }

  // MARK: - The group

  private func take(_ change: GroupChange) {
    copier.removeAll()
    phase = .joining
    restMillis = 0
    switch change {
    case .assigned(let partitions):
      shared.withLock { $0.isMember = true }
      assigned = (Set(partitions), nowMillis)
    case .revoked, .lost:
      shared.withLock { $0.isMember = false }
      assigned = nil
      waiting = (nowMillis, false)
      tell(.detail, "the group \(input.group) gives out its partitions anew")
    }
  }

  /// Begins to read once all partitions are ours.
  private func settle() throws(KafkaError) -> InputStep {
    guard let assigned else {
      tellWaiting()
      return .idle
    }
    guard !isResting else { return .idle }
    let all = try watch.allPartitions(wereThere: true)
    let verdict = GroupShare(assigned: assigned.partitions, all: all).verdict(
      group: input.group, hadAll: hadAll, waitedMillis: nowMillis - assigned.sinceMillis)
    switch verdict {
    case .whole: break
    case .wait:
      if !waiting.isTold {
        waiting.isTold = true
        tell(
          .warning,
          "the group \(input.group) gave this instance \(assigned.partitions.count) of "
            + "\(all.count) partitions: waiting for the others")
      }
      restMillis = nowMillis + Self.retryMillis
      return .idle
    case .refuse(let text): throw .failed(text)
    }
    return try begin(all.sorted())
  }

  private func tellWaiting() {
    guard !waiting.isTold, nowMillis - waiting.sinceMillis >= Self.groupPatienceMillis else {
      return
    }
    waiting.isTold = true
    tell(
      .information,
      "waiting for the group \(input.group) to give out its partitions; an instance that was "
        + "killed is in it until its session ends (session.timeout.ms)")
  }

  /// Finds out where each partition begins, and reads on from there.
  private func begin(_ partitions: [TopicPartition]) throws(KafkaError) -> InputStep {
    var ends: [TopicPartition: PartitionEnds] = [:]
    var found: [TopicPartition: Int64] = [:]
    for partition in partitions {
      ends[partition] = try client.ends(of: partition, timeoutMillis: BrokerWatch.requestMillis)
      if positions.isEmpty, case .timestamp(let millis) = input.startPoint {
        found[partition] = try client.offset(
          in: partition, at: millis, timeoutMillis: BrokerWatch.requestMillis)
      }
    }
    let plan = try StartPlan(
      ends: ends, positions: positions, startPoint: input.startPoint, found: found,
      allowsGaps: input.allowsGaps)
    try client.assign(plan.starts)
    for message in plan.messages { start.report(message) }
    if !hadAll {
      if input.endsAtEnds { endOffsets = ends.mapValues(\.high) }
      tell(.information, "reading \(partitions.count) partitions of \(input.name)")
    }
    for place in plan.starts { tell(.detail, "\(place.partition): reading from \(place.offset)") }
    hadAll = true
    waiting.isTold = false
    phase = .reading
    watch.tellRestored()
    copier.cursors = plan.starts.map {
      MessageCopier.Cursor(partition: $0.partition, next: $0.offset)
    }
    let cursors = copier.cursors
    shared.withLock { $0.cursors = cursors }
    let moved = takeMoves()
    return moved.isEmpty ? .idle : .moved(.topics(moved, cluster: cluster))
  }

  /// Takes what came in place of a record.
  private func take(
    _ fault: KafkaFault, of cursor: Int?, at offset: Int64
  ) throws(KafkaError) {
    switch fault.meaning {
    case .endOfPartition:
      // Behind the last record there may be markers of transactions.
      if let cursor { copier.cursors[cursor].next = max(copier.cursors[cursor].next, offset) }
    case .outOfRange:
      // Where the partition begins and ends now is asked again.
      copier.removeAll()
      phase = .joining
    default: try watch.take(fault, of: cursor.map { copier.cursors[$0].partition }, at: offset)
    }
  }

  // MARK: - What other threads call

  var lag: TopicLag? {
    shared.withLock { shared in
      if !shared.isClosed { shared.lastLag = lag(shared.cursors) ?? shared.lastLag }
      return shared.lastLag
    }
  }

  private func lag(_ cursors: [MessageCopier.Cursor]) -> TopicLag? {
    guard !cursors.isEmpty else { return nil }
    return TopicLag(
      of: cursors.map { cursor in
        let high = client.lastHigh(of: cursor.partition) ?? cursor.next
        return PartitionLag(cursor.partition, records: UInt64(max(0, high - cursor.next)))
      })
  }

  func epochCommitted(_ positions: TopicPositions) {
    let now = nowMillis
    shared.withLock { shared in
      shared.told.note(positions)
      guard !shared.isClosed else { return }
      if shared.isMember { client.commit(positions) } else { shared.told.fail(atMillis: now) }
    }
  }

  private func tellAgain() {
    let (hasFailed, now) = (client.events.takeFailedCommit(), nowMillis)
    shared.withLock { shared in
      if hasFailed { shared.told.fail(atMillis: now) }
      guard shared.isMember, !shared.isClosed else { return }
      if let due = shared.told.due(atMillis: now) { client.commit(due) }
    }
  }

  func took(_ change: GroupChange) {
    shared.withLock { $0.membership.took(change) }
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
    client.close(timeoutMillis: Self.closeMillis)
  }
}
