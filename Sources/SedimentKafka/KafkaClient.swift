// One consumer of librdkafka: the calls that we make, with Swift's types and errors.
//
// Concurrency: `consume`, `assign` and `close` are the reader's, one thread at a time; librdkafka
// takes all other calls from any thread. Nothing is called after `close`, which may leave a thread
// that goes on leaving the group, and keeps the client until then.

internal import CRdKafka
internal import SedimentIO
internal import SedimentJob

/// A consumer of one cluster.
// @unchecked because librdkafka is thread-safe and the addresses never change.
@safe
final class KafkaClient: @unchecked Sendable {
  /// Pointers to messages that belong to us until they are destroyed.
  typealias Messages = UnsafeMutablePointer<UnsafeMutablePointer<rd_kafka_message_t>?>

  let events: KafkaEvents
  let client: OpaquePointer
  private let queue: OpaquePointer
  /// It left while the group gave out partitions. Belongs to the thread that leaves.
  private var hasLeftInRound = false

  /// Connects to nothing yet.
  ///
  /// - Throws: `KafkaError.usage` for a property that there is not or that has a wrong value.
  init(
    _ address: KafkaAddress, group: String, properties: KafkaProperties, events: KafkaEvents
  ) throws(KafkaError) {
    let configuration = try unsafe Self.configuration(
      address, group: group, properties, isCooperative: events.isCooperative)
    unsafe events.register(in: configuration)
    let client = try unsafe KafkaConfiguration.client(RD_KAFKA_CONSUMER, configuration)
    self.events = events
    unsafe self.client = client
    // Errors of the client come with the messages, too.
    _ = unsafe rd_kafka_poll_set_consumer(client)
    guard let queue = unsafe rd_kafka_queue_get_consumer(client) else {
      unsafe rd_kafka_destroy(client)
      throw .failed("librdkafka has no queue of messages: out of memory")
    }
    unsafe self.queue = queue
  }

  deinit {
    // Where it has left, it does nothing any more.
    if hasLeftInRound, ClientEnd.mayAbort { return ClientEnd.keepForEver(events) }
    unsafe ClientEnd(client: client, queue: queue, events: events).destroy()
  }

  /// Checks properties without making a client.
  static func check(
    _ address: KafkaAddress, group: String, _ properties: KafkaProperties
  ) throws(KafkaError) {
    unsafe rd_kafka_conf_destroy(try configuration(address, group: group, properties))
  }

  private static func configuration(
    _ address: KafkaAddress, group: String, _ properties: KafkaProperties,
    isCooperative: Bool = false
  ) throws(KafkaError) -> OpaquePointer {
    typealias Configuration = KafkaConfiguration
    // What a user may change stands before the user's, what is ours behind.
    let first = [
      // A killed instance holds up its successor for as long.
      Configuration.ours("session.timeout.ms", "10000"),
      Configuration.ours("heartbeat.interval.ms", "2000"),
      Configuration.ours("client.id", "sediment"),
      // What is fetched ahead is beside --memory.
      Configuration.ours("queued.max.messages.kbytes", "32768"),
      // Only this question makes the group give out partitions that were added.
      Configuration.ours("topic.metadata.refresh.interval.ms", "10000"),
      // Damage on the way is not read as records.
      Configuration.ours("check.crcs", "true"),
    ]
    let last =
      Configuration.common(address.brokers) + [
        Configuration.ours("group.id", group),
        Configuration.ours("enable.auto.commit", "false"),
        Configuration.ours("enable.auto.offset.store", "false"),
        Configuration.ours("auto.offset.reset", "error"),
        Configuration.ours("enable.partition.eof", "true"),
        Configuration.ours(
          "partition.assignment.strategy", isCooperative ? "cooperative-sticky" : "range"),
      ]
    return unsafe try Configuration.make(first + properties.all + last)
  }

  // MARK: - Questions to brokers

  /// What the cluster calls itself; empty for brokers that have no name for it.
  func clusterID(timeoutMillis: Int32) -> String {
    unsafe Self.clusterID(asking: client, timeoutMillis: timeoutMillis)
  }

  /// The same by any client.
  static func clusterID(asking client: OpaquePointer, timeoutMillis: Int32) -> String {
    guard let name = unsafe rd_kafka_clusterid(client, timeoutMillis) else { return "" }
    defer { unsafe rd_kafka_mem_free(client, name) }
    return unsafe String(cString: name)
  }

