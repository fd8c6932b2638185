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
  func shownName(of log: LogReference) -> String { prefix + naming.name(of: log) }

  /// Opens a table without its filter, for `body`; damage is named after the file.
  func withTable<Answer>(
    _ table: TableMetadata, _ body: (TableReader) throws -> Answer
  ) throws -> Answer {
    do {
      return try body(
        TableReader(
          directory: directory, metadata: table, fileName: naming.name(of: table),
          filterByteBudget: 0))
    } catch var corruption as Corruption {
      corruption.file = shownName(of: table)
      throw corruption
    } catch var unsupported as UnsupportedFormat {
      unsupported.file = shownName(of: table)
      throw unsupported
    }
  }

  /// Calls `body` with every entry of a log's committed part, oldest first.
  func readLog(
    _ log: LogReference, layout: EntryLayout, _ body: (EntryReference) throws -> Void
  ) throws {
    do {
      try EntryLog(log, name: naming.name(of: log), layout: layout).read(
        in: directory, stopsAtCommitted: true, body)
    } catch var corruption as Corruption {
      corruption.file = shownName(of: log)
      throw corruption
    } catch var unsupported as UnsupportedFormat {
      unsupported.file = shownName(of: log)
      throw unsupported
    }
  }

  /// Reads a file of the state from end to end.
  func verify(_ file: StateFile) throws {
    switch file {
    case .table(let table): try withTable(table) { try $0.verify() }
    case .log(let log, let layout): try readLog(log, layout: layout) { _ in }
    }
  }
}

/// A file that a state names.
enum StateFile {
  case table(TableMetadata)
  case log(LogReference, layout: EntryLayout)
}

extension StoreState {
  /// Tables by number, then logs in the order of their keyspaces.
  var files: [StateFile] {
    let tables = tables.values.sorted { $0.number < $1.number }.map { StateFile.table($0) }
    return tables
      + keyspaces.flatMap { keyspace in
        keyspace.logs.map { .log($0, layout: keyspace.options.layout) }
      }
  }
}

extension StateFiles {
  func shownName(of file: StateFile) -> String {
    switch file {
    case .table(let table): shownName(of: table)
    case .log(let log, _): shownName(of: log)
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
