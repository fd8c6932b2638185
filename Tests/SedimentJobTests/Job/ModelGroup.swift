import SedimentJob
import SedimentTestKit
import Synchronization

/// A consumer group over scripted partitions, as Kafka's coordinators lead it, cooperatively: a
/// partition is given to the next member when the one before has released it, is dead, or was given
/// up for dead.
final class ModelGroup: TopicInput, Sendable {
  let name = "topics of a group"
  let cluster = "c"

  private struct Member {
    var queue: [GroupChange] = []
    /// Given to it, and not released.
    var owned: Set<TopicPartition> = []
    /// Of those the ones that it was asked for.
    var leaving: Set<TopicPartition> = []
    var isExpelled = false
  }

  private struct State {
    var records: [TopicPartition: [ScriptedTopics.Record]]
    var members: [Int: Member] = [:]
    var nextMember = 0
    var salt = 0
    var isDone = false
  }

  private let state: Mutex<State>

  /// - Parameter records: values of each partition of the topic `t`.
  convenience init(_ records: [[String]]) {
    self.init(records.map { $0.map { ScriptedTopics.Record($0) } })
  }

  /// - Parameter records: of each partition of a topic.
  init(_ records: [[ScriptedTopics.Record]], topic: String = "t") {
    var partitions: [TopicPartition: [ScriptedTopics.Record]] = [:]
    for (number, records) in records.enumerated() {
      partitions[TopicPartition(topic, Int32(number))] = records
    }
    state = Mutex(State(records: partitions))
  }

  /// More is written.
  func append(_ record: ScriptedTopics.Record, to partition: TopicPartition) {
    state.withLock { $0.records[partition]?.append(record) }
  }

  /// What is in each partition.
  var records: [TopicPartition: [ScriptedTopics.Record]] { state.withLock { $0.records } }

  func open(_ start: TopicStart) throws -> any TopicReader { try openShare(start) }

  func openShare(_ start: TopicStart) throws -> any GroupReader {
    let number = state.withLock { state in
      let number = state.nextMember
      state.nextMember += 1
      state.members[number] = Member()
      Self.balance(&state)
      return number
    }
    return Reader(self, number, start)
  }

  /// Members end when they have nothing to do.
  func finish() { state.withLock { $0.isDone = true } }

  /// Gives partitions to members by another rule.
  func shuffle() {
    state.withLock { state in
      state.salt += 1
      Self.balance(&state)
    }
  }

  /// Gives a member up for dead, as when its session ends, whether it is or not.
  func expel(_ index: Int) {
    state.withLock { state in
      let living = state.members.filter { !$0.value.isExpelled }.keys.sorted()
      guard !living.isEmpty else { return }
      Self.expel(living[index % living.count], &state)
    }
  }

  private static func expel(_ number: Int, _ state: inout State) {
    state.members[number]?.isExpelled = true
    state.members[number]?.owned = []
    state.members[number]?.queue = [.lost]
    balance(&state)
  }

  private static func balance(_ state: inout State) {
    let living = state.members.filter { !$0.value.isExpelled }.keys.sorted()
    guard !living.isEmpty else { return }
    for partition in state.records.keys.sorted() {
      let next = living[(Int(partition.partition) + state.salt) % living.count]
      let owner = living.first { state.members[$0]?.owned.contains(partition) == true }
      guard owner != next else { continue }
      if let owner {
        let isAsked = state.members[owner]?.leaving.insert(partition).inserted == false
        if !isAsked { state.members[owner]?.queue.append(.revoked([partition])) }
      } else {
        state.members[next]?.owned.insert(partition)
        state.members[next]?.queue.append(.assigned([partition]))
      }
    }
  }

  /// One member. @unchecked because `cursors` and `started` are guarded by `lock`.
  final class Reader: GroupReader, @unchecked Sendable {
    private let group: ModelGroup
    private let number: Int
    private let rules: TopicRecordRules
    private let recordsMax: Int
    private let lock = Mutex(Place())

    private struct Place {
      var cursors: [TopicPartition: Int64] = [:]
      var turn = 0
      var endsAtEnds = false
    }

