// Messages of librdkafka into the memory of a batch.
//
//   held: pointers that one call gave ─▶ a run of one partition ─▶ a stretch of the batch
//
// A batch ends when it has the bytes or records of its limits, and at a message that is no record;
// the pointers behind wait for the next batch. A message that was copied goes back to librdkafka.
//
// Invariants
// 1. What is below a partition's next offset is dropped, so that offsets rise.
// 2. Pointers `first..<count` of `messages` are ours to destroy.

internal import CRdKafka
internal import SedimentJob

/// Holds messages and copies them. Not thread-safe.
@safe
struct MessageCopier: ~Copyable {
  /// Where reading stands in one partition.
  struct Cursor {
    var partition: TopicPartition
    /// The offset of the next record.
    var next: Int64
  }

  /// Why copying stopped.
  enum Stop {
    /// Nothing is held any more.
    case empty
    /// The batch is full.
    case full
    /// A message that is no record: of which cursor, at which offset, and what it says.
    case fault(cursor: Int?, offset: Int64, KafkaFault)
  }

  /// By their place in the assignment.
  var cursors: [Cursor] = []

  private let messages: KafkaClient.Messages
  private let capacity: Int
  private var first = 0
  private var count = 0

  private let rules: TopicRecordRules
  private let isOfOnePartition: Bool
  /// The name of the header with the key, with a zero behind it, where the key is in one.
  private let headerName: UnsafeMutablePointer<CChar>?
  private let chunkBytes: Int
  /// Cursors by librdkafka's handle of the topic and the partition: filled as they are met.
  private var known: [Handle: Int] = [:]

  private struct Handle: Hashable {
    var topic: UInt
    var partition: Int32
  }

  /// - Parameter isOfOnePartition: whether a batch ends where another partition begins.
  init(_ start: TopicStart, isOfOnePartition: Bool = false) {
    self.isOfOnePartition = isOfOnePartition
    rules = start.rules
    if case .header(let name) = start.format.keySource {
      let made = UnsafeMutablePointer<CChar>.allocate(capacity: name.utf8.count + 1)
      for (place, byte) in name.utf8.enumerated() { unsafe made[place] = CChar(bitPattern: byte) }
      unsafe made[name.utf8.count] = 0
      unsafe headerName = made
    } else {
      unsafe headerName = nil
    }
    capacity = start.limits.recordsMax
    chunkBytes = start.limits.chunkBytes
    unsafe messages = .allocate(capacity: capacity)
  }

  deinit {
    for index in first..<count { unsafe rd_kafka_message_destroy(messages[index]) }
    unsafe messages.deallocate()
    unsafe headerName?.deallocate()
  }

  /// Whether messages are held.
  var holdsMessages: Bool { first < count }

  /// Takes messages from a client when none are held.
  mutating func fill(from client: KafkaClient, timeoutMillis: Int32) {
    guard !holdsMessages else { return }
    first = 0
    count = unsafe client.consume(into: messages, count: capacity, timeoutMillis: timeoutMillis)
  }

  /// Forgets messages and cursors: the partitions are others now.
  mutating func removeAll() {
    for index in first..<count { unsafe rd_kafka_message_destroy(messages[index]) }
    (first, count) = (0, 0)
    cursors = []
    known.removeAll(keepingCapacity: true)
  }

  /// Forgets the cursors of partitions that are not kept; their messages are dropped when met.
  mutating func keep(_ isKept: (TopicPartition) -> Bool) {
    cursors.removeAll { !isKept($0.partition) }
    known.removeAll(keepingCapacity: true)
  }

  /// Copies held messages into `batch` until it is full or something else is met.
  mutating func copy(into batch: RecordBatch) throws(FormatError) -> Stop {
    while first < count {
      guard batch.memoryByteCount < chunkBytes, batch.count < capacity else { return .full }
      // SAFETY: invariant 2; librdkafka gives no null pointers.
      guard let message = unsafe messages[first] else {
        first += 1
        continue
      }
      let code = unsafe message.pointee.err
      let cursor = unsafe cursor(of: message)
      if code != RD_KAFKA_RESP_ERR_NO_ERROR {
        let text = unsafe rd_kafka_message_errstr(message).map { unsafe String(cString: $0) }
        let stop = Stop.fault(
          cursor: cursor, offset: unsafe message.pointee.offset, KafkaFault(code, text))
        unsafe rd_kafka_message_destroy(message)
        first += 1
        return stop
      }
      guard let cursor else {
        // Of a partition that is not ours any more.
        unsafe rd_kafka_message_destroy(message)
        first += 1
        continue
      }
      if isOfOnePartition, let last = batch.stretches.last,
        last.partition != cursors[cursor].partition
      {
        return .full
      }
      try copyRun(of: cursor, into: batch)
    }
    return .empty
  }

