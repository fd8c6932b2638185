// What librdkafka tells by callbacks. The group's are called by the thread that consumes, logs by
// any.
//
// An assignment is answered at once with none of its partitions, which ends the group's step: the
// offsets at which to begin take requests, and are assigned later. A revocation is answered at
// once, too, where one instance has all partitions: where reading stands is its to know. In a
// cooperative group it is answered when the job has committed what it read.

internal import CRdKafka
internal import SedimentIO
internal import SedimentJob

/// What was told and not taken yet.
// @unchecked because everything that changes is touched only with `monitor` held.
final class KafkaEvents: @unchecked Sendable {
  private let monitor = Monitor()
  private let report: @Sendable (JobMessage) -> Void
  /// Whether partitions come and go one by one.
  let isCooperative: Bool
  private var answersAtOnce = false
  /// librdkafka waits for what becomes of a revocation, and could not end before.
  private var isAsking = false
  private var changes: [(GroupChange, place: [UInt8])] = []
  /// This member's place in the group when the group did something last.
  private var lastPlace: [UInt8] = []
  /// What a cooperative group has given this member, and the name that it had then.
  private var given: Set<TopicPartition> = []
  private var memberName = ""
  private var faults: [KafkaFault] = []
  private var hasFailedCommit = false

  /// Faults that may wait: later ones say nothing new.
  private static let faultsMax = 64

  /// - Parameter isCooperative: whether partitions come and go one by one.
  init(report: @escaping @Sendable (JobMessage) -> Void, isCooperative: Bool = false) {
    self.report = report
    self.isCooperative = isCooperative
  }

  /// What the group did next, and this member's place in it then.
  func takeChange() -> (GroupChange, place: [UInt8])? {
    monitor.withLock { changes.isEmpty ? nil : changes.removeFirst() }
  }

  /// Notes the place before the group does anything.
  func begin(at place: [UInt8]) {
    monitor.withLock { lastPlace = place }
  }

  /// Whether the group has gone on to another round, and not said what comes of it.
  func isInRound(_ present: [UInt8]) -> Bool {
    monitor.withLock { lastPlace != present }
  }

  /// Whether a revocation is to be answered; the caller answers it.
  func takeQuestion() -> Bool {
    monitor.withLock {
      defer { isAsking = false }
      return isAsking
    }
  }

  /// From here on nobody commits anything any more: revocations are answered by the callback.
  func answerAtOnce() {
    monitor.withLock { answersAtOnce = true }
  }

  /// Errors that concern no partition, since this was called last.
  func takeFaults() -> [KafkaFault] {
    monitor.withLock {
      defer { faults.removeAll() }
      return faults
    }
  }

  /// Whether the group did not take offsets, since this was called last.
  func takeFailedCommit() -> Bool {
    monitor.withLock {
      defer { hasFailedCommit = false }
      return hasFailedCommit
    }
  }

  private func add(_ fault: KafkaFault) {
    monitor.withLock { if faults.count < Self.faultsMax { faults.append(fault) } }
  }

  // MARK: - Callbacks

