// Writes topics in transactions, with one producer of librdkafka.
//
// What librdkafka answers is one of four things, and `TransactionFault.meaning` says which: try the
// call again, as its result is not known yet; the transaction is lost, and the job goes back to the
// epoch before; the job ends; or all is well. A record that brokers refuse is told by a callback,
// and loses the transaction at the next call.
//
// Invariants
// 1. `commit` returns or throws when the result is known, and else not, but for a job that is asked
//    to stop while no broker answers: then the next opening asks.
// 2. After an error the producer is only closed.
//
// Concurrency: one thread at a time calls, as `TopicProducer` says, but `committed` may come from
// others, and then ends when the producer is closed; callbacks run within `poll`.

internal import CRdKafka
internal import SedimentIO
internal import SedimentJob
internal import Synchronization

/// See the file's header.
// @unchecked because librdkafka is thread-safe, and what changes is the calling thread's.
@safe
final class KafkaProducer: TopicProducer, @unchecked Sendable {
  private(set) var cluster = ""
  private let output: KafkaOutput
  private let start: TopicOutputStart
  private let client: OpaquePointer
  private let faults: DeliveryFaults
  private let outage = Mutex(Outage())
  private var topics: [OutputRole: WrittenTopic] = [:]
  private var headers = AuditHeaders()
  private let life = Monitor()
  private var isOpen = true
  /// How many threads are in `committed`, which use the client. With `life`.
  private var askerCount = 0
  private var isInTransaction = false

  /// A topic as librdkafka has it.
  @safe
  private struct WrittenTopic {
    let handle: OpaquePointer
    let partitionCount: Int
  }

  /// How long one answer is waited for.
  private static let requestMillis: Int32 = 2000
  /// How long a stopped job waits for brokers that do not answer.
  private static let stopPatienceMillis: Int64 = 10_000
  /// The same for offsets: when it is over they lose the transaction.
  private static let offsetsMillis: Int32 = 10_000
  /// How long aborting may take at the end.
  private static let abortMillis: Int32 = 5000

  init(_ output: KafkaOutput, _ start: TopicOutputStart) throws(KafkaError) {
    self.output = output
    self.start = start
    faults = DeliveryFaults(report: start.report)
    let configuration = try unsafe output.configuration(
      epochMillis: start.epochMillis, instance: start.instance)
    unsafe faults.register(in: configuration)
    unsafe client = try KafkaConfiguration.client(RD_KAFKA_PRODUCER, configuration)
  }

  deinit {
    close()
  }

  // MARK: - Opening

  /// Ends what an earlier producer left open, and looks at the topics.
  func initialise() throws {
    try unsafe asking("transactions of the group \(output.group)") {
      unsafe rd_kafka_init_transactions(client, Self.requestMillis)
    }
    for (role, topic) in output.topics {
      let count = try partitionCount(
        of: topic, ifMissing: "topics are not created by writing: create it", isWritten: true)
      guard let handle = unsafe rd_kafka_topic_new(client, topic, nil) else {
        throw KafkaError.failed("\(topic): \(KafkaFault(rd_kafka_last_error()))")
      }
      topics[role] = unsafe WrittenTopic(handle: handle, partitionCount: count)
    }
    // Whoever has told of topics has told its name, too.
    cluster = unsafe KafkaClient.clusterID(asking: client, timeoutMillis: Self.requestMillis)
  }

  private func partitionCount(
    of topic: String, ifMissing advice: String, isWritten: Bool = false
  ) throws -> Int {
    while true {
      let answer: Result<Int, KafkaTopicError>
      do throws(KafkaError) {
        answer = try unsafe KafkaClient.partitionCount(
          of: topic, asking: client, timeoutMillis: Self.requestMillis)
      } catch {
        guard case .unreachable(let text) = error else { throw error }
        try waitForBrokers(text)
        continue
      }
      switch answer {
      case .success(let count) where count > 0: return count
      case .success: throw KafkaError.failed("topic \(topic): it has no partitions")
      case .failure(let error):
        let text = "topic \(topic): \(error.fault)"
        switch error.fault.meaning {
        case .unknownTopic:
          throw KafkaError.failed("\(text); \(advice)")
        case .fatal:
          let way = isWritten ? output.advice(error.fault, instance: start.instance) : ""
          throw KafkaError.failed(text + way)
        // Such as a leader that is being elected.
        default: try waitForBrokers(text)
        }
      }
    }
  }

