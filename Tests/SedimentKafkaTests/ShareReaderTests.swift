import Foundation
import KafkaTestKit
import SedimentIO
import SedimentJob
import SedimentKafka
import Testing

/// Readers of one group, in this process, against the mock cluster. In turn: some count threads.
@Suite(.serialized) struct ShareReaderTests {
  private let kafka: KafkaHarness

  init() throws {
    kafka = try KafkaHarness()
    try kafka.cluster.command("topic t 2")
  }

  private func reader() throws -> any GroupReader {
    var properties = KafkaProperties()
    for text in ["session.timeout.ms=3000", "heartbeat.interval.ms=200"] {
      try properties.add(text, from: "the test")
    }
    let input = try KafkaInput(
      KafkaAddress("kafka://\(kafka.brokers)/t"), group: "g", properties: properties)
    return try input.openShare(
      TopicStart(
        origin: TopicOrigin(["t"]), positions: TopicPositions(), limits: BatchLimits(),
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), clock: SystemClock(),
        report: { _ in }))
  }

  /// What the group does next, if anything does now; begins what it gives.
  private func change(of reader: any GroupReader) throws -> GroupChange? {
    guard case .group(let change) = try reader.next(into: RecordBatch()) else { return nil }
    try take(change, by: reader)
    return change
  }

  private func take(_ change: GroupChange, by reader: any GroupReader) throws {
    reader.took(change)
    guard case .assigned(let partitions) = change else { return }
    for partition in partitions { try begin(partition, at: 0, by: reader) }
  }

  private func begin(
    _ partition: TopicPartition, at position: Int64, by reader: any GroupReader
  ) throws {
    _ = try reader.begin(partition, at: position, isAdded: false, ready: { _ in })
  }

  private func isRevocation(_ change: GroupChange?) -> Bool {
    if case .revoked? = change { true } else { false }
  }

  private func committed() throws -> [Int32: Int64] {
    try TestConsumer(brokers: kafka.brokers).committed(by: "g", of: "t", .readUncommitted)
      .mapValues(\.offset)
  }

  #if os(Linux)
    /// Each client of librdkafka has one thread of this name.
    private func clientCount() throws -> Int {
      try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count { task in
        // One that has just ended has no name.
        let name = try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8)
        return name == "rdk:main\n"
      }
    }

    /// The group has given a member up that did not get to know it.
    @Test func aReaderWhosePartitionsWereLostEnds() throws {
      let before = try clientCount()
      do {
        let reader = try reader()
        try wait { try change(of: reader) != nil }
        // Heartbeats (12) of an unknown member (25).
        try kafka.cluster.command("fail 12 25 1")
        try wait { try change(of: reader) == .lost }
        reader.close()
      }
      try wait { try clientCount() <= before }
    }

    /// A session that fails while a revocation waits for its answer.
    @Test func aReaderEndsThoughNobodyAnsweredARevocation() throws {
      let before = try clientCount()
      let second: any GroupReader
      do {
        let first = try reader()
        try wait { try change(of: first) != nil }
        second = try reader()
        try wait {
          _ = try change(of: second)
          return try isRevocation(change(of: first))
        }
        first.close()
      }
      try wait {
        _ = try change(of: second)
        return try clientCount() <= before + 1
      }
      second.close()
    }
  #endif

  @Test func offsetsThatTheGroupDidNotTakeAreSentOnceMore() throws {
    try kafka.produce(["{\"k\":1}"], to: "t")
    let reader = try reader()
    defer { reader.close() }
    var positions = TopicPositions()
    try wait {
      let step = try reader.next(into: RecordBatch())
      if case .group(let change) = step { try take(change, by: reader) }
      if case .records(.topics(let moved, _)?) = step { positions.merge(moved) }
      return positions[TopicPartition("t", 0)] == 1
    }
    // Offsets (8) come while the group gives out its partitions anew (27).
    try kafka.cluster.command("fail 8 27 1")
    reader.epochCommitted(positions)
    try wait {
      _ = try reader.next(into: RecordBatch())
      return try committed() == [0: 1]
    }
  }

  /// A member that the group forgets as it joins, and takes in again: others may have read its
  /// partitions meanwhile.
  @Test func aReaderThatTheGroupForgotHasLostItsPartitions() throws {
    let reader = try reader()
    defer { reader.close() }
    try wait { try self.change(of: reader) != nil }
    // Joining (11) as an unknown member (25), after a heartbeat (12) says that it is time (27).
    try kafka.cluster.command("fail 11 25 1")
    try kafka.cluster.command("fail 12 27 1")
    var change: GroupChange?
    try wait {
      change = try self.change(of: reader)
      return change != nil
    }
    #expect(change == .lost)
  }

  /// librdkafka stops all partitions while a group gives them out anew, and what it holds then is
  /// fetched again.
  @Test func nothingIsSkippedWhileOthersComeAndGo() throws {
    var positions = TopicPositions()
    func serve(_ reader: any GroupReader) throws -> GroupChange? {
      let batch = RecordBatch()
      switch try reader.next(into: batch) {
      case .group(let change):
        reader.took(change)
        if case .revoked(let partitions) = change { reader.release(partitions) }
        guard case .assigned(let partitions) = change else { return change }
        for partition in partitions {
          try begin(partition, at: positions[partition] ?? 0, by: reader)
        }
        return change
      case .records(.topics(let moved, _)?):
        for partition in moved.partitions {
          #expect(moved[partition] == (positions[partition] ?? 0) + Int64(batch.count))
        }
        positions.merge(moved)
      default: break
      }
      return nil
    }
    let first = try reader()
    defer { first.close() }
    try wait { try serve(first) != nil }
    var count: Int64 = 0
    for _ in 0..<4 {
      let second = try reader()
      try wait {
        for partition in 0..<2 { try kafka.produce(["{\"k\":\(count)}"], to: "t", partition) }
        count += 1
        _ = try serve(first)
        return try serve(second).map { $0 != .assigned([]) } ?? false
      }
      second.close()
    }
    try wait {
      _ = try serve(first)
      return positions.partitions.count == 2
        && positions.partitions.allSatisfy { positions[$0] == count }
    }
  }
}
