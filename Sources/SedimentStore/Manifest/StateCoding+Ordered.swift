// The parts of states and edits that ordered keyspaces add, as of version 2; version 3 has merge
// operators and removals of ranges, version 4 tables of sorted input, version 5 other styles of
// compaction and levels that are not compressed. On disk: never renumber; a change of what is
// written needs a new version in `StateCoding.version`.
//
//   snapshot:  … │ logs of writes │ varint keyspaces │ keyspaces × keyspace
//   keyspace:  id u32 │ name │ flags u8 (1: logged, 2: merges, 4: as of
//              version 5, style and uncompressed levels follow) │ compression u8 │ filter bits u8
//              │ time to live i64 ms, 0 for ever │ merge operator's name, where it merges
//              │ style u8 │ uncompressed levels u8, where they follow
//              │ flushed sequence u64 │ each level: varint tables │ tables
//              │ as of version 3: varint removals │ removals (`RangeRemoval`)
//   edit:      … │ u8 1: the metadata stays, whatever was said of it │ u8 1: logs of writes, all
//              there are from now on; 0: as before │ varint keyspaces
//              │ keyspaces × (id u32 │ flushed sequence u64 │ varint removed │ removed × u64
//              │ varint added │ added × (level u8 │ table)
//              │ as of version 3: u8 1: removals, all there are from now on; 0: as before)

extension StateCoding {
  static func write(
    _ state: OrderedKeyspaceState, version: UInt8, to writer: inout ByteWriter
  ) {
    writer.writeUInt32(state.id)
    writer.writeString(state.name)
    let merging = state.options.mergeOperator
    let hasShape = state.options.hasShape
    writer.writeUInt8(
      (state.options.isLogged ? 1 : 0) | (merging == nil ? 0 : 2) | (hasShape ? 4 : 0))
    writer.writeUInt8(state.options.compression.rawValue)
    writer.writeUInt8(state.options.filterBitsPerKey)
    switch state.options.timeToLive {
    case .forever: writer.writeInt64(0)
    case .milliseconds(let milliseconds): writer.writeInt64(milliseconds)
    }
    if let merging { writer.writeString(merging.name) }
    if hasShape {
      writer.writeUInt8(state.options.compaction.rawValue)
      writer.writeUInt8(state.options.uncompressedLevels)
    }
    writer.writeUInt64(state.flushedSequence)
    for level in state.levels.tables {
      writer.writeVarint(UInt64(level.count))
      for table in level { table.encode(into: &writer) }
    }
    if version >= thirdVersion { write(state.levels.removals, to: &writer) }
  }

  private static func write(_ removals: [RangeRemoval], to writer: inout ByteWriter) {
    writer.writeVarint(UInt64(removals.count))
    for removal in removals { removal.encode(into: &writer) }
  }

  private static func readRemovals(
    _ reader: inout ByteReader
  ) throws(CodingError) -> [RangeRemoval] {
    var removals: [RangeRemoval] = []
    for _ in 0..<(try reader.readCount(itemBytes: RangeRemoval.encodedBytesMin)) {
      removals.append(try RangeRemoval.decode(from: &reader))
    }
    return removals
  }

  static func readOrderedKeyspace(
    _ reader: inout ByteReader, version: UInt8
  ) throws(CodingError) -> OrderedKeyspaceState {
    let id = try reader.readUInt32()
    let name = try reader.readString(maxBytes: StoreState.nameBytesMax)
    let flags = try reader.readUInt8()
    let flagsMax: UInt8 = version >= fifthVersion ? 7 : version >= thirdVersion ? 3 : 1
    guard flags <= flagsMax else { throw .invalid("flags \(flags)") }
    let codec = try reader.readUInt8()
    guard let compression = BlockCompression(rawValue: codec) else {
      throw .invalid("compression \(codec)")
    }
    let filterBits = try reader.readUInt8()
    let ttl = try reader.readInt64()
    let merging =
      flags & 2 == 0
      ? nil : MergeOperator(named: try reader.readString(maxBytes: StoreState.nameBytesMax))
    var options = OrderedKeyspaceOptions(
      isLogged: flags & 1 == 1, compression: compression, filterBitsPerKey: filterBits,
      timeToLive: ttl == 0 ? .forever : .milliseconds(ttl), mergeOperator: merging)
    if flags & 4 != 0 { try readShape(&reader, into: &options) }
    var state = OrderedKeyspaceState(
      id: id, name: name, options: options, flushedSequence: try reader.readUInt64())
    for level in state.levels.tables.indices {
      for _ in 0..<(try reader.readCount(itemBytes: tableBytesMin)) {
        state.levels.tables[level].append(
          try OrderedTableMetadata.decode(
            from: &reader, mayBeIngested: version >= fourthVersion))
      }
    }
    if version >= thirdVersion { state.levels.removals = try readRemovals(&reader) }
    return state
  }

  private static func readShape(
    _ reader: inout ByteReader, into options: inout OrderedKeyspaceOptions
  ) throws(CodingError) {
    let style = try reader.readUInt8()
    guard let compaction = CompactionStyle(rawValue: style) else {
      throw .invalid("style \(style) of compaction")
    }
    options.compaction = compaction
    options.uncompressedLevels = try reader.readUInt8()
    // What they are when nothing is said is not said.
    guard options.hasShape else { throw .invalid("a shape that is the usual one") }
  }

  /// Bytes of a table's description: seven words, two empty keys, the kind of filter.
  private static let tableBytesMin = 7 * 8 + 3

  static func write(_ edit: OrderedKeyspaceEdit, version: UInt8, to writer: inout ByteWriter) {
    writer.writeUInt32(edit.id)
    writer.writeUInt64(edit.flushedSequence)
    writer.writeVarint(UInt64(edit.removedTables.count))
    for number in edit.removedTables { writer.writeUInt64(number.rawValue) }
    writer.writeVarint(UInt64(edit.addedTables.count))
    for placed in edit.addedTables {
      writer.writeUInt8(UInt8(truncatingIfNeeded: placed.level))
      placed.table.encode(into: &writer)
    }
    guard version >= thirdVersion else { return }
    writer.writeUInt8(edit.removals == nil ? 0 : 1)
    if let removals = edit.removals { write(removals, to: &writer) }
  }

  static func readOrderedEdit(
    _ reader: inout ByteReader, version: UInt8
  ) throws(CodingError) -> OrderedKeyspaceEdit {
    var edit = OrderedKeyspaceEdit(
      id: try reader.readUInt32(), flushedSequence: try reader.readUInt64())
    for _ in 0..<(try reader.readCount(itemBytes: 8)) {
      edit.removedTables.append(FileNumber(try reader.readUInt64()))
    }
    for _ in 0..<(try reader.readCount(itemBytes: 1 + tableBytesMin)) {
      let level = Int(try reader.readUInt8())
      guard level < OrderedLevels.count else { throw .invalid("level \(level)") }
      edit.addedTables.append(
        PlacedTable(
          level: level,
          table: try OrderedTableMetadata.decode(
            from: &reader, mayBeIngested: version >= fourthVersion)))
    }
    guard version >= thirdVersion else { return edit }
    switch try reader.readUInt8() {
    case 0: break
    case 1: edit.removals = try readRemovals(&reader)
    case let flag: throw .invalid("presence flag \(flag)")
    }
    return edit
  }
}

extension OrderedKeyspaceOptions {
  /// Whether anything differs from what there was before version 5.
  var hasShape: Bool { compaction != .leveled || uncompressedLevels != 0 }
}