  func committed(_ topics: [String]) throws -> [TopicPartition: CommittedOffset] {
    life.withLock { askerCount += 1 }
    defer {
      life.withLock {
        askerCount -= 1
        life.broadcast()
      }
    }
    try requireOpen()
    var partitions: [(TopicPartition, Int64)] = []
    for topic in topics {
      let count = try partitionCount(
        of: topic,
        ifMissing: "topics are read and written in one cluster, as a transaction is within one")
      for number in 0..<count {
        partitions.append((TopicPartition(topic, Int32(number)), -1))
      }
    }
    let offsets = try KafkaOffsets(output, faults)
    while true {
      do throws(KafkaError) {
        return try offsets.committed(partitions, timeoutMillis: Self.requestMillis)
      } catch {
        guard case .unreachable(let text) = error else { throw error }
        try waitForBrokers(text)
      }
    }
  }

  // MARK: - A transaction

  func begin() throws(SinkError) {
    try unsafe known("begin a transaction") { unsafe rd_kafka_begin_transaction(client) }
    isInTransaction = true
  }

  func produce(_ records: TopicRecords) throws(SinkError) {
    let role = records.role
    guard let topic = topics[role] else {
      throw .topic("no topic is named for \(role.option)")
    }
    let batch = records.batch
    let carried = batch.carried
    let destinations = batch.destinations
    let statuses = unsafe batch.columns.statuses
    var stretch = 0
    for place in unsafe 0..<records.indices.count {
      let index = unsafe Int(records.indices[place])
      var partition = RD_KAFKA_PARTITION_UA
      if !destinations.isEmpty {
        partition = destinations[index]
      } else if output.partitioner == .same, !batch.stretches.isEmpty {
        partition = try samePartition(index, of: batch, from: &stretch, in: topic, role)
      }
      var list: OpaquePointer?
      if let carried { unsafe list = Self.copied(carried.headers(index)) }
      if !output.auditHeaders.isEmpty {
        unsafe list = list ?? rd_kafka_headers_new(2)
        unsafe headers.add(output.auditHeaders, records, index, to: list)
      }
      // SAFETY: the column has an element for each record.
      let isNull = unsafe statuses[index] == RecordStatus.tombstone.rawValue
      let value = unsafe batch.record(index)
      let key = unsafe carried?.key(index)
      let time = max(0, carried?.time(index) ?? 0)
      var full: FullQueue?
      while true {
        // SAFETY: value and key are the batch's, and are copied; the headers are ours until they
        // are taken.
        let code = unsafe sediment_kafka_produce(
          client, topic.handle, partition, isNull ? nil : value.baseAddress, value.count,
          key?.baseAddress, key?.count ?? 0, time, list)
        if code == RD_KAFKA_RESP_ERR_NO_ERROR { break }
        do throws(SinkError) {
          try refused(code, batch, index, records.path, &full)
        } catch {
          if let list = unsafe list { unsafe rd_kafka_headers_destroy(list) }
          throw error
        }
      }
    }
    _ = unsafe rd_kafka_poll(client, 0)
    try requireDelivered()
  }

  /// The number of the partition that a record was read from.
  ///
  /// - Parameter stretch: that of the record before.
  private func samePartition(
    _ index: Int, of batch: RecordBatch, from stretch: inout Int, in topic: WrittenTopic,
    _ role: OutputRole
  ) throws(SinkError) -> Int32 {
    while stretch + 1 < batch.stretches.count, batch.stretches[stretch + 1].firstRecord <= index {
      stretch += 1
    }
    let partition = batch.stretches[stretch].partition.partition
    guard partition < topic.partitionCount else {
      throw .topic(
        "\(batch.place(of: index, path: "")): the topic \(output.topics[role] ?? "") has "
          + "\(topic.partitionCount) partitions; --output-partitioner same needs one for each of "
          + "the input's")
    }
    return partition
  }

  /// A queue that has no room for a record.
  private struct FullQueue {
    var sinceMillis: Int64
    /// Nothing was in it: there will never be more room.
    var wasEmpty: Bool
  }

