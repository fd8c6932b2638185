import SedimentJob
import SedimentTestKit
import Synchronization

/// Brokers that take transactions, as Kafka's do: one producer a transactional id, whose next
/// initialisation fences the one before; records and offsets that show when their transaction
/// commits, and never otherwise.
///
/// Every step of a producer has two moments, before and after it took effect, and a test may make
/// something happen at each: the process dies, or the brokers abort.
final class ModelBrokers: Sendable {
  /// What happens at a moment.
  enum Event: Sendable {
    /// The process is gone: nothing of it does anything any more.
    case death
    /// As death, but a request is on its way and is looked at when another producer comes.
    case deathWithRequestOnItsWay
    /// The brokers abort the open transaction and fence the producer.
    case abort
  }

  struct Record: Equatable {
    var role: OutputRole
    var value: String
    var key: String?
    var headers: [String: String?]
    var time: Int64
    var tag: EpochTag
    /// The partition that it was sent to, where the job chose one.
    var destination: Int32?
    var isNull = false
  }

  /// Of one transactional id.
  fileprivate struct Transactional {
    var epoch = 0
    /// Of the open transaction.
    var open: [Record]?
    var offsets: [TopicPartition: CommittedOffset] = [:]
    /// A commit that was sent by a process which died.
    var isDelayed = false
  }

  fileprivate struct State {
    var committed: [Record] = []
    var offsets: [TopicPartition: CommittedOffset] = [:]
    /// By the name of their instance.
    var transactionals: [String: Transactional] = [:]
    var moment = 0
    var script: (moment: Int, event: Event)?
    var isAlive: @Sendable () -> Bool = { true }
    var onDeath: (@Sendable () -> Void)?
    var onCommit: (@Sendable () -> Void)?
    var onOffsets: (@Sendable (ModelGroup.Reader) -> Void)?
    /// Called with every commit that took effect.
    var checkCommit: (@Sendable ([Record], [TopicPartition: CommittedOffset]) -> Void)?
    var isDead = false
    var transactions = 0
  }

  private let state = Mutex(State())
  let cluster: String

  init(cluster: String = "c") {
    self.cluster = cluster
  }

  /// What readers of committed records see.
  var committed: [Record] { state.withLock { $0.committed } }
  var offsets: [TopicPartition: CommittedOffset] {
    get { state.withLock { $0.offsets } }
    set { state.withLock { $0.offsets = newValue } }
  }
  var transactions: Int { state.withLock { $0.transactions } }
  /// Moments since the process began.
  var moments: Int { state.withLock { $0.moment } }

  /// Called before every commit.
  var onCommit: (@Sendable () -> Void)? {
    get { state.withLock { $0.onCommit } }
    set { state.withLock { $0.onCommit = newValue } }
  }

  /// Called before a member of a group sends offsets.
  var onOffsets: (@Sendable (ModelGroup.Reader) -> Void)? {
    get { state.withLock { $0.onOffsets } }
    set { state.withLock { $0.onOffsets = newValue } }
  }

  /// Called with all that is committed, whenever more is.
  func checkCommits(
    _ check: @escaping @Sendable ([Record], [TopicPartition: CommittedOffset]) -> Void
  ) {
    state.withLock { $0.checkCommit = check }
  }

  /// A new process begins, to which an event happens at a moment.
  ///
  /// - Parameters:
  ///   - isAlive: whether it has not died of something else.
  ///   - onDeath: called when it dies here.
  func beginProcess(
    _ script: (moment: Int, event: Event)?, isAlive: @escaping @Sendable () -> Bool,
    onDeath: @escaping @Sendable () -> Void = {}
  ) {
    state.withLock {
      $0.script = script
      $0.isAlive = isAlive
      $0.onDeath = onDeath
      $0.isDead = false
      $0.moment = 0
    }
  }

  /// Topics written by these brokers.
  ///
  /// - Parameter isAlive: whether the process that opens it has not died.
  func output(
    _ topics: [OutputRole: String] = [.output: "out"],
    isAlive: @escaping @Sendable () -> Bool = { true }
  ) -> Output {
    Output(brokers: self, topics: topics, isAlive: isAlive)
  }

  struct Output: TopicOutput {
    let brokers: ModelBrokers
    let topics: [OutputRole: String]
    let group = "g"
    let isAlive: @Sendable () -> Bool

    func open(_ start: TopicOutputStart) throws -> any TopicProducer {
      let name = start.instance ?? ""
      var epoch = 0
      try brokers.step(name) { state in
        // A request of a process that died may be looked at until now.
        if state.transactionals[name]?.isDelayed == true { state.commit(name) }
        state.abort(name)
        epoch = state.transactionals[name]?.epoch ?? 0
      }
      return Producer(brokers, name: name, epoch: epoch, isAlive: isAlive)
    }
  }

  /// Takes a step with its two moments.
  fileprivate func step(
    _ name: String, isCommit: Bool = false, _ effect: (inout State) throws(SinkError) -> Void
  ) throws(SinkError) {
    try moment(name, isCommit: isCommit)
    try state.withLock { (state) throws(SinkError) in try effect(&state) }
    try moment(name, isCommit: false)
  }