    init(_ group: ModelGroup, _ number: Int, _ start: TopicStart) {
      self.group = group
      self.number = number
      rules = start.rules
      recordsMax = start.limits.recordsMax
    }

    var partitionCounts: [String: Int] {
      let topics = group.state.withLock { $0.records.keys.map(\.topic) }
      return Dictionary(topics.map { ($0, 1) }, uniquingKeysWith: +)
    }
    var lag: TopicLag? { nil }
    func epochCommitted(_ positions: TopicPositions) {}
    func took(_ change: GroupChange) {}
    func isDone(with positions: TopicPositions) {}
    func endAtEnds() { lock.withLock { $0.endsAtEnds = true } }

    /// Whether the coordinator takes offsets of partitions from this member.
    func mayCommit(_ partitions: Set<TopicPartition>) -> Bool {
      group.state.withLock { state in
        guard let member = state.members[number], !member.isExpelled else { return false }
        return partitions.isSubset(of: member.owned)
      }
    }

    func begin(
      _ partition: TopicPartition, at position: Int64?, ready: (Int64) -> Void
    ) throws -> Bool {
      let isOurs = group.state.withLock { state in
        state.members[number]?.owned.contains(partition) == true
          && state.members[number]?.leaving.contains(partition) == false
      }
      guard isOurs else { return false }
      ready(position ?? 0)
      lock.withLock { $0.cursors[partition] = position ?? 0 }
      return true
    }

    func release(_ partitions: [TopicPartition]) {
      lock.withLock { for partition in partitions { $0.cursors[partition] = nil } }
      group.state.withLock { state in
        state.members[number]?.owned.subtract(partitions)
        state.members[number]?.leaving.subtract(partitions)
        ModelGroup.balance(&state)
      }
    }

    /// As a member that says goodbye, or whose session ends after its death.
    func close() {
      group.state.withLock { state in
        ModelGroup.expel(number, &state)
        state.members[number] = nil
      }
    }

    /// All that is its own was begun and read to the end, and nothing more will come.
    private var hasNothingToDo: Bool {
      let (cursors, endsAtEnds) = lock.withLock { ($0.cursors, $0.endsAtEnds) }
      return group.state.withLock { state in
        guard state.isDone || endsAtEnds, state.members[number]?.owned == Set(cursors.keys) else {
          return false
        }
        return cursors.allSatisfy { $0.value == Int64(state.records[$0.key]?.count ?? 0) }
      }
    }

    func next(into batch: RecordBatch) throws -> InputStep {
      let change = group.state.withLock { state -> GroupChange? in
        guard state.members[number]?.queue.isEmpty == false else { return nil }
        return state.members[number]?.queue.removeFirst()
      }
      if let change {
        switch change {
        case .revoked(let partitions):
          lock.withLock { for partition in partitions { $0.cursors[partition] = nil } }
        case .lost: lock.withLock { $0.cursors = [:] }
        case .assigned: break
        }
        return .group(change)
      }
      let all = group.state.withLock { $0.records }
      let read = lock.withLock { held -> (partition: TopicPartition, from: Int64, to: Int64)? in
        let ready = held.cursors.filter { $0.value < Int64(all[$0.key]?.count ?? 0) }.keys.sorted()
        guard !ready.isEmpty else { return nil }
        held.turn += 1
        let partition = ready[held.turn % ready.count]
        let from = held.cursors[partition] ?? 0
        let to = min(from + Int64(recordsMax), Int64(all[partition]?.count ?? 0))
        held.cursors[partition] = to
        return (partition, from, to)
      }
      guard let read else { return hasNothingToDo ? .ended : .idle }
      batch.beginStretch(of: read.partition, at: read.from)
      for offset in read.from..<read.to {
        guard let record = all[read.partition]?[Int(offset)] else { continue }
        try batch.add(record, offset: UInt32(offset - read.from), rules)
      }
      var moved = TopicPositions()
      moved[read.partition] = read.to
      return .records(.topics(moved, cluster: group.cluster))
    }
  }
}