  /// Waits where waiting helps, and throws else.
  private func refused(
    _ code: rd_kafka_resp_err_t, _ batch: RecordBatch, _ index: Int, _ path: String,
    _ full: inout FullQueue?
  ) throws(SinkError) {
    switch code {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      guard full?.wasEmpty != true else {
        throw .topic(
          "\(batch.place(of: index, path: path)): the record has "
            + "\(unsafe batch.record(index).count) bytes, and all records that wait have less: "
            + "--kafka-property queue.buffering.max.kbytes=N allows more")
      }
      let since = full?.sinceMillis ?? now
      full = FullQueue(sinceMillis: since, wasEmpty: unsafe rd_kafka_outq_len(client) == 0)
      try wait("the brokers take records too slowly", since: since, pollMillis: 50)
      try requireDelivered()
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      throw .topic(
        "\(batch.place(of: index, path: path)): the record has \(unsafe batch.record(index).count) "
          + "bytes, and producers send less; --kafka-property message.max.bytes=N allows more, if "
          + "the topic's max.message.bytes does")
    default:
      try requireDelivered()
      throw error(TransactionFault(KafkaFault(code), isAbortable: true), "write a record")
    }
  }

  /// Headers as librdkafka has them; `nil` for none.
  private static func copied(_ bytes: UnsafeRawBufferPointer) -> OpaquePointer? {
    guard bytes.count > 0 else { return nil }
    let list = unsafe rd_kafka_headers_new(8)
    var walk = unsafe CarriedHeaders(bytes)
    while let header = unsafe walk.nextHeader() {
      _ = unsafe rd_kafka_header_add(
        list, header.name.baseAddress?.assumingMemoryBound(to: CChar.self), header.name.count,
        header.value?.baseAddress, header.value?.count ?? 0)
    }
    return unsafe list
  }

  func flush() throws(SinkError) {
    let since = now
    while true {
      let code = unsafe rd_kafka_flush(client, Self.requestMillis)
      try requireDelivered()
      if code == RD_KAFKA_RESP_ERR_NO_ERROR { return tellRestored() }
      guard code == RD_KAFKA_RESP_ERR__TIMED_OUT else {
        throw error(TransactionFault(KafkaFault(code), isAbortable: true), "send records")
      }
      try wait("the brokers have not taken all records yet", since: since)
    }
  }

  func commit(
    _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
  ) throws(SinkError) {
    if !offsets.isEmpty { try send(offsets, readBy: reader) }
    try unsafe known("commit the transaction") {
      unsafe rd_kafka_commit_transaction(client, Self.requestMillis)
    }
    isInTransaction = false
  }

  private func send(
    _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
  ) throws(SinkError) {
    let group: OpaquePointer?
    if let reader {
      guard let member = unsafe (reader as? any GroupMember)?.groupMetadata() else {
        throw .epochAborted("the group \(output.group) gives out its partitions anew")
      }
      unsafe group = member
    } else {
      unsafe group = rd_kafka_consumer_group_metadata_new(output.group)
    }
    defer { unsafe rd_kafka_consumer_group_metadata_destroy(group) }
    let list = unsafe KafkaList.make(offsets)
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    try unsafe known("commit offsets") {
      unsafe rd_kafka_send_offsets_to_transaction(client, list, group, Self.offsetsMillis)
    }
  }

  // MARK: - The end

  func close() {
    let wasOpen = life.withLock { () -> Bool in
      defer { isOpen = false }
      return isOpen
    }
    guard wasOpen else { return }
    if isInTransaction, let error = unsafe rd_kafka_abort_transaction(client, Self.abortMillis) {
      // Whoever initialises next, or the transaction's time-out, aborts it.
      unsafe rd_kafka_error_destroy(error)
    }
    // Whoever asks now notices at its next turn; of our own transaction nobody waits any more.
    life.withLock { while askerCount > 0 { life.wait() } }
    for topic in topics.values { unsafe rd_kafka_topic_destroy(topic.handle) }
    unsafe rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
    _ = unsafe rd_kafka_poll(client, 0)
    unsafe rd_kafka_destroy(client)
    withExtendedLifetime(faults) {}
  }

  // MARK: - Answers

  private var now: Int64 { Int64(SystemClock().monotonicNanos() / 1_000_000) }

