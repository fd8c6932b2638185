// A checkpoint for another number of shards: the same objects under a new manifest.
//
// Its runs are arranged as an opening with that number would arrange them, by reference, so nothing
// is rewritten, and whoever opens a state that was made of it with that number finds nothing to
// arrange. The checkpoint that it was made of stays.

package import SedimentIO

extension Checkpoints {
  /// Makes a checkpoint of the same content for another number of shards, beside the one it is
  /// made of. It is the newest from then on.
  ///
  /// - Parameters:
  ///   - id: the checkpoint; `nil` for the newest.
  ///   - shards: 1 to 256.
  ///   - clock: for when it was made.
  /// - Returns: what was made; `nil` when the checkpoint has that number of shards already.
  /// - Throws: `invalidArgument` for another number, for a savepoint, and where no keyspace has
  ///   shards; `notFound`; `corrupted` when the checkpoint is not whole; `locked` when a checkpoint
  ///   is being made, restored or removed there.
  package func rescale(
    _ id: String?, shards: Int, clock: any Clock = SystemClock()
  ) throws(StoreError) -> CheckpointInfo? {
    try wrapping {
      guard (1...StoreState.shardsMax).contains(shards) else {
        throw StoreError(
          .invalidArgument, "\(shards) shards: 1 to \(StoreState.shardsMax) are possible")
      }
      if try directory.isSavepoint {
        throw StoreError(
          .invalidArgument,
          "\(path) is a savepoint, which never changes: make a state of it with sediment restore, "
            + "and rescale that")
      }
      let lock = try directory.lock()
      defer { lock.unlock() }
      try directory.removeTemporaries()
      let found = try directory.find(id)
      var state = found.manifest.state
      guard try state.arrange(shards: shards) else { return nil }
      try directory.checkObjects(of: state)
      let newest = try directory.list().checkpoints.first?.manifest.createdMillis ?? .min
      let manifest = CheckpointManifest(
        createdMillis: max(clock.nowMillis(), newest == .max ? .max : newest + 1), state: state)
      return CheckpointInfo(try directory.publish(manifest), manifest)
    }
  }
}

extension StoreState {
  /// Arranges the runs of all keyspaces for another number of shards.
  ///
  /// - Returns: whether that changed anything.
  fileprivate mutating func arrange(shards: Int) throws(StoreError) -> Bool {
    guard !keyspaces.isEmpty else {
      throw StoreError(.invalidArgument, "only hashed keyspaces have shards, and there are none")
    }
    guard keyspaces.contains(where: { $0.shards.count != shards }) else { return false }
    for index in keyspaces.indices {
      keyspaces[index].arrange(shards: shards, nextNumber: &nextFileNumber)
    }
    return true
  }
}

extension CheckpointDirectory {
  /// Throws unless every object that a state needs is there, as long as it must be.
  fileprivate func checkObjects(of state: StoreState) throws {
    let tables = state.tableReferences.map { (FileNaming.objects.name(of: $0), $0.fileBytes) }
    let logs = state.logs.map { (FileNaming.objects.name(of: $0), $0.committedLength) }
    for (name, bytes) in tables + logs {
      let size = try objects.metadata(of: name)?.size
      guard let size, size >= bytes else {
        throw Corruption(
          file: Self.objectsName + "/" + name, offset: size ?? 0, what: "file size",
          expected: "\(bytes) or more", found: size.map { "\($0)" } ?? "no file")
      }
    }
  }
}
