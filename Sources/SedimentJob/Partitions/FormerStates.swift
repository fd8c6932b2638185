// Lets the states go that were made for other numbers of partitions: those of the present
// generation were made of copies, and nobody reads the former ones again.
//
//   every state of a former generation: publish its end ─▶ let what is older go ─▶ collect garbage
//
// The end of a state is a checkpoint that holds nothing, not even what a job knows of itself. So
// whoever wakes up and would go on from it fails, and what was published before stays superseded.
// All of it can be cut short and done again, by several at once.

package import SedimentIO
package import SedimentStore

/// See the file's header.
package struct FormerStates: Sendable {
  private let record: HandoverRecord
  private let storage: any CheckpointStorage
  private let clock: any Clock

  /// - Parameter record: of the present generation.
  package init(
    before record: HandoverRecord, in storage: any CheckpointStorage,
    clock: any Clock = SystemClock()
  ) {
    self.record = record
    self.storage = storage
    self.clock = clock
  }

  /// Removes what they hold.
  ///
  /// - Parameters:
  ///   - gracePeriod: as of `StoredCheckpoints.collectGarbage`.
  ///   - isStopping: asked between two states whether to leave the others for another time.
  /// - Returns: how many bytes went, and whether all did.
  /// - Throws: what was the last to go wrong; the others have gone all the same.
  @discardableResult
  package func remove(
    gracePeriod: Duration, isStopping: () -> Bool = { false }
  ) throws -> (bytes: UInt64, isComplete: Bool) {
    var sum: (bytes: UInt64, isComplete: Bool) = (0, true)
    var failure: (any Error)?
    for former in try record.former(in: storage) {
      for partition in former.allPartitions {
        guard !isStopping() else { return (sum.bytes, false) }
        do {
          guard let bytes = try remove(former.identity(of: partition), gracePeriod) else {
            sum.isComplete = false
            continue
          }
          sum.bytes &+= bytes
        } catch {
          failure = error
        }
      }
    }
    if let failure { throw failure }
    return sum
  }

  /// - Returns: `nil` when somebody else is at it.
  private func remove(_ identity: StoreIdentity, _ gracePeriod: Duration) throws -> UInt64? {
    guard let newest = try CheckpointInfo.newest(of: identity, in: storage) else { return 0 }
    if !newest.metadata.isEmpty, try !end(identity) { return nil }
    let checkpoints = try StoredCheckpoints(in: storage, of: identity, clock: clock)
    try checkpoints.retain(1)
    return try checkpoints.collectGarbage(gracePeriod: gracePeriod, dryRun: false).bytes
  }

  /// Publishes the end of a state; false when somebody else does so at the same time.
  private func end(_ identity: StoreIdentity) throws -> Bool {
    do {
      _ = try CheckpointUnion(endOf: identity, in: storage, metadata: [], clock: clock).publish()
      return true
    } catch {
      guard error.code == .superseded else { throw error }
      return false
    }
  }
}
