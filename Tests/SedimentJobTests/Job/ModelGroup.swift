import SedimentIO
import SedimentJob
import SedimentTestKit
import Synchronization

/// A consumer group over scripted partitions, as Kafka's coordinators lead it, cooperatively: a
/// partition is given to the next member when the one before has released it, is dead, or was given
/// up for dead. With every change of any member the group has a new generation, and takes offsets
/// in the name of that one only; or in nobody's name, as Kafka does.
final class ModelGroup: TopicInput, Sendable {
  let name = "topics of a group"
  let cluster = "c"

  private struct Member {
    /// What its client has told it, and its place in the group then.
    var queue: [(change: GroupChange, place: [UInt8])] = []
    /// Its place in the group as its client knows it.
    var place: [UInt8] = []
    /// Given to it, and not released.
    var owned: Set<TopicPartition> = []
    /// Of those the ones that it was asked for.
    var leaving: Set<TopicPartition> = []
    /// Of those the ones that are read.
    var begun: Set<TopicPartition> = []
    var isExpelled = false

    mutating func tell(_ change: GroupChange) { queue.append((change, place)) }
  }

  private struct State {
    var records: [TopicPartition: [ScriptedTopics.Record]]
    var members: [Int: Member] = [:]
    var nextMember = 0
    var generation = 0
    var salt = 0
    /// How many records of each partition there are so far.
    var shown = Int.max
    var isDone = false
    var startsAtEnds = false
  }

