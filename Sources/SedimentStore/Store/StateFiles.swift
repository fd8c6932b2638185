internal import SedimentIO

/// The files of a state where they lie: in a state directory, or among a checkpoint's objects.
struct StateFiles {
  let directory: any Directory
  let naming: FileNaming
  /// What stands in front of names in messages: `objects/` or nothing.
  let prefix: String

  static func inState(_ directory: any Directory) -> StateFiles {
    StateFiles(directory: directory, naming: .state, prefix: "")
  }

  static func inCheckpoint(_ checkpoint: CheckpointDirectory) -> StateFiles {
    StateFiles(
      directory: checkpoint.objects, naming: .objects,
      prefix: CheckpointDirectory.objectsName + "/")
  }

  func shownName(of table: TableMetadata) -> String { prefix + naming.name(of: table) }
  func shownName(of table: TableReference) -> String { prefix + naming.name(of: table) }
  func shownName(of log: LogReference) -> String { prefix + naming.name(of: log) }

  /// Opens a table without its filter, for `body`; damage is named after the file.
  func withTable<Answer>(
    _ table: TableMetadata, _ body: (TableReader) throws -> Answer
  ) throws -> Answer {
    try naming(shownName(of: table)) {
      try body(
        TableReader(
          directory: directory, metadata: table, fileName: naming.name(of: table),
          filterByteBudget: 0))
    }
  }

  /// Calls `body` with every entry of a log's committed part, oldest first.
  func readLog(
    _ log: LogReference, layout: EntryLayout, _ body: (EntryReference) throws -> Void
  ) throws {
    _ = try naming(shownName(of: log)) {
      try EntryLog(log, name: naming.name(of: log), layout: layout).read(
        in: directory, stopsAtCommitted: true, body)
    }
  }

  /// Reads a file of the state from end to end.
  func verify(_ file: StateFile) throws {
    switch file {
    case .table(let table): try withTable(table) { try $0.verify() }
    case .log(let log, let layout): try readLog(log, layout: layout) { _ in }
    case .orderedTable(let table): try withOrderedTable(table) { try $0.verify() }
    case .writes(let log): try readWrites(log) { _ in }
    }
  }

  /// Calls `body` with every write of a log of ordered keyspaces, oldest first.
  ///
  /// - Parameter stopsAtCommitted: whether only the committed part counts. In a state all of a log
  ///   does, which the manifest does not follow; in a checkpoint, what belongs to it.
  @discardableResult
  func readWrites(
    _ log: LogReference, stopsAtCommitted: Bool? = nil,
    _ body: (WriteBatchCoding.Write) throws -> Void
  ) throws -> WriteLogReader.End {
    try naming(shownName(of: log)) {
      try WriteLogReader.read(
        log, name: naming.name(of: log), in: directory,
        stopsAtCommitted: stopsAtCommitted ?? (naming != .state), body)
    }
  }

  private func withOrderedTable(
    _ table: OrderedTableMetadata, _ body: (OrderedTableReader) throws -> Void
  ) throws {
    let reference = TableReference(table)
    try naming(shownName(of: reference)) {
      try body(
        OrderedTableReader(
          directory: directory, metadata: table, fileName: naming.name(of: reference),
          filterByteBudget: 0))
    }
  }

  /// Opens the file of a table of an ordered keyspace.
  func hold(_ table: OrderedTableMetadata) throws(FileError) -> HeldOrderedTable {
    try HeldOrderedTable(
      directory: directory, metadata: table, fileName: naming.name(of: TableReference(table)))
  }

  /// Names what `body` finds damaged or too new after the file as it is shown.
  private func naming<Answer>(_ name: String, _ body: () throws -> Answer) throws -> Answer {
    do {
      return try body()
    } catch var corruption as Corruption {
      corruption.file = name
      throw corruption
    } catch var unsupported as UnsupportedFormat {
      unsupported.file = name
      throw unsupported
    }
  }
}

/// A file that a state names.
enum StateFile {
  case table(TableMetadata)
  case log(LogReference, layout: EntryLayout)
  case orderedTable(OrderedTableMetadata)
  case writes(LogReference)
}

extension StoreState {
  /// Tables by number, then logs in the order of their keyspaces; those of hashed keyspaces first.
  var files: [StateFile] {
    let tables = tables.values.sorted { $0.number < $1.number }.map { StateFile.table($0) }
    let logs = keyspaces.flatMap { keyspace in
      keyspace.logs.map { StateFile.log($0, layout: keyspace.options.layout) }
    }
    let ordered = orderedTables.sorted { $0.number < $1.number }.map { StateFile.orderedTable($0) }
    return tables + logs + ordered + writeLogs.map { StateFile.writes($0) }
  }
}

extension StateFiles {
  func shownName(of file: StateFile) -> String {
    switch file {
    case .table(let table): shownName(of: table)
    case .log(let log, _): shownName(of: log)
    case .orderedTable(let table): shownName(of: TableReference(table))
    case .writes(let log): shownName(of: log)
    }
  }

  /// All damage of a state's files: they do not change meanwhile.
  func damage(of state: StoreState) throws -> [Damage] {
    var damage: [Damage] = []
    for file in state.files {
      do {
        try verify(file)
      } catch {
        guard let found = Damage(error, file: shownName(of: file)) else { throw error }
        damage.append(found)
      }
    }
    return damage
  }
}
