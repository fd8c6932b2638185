public import SedimentStore

/// The checkpoints of a directory, for people and programs.
public struct CheckpointListReport: Sendable {
  /// Newest first.
  public var checkpoints: [CheckpointInfo]
  /// Ids of those whose manifest cannot be read.
  public var unreadable: [String]

  /// A report of what `Checkpoints` listed.
  public init(_ checkpoints: [CheckpointInfo], unreadable: [String]) {
    self.checkpoints = checkpoints
    self.unreadable = unreadable
  }

  /// A line for each checkpoint, or one that says that there is none.
  public var text: String {
    checkpoints.isEmpty && unreadable.isEmpty ? "There are no checkpoints.\n" : table
  }

  var table: String {
    var table = TextTable([
      ("checkpoint", .left), ("made", .left), ("size", .right),
    ])
    for info in checkpoints {
      table.append([info.id, Figure.time(info.createdMillis), Figure.bytes(info.totalBytes)])
    }
    for id in unreadable { table.append([id, "unreadable", ""]) }
    return table.text()
  }

  /// An array with an object for each.
  public var json: JSONValue {
    .array(
      checkpoints.map(\.json)
        + unreadable.map { .object([.init("id", .string($0)), .init("unreadable", true)]) })
  }
}

extension CheckpointInfo {
  /// What is known of the checkpoint, for people.
  public var text: String {
    var fields = TextFields()
    fields.append("made", Figure.time(createdMillis))
    fields.append("state", "\(identity)")
    fields.append(
      "epoch", "\(Figure.count(epoch.epoch)) of writer \(Figure.count(epoch.writerEpoch))")
    fields.append("keyspaces", keyspaceNames.joined(separator: ", "))
    fields.append(
      "files", Figure.count(tableCount, of: "table") + ", " + Figure.count(logCount, of: "log"))
    fields.append("size", Figure.bytes(totalBytes))
    return "Checkpoint \(id)\n" + fields.text()
  }

  /// What is known of the checkpoint, for programs.
  public var json: JSONValue {
    .object([
      .init("id", .string(id)), .init("epoch", .unsigned(epoch.epoch)),
      .init("writer_epoch", .unsigned(epoch.writerEpoch)),
      .init("created_time", .integer(createdMillis)), .init("state_id", .string("\(identity)")),
      .init("keyspaces", .array(keyspaceNames.map { .string($0) })),
      .init("tables", .count(tableCount)), .init("logs", .count(logCount)),
      .init("bytes", .unsigned(totalBytes)), .init("metadata_bytes", .count(metadata.count)),
    ])
  }
}