  /// Asks until the answer is known. For calls before there is a transaction to lose.
  private func asking(_ what: String, _ ask: () -> OpaquePointer?) throws {
    while let answer = unsafe ask() {
      let fault = unsafe TransactionFault(consuming: answer)
      guard fault.meaning == .again else {
        throw KafkaError.failed(
          "\(what): \(fault.fault)" + output.advice(fault.fault, instance: start.instance))
      }
      try waitForBrokers(fault.fault.description)
    }
    tellRestored()
  }

  /// The same within a transaction.
  private func known(_ what: String, _ ask: () -> OpaquePointer?) throws(SinkError) {
    let since = now
    while let answer = unsafe ask() {
      let fault = unsafe TransactionFault(consuming: answer)
      // A record that was refused is the better reason.
      try requireDelivered()
      guard fault.meaning == .again else { throw error(fault, what) }
      try wait(fault.fault.description, since: since)
    }
    tellRestored()
  }

  /// An error with the way out of what a person can mend.
  private func error(_ fault: TransactionFault, _ what: String) -> SinkError {
    fault.error(what, advice: output.advice(fault.fault, instance: start.instance))
  }

  private func requireDelivered() throws(SinkError) {
    guard let fault = faults.first else { return }
    throw error(TransactionFault(fault, isAbortable: true), "write a record")
  }

  private func requireOpen() throws {
    guard life.withLock({ isOpen }) else {
      throw JobError(.epochAborted, "the session of the group \(output.group) has ended")
    }
  }

  /// Before a transaction: stopping is always possible.
  private func waitForBrokers(_ reason: String) throws {
    try requireOpen()
    if start.isStopping() { throw JobError(.stopped, "the job was stopped before it began") }
    if let fault = faults.refusal {
      throw KafkaError.failed("\(fault)" + output.advice(fault, instance: start.instance))
    }
    tellOutage(reason)
    _ = unsafe rd_kafka_poll(client, 100)
  }

  /// Within one: a job that is asked to stop waits a little for its last epoch.
  private func wait(
    _ reason: String, since: Int64, pollMillis: Int32 = 100
  ) throws(SinkError) {
    if start.isStopping(), now - since > Self.stopPatienceMillis {
      throw .topic(
        "the job was stopped while no broker answered (\(reason)): whether they took the last "
          + "epoch is not known; start the same command again, and it asks them")
    }
    if now - since > Int64(Self.requestMillis) { tellOutage(reason) }
    _ = unsafe rd_kafka_poll(client, pollMillis)
  }

  private func tellOutage(_ reason: String) {
    let now = now
    guard outage.withLock({ $0.isNews(atMillis: now) }) else { return }
    start.report(
      JobMessage(
        .warning,
        "waiting for the brokers \(output.brokers.joined(separator: ",")): \(reason)"))
  }

  private func tellRestored() {
    faults.forgetRefusal()
    if outage.withLock({ $0.end() }) {
      start.report(JobMessage(.information, "the brokers answer again"))
    }
  }
}

/// Asks for committed offsets, by a client of its own that is no member of the group.
@safe
private struct KafkaOffsets: ~Copyable {
  private let output: KafkaOutput
  private let client: OpaquePointer

  /// - Parameter faults: takes the log; must live as long as this.
  init(_ output: KafkaOutput, _ faults: DeliveryFaults) throws(KafkaError) {
    let configuration = try unsafe output.offsetsConfiguration()
    unsafe faults.register(in: configuration)
    unsafe client = try KafkaConfiguration.client(RD_KAFKA_CONSUMER, configuration)
    self.output = output
    _ = unsafe rd_kafka_poll_set_consumer(client)
  }

  deinit {
    unsafe rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
  }

  /// - Throws: `KafkaError.unreachable` while a transaction that holds offsets is under way, too.
  borrowing func committed(
    _ partitions: [(TopicPartition, Int64)], timeoutMillis: Int32
  ) throws(KafkaError) -> [TopicPartition: CommittedOffset] {
    let list = unsafe KafkaList.make(partitions)
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    var code = unsafe rd_kafka_committed(client, list, timeoutMillis)
    for index in unsafe 0..<Int(list.pointee.cnt) where code == RD_KAFKA_RESP_ERR_NO_ERROR {
      // SAFETY: the list has `cnt` elements.
      code = unsafe list.pointee.elems[index].err
    }
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      let fault = refusal() ?? KafkaFault(code)
      guard fault.meaning == .fatal else { throw .unreachable(fault.description) }
      throw .failed(
        "offsets of the group \(output.group): \(fault)" + output.advice(fault, instance: nil))
    }
    return unsafe KafkaList.offsets(in: list)
  }

  /// What is told beside an answer that will not come, as when the group's coordinator must not be
  /// known.
  private borrowing func refusal() -> KafkaFault? {
    var found: KafkaFault?
    while let message = unsafe rd_kafka_consumer_poll(client, 0) {
      let fault = unsafe KafkaFault(message.pointee.err)
      unsafe rd_kafka_message_destroy(message)
      if fault.meaning == .fatal { found = fault }
    }
    return found
  }
}

