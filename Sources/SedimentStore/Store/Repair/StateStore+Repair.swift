// Saving what can be proven of a damaged state into a new one.
//
//   1. read the manifest, or what is whole of it: `ManifestSalvage`
//   2. copy the tables that are whole; of ordered tables that are not, write the entries of their
//      whole blocks into new ones: `OrderedTableSalvage`
//   3. write the whole records of the log of ordered keyspaces into a new log: `WriteLogSalvage`;
//      copy the logs of hashed keyspaces, and count them as far as they are whole
//   4. write and publish a manifest
//
// Nothing is guessed: what goes into the new state had its checksum right. The old one is only
// read. Until step 4 the new directory is none that `StateStore.open` takes for a store.

public import SedimentIO

extension StateStore {
  /// Saves what checksums prove of a state that is damaged into a new state directory.
  ///
  /// The old one is not changed; no program may have it open. Where a table or a part of the log is
  /// lost, a key may have an older value again, or one that was removed: what hid that is gone. So
  /// a checkpoint that is whole is worth more, where there is one.
  ///
  /// Of a manifest that is damaged in the middle, the state before the damage is taken. Without any
  /// manifest nothing can be saved: tables say neither whose they are nor by what their checksums
  /// are seeded.
  ///
  /// - Parameters:
  ///   - path: a state directory.
  ///   - newPath: a directory that is empty or missing.
  /// - Returns: what was saved, and every loss.
  /// - Throws: `notFound` when there is no state; `alreadyExists` when the new directory is not
  ///   empty; `corrupted` when no manifest can be read; `unsupportedFormat`, `noSpace`,
  ///   `inputOutput`. After an error the new directory is empty again.
  public static func repair(
    at path: String, to newPath: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) -> RepairReport {
    try wrapping {
      let source = try fileSystem.openNamed(path, creating: false)
      let found = try ManifestSalvage.read(source)
      let target = try fileSystem.openNamed(newPath, creating: true)
      try checkIsEmpty(target)
      let lock = try target.lock(lockName, advice: "something else fills it")
      defer { lock.unlock() }
      try checkIsEmpty(target)
      var repair = StateRepair(source: source, target: target, found)
      do {
        return try repair.run()
      } catch {
        repair.removeAll()
        throw error
      }
    }
  }
}

/// One repairing.
private struct StateRepair {
  let source: any Directory
  let target: any Directory
  private let wasDamaged: Bool
  private var state: StoreState
  private var report: RepairReport

  init(source: any Directory, target: any Directory, _ found: ManifestSalvage) {
    self.source = source
    self.target = target
    wasDamaged = !found.losses.isEmpty
    state = found.state
    report = RepairReport(found.state)
    report.losses = found.losses
  }

  mutating func run() throws -> RepairReport {
    for index in state.keyspaces.indices { try repairHashed(index) }
    for index in state.orderedKeyspaces.indices { try repairOrdered(index) }
    try repairWriteLogs()
    try target.synchronize()
    let number = takeNumber()
    if let complaint = state.complaint {
      throw Corruption(
        file: ManifestFiles.name(number), offset: 0, what: "state", expected: "a consistent one",
        found: complaint)
    }
    try ManifestWriter(directory: target, number: number, state: state).abandon()
    return report
  }

  /// After a failure: as far as that is possible, for the failure itself is what is reported.
  func removeAll() {
    // CURRENT first: without it what cannot be removed is refused by `StateStore.open`.
    FileTransfer.discard(ManifestFiles.current, in: target)
    FileTransfer.discard(ManifestFiles.currentTemporary, in: target)
    do {
      for entry in try target.entries() where StoreFileName(entry.name) != nil {
        FileTransfer.discard(entry.name, in: target)
      }
    } catch {
      return
    }
  }

  private mutating func takeNumber() -> FileNumber {
    defer { state.nextFileNumber += 1 }
    return FileNumber(state.nextFileNumber)
  }

  private func copy(_ name: String, bytes: UInt64) throws {
    _ = try FileTransfer.copyPrefix(name, in: source, to: name, in: target, bytes: bytes)
  }

  // MARK: - Hashed keyspaces

