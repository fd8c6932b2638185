public import SedimentStore

/// What an ordered keyspace holds as of the manifest: its tables. What only the log holds comes on
/// top, see `StateReport.writeLogs`.
public struct OrderedKeyspaceReport: Sendable, Equatable {
  /// The tables of a level.
  public struct Level: Sendable, Equatable {
    /// Its number; 0 holds flushed tables.
    public var number: Int
    public var tableCount: Int
    /// Versions of keys, removals among them.
    public var entryCount: UInt64
    public var bytes: UInt64
  }

  public var name: String
  public var options: OrderedKeyspaceOptions
  /// All writes up to this number are in the tables.
  public var flushedSequence: UInt64
  /// Removals of ranges that may hide entries of the tables.
  public var rangeRemovalCount: Int
  /// Those that have tables.
  public var levels: [Level]
  /// Each table's file, level and size, level by level.
  public var tables: [(name: String, level: Int, entryCount: UInt64, bytes: UInt64)]

  public static func == (left: OrderedKeyspaceReport, right: OrderedKeyspaceReport) -> Bool {
    left.name == right.name && left.options == right.options
      && left.flushedSequence == right.flushedSequence && left.levels == right.levels
      && left.rangeRemovalCount == right.rangeRemovalCount
      && left.tables.elementsEqual(right.tables) { $0 == $1 }
  }

  /// Versions of keys in tables.
  public var entryCount: UInt64 { levels.reduce(0) { $0 &+ $1.entryCount } }
  /// Bytes of tables.
  public var bytes: UInt64 { levels.reduce(0) { $0 &+ $1.bytes } }

  init(_ keyspace: OrderedKeyspaceState) {
    name = keyspace.name
    options = keyspace.options
    flushedSequence = keyspace.flushedSequence
    rangeRemovalCount = keyspace.levels.removals.count
    levels = keyspace.levels.tables.enumerated().filter { !$0.element.isEmpty }.map {
      Level(
        number: $0.offset, tableCount: $0.element.count,
        entryCount: $0.element.reduce(0) { $0 &+ $1.entryCount },
        bytes: $0.element.reduce(0) { $0 &+ $1.fileBytes })
    }
    tables = keyspace.levels.placed.map {
      (
        name: $0.table.number.tableName, level: $0.level, entryCount: $0.table.entryCount,
        bytes: $0.table.fileBytes
      )
    }
  }
}

/// A file of the log of ordered keyspaces.
public struct WriteLogReport: Sendable, Equatable {
  /// The file's name.
  public var name: String
  /// Its size.
  public var bytes: UInt64
}

// MARK: - For people

extension OrderedKeyspaceReport {
  func text(listsTables: Bool) -> String {
    var text = "Ordered keyspace \(name)\n" + fields.text()
    if !levels.isEmpty { text += "\n" + levelTable }
    if listsTables, !tables.isEmpty { text += "\n" + tableTable }
    return text
  }

  private var fields: TextFields {
    var fields = TextFields()
    fields.append("entries", Figure.count(entryCount) + " in tables")
    fields.append("size", Figure.bytes(bytes))
    fields.append("files", Figure.count(tables.count, of: "table"))
    fields.append("time to live", "\(options.timeToLive)")
    fields.append(
      "options",
      "compression: \(options.compression)\(uncompressedLevels); "
        + "filters: \(options.filterBitsPerKey) bits a key; "
        + "log: \(options.isLogged ? "every write" : "epochs")")
    fields.append("compaction", "\(options.compaction)")
    if let name = options.mergeOperator?.name { fields.append("merge operator", name) }
    if rangeRemovalCount > 0 {
      fields.append("range removals", Figure.count(rangeRemovalCount) + " that may hide something")
    }
    fields.append("flushed", "up to write \(Figure.count(flushedSequence))")
    return fields
  }

  private var uncompressedLevels: String {
    let count = Int(options.uncompressedLevels)
    return count == 0 ? "" : ", not of the first \(Figure.count(count, of: "level"))"
  }

  private var levelTable: String {
    var table = TextTable([
      ("level", .right), ("tables", .right), ("entries", .right), ("size", .right),
    ])
    for level in levels {
      table.append([
        "\(level.number)", Figure.count(level.tableCount), Figure.count(level.entryCount),
        Figure.bytes(level.bytes),
      ])
    }
    return table.text()
  }

  private var tableTable: String {
    var table = TextTable([
      ("table", .left), ("level", .right), ("entries", .right), ("size", .right),
    ])
    for report in tables {
      table.append([
        report.name, "\(report.level)", Figure.count(report.entryCount),
        Figure.bytes(report.bytes),
      ])
    }
    return table.text()
  }
}

extension [WriteLogReport] {
  var text: String {
    var table = TextTable([("log of ordered keyspaces", .left), ("size", .right)])
    for log in self { table.append([log.name, Figure.bytes(log.bytes)]) }
    return table.text()
  }
}

// MARK: - For programs

extension OrderedKeyspaceReport {
  var json: JSONValue {
    var timeToLive: Int64?
    if case .milliseconds(let millis) = options.timeToLive { timeToLive = millis }
    return .object([
      .init("name", .string(name)),
      .init(
        "options",
        .object([
          .init("compression", .string("\(options.compression)")),
          .init("uncompressed_levels", .count(Int(options.uncompressedLevels))),
          .init("compaction", .string("\(options.compaction)")),
          .init("filter_bits_per_key", .count(Int(options.filterBitsPerKey))),
          .init("time_to_live_ms", .optional(timeToLive)),
          .init("logged", .bool(options.isLogged)),
          .init("merge_operator", .optional(options.mergeOperator?.name)),
        ])),
      .init("entries", .unsigned(entryCount)), .init("table_bytes", .unsigned(bytes)),
      .init("flushed_sequence", .unsigned(flushedSequence)),
      .init("range_removals", .count(rangeRemovalCount)),
      .init(
        "levels",
        .array(
          levels.map {
            .object([
              .init("level", .count($0.number)), .init("tables", .count($0.tableCount)),
              .init("entries", .unsigned($0.entryCount)), .init("bytes", .unsigned($0.bytes)),
            ])
          })),
      .init(
        "tables",
        .array(
          tables.map {
            .object([
              .init("file", .string($0.name)), .init("level", .count($0.level)),
              .init("entries", .unsigned($0.entryCount)), .init("bytes", .unsigned($0.bytes)),
            ])
          })),
    ])
  }
}

extension WriteLogReport {
  var json: JSONValue {
    .object([.init("file", .string(name)), .init("bytes", .unsigned(bytes))])
  }
}