  /// Copies the messages at the front that are of one partition; at least one.
  private mutating func copyRun(of cursor: Int, into batch: RecordBatch) throws(FormatError) {
    guard let head = unsafe messages[first] else { return }
    let (topic, partition) = unsafe (head.pointee.rkt, head.pointee.partition)
    var next = cursors[cursor].next
    var stretchStart: Int64?
    var index = first
    defer {
      first = index
      cursors[cursor].next = next
    }
    while index < count, batch.memoryByteCount < chunkBytes, batch.count < capacity,
      let message = unsafe messages[index], unsafe message.pointee.rkt == topic,
      unsafe message.pointee.partition == partition,
      unsafe message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR
    {
      let offset = unsafe message.pointee.offset
      if offset >= next {
        let start: Int64
        if let begun = stretchStart, offset - begun <= Int64(UInt32.max) {
          start = begun
        } else {
          start = offset
          batch.beginStretch(of: cursors[cursor].partition, at: offset)
          stretchStart = offset
        }
        try unsafe add(message, offset: UInt32(offset - start), to: batch)
        next = offset + 1
      }
      unsafe rd_kafka_message_destroy(message)
      index += 1
    }
  }

  @inline(__always)
  private func add(
    _ message: UnsafeMutablePointer<rd_kafka_message_t>, offset: UInt32, to batch: RecordBatch
  ) throws(FormatError) {
    // SAFETY: payload and key are `len` and `key_len` bytes until the message is destroyed; the
    // batch copies them.
    var value: UnsafeRawBufferPointer?
    if let payload = unsafe message.pointee.payload {
      unsafe value = UnsafeRawBufferPointer(start: payload, count: message.pointee.len)
    }
    var key: UnsafeRawBufferPointer?
    if rules.hasBesideKeys { unsafe key = besideKey(of: message) }
    let time = rules.usesRecordTime ? unsafe rd_kafka_message_timestamp(message, nil) : 0
    try unsafe batch.addTopicRecord(
      value, besideKey: key, time: time, offset: offset, rules: rules)
    if rules.passesOn { unsafe carry(message, into: batch.carried ?? batch.beginCarrying()) }
  }

  /// Copies what the message has beside its value.
  private func carry(
    _ message: UnsafeMutablePointer<rd_kafka_message_t>, into fields: CarriedFields
  ) {
    // SAFETY: what librdkafka gives of a message is good until the message is destroyed.
    var key: UnsafeRawBufferPointer?
    if let start = unsafe message.pointee.key {
      unsafe key = UnsafeRawBufferPointer(start: start, count: message.pointee.key_len)
    }
    unsafe fields.append(key: key, time: rd_kafka_message_timestamp(message, nil))
    var headers: OpaquePointer?
    guard unsafe rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR else {
      return
    }
    for index in 0..<(unsafe rd_kafka_header_cnt(headers)) {
      var name: UnsafePointer<CChar>?
      var value: UnsafeRawPointer?
      var length = 0
      let code = unsafe rd_kafka_header_get_all(headers, index, &name, &value, &length)
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let name = unsafe name else { return }
      let nameBytes = unsafe UnsafeRawBufferPointer(
        start: name, count: sediment_kafka_length(name))
      var bytes: UnsafeRawBufferPointer?
      if let value = unsafe value {
        unsafe bytes = UnsafeRawBufferPointer(start: value, count: length)
      }
      unsafe fields.appendHeader(name: nameBytes, value: bytes)
    }
  }

  /// The record's key, or the header's value; `nil` for none.
  private func besideKey(
    of message: UnsafeMutablePointer<rd_kafka_message_t>
  ) -> UnsafeRawBufferPointer? {
    guard let headerName = unsafe headerName else {
      guard let key = unsafe message.pointee.key else { return nil }
      return unsafe UnsafeRawBufferPointer(start: key, count: message.pointee.key_len)
    }
    var headers: OpaquePointer?
    guard unsafe rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR else {
      return nil
    }
    var value: UnsafeRawPointer?
    var length = 0
    let code = unsafe rd_kafka_header_get_last(headers, headerName, &value, &length)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let value = unsafe value else { return nil }
    return unsafe UnsafeRawBufferPointer(start: value, count: length)
  }

  /// The cursor of a message's partition; `nil` when that is not read, or the message concerns
  /// none.
  private mutating func cursor(of message: UnsafeMutablePointer<rd_kafka_message_t>) -> Int? {
    guard let topic = unsafe message.pointee.rkt else { return nil }
    let handle = Handle(
      topic: UInt(bitPattern: topic), partition: unsafe message.pointee.partition)
    if let cursor = known[handle] { return cursor }
    guard let name = unsafe rd_kafka_topic_name(topic) else { return nil }
    let partition = TopicPartition(unsafe String(cString: name), handle.partition)
    let cursor = cursors.firstIndex { $0.partition == partition }
    known[handle] = cursor
    return cursor
  }
}
