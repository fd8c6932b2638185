import SedimentJob
import SedimentStore
import SedimentTestKit

extension MicroInput {
  /// The seed of every hash.
  static let seed = HashSeed(first: 1, second: 2)

  /// `count` hashes in no order. Another stream, other hashes.
  static func hashes(_ count: Int, stream: UInt64 = 0) -> [KeyHash] {
    var generator = SeededGenerator(seed: stream)
    return (0..<count).map { _ in KeyHash(high: generator.next(), low: generator.next()) }
  }

  /// `items` hashes in no order.
  var hashes: [KeyHash] { Self.hashes(items) }

  /// The same in the order of tables.
  var sortedHashes: [KeyHash] { hashes.sorted() }

  /// `items` different keys of 24 bytes, `batch` of them in each batch but the last.
  func keyBatches(of batch: Int) throws -> [KeyBatch] {
    var generator = SeededGenerator(seed: 0)
    return try stride(from: 0, to: items, by: batch).map { first in
      let keys = KeyBatch()
      for index in first..<min(first + batch, items) {
        let words = [UInt64(index), generator.next(), generator.next()]
        try unsafe words.withUnsafeBytes { try unsafe keys.append($0) }
      }
      return keys
    }
  }

  /// `items` lines of about 185 bytes as `sediment generate` writes them, `batch` of them in each
  /// batch but the last.
  func recordBatches(of batch: Int) -> [RecordBatch] {
    var generator = WorkloadGenerator(events: UInt64(items))
    return unsafe withUnsafeTemporaryAllocation(
      byteCount: WorkloadGenerator.lineBytesMax, alignment: 1
    ) { line in
      stride(from: 0, to: items, by: batch).map { first in
        let records = RecordBatch()
        for index in 0..<min(batch, items - first) {
          // The buffer holds one line and no second, so that each call writes one.
          let length = unsafe generator.write(into: line)
          records.addRecord(
            start: records.byteCount, length: length - 1, extent: length, line: index)
          unsafe records.appendBytes(
            UnsafeRawBufferPointer(rebasing: line[0..<length]).assumingMemoryBound(to: UInt8.self))
        }
        return records
      }
    }
  }
}