  private func moment(_ name: String, isCommit: Bool) throws(SinkError) {
    let (event, onDeath) = try state.withLock { (state) throws(SinkError) in
      guard !state.isDead, state.isAlive() else { throw .topic("the process is dead") }
      defer { state.moment += 1 }
      guard let script = state.script, script.moment == state.moment else {
        return (Event?.none, state.onDeath)
      }
      switch script.event {
      case .death: state.isDead = true
      case .deathWithRequestOnItsWay:
        state.isDead = true
        state.transactionals[name]?.isDelayed = isCommit
      case .abort: state.abort(name)
      }
      return (script.event, state.onDeath)
    }
    switch event {
    case .death, .deathWithRequestOnItsWay:
      onDeath?()
      throw .topic("the process has died")
    case .abort, nil: return
    }
  }

  final class Producer: TopicProducer {
    let brokers: ModelBrokers
    let name: String
    let epoch: Int
    let isAlive: @Sendable () -> Bool
    var cluster: String { brokers.cluster }

    init(
      _ brokers: ModelBrokers, name: String, epoch: Int, isAlive: @escaping @Sendable () -> Bool
    ) {
      self.brokers = brokers
      self.name = name
      self.epoch = epoch
      self.isAlive = isAlive
    }

    private func step(
      isCommit: Bool = false, _ effect: (inout State) throws(SinkError) -> Void
    ) throws(SinkError) {
      try brokers.step(name, isCommit: isCommit) { (state) throws(SinkError) in
        guard isAlive() else { throw .topic("the process is dead") }
        guard state.transactionals[name]?.epoch == epoch else { throw .epochAborted("fenced") }
        try effect(&state)
      }
    }

    func committed(_ topics: [String]) throws -> [TopicPartition: CommittedOffset] {
      var found: [TopicPartition: CommittedOffset] = [:]
      try step { (state) throws(SinkError) in
        found = state.offsets.filter { topics.contains($0.key.topic) }
      }
      return found
    }

    func begin() throws(SinkError) {
      try step { (state) throws(SinkError) in
        guard state.transactionals[name]?.open == nil else {
          throw .topic("a transaction is open")
        }
        state.transactionals[name]?.open = []
      }
    }

    func produce(_ records: TopicRecords) throws(SinkError) {
      let made = (0..<(unsafe records.indices.count)).map { place in
        unsafe Record(records, Int(records.indices[place]))
      }
      try step { (state) throws(SinkError) in
        guard state.transactionals[name]?.open != nil else {
          throw .topic("no transaction is open")
        }
        state.transactionals[name]?.open?.append(contentsOf: made)
      }
    }

    func flush() throws(SinkError) { try step { _ in } }

    func commit(
      _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
    ) throws(SinkError) {
      let member = reader as? ModelGroup.Reader
      if let member { brokers.onOffsets?(member) }
      let place = member?.place()
      if member != nil, place == nil { throw .epochAborted("the group gives out anew") }
      try step { (state) throws(SinkError) in
        // The group's generation fences who is not its member any more.
        if let member, let place, !member.takesOffsets(of: place) {
          throw .epochAborted("not a member of this generation")
        }
        state.transactionals[name]?.offsets = offsets
      }
      brokers.onCommit?()
      try step(isCommit: true) { (state) throws(SinkError) in
        guard state.transactionals[name]?.open != nil else {
          throw .topic("no transaction is open")
        }
        state.commit(name)
      }
    }

    func close() {}
  }
}

extension ModelBrokers.State {
  fileprivate mutating func commit(_ name: String) {
    guard let transaction = transactionals[name], let records = transaction.open else { return }
    committed += records
    offsets.merge(transaction.offsets) { _, new in new }
    transactions += 1
    transactionals[name]?.open = nil
    transactionals[name]?.offsets = [:]
    checkCommit?(committed, offsets)
  }

  /// Ends what is open, and fences its producer.
  fileprivate mutating func abort(_ name: String) {
    var transaction = transactionals[name] ?? ModelBrokers.Transactional()
    transaction.open = nil
    transaction.offsets = [:]
    transaction.isDelayed = false
    transaction.epoch += 1
    transactionals[name] = transaction
  }
}

extension ModelBrokers.Record {
  init(_ records: TopicRecords, _ index: Int) {
    role = records.role
    tag = records.tag
    let batch = records.batch
    destination = batch.destinations.isEmpty ? nil : batch.destinations[index]
    isNull = batch.status(index) == .tombstone
    value = unsafe String(decoding: batch.record(index), as: UTF8.self)
    headers = [:]
    key = nil
    time = -1
    guard let carried = batch.carried else { return }
    if let bytes = unsafe carried.key(index) { key = unsafe String(decoding: bytes, as: UTF8.self) }
    time = carried.time(index)
    var walk = unsafe CarriedHeaders(carried.headers(index))
    while let header = unsafe walk.nextHeader() {
      let name = unsafe String(decoding: header.name, as: UTF8.self)
      headers[name] = .some(unsafe header.value.map { unsafe String(decoding: $0, as: UTF8.self) })
    }
  }
}