  private let state: Mutex<State>
  private let waiting = Monitor()

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
      Self.balance(&state, isDue: true)
      return number
    }
    return Reader(self, number, start)
  }

  /// Shows so many records of each partition, and no more.
  func show(_ count: Int) { state.withLock { $0.shown = count } }

  /// Partitions that were never read begin at their ends from here on.
  func startAtEnds() { state.withLock { $0.startsAtEnds = true } }

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

  /// Whether so many members know all that the group did, and read all that it gave them.
  func isSettled(members count: Int) -> Bool {
    state.withLock { state in
      state.members.count == count
        && state.members.values.allSatisfy {
          $0.queue.isEmpty && $0.leaving.isEmpty && $0.begun == $0.owned
        }
    }
  }

  /// Blocks until it is so.
  func waitUntil(_ isSo: (ModelGroup) -> Bool) {
    while !isSo(self) { waiting.withLock { _ = waiting.wait(nanoseconds: 1_000_000) } }
  }

  /// Whether all partitions are read, by members that the group knows.
  var isAllBegun: Bool {
    state.withLock { state in
      let begun = state.members.values.reduce(into: Set()) { $0.formUnion($1.begun) }
      return begun == Set(state.records.keys)
    }
  }

  /// A place without a generation.
  private static let nobody = Array("nobody".utf8)

  /// Whether the coordinator takes offsets in the name of a place. It does not look at whose the
  /// partitions are.
  func takesOffsets(of place: [UInt8]) -> Bool {
    place == Self.nobody
      || state.withLock { $0.members.values.contains { !$0.isExpelled && $0.place == place } }
  }

  private static func expel(_ number: Int, _ state: inout State) {
    state.members[number]?.isExpelled = true
    state.members[number]?.owned = []
    state.members[number]?.begun = []
    state.members[number]?.place = nobody
    state.members[number]?.queue = []
    state.members[number]?.tell(.lost)
    balance(&state, isDue: true)
  }

  /// Gives out anew, which makes a generation when anything changes.
  private static func balance(_ state: inout State, isDue: Bool = false) {
    let living = state.members.filter { !$0.value.isExpelled }.keys.sorted()
    guard !living.isEmpty else { return }
    var (asked, given): ([Int: [TopicPartition]], [Int: [TopicPartition]]) = ([:], [:])
    for partition in state.records.keys.sorted() {
      let next = living[(Int(partition.partition) + state.salt) % living.count]
      let owner = living.first { state.members[$0]?.owned.contains(partition) == true }
      guard owner != next else { continue }
      if let owner {
        guard state.members[owner]?.leaving.insert(partition).inserted == true else { continue }
        asked[owner, default: []].append(partition)
      } else {
        state.members[next]?.owned.insert(partition)
        given[next, default: []].append(partition)
      }
    }
    guard isDue || !asked.isEmpty || !given.isEmpty else { return }
    state.generation += 1
    for number in living {
      state.members[number]?.place = Array("\(number) in \(state.generation)".utf8)
      if let asked = asked[number] { state.members[number]?.tell(.revoked(asked)) }
      // Who gets nothing is told so: that is how it learns of the generation.
      let own = given[number] ?? []
      if !own.isEmpty || asked[number] == nil { state.members[number]?.tell(.assigned(own)) }
    }
  }

  /// One member. @unchecked because what changes is guarded by `lock` and `membership`.
  final class Reader: GroupReader, @unchecked Sendable {
    private let group: ModelGroup
    private let number: Int
    private let rules: TopicRecordRules
    private let recordsMax: Int
    private let lock = Mutex(Place())
    private let membership = Mutex(KnownMembership())
    private let loss = Mutex(false)
    private let waiting = Monitor()

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
    func isDone(with positions: TopicPositions) {}
    func endAtEnds() { lock.withLock { $0.endsAtEnds = true } }
    func took(_ change: GroupChange) {
      membership.withLock { $0.took(change) }
      if change == .lost { loss.withLock { $0 = true } }
    }

    /// Whether the deciding thread knows that this member was given up.
    var hasTakenLoss: Bool { loss.withLock { $0 } }

    /// The place that offsets are committed in the name of; `nil` for none.
    func place() -> [UInt8]? {
      for _ in 0..<50 {
        let present = group.state.withLock { $0.members[number]?.place } ?? ModelGroup.nobody
        switch membership.withLock({ $0.verdict(present: present) }) {
        case .commit: return present
        case .refuse: return nil
        case .wait: waiting.withLock { _ = waiting.wait(nanoseconds: 1_000_000) }
        }
      }
      return nil
    }

    func takesOffsets(of place: [UInt8]) -> Bool { group.takesOffsets(of: place) }

    /// The group gives this member up for dead.
    func expel() { group.state.withLock { ModelGroup.expel(number, &$0) } }

    func begin(
      _ partition: TopicPartition, at position: Int64?, isAdded: Bool, ready: (Int64) -> Void
    ) throws -> Bool {
      let isOurs = group.state.withLock { state in
        state.members[number]?.owned.contains(partition) == true
          && state.members[number]?.leaving.contains(partition) == false
      }
      guard isOurs else { return false }
      let start = group.state.withLock { state in
        state.startsAtEnds && !isAdded ? Int64(state.records[partition]?.count ?? 0) : 0
      }
      ready(position ?? start)
      lock.withLock { $0.cursors[partition] = position ?? start }
      group.state.withLock { _ = $0.members[number]?.begun.insert(partition) }
      return true
    }

    func release(_ partitions: [TopicPartition]) {
      lock.withLock { for partition in partitions { $0.cursors[partition] = nil } }
      group.state.withLock { state in
        state.members[number]?.owned.subtract(partitions)
        state.members[number]?.leaving.subtract(partitions)
        state.members[number]?.begun.subtract(partitions)
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
      let told = group.state.withLock { state -> (change: GroupChange, place: [UInt8])? in
        guard state.members[number]?.queue.isEmpty == false else { return nil }
        return state.members[number]?.queue.removeFirst()
      }
      if let (change, place) = told {
        membership.withLock { $0.hand(change, place: place) }
        switch change {
        case .revoked(let partitions):
          lock.withLock { for partition in partitions { $0.cursors[partition] = nil } }
        case .lost: lock.withLock { $0.cursors = [:] }
        case .assigned: break
        }
        return .group(change)
      }
      let all = group.state.withLock { state in
        state.records.mapValues { $0.prefix(state.shown) }
      }
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
