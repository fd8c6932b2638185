// Which partition a record goes to, so that records with one key are in one of them.
//
//   key ─▶ hash under the job's seed ─▶ key group: its top 16 bits ─▶ partition i of n holds the
//          i-th range of `KeyGroupRange.split(into: n)`
//
// A state has the hash of a key under its own seed; where that is the job's, a partition's state
// holds just its range of key groups.
//
// Invariants
// 1. What becomes of a key depends on the seed and the number of partitions alone.
//
// Concurrency: one thread at a time.

package import SedimentStore

/// Chooses partitions by the key; keeps its memory.
@safe
package final class KeyPartitioner {
  /// Partitions there are.
  package let partitionCount: Int
  private let hasher: KeyHasher
  private var hashes: UnsafeMutablePointer<KeyHash>
  private var capacity = 0

  /// More partitions than key groups would leave some without any.
  package static let partitionsMax = 65_536

  /// - Parameter partitionCount: from 1 to `partitionsMax`.
  package init(seed: HashSeed, partitionCount: Int) {
    precondition(partitionCount >= 1 && partitionCount <= Self.partitionsMax)
    self.partitionCount = partitionCount
    hasher = KeyHasher(seed: seed)
    unsafe hashes = .allocate(capacity: 1)
  }

  deinit {
    unsafe hashes.deallocate()
  }

  /// Sets the destinations of a batch that was parsed, whose records are of one partition.
  ///
  /// - Parameter source: the number of that partition, which chooses for records without a key.
  package func route(_ batch: RecordBatch, from source: Int32) {
    reserve(batch.keys.count)
    unsafe hasher.hash(batch.keys.view, into: hashes)
    let (hashes, count) = unsafe (hashes, partitionCount)
    let columns = unsafe batch.columns
    let otherwise = Int32(truncatingIfNeeded: Int(source) % count)
    var destinations = batch.destinations
    batch.destinations = []
    destinations.removeAll(keepingCapacity: true)
    var key = 0
    for index in 0..<batch.count {
      // SAFETY: columns have `batch.count` elements, and there is a hash for each status ok.
      guard unsafe columns.statuses[index] == RecordStatus.ok.rawValue else {
        destinations.append(otherwise)
        continue
      }
      let group = unsafe UInt16(truncatingIfNeeded: hashes[key].high &>> 48)
      key &+= 1
      destinations.append(
        Int32(truncatingIfNeeded: KeyGroupRange.index(ofGroup: group, amongRanges: count)))
    }
    batch.destinations = destinations
  }

  private func reserve(_ count: Int) {
    guard count > capacity else { return }
    capacity = max(count, capacity * 2)
    unsafe hashes.deallocate()
    unsafe hashes = .allocate(capacity: capacity)
  }
}
