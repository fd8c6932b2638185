// Ordered keyspaces of a state seen from outside.
//
// How it works: tables are those that the manifest names; their files are opened before anything is
// read, so that they stay readable when the writer unlinks them. Of a keyspace with a log, what the
// log holds beyond the tables is read twice: first to its end, for what counts and how much it is,
// then into a memtable of the reader's.
//
// A writer that goes on may append to a file of the log after that was read here, and go over to
// the next one before that is. Then a record seems to be missing between the two, or damaged. What
// looks the same when all files are read again is so.

public import SedimentIO

extension ReadOnlyStore {
  /// Names of the ordered keyspaces, in the order they were made.
  public var orderedKeyspaceNames: [String] { state.orderedKeyspaces.map(\.name) }

  /// An ordered keyspace at one moment, to be read for as long as the answer lives.
  ///
  /// **The moment.** A keyspace with a log is seen as of some moment between the last reading of
  /// the manifest (`open`, `refresh`) and this call's return: with every write that was answered
  /// before that, and of those after it all up to some write. After a crash it is what opening the
  /// store would recover. A keyspace without a log, and all of a checkpoint or savepoint, is seen
  /// as of `epoch`. For a later moment, call again after `refresh`.
  ///
  /// Costs reading the log beyond the tables; the tables are only opened.
  ///
  /// - Parameters:
  ///   - memoryBudget: what the writes may take that are in the log only: about as much as their
  ///     keys and values and 80 bytes each. Blocks and indexes of tables take 24 MiB beside it.
  ///   - clock: says what has expired.
  /// - Throws: `notFound` when there is no ordered keyspace of that name; `invalidArgument` when
  ///   the budget is too small, with the one that would do; `corrupted`, `unsupportedFormat`,
  ///   `inputOutput`.
  public func orderedKeyspace(
    _ name: String, memoryBudget: Int = 256 << 20, clock: any Clock = SystemClock()
  ) throws(StoreError) -> ReadOnlyKeyspace {
    try openOrdered(name, memoryBudget: memoryBudget, clock: clock, key: nil)
  }

  /// The value of a key of an ordered keyspace; `nil` when it is not there, was removed or has
  /// expired. The moment is that of `orderedKeyspace(_:)`.
  ///
  /// Reads the log beyond the tables each time: for many keys, open the keyspace once.
  ///
  /// - Throws: as `orderedKeyspace(_:)`, `invalidArgument` apart; `mergeFailed` where the key has
  ///   operands of an operator that is not of this library: open the keyspace, and `adopt` it.
  public func get(
    _ key: [UInt8], in keyspaceName: String, clock: any Clock = SystemClock()
  ) throws(StoreError) -> [UInt8]? {
    try openOrdered(keyspaceName, memoryBudget: .max, clock: clock, key: key).get(key)
  }

  /// Opens a keyspace; of the log, with the writes of one key only where one is given.
  private func openOrdered(
    _ name: String, memoryBudget: Int, clock: any Clock, key: [UInt8]?
  ) throws(StoreError) -> ReadOnlyKeyspace {
    try reading { state in
      let keyspace = try Self.orderedKeyspace(name, of: state)
      let tables = try keyspace.levels.tables.map { try $0.map { try files.hold($0) } }
      let memtable = try readLog(
        of: keyspace, in: state, key: key, memoryBudget: memoryBudget)
      return try ReadOnlyKeyspace(
        keyspace, epoch: EpochID(epoch: state.epoch, writerEpoch: state.writerEpoch),
        memtable: memtable, tables: tables, clock: clock)
    }
  }

  static func orderedKeyspace(
    _ name: String, of state: StoreState
  ) throws(StoreError) -> OrderedKeyspaceState {
    if let found = state.orderedKeyspaces.first(where: { $0.name == name }) { return found }
    if state.keyspaces.contains(where: { $0.name == name }) {
      throw StoreError(.notFound, "keyspace \(name) is a hashed one, not an ordered one")
    }
    throw StoreError(.notFound, "there is no keyspace \(name)")
  }

  // MARK: - The log

  /// What the log holds of a keyspace beyond its tables.
  private func readLog(
    of keyspace: OrderedKeyspaceState, in state: StoreState, key: [UInt8]?, memoryBudget: Int
  ) throws -> OrderedMemtable {
    func isWanted(_ write: WriteBatchCoding.Write) -> Bool {
      guard write.keyspace == keyspace.id, write.tag.sequence > keyspace.flushedSequence else {
        return false
      }
      return key.map { write.concerns($0) } ?? true
    }
    var (entries, bytes) = (0, 0)
    let survey = try surveyLog(
      of: keyspace, in: state,
      begin: { (entries, bytes) = (0, 0) },
      body: { write in
        guard isWanted(write) else { return }
        entries += 1
        unsafe bytes += write.key.count + write.value.count
      })
    let needed = OrderedMemtable.byteCount(entries: entries, bytes: bytes)
    guard needed <= memoryBudget else {
      throw StoreError(
        .invalidArgument,
        "the log holds \(entries) writes of keyspace \(keyspace.name) that are in no table yet: to "
          + "read them, give a memory budget of \(needed) bytes or more (it is \(memoryBudget))")
    }
    let memtable = try OrderedMemtable(byteCount: needed)
    for segment in survey?.segments ?? [] {
      try files.readWrites(segment.log, stopsAtCommitted: true) { write in
        guard isWanted(write) else { return }
        guard try memtable.enter(write) else {
          throw CodingError.invalid("more writes than a moment before")
        }
      }
    }
    return memtable
  }

  /// What the log holds that counts, as it is now; `nil` for a keyspace that has none.
  ///
  /// - Parameters:
  ///   - begin: called before the files are read, again when they are read again.
  ///   - body: called with every write.
  func surveyLog(
    of keyspace: OrderedKeyspaceState, in state: StoreState, begin: () -> Void = {},
    body: (WriteBatchCoding.Write) throws -> Void = { _ in }
  ) throws -> WriteLogSurvey? {
    guard keyspace.options.isLogged else { return nil }
    var seen: String?
    for _ in 0..<Self.attemptsMax {
      begin()
      do {
        let survey = try WriteLogSurvey(state, in: files, body)
        if survey.gap == nil || survey.gap == seen { return survey }
        seen = survey.gap
      } catch let corruption as Corruption {
        if corruption.description == seen { throw corruption }
        seen = corruption.description
      }
    }
    throw changesTooFast
  }
}

extension WriteBatchCoding.Write {
  /// Whether it changes what a key has.
  func concerns(_ key: [UInt8]) -> Bool {
    guard tag.kind == .removeRange else { return unsafe self.key.elementsEqual(key) }
    let removal = unsafe RangeRemoval(key: self.key, value: value, sequence: tag.sequence)
    return removal?.holds(first: key, last: key) ?? true
  }
}
