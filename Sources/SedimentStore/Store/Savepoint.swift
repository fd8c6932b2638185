// Savepoints: self-contained directories that can be moved and copied with the ordinary tools.
//
//   DIR/savepoint.json           what it is, for people and programs
//   DIR/<checkpoint id>.checkpoint
//   DIR/objects/…                tables and logs, as in a checkpoint directory
//   DIR/SHA256SUMS               of every file above, for `sha256sum -c`
//
// It is a checkpoint directory with one checkpoint that never changes. The checkpoint's manifest is
// published last: a savepoint that was cut short holds none, and is refused.

internal import SedimentIO

extension StateStore {
  /// Makes a savepoint: all that the store holds, in a directory of its own.
  ///
  /// Tables are linked where both lie on one file system, then everything is read once for its
  /// sums, while writing goes on.
  ///
  /// - Parameters:
  ///   - path: a directory that is empty or missing.
  ///   - committing: as for `checkpoint`.
  /// - Throws: `alreadyExists` when the directory is not empty.
  @discardableResult
  public func savepoint(
    to path: String, committing: Bool = true
  ) throws(StoreError) -> CheckpointInfo {
    try wrapping {
      let directory = try core.fileSystem.openNamed(path, creating: true)
      if let entry = try directory.entries().first {
        throw StoreError(
          .alreadyExists,
          "\(path) is not empty (it holds \(entry.name)): a savepoint needs a new directory")
      }
      let target = try CheckpointDirectory(
        path: path, creating: true, fileSystem: core.fileSystem)
      var added = FileTransfer.Outcome()
      let state = try capture(committing: committing) { state in
        added = try core.add(state, to: target, copiesLogs: true)
        return state
      }
      let manifest = CheckpointManifest(
        createdMillis: core.options.clock.nowMillis(), state: state)
      var info = try target.publishSavepoint(manifest)
      info.newFiles = added.newFiles
      info.newBytes = added.newBytes
      return info
    }
  }
}

extension CheckpointDirectory {
  /// The name of the description in JSON.
  static let descriptionName = "savepoint.json"

  /// Whether this is a savepoint, to which nothing is added and of which nothing is removed.
  var isSavepoint: Bool {
    get throws(FileError) { try directory.metadata(of: SavepointSums.name) != nil }
  }

  /// Describes, sums up and publishes a savepoint whose objects are there.
  fileprivate func publishSavepoint(_ manifest: CheckpointManifest) throws -> CheckpointInfo {
    let id = manifest.encoded().id
    let info = CheckpointInfo(id, manifest)
    try objects.synchronize()
    try write(SavepointDescription.json(info, manifest.state), to: Self.descriptionName)
    let temporary = try writeManifest(manifest)
    let sums = try SavepointSums(self).lines(publishing: temporary, as: id.fileName)
    try write(sums, to: SavepointSums.name)
    try directory.synchronize()
    try directory.rename(temporary, to: id.fileName, replacing: false)
    try directory.synchronize()
    return info
  }

  private func write(_ text: String, to name: String) throws {
    guard try directory.metadata(of: name) == nil else {
      throw StoreError(.alreadyExists, "\(path) holds \(name) already: another savepoint's")
    }
    let file = try directory.openFile(name, .create)
    defer { file.close() }
    try file.write(Array(text.utf8), at: 0)
    try file.synchronize()
  }
}

/// The description of a savepoint in JSON.
enum SavepointDescription {
  static func json(_ info: CheckpointInfo, _ state: StoreState) -> String {
    var writer = JSONWriter()
    writer.object { writer in
      writer.field("format", string: "sediment savepoint")
      writer.field("version", number: Int(CheckpointManifest.version))
      writer.field("checkpoint", string: info.id)
      writer.field("identity", string: state.identity.description)
      writer.field("created_ms", number: info.createdMillis)
      writer.field("epoch", number: state.epoch)
      writer.field("writer_epoch", number: state.writerEpoch)
      writer.field("metadata_bytes", number: state.metadata.count)
      writer.field("files", number: info.tableCount + info.logCount)
      writer.field("bytes", number: info.totalBytes)
      writer.array("keyspaces", state.keyspaces) { writer, keyspace in
        Self.write(keyspace, to: &writer)
      }
      writer.array("ordered_keyspaces", state.orderedKeyspaces) { writer, keyspace in
        Self.write(keyspace, to: &writer)
      }
      writer.array("write_logs", state.writeLogs) { writer, log in
        writer.field("file", string: FileNaming.objects.name(of: log))
        writer.field("bytes", number: log.committedLength)
      }
    }
    return writer.text + "\n"
  }

  private static func write(_ keyspace: OrderedKeyspaceState, to writer: inout JSONWriter) {
    writer.field("name", string: keyspace.name)
    writer.field("compression", string: "\(keyspace.options.compression)")
    writer.field("uncompressed_levels", number: Int(keyspace.options.uncompressedLevels))
    writer.field("compaction", string: "\(keyspace.options.compaction)")
    writer.field("time_to_live", string: keyspace.options.timeToLive.description)
    writer.field("log", string: keyspace.options.isLogged ? "every write" : "epochs")
    if let name = keyspace.options.mergeOperator?.name {
      writer.field("merge_operator", string: name)
    }
    writer.field("range_removals", number: keyspace.levels.removals.count)
    writer.array("tables", keyspace.levels.placed) { writer, placed in
      writer.field("file", string: FileNaming.objects.name(of: TableReference(placed.table)))
      writer.field("level", number: placed.level)
      writer.field("entries", number: placed.table.entryCount)
      writer.field("bytes", number: placed.table.fileBytes)
    }
  }

  private static func write(_ keyspace: KeyspaceState, to writer: inout JSONWriter) {
    let options = keyspace.options
    writer.field("name", string: keyspace.name)
    writer.field("key_mode", string: options.keyMode.description)
    writer.field("value_width", number: Int(options.valueWidth))
    writer.field("time_to_live", string: options.timeToLive.description)
    writer.field("allowed_lateness_ms", number: options.allowedLateness)
    writer.field("compaction", string: options.compaction.description)
    writer.field("log", string: options.log.description)
    if let time = keyspace.largestTime { writer.field("largest_time_ms", number: time) }
    writer.field("shards", number: keyspace.shards.count)
    let tables = keyspace.shards.enumerated().flatMap { shard, state in
      state.runs.flatMap { run in run.tables.map { (shard: shard, run: run, table: $0.table) } }
    }
    writer.array("tables", tables) { writer, item in
      writer.field("file", string: FileNaming.objects.name(of: item.table))
      writer.field("shard", number: item.shard)
      writer.field("level", number: Int(item.run.level))
      writer.field("window", number: item.run.window)
      writer.field("entries", number: item.table.entryCount)
      writer.field("bytes", number: item.table.fileBytes)
      writer.field("smallest_time_ms", number: item.table.smallestTime)
      writer.field("largest_time_ms", number: item.table.largestTime)
    }
    writer.array("logs", keyspace.logs) { writer, log in
      writer.field("file", string: FileNaming.objects.name(of: log))
      writer.field("bytes", number: log.committedLength)
    }
  }
}
