// How large batches are, so that however many threads parse, the batches under way stay small
// beside the memory that the state may have.

internal import SedimentIO

/// Limits of the batches of one session.
struct BatchMemory {
  /// Batches that are read, parsed, decided or written at a time: the ring's, one that each worker
  /// fills, and those of the output.
  let batchesMax: Int
  /// Bytes read at a time.
  let chunkBytes: Int
  /// Records of a batch.
  let recordsMax: Int
  /// Bytes of records that may wait to be decided.
  let waitingBytesMax: Int
  /// How far ahead the system is asked for a file; in its memory, of which there may be little.
  let aheadBytes: Int

  /// What all batches together may take.
  static let bytesMax = 128 << 20
  /// A batch of short records takes three times its chunk: a buffer that has doubled, and columns
  /// and keys as long again.
  private static let overhead = 3
  private static let chunkBytesMin = 16 << 10
  /// More records to a byte than that make columns and keys longer than the chunk.
  private static let recordBytesMin = 256

  init(_ options: JobOptions) {
    batchesMax = options.parallelism * 3 + 4 + OutputStage.waitingMax
    let share = Self.bytesMax / (batchesMax * Self.overhead)
    chunkBytes = min(options.chunkBytes, max(share, Self.chunkBytesMin))
    let records = max(share, Self.chunkBytesMin) / Self.recordBytesMin
    recordsMax = min(options.batchRecordsMax, max(records, 64))
    waitingBytesMax = Self.bytesMax / Self.overhead
    let systemShare = Int(clamping: ProcessStatistics.systemMemoryBytes() / 32)
    aheadBytes = min(systemShare, FileStream.aheadBytesMax)
  }
}
