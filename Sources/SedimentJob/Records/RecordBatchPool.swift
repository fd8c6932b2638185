import Synchronization

/// Keeps batches that are out of use, so that their memory serves again. Thread-safe.
package final class RecordBatchPool: Sendable {
  private let kept: Mutex<[RecordBatch]> = Mutex([])
  private let keptMax: Int
  private let batchBytesMax: Int

  /// Keeps at most `keptMax` idle batches; how many are in use is for the pipeline to bound. One
  /// that grew beyond `batchBytesMax` for a long record is not kept.
  package init(keptMax: Int, batchBytesMax: Int = .max) {
    self.keptMax = keptMax
    self.batchBytesMax = batchBytesMax
  }

  /// An empty batch.
  package func take() -> RecordBatch {
    kept.withLock { $0.popLast() } ?? RecordBatch()
  }

  /// Takes back a batch that nobody uses any more.
  package func give(_ batch: RecordBatch) {
    batch.removeAll()
    kept.withLock { kept in
      if kept.count < keptMax, batch.byteCapacity <= batchBytesMax { kept.append(batch) }
    }
  }
}
