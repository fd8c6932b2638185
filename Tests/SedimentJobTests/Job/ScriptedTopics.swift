import SedimentJob
import SedimentStore
import Synchronization

/// Topics whose records a test names, read as a broker would give them: some records of one
/// partition, then of the next.
final class ScriptedTopics: TopicInput, Sendable {
  /// A record of a partition.
  struct Record: Sendable {
    var value: String?
    var key: String?
    var time: Int64 = -1
    /// Null values as `nil`.
    var headers: [(name: String, value: String?)] = []

    init(
      _ value: String?, key: String? = nil, time: Int64 = -1,
      headers: [(name: String, value: String?)] = []
    ) {
      self.value = value
      self.key = key
      self.time = time
      self.headers = headers
    }
  }

  let name = "topics scripted"
  let cluster: String
  private let state: Mutex<(records: [TopicPartition: [Record]], committed: [TopicPositions])>

  /// - Parameter records: of each partition of the topic `t`.
  init(_ records: [[Record]], cluster: String = "c") {
    self.cluster = cluster
    var partitions: [TopicPartition: [Record]] = [:]
    for (number, records) in records.enumerated() {
      partitions[TopicPartition("t", Int32(number))] = records
    }
    state = Mutex((partitions, []))
  }

  /// What readers were told to be durable.
  var committed: [TopicPositions] { state.withLock { $0.committed } }

  func openShare(_ start: TopicStart) throws -> any GroupReader {
    throw JobError(.failed, "scripted topics are read whole")
  }

  func open(_ start: TopicStart) throws -> any TopicReader {
    if let known = start.origin.cluster, known != cluster {
      throw JobError(.failed, "the cluster is \(cluster), and was \(known)")
    }
    return Reader(self, start)
  }

  /// Reads to the end. @unchecked because one thread at a time calls `next`.
  final class Reader: TopicReader, @unchecked Sendable {
    private let topics: ScriptedTopics
    private let rules: TopicRecordRules
    private let recordsMax: Int
    private let records: [TopicPartition: [Record]]
    private var positions: TopicPositions
    private var hasBegun = false
    private var turn = 0

    init(_ topics: ScriptedTopics, _ start: TopicStart) {
      self.topics = topics
      rules = start.rules
      recordsMax = start.limits.recordsMax
      records = topics.state.withLock { $0.records }
      positions = start.positions
      for partition in records.keys where positions[partition] == nil { positions[partition] = 0 }
    }

    var lag: TopicLag? { TopicLag(partitions: records.count, records: 0) }

    func epochCommitted(_ positions: TopicPositions) {
      topics.state.withLock { $0.committed.append(positions) }
    }

    func took(_ change: GroupChange) {}

    func close() {}

    func next(into batch: RecordBatch) throws -> InputStep {
      if !hasBegun {
        hasBegun = true
        return .moved(.topics(positions, cluster: topics.cluster))
      }
      var moved = TopicPositions()
      // Two stretches at the most, each with a hole behind its first record.
      for _ in records.keys where batch.count < recordsMax && batch.stretches.count < 2 {
        let partition = positions.partitions[turn % records.count]
        turn += 1
        let next = Int(positions[partition] ?? 0)
        let all = records[partition] ?? []
        let count = min(recordsMax - batch.count, 3, all.count - next)
        guard count > 0 else { continue }
        batch.beginStretch(of: partition, at: Int64(next))
        for index in next..<next + count {
          try batch.add(all[index], offset: UInt32(index - next), rules)
        }
        positions[partition] = Int64(next + count)
        moved[partition] = Int64(next + count)
      }
      if batch.count > 0 { return .records(.topics(moved, cluster: topics.cluster)) }
      return .ended
    }

  }
}

extension RecordBatch {
  /// Adds a record to the last stretch, with what it carries where that is passed on.
  func add(
    _ record: ScriptedTopics.Record, offset: UInt32, _ rules: TopicRecordRules
  ) throws {
    try unsafe record.value.withBytes { value in
      try unsafe record.key.withBytes { key in
        try unsafe addTopicRecord(
          value, besideKey: key, time: record.time, offset: offset, rules: rules)
        if rules.passesOn {
          unsafe (carried ?? beginCarrying()).append(key: key, time: record.time)
        }
      }
    }
    for header in record.headers where rules.passesOn {
      unsafe Optional(header.name).withBytes { name in
        guard let name = unsafe name else { return }
        unsafe header.value.withBytes {
          unsafe carried?.appendHeader(name: name, value: $0)
        }
      }
    }
  }
}

extension String? {
  /// Calls `body` with the bytes, or none.
  func withBytes(_ body: (UnsafeRawBufferPointer?) throws -> Void) rethrows {
    guard let text = self else { return try body(nil) }
    // An empty array may have no address, and an empty value is not none.
    try unsafe (Array(text.utf8) + [0]).withUnsafeBytes {
      try unsafe body(UnsafeRawBufferPointer(rebasing: $0.dropLast()))
    }
  }
}