  /// How many partitions a topic has.
  ///
  /// - Returns: the count, or what the brokers say of the topic.
  /// - Throws: `KafkaError.unreachable` when there was no answer.
  func partitionCount(
    of topic: String, timeoutMillis: Int32
  ) throws(KafkaError) -> Result<Int, KafkaTopicError> {
    try unsafe Self.partitionCount(of: topic, asking: client, timeoutMillis: timeoutMillis)
  }

  /// The same by any client.
  static func partitionCount(
    of topic: String, asking client: OpaquePointer, timeoutMillis: Int32
  ) throws(KafkaError) -> Result<Int, KafkaTopicError> {
    guard let handle = unsafe rd_kafka_topic_new(client, topic, nil) else {
      throw .failed("\(topic): \(KafkaFault(rd_kafka_last_error()))")
    }
    defer { unsafe rd_kafka_topic_destroy(handle) }
    var answer: UnsafePointer<rd_kafka_metadata>?
    let code = unsafe rd_kafka_metadata(client, 0, handle, &answer, timeoutMillis)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let answer = unsafe answer else {
      throw Self.error(KafkaFault(code, topic))
    }
    defer { unsafe rd_kafka_metadata_destroy(answer) }
    for index in unsafe 0..<Int(answer.pointee.topic_cnt) {
      // SAFETY: the answer has `topic_cnt` topics.
      let found = unsafe answer.pointee.topics[index]
      guard unsafe String(cString: found.topic) == topic else { continue }
      let code = unsafe found.err
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
        return .failure(KafkaTopicError(topic: topic, fault: KafkaFault(code)))
      }
      return .success(unsafe Int(found.partition_cnt))
    }
    return .failure(
      KafkaTopicError(topic: topic, fault: KafkaFault(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)))
  }

  /// Where a partition begins and ends.
  func ends(
    of partition: TopicPartition, timeoutMillis: Int32
  ) throws(KafkaError) -> PartitionEnds {
    var (low, high): (Int64, Int64) = (0, 0)
    let code = unsafe rd_kafka_query_watermark_offsets(
      client, partition.topic, partition.partition, &low, &high, timeoutMillis)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw Self.error(KafkaFault(code, "\(partition)"))
    }
    return PartitionEnds(low: low, high: high)
  }

  /// The offset of the first record with a time of `millis` or later; `nil` if there is none.
  func offset(
    in partition: TopicPartition, at millis: Int64, timeoutMillis: Int32
  ) throws(KafkaError) -> Int64? {
    let list = unsafe KafkaList.make([(partition, millis)])
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    var code = unsafe rd_kafka_offsets_for_times(client, list, timeoutMillis)
    // SAFETY: the list has the one element that was added.
    let element = unsafe list.pointee.elems[0]
    if code == RD_KAFKA_RESP_ERR_NO_ERROR { code = unsafe element.err }
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw Self.error(KafkaFault(code, "\(partition)"))
    }
    return unsafe element.offset >= 0 ? element.offset : nil
  }

  /// The end of a partition as it was told last; `nil` before.
  func lastHigh(of partition: TopicPartition) -> Int64? {
    var (low, high): (Int64, Int64) = (0, 0)
    let code = unsafe rd_kafka_get_watermark_offsets(
      client, partition.topic, partition.partition, &low, &high)
    return code == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 ? high : nil
  }

  /// What the group holds of partitions. Offsets of transactions that are under way are waited
  /// for.
  func committed(
    of partitions: [TopicPartition], timeoutMillis: Int32
  ) throws(KafkaError) -> [TopicPartition: CommittedOffset] {
    let list = unsafe KafkaList.make(partitions.map { ($0, 0) })
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    var code = unsafe rd_kafka_committed(client, list, timeoutMillis)
    for index in unsafe 0..<Int(list.pointee.cnt) where code == RD_KAFKA_RESP_ERR_NO_ERROR {
      // SAFETY: the list has `cnt` elements.
      code = unsafe list.pointee.elems[index].err
    }
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw Self.error(KafkaFault(code)) }
    return unsafe KafkaList.offsets(in: list)
  }

  /// How many members a group has.
  func memberCount(of group: String, timeoutMillis: Int32) throws(KafkaError) -> Int {
    var answer: UnsafePointer<rd_kafka_group_list>?
    let code = unsafe rd_kafka_list_groups(client, group, &answer, timeoutMillis)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let answer = unsafe answer else {
      throw Self.error(KafkaFault(code, "group \(group)"))
    }
    defer { unsafe rd_kafka_group_list_destroy(answer) }
    var count = 0
    for index in unsafe 0..<Int(answer.pointee.group_cnt) {
      // SAFETY: the answer has `group_cnt` groups.
      let found = unsafe answer.pointee.groups[index]
      guard unsafe String(cString: found.group) == group else { continue }
      guard unsafe found.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
        throw Self.error(KafkaFault(unsafe found.err, "group \(group)"))
      }
      count += unsafe Int(found.member_cnt)
    }
    return count
  }

  /// Adds partitions to a topic.
  ///
  /// - Parameter total: how many it has then.
  func addPartitions(
    to topic: String, total: Int, timeoutMillis: Int32
  ) throws(KafkaError) {
    var reason = [CChar](repeating: 0, count: KafkaConfiguration.reasonBytes)
    var wanted: OpaquePointer? = unsafe rd_kafka_NewPartitions_new(
      topic, total, &reason, reason.count)
    guard unsafe wanted != nil, let answers = unsafe rd_kafka_queue_new(client) else {
      throw .failed("topic \(topic) cannot have \(total) partitions")
    }
    defer {
      unsafe rd_kafka_queue_destroy(answers)
      if let wanted = unsafe wanted { unsafe rd_kafka_NewPartitions_destroy(wanted) }
    }
    unsafe rd_kafka_CreatePartitions(client, &wanted, 1, nil, answers)
    guard let event = unsafe rd_kafka_queue_poll(answers, timeoutMillis) else {
      throw .unreachable("no broker said whether topic \(topic) has \(total) partitions now")
    }
    defer { unsafe rd_kafka_event_destroy(event) }
    var fault = unsafe KafkaFault(rd_kafka_event_error(event), Self.text(of: event))
    if unsafe rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR {
      guard let result = unsafe rd_kafka_event_CreatePartitions_result(event) else { return }
      var count = 0
      let topics = unsafe rd_kafka_CreatePartitions_result_topics(result, &count)
      guard count > 0, let topics = unsafe topics else { return }
      // SAFETY: there are `count` of them.
      let answer = unsafe topics[0]
      guard unsafe rd_kafka_topic_result_error(answer) != RD_KAFKA_RESP_ERR_NO_ERROR else {
        return
      }
      let text = unsafe rd_kafka_topic_result_error_string(answer)
      fault = unsafe KafkaFault(
        rd_kafka_topic_result_error(answer), text.map { unsafe String(cString: $0) })
    }
    throw .failed("topic \(topic) cannot have \(total) partitions: \(fault)")
  }

  private static func text(of event: OpaquePointer) -> String? {
    unsafe rd_kafka_event_error_string(event).map { unsafe String(cString: $0) }
  }

  static func error(_ fault: KafkaFault) -> KafkaError {
    fault.meaning == .fatal ? .failed(fault.description) : .unreachable(fault.description)
  }

  // MARK: - The group and its messages

  /// Joins the group.
  func subscribe(to topics: [String]) throws(KafkaError) {
    let list = unsafe KafkaList.make(topics.map { (TopicPartition($0, Self.anyPartition), 0) })
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    events.begin(at: unsafe GroupMembership.place(of: client))
    let code = unsafe rd_kafka_subscribe(client, list)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw .failed("the topics cannot be subscribed to: \(KafkaFault(code))")
    }
  }

  private static let anyPartition: Int32 = -1

  /// Begins to fetch from these offsets, and nothing else.
  func assign(_ starts: [StartPlan.TopicPosition]) throws(KafkaError) {
    let list = unsafe KafkaList.make(starts.map { ($0.partition, $0.offset) })
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    let code = unsafe rd_kafka_assign(client, list)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw .failed("the partitions cannot be read: \(KafkaFault(code))")
    }
  }

  /// Adds partitions to those that are read, of a cooperative group.
  func addAssignment(_ starts: [StartPlan.TopicPosition]) throws(KafkaError) {
    let list = unsafe KafkaList.make(starts.map { ($0.partition, $0.offset) })
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    if let error = unsafe rd_kafka_incremental_assign(client, list) {
      throw .failed("partitions cannot be read: \(unsafe TransactionFault(consuming: error).fault)")
    }
  }

  /// Takes partitions from those that are read, which answers a revocation.
  func removeAssignment(_ partitions: [TopicPartition]) {
    let list = unsafe KafkaList.make(partitions.map { ($0, 0) })
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    if let error = unsafe rd_kafka_incremental_unassign(client, list) {
      // The group has moved on meanwhile, and says so itself; if not, closing answers.
      unsafe rd_kafka_error_destroy(error)
    } else {
      _ = events.takeQuestion()
    }
  }

  /// Takes up to `count` messages, which the caller destroys, and calls back what is to be told.
  /// Waits for the first one only.
  ///
  /// One by one: librdkafka's call for many loses some in version 2.0 (its release notes). Those
  /// that it holds when a group begins to give out partitions anew it throws away, and goes on
  /// behind them.
  ///
  /// - Returns: how many; 0 when there were none in time.
  func consume(into messages: Messages, count: Int, timeoutMillis: Int32) -> Int {
    var taken = 0
    while taken < count,
      let message = unsafe rd_kafka_consume_queue(queue, taken == 0 ? timeoutMillis : 0)
    {
      unsafe messages[taken] = message
      taken += 1
    }
    return taken
  }

  /// Lets `consume` return before its time if it waits for a message; if not, the next one that
  /// would wait. Any thread may call.
  func wakeConsumer() {
    unsafe rd_kafka_queue_yield(queue)
  }

  /// Sends offsets to the group, for monitors; nobody waits for an answer.
  func commit(_ positions: TopicPositions) {
    let list = unsafe KafkaList.make(positions.partitions.map { ($0, positions[$0] ?? 0) })
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    _ = unsafe rd_kafka_commit(client, list, 1)
  }

  /// Leaves the group, so that another instance has the partitions at once; waits for at most
  /// `timeoutMillis`, and goes on leaving after that. Commits that were sent go first.
  ///
  /// A revocation that the job did not come to answer is answered here.
  func close(timeoutMillis: Int64) {
    ClientEnd.run(forAtMost: timeoutMillis) { [self] in leave() }
  }

  private func leave() {
    events.answerAtOnce()
    if events.takeQuestion() { unsafe KafkaEvents.giveBackAll(client) }
    let isInRound =
      unsafe events.isCooperative && events.isInRound(GroupMembership.place(of: client))
    if events.isCooperative { unsubscribe() }
    if let error = unsafe rd_kafka_consumer_close_queue(client, queue) {
      return unsafe rd_kafka_error_destroy(error)
    }
    // What the group asks meanwhile is answered.
    while unsafe rd_kafka_consumer_closed(client) == 0 { serve(timeoutMillis: 50) }
    hasLeftInRound = isInRound
  }

  /// Gives up all partitions, and has the group know that this member goes. Closing alone does not
  /// tell it of one without partitions. Nor does it go well with what is asked and told meanwhile:
  /// librdkafka answers no call that comes as it ends, and before 2.4.0 waits for ever where it has
  /// asked about no partitions (its issue 4527).
  private func unsubscribe() {
    unsafe rd_kafka_unsubscribe(client)
    let end = SystemClock().monotonicNanos() &+ Self.unsubscribingNanos
    while unsafe !GroupMembership.name(of: client).isEmpty || rd_kafka_queue_length(queue) > 0,
      SystemClock().monotonicNanos() < end
    {
      serve(timeoutMillis: 50)
    }
  }

  /// How long the answers that end the membership are waited for.
  private static let unsubscribingNanos: UInt64 = 10_000_000_000

  /// Calls back what is to be told, and drops a message.
  private func serve(timeoutMillis: Int32) {
    if let message = unsafe rd_kafka_consume_queue(queue, timeoutMillis) {
      unsafe rd_kafka_message_destroy(message)
    }
  }

  /// This member's place in the group, for a transaction that commits offsets; the caller's.
  func groupMetadata() -> OpaquePointer? {
    unsafe rd_kafka_consumer_group_metadata(client)
  }
}

/// What the brokers say of a topic.
struct KafkaTopicError: Error {
  var topic: String
  var fault: KafkaFault
}
