// Recovering what the log of ordered keyspaces holds.
//
// The files are read twice. First all of them to their ends: the records must follow one another,
// from file to file. Where one is missing, power loss took what was not synchronised, and what lies
// behind counts no more either, unless something behind was told durable: then it is damage. Then,
// once the new manifest is there, each keyspace enters what is newer than its tables into its
// memtable, and flushes that when it is full.

internal import SedimentIO

/// What the first reading of the log found.
struct WriteLogSurvey {
  /// A file that counts.
  struct Segment {
    var log: LogReference
    /// The number of the last write of this file or those before.
    var lastSequence: UInt64
  }

  /// Oldest first; without those of which nothing is needed.
  private(set) var segments: [Segment] = []
  /// The number of the last write; 0 for none.
  var lastSequence: UInt64 { last ?? 0 }
  private var last: UInt64?
  /// Where the log ends because a record does not follow on; `nil` where it goes on to its end.
  private(set) var gap: String?

  /// Reads the files of a state, and makes durable what counts of them.
  init(_ state: StoreState, in directory: any Directory) throws {
    let ids = Set(state.orderedKeyspaces.map(\.id))
    try self.init(state, in: StateFiles.inState(directory)) { write in
      guard ids.contains(write.keyspace) else {
        throw CodingError.invalid("keyspace \(write.keyspace)")
      }
    }
    for segment in segments {
      let file = try directory.openFile(segment.log.number.logName, .readWrite)
      defer { file.close() }
      try file.synchronize()
    }
  }

  /// Reads the files of a state where they lie, each to its end or, of a checkpoint, as far as it
  /// belongs to that, and changes nothing.
  ///
  /// - Parameter body: called with every write, also with those behind a gap.
  init(
    _ state: StoreState, in files: StateFiles, _ body: (WriteBatchCoding.Write) throws -> Void
  ) throws {
    let flushed =
      state.orderedKeyspaces.filter(\.options.isLogged).map(\.flushedSequence).min() ?? 0
    var isCutOff = false
    for log in state.writeLogs {
      let end = try files.readWrites(log, body)
      isCutOff = isCutOff || !follows(end.first, flushed: flushed)
      if isCutOff {
        gap = gap ?? "\(log.number.rawValue): \(lastSequence), then \(end.first?.previous ?? 0)"
        try checkWasNotDurable(log, end)
        continue
      }
      last = end.last?.last ?? last
      guard let last, end.last != nil, last > flushed else { continue }
      var settled = log
      settled.committedLength = max(end.length, log.committedLength)
      segments.append(Segment(log: settled, lastSequence: last))
    }
  }

  /// Whether the first record of a file follows on: to the record before it, or, of the oldest
  /// file, to what every keyspace has in its tables, for files are dropped up to there.
  private func follows(_ first: WriteBatchCoding.Head?, flushed: UInt64) -> Bool {
    guard let first else { return true }
    return last.map { first.previous == $0 } ?? (first.previous <= flushed)
  }

  /// Throws when a file behind a gap was durable once: the gap was, too.
  private func checkWasNotDurable(_ log: LogReference, _ end: WriteLogReader.End) throws {
    guard end.hasAcknowledgement || log.committedLength > RecordLogFormat.headerBytes else {
      return
    }
    throw Corruption(
      file: log.number.logName, offset: UInt64(RecordLogFormat.headerBytes),
      what: "record before", expected: "\(lastSequence)",
      found: "\(end.first?.previous ?? lastSequence)")
  }
}

extension StoreCore {
  /// Makes the ordered keyspaces of a state of their open tables, and replays the log. No thread of
  /// the store runs yet.
  func addOrdered(
    _ state: StoreState, tables: [FileNumber: OpenOrderedTable], _ survey: WriteLogSurvey
  ) throws {
    let count = state.keyspaces.count + state.orderedKeyspaces.count
    let keyspaces = try state.orderedKeyspaces.map { keyspace in
      OrderedKeyspace(
        keyspace, store: self,
        view: OrderedView(
          active: try makeOrderedMemtable(keyspaces: count), frozen: [],
          levels: OpenLevels(keyspace.levels, tables)))
    }
    for keyspace in keyspaces { add(keyspace) }
    try replay(survey, into: keyspaces)
    // Many openings that write little must not add up to many files.
    if survey.segments.count > Self.closedLogsMax {
      try flushLogged(keyspaces, lastSequence: writes.publishedSequence)
    }
  }

  private func flushLogged(_ keyspaces: [OrderedKeyspace], lastSequence: UInt64) throws {
    for keyspace in keyspaces where keyspace.options.isLogged {
      if keyspace.view.active.isEmpty {
        monitor.withLock {
          keyspace.flushedSequence = max(keyspace.flushedSequence, lastSequence)
          keyspace.needsRecording = true
        }
      } else {
        try freeze(keyspace, lastSequence: lastSequence, waits: false)
      }
    }
  }

  /// Enters what the log holds into the memtables. Nobody else knows the keyspaces yet.
  private func replay(_ survey: WriteLogSurvey, into keyspaces: [OrderedKeyspace]) throws {
    for segment in survey.segments {
      writes.log.adopt(segment.log, lastSequence: segment.lastSequence)
      try WriteLogReader.read(
        segment.log, name: segment.log.number.logName, in: directory
      ) { write in
        guard let keyspace = keyspaces.first(where: { $0.id == write.keyspace }),
          write.tag.sequence > keyspace.flushedSequence
        else { return }
        try enter(write, into: keyspace)
      }
    }
  }

  private func enter(_ write: WriteBatchCoding.Write, into keyspace: OrderedKeyspace) throws {
    let active = keyspace.view.active
    let bytes = unsafe write.key.count + write.value.count
    let weight = write.tag.kind == .removeRange ? OrderedMemtable.removalWeight(bytes: bytes) : 0
    let need = OrderedMemtable.Need(entries: 1, bytes: bytes, removalWeight: weight)
    if active.fits(need), try active.enter(write) { return }
    try unsafe freeze(
      keyspace, lastSequence: write.tag.sequence - 1, entries: 1,
      bytes: write.key.count + write.value.count, waits: false)
    // No thread flushes yet, and memory is bounded.
    if let frozen = keyspace.view.frozen.last { try flush(frozen, in: keyspace) }
    let isIn = try keyspace.view.active.enter(write)
    precondition(isIn, "a memtable without the room that was made")
  }
}
