import SedimentDedup
import SedimentJob
import SedimentStore

extension MicroCase {
  /// From a record's bytes to the hash of its key.
  static let keyCases = [
    MicroCase("hash", item: "key of 24 bytes") { input in
      let batch = try input.keyBatches(of: input.items)[0]
      let hasher = KeyHasher(seed: MicroInput.seed)
      let last = batch.count - 1
      let expected = batch.withKey(at: last) { hasher.hash($0) }
      var hashes = [KeyHash](repeating: KeyHash(high: 0, low: 0), count: batch.count)
      return {
        unsafe hashes.withUnsafeMutableBufferPointer { hashes in
          if let base = hashes.baseAddress { unsafe hasher.hash(batch, into: base) }
        }
        try WrongAnswer.check(hashes[last] == expected ? 1 : 0, 1)
      }
    },
    MicroCase("key-encoding", item: "key of two numbers and a text", encodeKeys),
    MicroCase("json-fields", item: "record of 185 bytes", extractFields),
  ]

  private static func encodeKeys(_ input: MicroInput) -> MicroRound {
    let fields = ["4711", "1700000000123", "0123456789abcdef"].map { Array($0.utf8) }
    // Tag and eight bytes twice, then tag, length and text.
    let keyBytes = 9 + 9 + 2 + 16
    let keys = KeyBatch(reservingKeys: input.items, bytes: input.items * 64)
    return {
      try unsafe fields[0].withUnsafeBufferPointer { first in
        try unsafe fields[1].withUnsafeBufferPointer { second in
          try unsafe fields[2].withUnsafeBufferPointer { third in
            for _ in 0..<input.items {
              let tail = try unsafe keys.reserveTail(maxBytes: 64)
              var writer = unsafe KeyWriter(tail, capacity: 64)
              _ = unsafe writer.appendNumber(first)
              _ = unsafe writer.appendNumber(second)
              unsafe writer.appendString(third)
              try keys.commitTail(length: writer.count)
            }
          }
        }
      }
      try WrongAnswer.check(keys.byteCount, input.items * keyBytes)
    }
  }

  private static func extractFields(_ input: MicroInput) throws -> MicroRound {
    let format = RecordFormat(
      kind: .ndjson, keyFields: ["adserver_id", "event_timestamp", "request_id"],
      timeField: "event_timestamp")
    let parser = try format.makeParser()
    let batches = input.recordBatches(of: 4096)
    // The parser's memory and the batches' keys are there from the second time on.
    for batch in batches {
      try parser.parse(batch)
      batch.keys.removeAll()
    }
    return {
      for batch in batches { try parser.parse(batch) }
      try WrongAnswer.check(batches.reduce(0) { $0 + $1.keys.count }, input.items)
    }
  }
}