  /// Makes a configuration call this object, which must live as long as its client.
  func register(in configuration: OpaquePointer) {
    unsafe rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(self).toOpaque())
    unsafe rd_kafka_conf_set_rebalance_cb(configuration) { client, code, list, opaque in
      unsafe KafkaEvents.from(opaque)?.rebalance(client, code, list)
    }
    unsafe rd_kafka_conf_set_offset_commit_cb(configuration) { _, code, list, opaque in
      unsafe KafkaEvents.from(opaque)?.committed(code, list)
    }
    unsafe rd_kafka_conf_set_error_cb(configuration) { _, code, reason, opaque in
      let text = unsafe reason.map { unsafe String(cString: $0) }
      unsafe KafkaEvents.from(opaque)?.add(KafkaFault(rd_kafka_resp_err_t(rawValue: code), text))
    }
    unsafe rd_kafka_conf_set_log_cb(configuration) { client, _, facility, text in
      guard let client = unsafe client, let text = unsafe text else { return }
      let line = unsafe String(cString: text)
      let facility = unsafe facility.map { unsafe String(cString: $0) } ?? "log"
      unsafe KafkaEvents.from(rd_kafka_opaque(client))?
        .report(JobMessage(.detail, "librdkafka \(facility): \(line)"))
    }
  }

  /// SAFETY: the opaque of every client is an object that its owner keeps (`register`).
  private static func from(_ opaque: UnsafeMutableRawPointer?) -> KafkaEvents? {
    guard let opaque = unsafe opaque else { return nil }
    return unsafe Unmanaged<KafkaEvents>.fromOpaque(opaque).takeUnretainedValue()
  }

  private func rebalance(
    _ client: OpaquePointer?, _ code: rd_kafka_resp_err_t,
    _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
  ) {
    guard let client = unsafe client else { return }
    if isCooperative { return unsafe change(client, code, list) }
    let partitions = unsafe Self.partitions(list)
    guard code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS else {
      let isLost = unsafe rd_kafka_assignment_lost(client) != 0
      unsafe rd_kafka_assign(client, nil)
      return unsafe add(isLost ? .lost : .revoked(partitions), client)
    }
    let none = unsafe rd_kafka_topic_partition_list_new(0)
    unsafe rd_kafka_assign(client, none)
    unsafe rd_kafka_topic_partition_list_destroy(none)
    unsafe add(.assigned(partitions), client)
  }

  private func committed(
    _ code: rd_kafka_resp_err_t, _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
  ) {
    var isTaken = code == RD_KAFKA_RESP_ERR_NO_ERROR
    if let list = unsafe list {
      for index in unsafe 0..<Int(list.pointee.cnt) {
        // SAFETY: the list has `cnt` elements.
        if unsafe list.pointee.elems[index].err != RD_KAFKA_RESP_ERR_NO_ERROR { isTaken = false }
      }
    }
    if !isTaken { monitor.withLock { hasFailedCommit = true } }
  }

  private static func partitions(
    _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
  ) -> [TopicPartition] {
    guard let list = unsafe list else { return [] }
    return (unsafe 0..<Int(list.pointee.cnt)).map { index in
      // SAFETY: the list has `cnt` elements.
      let element = unsafe list.pointee.elems[index]
      return TopicPartition(unsafe String(cString: element.topic), unsafe element.partition)
    }
  }

  /// Takes what a cooperative group does.
  private func change(
    _ client: OpaquePointer, _ code: rd_kafka_resp_err_t,
    _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
  ) {
    let partitions = unsafe Self.partitions(list)
    let isForgotten = unsafe isForgotten(client)
    if code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
      let none = unsafe rd_kafka_topic_partition_list_new(0)
      unsafe Self.forget(rd_kafka_incremental_assign(client, none))
      unsafe rd_kafka_topic_partition_list_destroy(none)
      unsafe add(isForgotten ? .lost : .assigned(partitions), client)
    } else if unsafe isForgotten || rd_kafka_assignment_lost(client) != 0 {
      unsafe Self.giveBackAll(client)
      unsafe add(.lost, client)
    } else if monitor.withLock({ answersAtOnce }) {
      unsafe Self.giveBackAll(client)
    } else {
      monitor.withLock { isAsking = true }
      unsafe add(.revoked(partitions), client)
    }
  }

  /// Answers a revocation in a cooperative group. There nothing but the partitions that librdkafka
  /// has can be given back, and they must be named; with a refused answer a client never ends: its
  /// thread runs without a pause for as long as the process.
  static func giveBackAll(_ client: OpaquePointer) {
    var list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
    guard unsafe rd_kafka_assignment(client, &list) == RD_KAFKA_RESP_ERR_NO_ERROR,
      let list = unsafe list
    else { return }
    unsafe forget(rd_kafka_incremental_unassign(client, list))
    unsafe rd_kafka_topic_partition_list_destroy(list)
  }

  private func add(_ change: GroupChange, _ client: OpaquePointer) {
    let place = unsafe GroupMembership.place(of: client)
    monitor.withLock {
      changes.append((change, place))
      lastPlace = place
      switch change {
      case .assigned(let partitions): given.formUnion(partitions)
      case .revoked(let partitions): given.subtract(partitions)
      case .lost: given.removeAll()
      }
    }
  }

  /// Whether the group has given this member up, and taken it in again under another name.
  /// librdkafka does not tell where it learns of it in joining, and goes on with partitions that
  /// somebody else has read meanwhile.
  private func isForgotten(_ client: OpaquePointer) -> Bool {
    let name = unsafe GroupMembership.name(of: client)
    return monitor.withLock {
      guard !name.isEmpty, name != memberName else { return false }
      defer { memberName = name }
      return !given.isEmpty
    }
  }

  private static func forget(_ error: OpaquePointer?) {
    if let error = unsafe error { unsafe rd_kafka_error_destroy(error) }
  }
}