  private mutating func repairHashed(_ index: Int) throws {
    var lost: Set<FileNumber> = []
    var seen: Set<FileNumber> = []
    let files = StateFiles.inState(source)
    let slices = state.keyspaces[index].shards.flatMap(\.runs).flatMap(\.tables)
    for table in slices.map(\.table) where seen.insert(table.number).inserted {
      let name = table.number.tableName
      if let damage = try damage(name, { try files.verify(.table(table)) }) {
        lost.insert(table.number)
        report.losses.append(
          RepairReport.Loss(damage, entries: table.entryCount, bytes: table.fileBytes))
      } else {
        try copy(name, bytes: table.fileBytes)
        report.copiedTables += 1
        report.savedEntries += table.entryCount
      }
    }
    for shard in state.keyspaces[index].shards.indices {
      for run in state.keyspaces[index].shards[shard].runs.indices {
        state.keyspaces[index].shards[shard].runs[run].tables
          .removeAll { lost.contains($0.table.number) }
      }
      state.keyspaces[index].shards[shard].runs.removeAll(where: \.tables.isEmpty)
    }
    for log in state.keyspaces[index].logs.indices { try repairLog(log, of: index) }
    state.keyspaces[index].logs.removeAll { $0.committedLength == 0 }
  }

  /// A log of a hashed keyspace counts up to its first damage.
  private mutating func repairLog(_ position: Int, of index: Int) throws {
    let keyspace = state.keyspaces[index]
    let log = keyspace.logs[position]
    var length: UInt64 = 0
    let end = try damage(log.number.logName) {
      var reader = try RecordLogReader(
        directory: source, name: log.number.logName, kind: .entries, fileID: log.fileID)
      length = reader.offset
      let stops = keyspace.options.log == .epochs
      while let record = try reader.next(committedLength: log.committedLength, stopsThere: stops) {
        _ = try EntryBatchCoding.read(record.payload, layout: keyspace.options.layout) { _ in }
        length = reader.offset
      }
      length = reader.offset
    }
    if let end {
      let bytes = log.committedLength > length ? log.committedLength - length : nil
      report.losses.append(RepairReport.Loss(end, bytes: bytes))
    }
    state.keyspaces[index].logs[position].committedLength = length
    if length > 0 { try copy(log.number.logName, bytes: length) }
  }

  // MARK: - Ordered keyspaces

  private mutating func repairOrdered(_ index: Int) throws {
    let keyspace = state.orderedKeyspaces[index]
    let files = StateFiles.inState(source)
    for level in keyspace.levels.tables.indices {
      var kept: [OrderedTableMetadata] = []
      for table in keyspace.levels.tables[level] {
        let name = table.number.tableName
        guard let damage = try damage(name, { try files.verify(.orderedTable(table)) }) else {
          try copy(name, bytes: table.fileBytes)
          report.copiedTables += 1
          report.savedEntries += table.entryCount
          kept.append(table)
          continue
        }
        if let saved = try salvage(table, keyspace.options, damage) { kept.append(saved) }
      }
      state.orderedKeyspaces[index].levels.tables[level] = kept
    }
  }

  private mutating func salvage(
    _ table: OrderedTableMetadata, _ options: OrderedKeyspaceOptions, _ damage: Damage
  ) throws -> OrderedTableMetadata? {
    let plan = OrderedTableWriter.Plan(
      number: takeNumber(), fileID: .random(in: .min ... .max), seed: state.seed,
      expectedEntries: Int(table.entryCount), filterBitsPerKey: Int(options.filterBitsPerKey),
      compression: options.compression)
    let salvage = OrderedTableSalvage(table, in: source)
    let saved = try salvage.write(to: target, plan)
    let entries = table.entryCount - min(saved.table?.entryCount ?? 0, table.entryCount)
    report.losses.append(RepairReport.Loss(damage, entries: entries, bytes: saved.lostBytes))
    guard var written = saved.table else { return nil }
    if table.isIngested {
      written.isIngested = true
      written.smallestSequence = table.smallestSequence
      written.largestSequence = table.largestSequence
    }
    report.rewrittenTables += 1
    report.savedEntries += written.entryCount
    return written
  }

  private mutating func repairWriteLogs() throws {
    let number = takeNumber()
    let salvage = try WriteLogSalvage(state, in: source, hasLostManifest: wasDamaged)
    let saved = try salvage.write(number, to: target)
    state.writeLogs = saved.log.map { [$0] } ?? []
    report.savedWrites = saved.writes
    report.losses += saved.losses
  }

  /// What is damaged in a file that `body` reads; `nil` when nothing is.
  private func damage(_ name: String, _ body: () throws -> Void) throws -> Damage? {
    do {
      try body()
      return nil
    } catch let error as UnsupportedFormat {
      throw error
    } catch let error as CodingError {
      return Damage(file: name, message: "\(name): a record is damaged (\(error))")
    } catch let error as FileError where error.code == .notFound {
      return Damage(Corruption.missing(error))
    } catch {
      guard let damage = Damage(error, file: name) else { throw error }
      return damage
    }
  }
}
