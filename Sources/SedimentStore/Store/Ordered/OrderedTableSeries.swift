internal import SedimentIO

/// Tables of an ordered keyspace that are written one after the other, in order of keys, and that
/// nobody names yet.
struct OrderedTableSeries: ~Copyable {
  private let store: StoreCore
  private let keyspace: OrderedKeyspace
  private let isCompressed: Bool
  private var table: OrderedTableWriter?
  private var tableName = ""
  /// Those that are complete.
  private(set) var finished: [OrderedTableMetadata] = []

  /// No table yet.
  ///
  /// - Parameter isCompressed: whether blocks are compressed, where the keyspace's are at all.
  init(of keyspace: OrderedKeyspace, isCompressed: Bool = true) {
    self.keyspace = keyspace
    self.isCompressed = isCompressed
    store = keyspace.store
  }

  /// About the size of the table that is being written; 0 when none is.
  var tableBytes: UInt64 {
    switch table {
    case .some(let table): table.estimatedFileBytes
    case .none: 0
    }
  }

  private var isInTable: Bool {
    switch table {
    case .some: true
    case .none: false
    }
  }

  /// Appends an entry behind those before, to a new table when none is being written.
  ///
  /// - Parameter expectedEntries: about how many a new table will have.
  mutating func append(
    _ key: UnsafeRawBufferPointer, _ tag: EntryTag, _ value: UnsafeRawBufferPointer,
    expectedEntries: Int
  ) throws {
    if !isInTable { try beginTable(expectedEntries) }
    try unsafe table?.append(key: key, tag: tag, value: value)
  }

  private mutating func beginTable(_ expectedEntries: Int) throws {
    let number = store.allocateFileNumber()
    tableName = number.tableName
    store.beginFile(tableName)
    table = try OrderedTableWriter(
      directory: store.directory,
      plan: OrderedTableWriter.Plan(
        number: number, fileID: .random(in: .min ... .max), seed: store.seed,
        expectedEntries: expectedEntries,
        filterBitsPerKey: Int(keyspace.options.filterBitsPerKey),
        compression: isCompressed ? keyspace.options.compression : .none))
  }

  /// Ends the table that is being written, if one is; whoever names it synchronises it.
  mutating func endTable() throws {
    guard let writer = table.take() else { return }
    guard let (metadata, file) = try writer.finishUnsynchronized() else { return }
    tableName = ""
    finished.append(metadata)
    try store.noteUnsynchronized(file, named: metadata.number.tableName)
  }

  /// Removes all that was written.
  mutating func giveUp() {
    table = nil
    if !tableName.isEmpty { store.abandonFile(tableName) }
    store.giveUp(finished.map(\.number))
    finished = []
  }
}
