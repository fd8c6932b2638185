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
  }

  fileprivate struct State {
    var producerEpoch = 0
    var committed: [Record] = []
    var offsets: [TopicPartition: CommittedOffset] = [:]
    /// Of the open transaction.
    var open: [Record]?
    var openOffsets: [TopicPartition: CommittedOffset] = [:]
    /// A commit that was sent by a process which died.
    var delayed = false
    var moment = 0
    var script: (moment: Int, event: Event)?
    var isAlive: @Sendable () -> Bool = { true }
    var onDeath: (@Sendable () -> Void)?
    var onCommit: (@Sendable () -> Void)?
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
  func output(_ topics: [OutputRole: String] = [.output: "out"]) -> Output {
    Output(brokers: self, topics: topics)
  }

  struct Output: TopicOutput {
    let brokers: ModelBrokers
    let topics: [OutputRole: String]
    let group = "g"

    func open(_ start: TopicOutputStart) throws -> any TopicProducer {
      try brokers.step { state in
        // A request of a process that died may be looked at until now.
        if state.delayed { Self.commit(&state) }
        state.delayed = false
        state.open = nil
        state.openOffsets = [:]
        state.producerEpoch += 1
      }
      return Producer(brokers, epoch: brokers.state.withLock { $0.producerEpoch })
    }

    fileprivate static func commit(_ state: inout State) {
      guard let records = state.open else { return }
      state.committed += records
      state.offsets.merge(state.openOffsets) { _, new in new }
      state.open = nil
      state.openOffsets = [:]
      state.transactions += 1
    }
  }

  /// Takes a step with its two moments.
  fileprivate func step(
    isCommit: Bool = false, _ effect: (inout State) throws(SinkError) -> Void
  ) throws(SinkError) {
    try moment(isCommit: isCommit)
    try state.withLock { (state) throws(SinkError) in try effect(&state) }
    try moment(isCommit: false)
  }

  private func moment(isCommit: Bool) throws(SinkError) {
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
        state.delayed = isCommit
      case .abort:
        state.open = nil
        state.openOffsets = [:]
        state.producerEpoch += 1
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
    let epoch: Int
    var cluster: String { brokers.cluster }

    init(_ brokers: ModelBrokers, epoch: Int) {
      self.brokers = brokers
      self.epoch = epoch
    }

    private func require(_ state: State) throws(SinkError) {
      guard state.producerEpoch == epoch else { throw .epochAborted("fenced") }
    }

    func committed(_ topics: [String]) throws -> [TopicPartition: CommittedOffset] {
      var found: [TopicPartition: CommittedOffset] = [:]
      try brokers.step { (state) throws(SinkError) in
        try require(state)
        found = state.offsets.filter { topics.contains($0.key.topic) }
      }
      return found
    }

    func begin() throws(SinkError) {
      try brokers.step { (state) throws(SinkError) in
        try require(state)
        guard state.open == nil else { throw .topic("a transaction is open") }
        state.open = []
      }
    }

    func produce(_ records: TopicRecords) throws(SinkError) {
      let made = (0..<(unsafe records.indices.count)).map { place in
        unsafe Record(records, Int(records.indices[place]))
      }
      try brokers.step { (state) throws(SinkError) in
        try require(state)
        guard state.open != nil else { throw .topic("no transaction is open") }
        state.open?.append(contentsOf: made)
      }
    }

    func flush() throws(SinkError) {
      try brokers.step { (state) throws(SinkError) in try require(state) }
    }

    func commit(
      _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
    ) throws(SinkError) {
      try brokers.step { (state) throws(SinkError) in
        try require(state)
        state.openOffsets = offsets
      }
      brokers.onCommit?()
      try brokers.step(isCommit: true) { (state) throws(SinkError) in
        try require(state)
        guard state.open != nil else { throw .topic("no transaction is open") }
        Output.commit(&state)
      }
    }

    func close() {}
  }
}

extension ModelBrokers.Record {
  init(_ records: TopicRecords, _ index: Int) {
    role = records.role
    tag = records.tag
    let batch = records.batch
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