/// What brokers refused; told by librdkafka's callbacks, which may come from any thread.
// @unchecked because what changes is touched with `monitor` held.
private final class DeliveryFaults: @unchecked Sendable {
  private let monitor = Monitor()
  private let report: @Sendable (JobMessage) -> Void
  private var found: KafkaFault?
  private var refused: KafkaFault?

  init(report: @escaping @Sendable (JobMessage) -> Void) {
    self.report = report
  }

  /// The first record that was refused, and why.
  var first: KafkaFault? { monitor.withLock { found } }

  /// What librdkafka asks for again and again, though brokers have refused it; whoever waits for it
  /// waits for ever.
  var refusal: KafkaFault? { monitor.withLock { refused } }

  func forgetRefusal() { monitor.withLock { refused = nil } }

  /// Takes an error of no record.
  private func add(_ fault: KafkaFault) {
    report(JobMessage(.detail, "librdkafka: \(fault)"))
    // A fatal error of the producer is told by its calls.
    guard fault.meaning == .fatal, fault.code != RD_KAFKA_RESP_ERR__FATAL.rawValue else { return }
    monitor.withLock { refused = fault }
  }

  /// Makes a configuration call this object, which must live as long as its client.
  func register(in configuration: OpaquePointer) {
    unsafe rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(self).toOpaque())
    unsafe rd_kafka_conf_set_dr_msg_cb(configuration) { _, message, opaque in
      guard let message = unsafe message else { return }
      unsafe DeliveryFaults.from(opaque)?.add(message)
    }
    unsafe rd_kafka_conf_set_error_cb(configuration) { _, code, reason, opaque in
      let text = unsafe reason.map { unsafe String(cString: $0) }
      unsafe DeliveryFaults.from(opaque)?.add(
        KafkaFault(rd_kafka_resp_err_t(rawValue: code), text))
    }
    unsafe rd_kafka_conf_set_log_cb(configuration) { client, _, facility, text in
      guard let client = unsafe client, let text = unsafe text else { return }
      let line = unsafe String(cString: text)
      let facility = unsafe facility.map { unsafe String(cString: $0) } ?? "log"
      unsafe DeliveryFaults.from(rd_kafka_opaque(client))?
        .report(JobMessage(.detail, "librdkafka \(facility): \(line)"))
    }
  }

  private func add(_ message: UnsafePointer<rd_kafka_message_t>) {
    let code = unsafe message.pointee.err
    // What we take back ourselves at the end.
    guard code != RD_KAFKA_RESP_ERR_NO_ERROR, code != RD_KAFKA_RESP_ERR__PURGE_QUEUE,
      code != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT
    else { return }
    var topic = "a topic"
    if let handle = unsafe message.pointee.rkt, let name = unsafe rd_kafka_topic_name(handle) {
      topic = "the topic \(unsafe String(cString: name))"
    }
    var text = "a record of \(unsafe message.pointee.len) bytes for \(topic) was refused"
    if code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE {
      // The brokers refuse all records that came with it, so it may be another one.
      text +=
        ", or others beside it: its max.message.bytes must be larger, or "
        + "--kafka-property message.max.bytes=N no larger than it"
    }
    let fault = KafkaFault(code, text)
    monitor.withLock { if found == nil { found = fault } }
  }

  /// SAFETY: the opaque of every client is an object that its owner keeps (`register`).
  private static func from(_ opaque: UnsafeMutableRawPointer?) -> DeliveryFaults? {
    guard let opaque = unsafe opaque else { return nil }
    return unsafe Unmanaged<DeliveryFaults>.fromOpaque(opaque).takeUnretainedValue()
  }
}
