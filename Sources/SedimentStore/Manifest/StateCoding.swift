// States and edits as bytes: the payloads of manifest records. On disk: never renumber; a change
// of what is written needs a new version in `StateCoding.version`.

/// Encodes and decodes manifest payloads.
package enum StateCoding {
  /// The newest version, which this build reads as it reads all before. It begins every payload.
  /// On disk: never renumber. What is written has the oldest that suffices, for older builds.
  package static let version: UInt8 = 5
  /// The first version that has ordered keyspaces and their logs.
  private static let orderedVersion: UInt8 = 2
  /// The first version that has merge operators and removals of ranges.
  static let thirdVersion: UInt8 = 3
  /// The first version that has tables of sorted input.
  static let fourthVersion: UInt8 = 4
  /// The first version that has styles of compaction and levels that are not compressed.
  static let fifthVersion: UInt8 = 5
  /// The type of a record that holds a whole state.
  package static let snapshotType: UInt8 = 1
  /// The type of a record that changes the state before it.
  package static let editType: UInt8 = 2

  /// The payload of a snapshot record.
  package static func encode(_ state: StoreState) -> ByteWriter {
    var writer = ByteWriter(capacity: 4096)
    let version = version(for: state)
    writer.writeUInt8(version)
    writer.writeUInt64(state.identity.high)
    writer.writeUInt64(state.identity.low)
    writer.writeBytes(state.seed.bytes)
    writer.writeUInt64(state.writerEpoch)
    writer.writeUInt64(state.epoch)
    writer.writeUInt64(state.nextFileNumber)
    writer.writeUInt32(state.nextKeyspaceID)
    writer.writeLengthPrefixed(state.metadata)
    writer.writeVarint(UInt64(state.keyspaces.count))
    for keyspace in state.keyspaces { write(keyspace, to: &writer) }
    if version >= orderedVersion {
      write(state.writeLogs, to: &writer)
      writer.writeVarint(UInt64(state.orderedKeyspaces.count))
      for keyspace in state.orderedKeyspaces {
        write(keyspace, version: version, to: &writer)
      }
    }
    return writer
  }

  /// Reads a snapshot's payload; every count is checked before memory is taken.
  package static func decodeState(_ payload: [UInt8]) throws(CodingError) -> StoreState {
    let state = try ByteReader.reading(payload) { reader throws(CodingError) in
      let version = try readVersion(&reader)
      let identity = StoreIdentity(high: try reader.readUInt64(), low: try reader.readUInt64())
      guard let seed = HashSeed(bytes: try reader.readArray(HashSeed.byteCount)) else {
        throw .invalid("hash seed")
      }
      var state = StoreState(identity: identity, seed: seed)
      state.writerEpoch = try reader.readUInt64()
      state.epoch = try reader.readUInt64()
      state.nextFileNumber = try reader.readUInt64()
      state.nextKeyspaceID = try reader.readUInt32()
      state.metadata = try reader.readLengthPrefixed(maxBytes: StoreState.metadataBytesMax)
      let count = try reader.readCount(itemBytes: 16)
      guard count <= StoreState.keyspacesMax else { throw .invalid("\(count) keyspaces") }
      for _ in 0..<count { state.keyspaces.append(try readKeyspace(&reader)) }
      if version >= orderedVersion {
        state.writeLogs = try readLogs(&reader)
        for _ in 0..<(try reader.readCount(itemBytes: 31)) {
          state.orderedKeyspaces.append(try readOrderedKeyspace(&reader, version: version))
        }
      }
      try reader.expectEnd()
      return state
    }
    if let complaint = state.complaint { throw .invalid(complaint) }
    return state
  }

  /// The payload of an edit record.
  package static func encode(_ edit: StateEdit) -> ByteWriter {
    var writer = ByteWriter(capacity: 1024)
    let version = version(for: edit)
    writer.writeUInt8(version)
    writer.writeUInt64(edit.epoch)
    writer.writeUInt64(edit.nextFileNumber)
    writer.writeLengthPrefixed(edit.metadata)
    writer.writeVarint(UInt64(edit.keyspaces.count))
    for keyspace in edit.keyspaces {
      writer.writeUInt32(keyspace.id)
      write(optional: keyspace.largestTime, to: &writer)
      write(keyspace.logs, to: &writer)
      writer.writeVarint(UInt64(keyspace.shards.count))
      for shard in keyspace.shards {
        writer.writeUInt32(shard.index)
        writer.writeVarint(UInt64(shard.removedRuns.count))
        for id in shard.removedRuns { writer.writeUInt64(id) }
        write(shard.addedRuns, to: &writer)
      }
    }
    if version >= orderedVersion {
      writer.writeUInt8(edit.keepsMetadata ? 1 : 0)
      writer.writeUInt8(edit.writeLogs == nil ? 0 : 1)
      if let logs = edit.writeLogs { write(logs, to: &writer) }
      writer.writeVarint(UInt64(edit.orderedKeyspaces.count))
      for keyspace in edit.orderedKeyspaces {
        write(keyspace, version: version, to: &writer)
      }
    }
    return writer
  }

  /// Reads an edit's payload; every count is checked before memory is taken.
  package static func decodeEdit(_ payload: [UInt8]) throws(CodingError) -> StateEdit {
    try ByteReader.reading(payload) { reader throws(CodingError) in
      let version = try readVersion(&reader)
      var edit = StateEdit(
        epoch: try reader.readUInt64(), nextFileNumber: try reader.readUInt64(),
        metadata: try reader.readLengthPrefixed(maxBytes: StoreState.metadataBytesMax))
      for _ in 0..<(try reader.readCount(itemBytes: 7)) {
        edit.keyspaces.append(try readKeyspaceEdit(&reader))
      }
      if version >= orderedVersion {
        let keepsMetadata = try reader.readUInt8()
        guard keepsMetadata <= 1 else { throw CodingError.invalid("flag \(keepsMetadata)") }
        edit.keepsMetadata = keepsMetadata == 1
        switch try reader.readUInt8() {
        case 0: break
        case 1: edit.writeLogs = try readLogs(&reader)
        case let flag: throw CodingError.invalid("presence flag \(flag)")
        }
        for _ in 0..<(try reader.readCount(itemBytes: 14)) {
          edit.orderedKeyspaces.append(try readOrderedEdit(&reader, version: version))
        }
      }
      try reader.expectEnd()
      return edit
    }
  }

  /// The oldest version that suffices.
  private static func version(for state: StoreState) -> UInt8 {
    let keyspaces = state.orderedKeyspaces
    if keyspaces.contains(where: \.options.hasShape) { return fifthVersion }
    if keyspaces.contains(where: { $0.levels.tables.joined().contains(where: \.isIngested) }) {
      return fourthVersion
    }
    if keyspaces.contains(where: {
      $0.options.mergeOperator != nil || !$0.levels.removals.isEmpty
    }) {
      return thirdVersion
    }
    return state.hasOrdered ? orderedVersion : 1
  }

  private static func version(for edit: StateEdit) -> UInt8 {
    let keyspaces = edit.orderedKeyspaces
    if keyspaces.contains(where: { $0.addedTables.contains(where: \.table.isIngested) }) {
      return fourthVersion
    }
    if keyspaces.contains(where: { $0.removals != nil }) { return thirdVersion }
    return edit.hasOrdered ? orderedVersion : 1
  }

  private static func readVersion(_ reader: inout ByteReader) throws(CodingError) -> UInt8 {
    let found = try reader.readUInt8()
    guard found >= 1 && found <= version else {
      throw .unknownVersion(UInt64(found), supported: UInt64(version))
    }
    return found
  }

  // MARK: - Parts

  private static func write(_ keyspace: KeyspaceState, to writer: inout ByteWriter) {
    writer.writeUInt32(keyspace.id)
    writer.writeString(keyspace.name)
    write(keyspace.options, to: &writer)
    write(optional: keyspace.largestTime, to: &writer)
    write(keyspace.logs, to: &writer)
    writer.writeVarint(UInt64(keyspace.shards.count))
    for shard in keyspace.shards {
      writer.writeUInt16(shard.groups.first)
      writer.writeUInt16(shard.groups.last)
      write(shard.runs, to: &writer)
    }
  }

  private static func readKeyspace(
    _ reader: inout ByteReader
  ) throws(CodingError) -> KeyspaceState {
    var keyspace = KeyspaceState(
      id: try reader.readUInt32(), name: try reader.readString(maxBytes: StoreState.nameBytesMax),
      options: try readOptions(&reader), largestTime: try readOptional(&reader), shards: [],
      logs: try readLogs(&reader))
    let count = try reader.readCount(itemBytes: 5)
    guard count >= 1 && count <= StoreState.shardsMax else { throw .invalid("\(count) shards") }
    for _ in 0..<count {
      let groups = KeyGroupRange(first: try reader.readUInt16(), last: try reader.readUInt16())
      guard groups.first <= groups.last else { throw .invalid("key groups") }
      keyspace.shards.append(ShardState(groups: groups, runs: try readRuns(&reader)))
    }
    return keyspace
  }

  private static func readKeyspaceEdit(
    _ reader: inout ByteReader
  ) throws(CodingError) -> KeyspaceEdit {
    var edit = KeyspaceEdit(
      id: try reader.readUInt32(), largestTime: try readOptional(&reader),
      logs: try readLogs(&reader))
    for _ in 0..<(try reader.readCount(itemBytes: 6)) {
      let index = try reader.readUInt32()
      var removed: [UInt64] = []
      for _ in 0..<(try reader.readCount(itemBytes: 8)) { removed.append(try reader.readUInt64()) }
      edit.shards.append(
        ShardEdit(index: index, removedRuns: removed, addedRuns: try readRuns(&reader)))
    }
    return edit
  }

  private static func write(_ options: KeyspaceOptions, to writer: inout ByteWriter) {
    writer.writeUInt8(options.keyMode.rawValue)
    writer.writeUInt8(options.valueWidth)
    switch options.timeToLive {
    case .forever: writer.writeInt64(0)
    case .milliseconds(let milliseconds): writer.writeInt64(milliseconds)
    }
    writer.writeInt64(options.allowedLateness)
    switch options.compaction {
    case .tiered(let fanout): writer.writeUInt8(fanout)
    }
    switch options.log {
    case .epochs: writer.writeUInt8(0)
    case .everyBatch(let synchronized): writer.writeUInt8(synchronized ? 2 : 1)
    }
    writer.writeUInt8(options.refreshesOnSeen ? 1 : 0)
  }

  private static func readOptions(
    _ reader: inout ByteReader
  ) throws(CodingError) -> KeyspaceOptions {
    let rawMode = try reader.readUInt8()
    guard let mode = KeyMode(rawValue: rawMode) else { throw .invalid("key mode \(rawMode)") }
    let width = try reader.readUInt8()
    guard width <= EntryLayout.valueWidthMax else { throw .invalid("value width \(width)") }
    let ttl = try reader.readInt64()
    let lateness = try reader.readInt64()
    let fanout = try reader.readUInt8()
    let log = try reader.readUInt8()
    guard log <= 2 else { throw .invalid("log policy \(log)") }
    let refreshes = try reader.readUInt8()
    guard refreshes <= 1 else { throw .invalid("refresh flag \(refreshes)") }
    return KeyspaceOptions(
      keyMode: mode, valueWidth: width, timeToLive: ttl == 0 ? .forever : .milliseconds(ttl),
      allowedLateness: lateness, compaction: .tiered(fanout: fanout),
      log: log == 0 ? .epochs : .everyBatch(synchronized: log == 2),
      refreshesOnSeen: refreshes == 1)
  }

  private static func write(_ runs: [RunState], to writer: inout ByteWriter) {
    writer.writeVarint(UInt64(runs.count))
    for run in runs {
      writer.writeUInt64(run.id)
      writer.writeUInt64(run.sequence)
      writer.writeUInt8(run.level)
      writer.writeInt64(run.window)
      writer.writeVarint(UInt64(run.tables.count))
      for slice in run.tables {
        slice.table.encode(into: &writer)
        writer.writeUInt64(slice.clip.lowerBound)
        writer.writeUInt64(slice.clip.upperBound)
      }
    }
  }

  private static func readRuns(_ reader: inout ByteReader) throws(CodingError) -> [RunState] {
    var runs: [RunState] = []
    for _ in 0..<(try reader.readCount(itemBytes: 26)) {
      var run = RunState(
        id: try reader.readUInt64(), sequence: try reader.readUInt64(),
        level: try reader.readUInt8(), window: try reader.readInt64(), tables: [])
      for _ in 0..<(try reader.readCount(itemBytes: 16)) {
        let table = try TableMetadata.decode(from: &reader)
        let low = try reader.readUInt64()
        let high = try reader.readUInt64()
        guard low <= high else { throw .invalid("clip of table \(table.number.rawValue)") }
        run.tables.append(TableSlice(table: table, clip: low...high))
      }
      runs.append(run)
    }
    return runs
  }

  private static func write(_ logs: [LogReference], to writer: inout ByteWriter) {
    writer.writeVarint(UInt64(logs.count))
    for log in logs {
      writer.writeUInt64(log.number.rawValue)
      writer.writeUInt64(log.fileID)
      writer.writeUInt64(log.committedLength)
    }
  }

  private static func readLogs(_ reader: inout ByteReader) throws(CodingError) -> [LogReference] {
    var logs: [LogReference] = []
    for _ in 0..<(try reader.readCount(itemBytes: 24)) {
      let log = LogReference(
        number: FileNumber(try reader.readUInt64()), fileID: try reader.readUInt64(),
        committedLength: try reader.readUInt64())
      guard log.committedLength <= LogReference.lengthMax else {
        throw .invalid("a log of \(log.committedLength) bytes")
      }
      logs.append(log)
    }
    return logs
  }

  private static func write(optional value: Int64?, to writer: inout ByteWriter) {
    writer.writeUInt8(value == nil ? 0 : 1)
    if let value { writer.writeInt64(value) }
  }

  private static func readOptional(_ reader: inout ByteReader) throws(CodingError) -> Int64? {
    switch try reader.readUInt8() {
    case 0: return nil
    case 1: return try reader.readInt64()
    case let flag: throw .invalid("presence flag \(flag)")
    }
  }
}
