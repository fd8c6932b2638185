// The floor: what the hardware must do, and nothing else.

import CPeers

/// A store a writer.
final class FloorEngine: Engine {
  static let reopens = false
  static let mapsFiles = true
  /// Keys in memory, of all stores together.
  private static let memtableKeys: UInt64 = 4_000_000
  private static let fanout: UInt32 = 8

  private let stores: PeerStores
  let options: [String]

  init(_ request: RunRequest, directory: String) throws {
    let keys = Self.memtableKeys / UInt64(request.threads)
    stores = try PeerStores(request.threads, in: directory) { path, error in
      var options = peer_floor_options(memtable_keys: keys, fanout: Self.fanout)
      return peer_floor_open(path, &options, &error)
    }
    options = [
      "memtable=\(keys) keys a store", "fanout=\(Self.fanout)",
      "blocked Bloom filters, 10 bits a key", "mmap, no checksums, no recovery",
      "\(request.threads) stores, keys routed by adserver_id",
    ]
  }

  func writer(_ index: Int) -> any EngineWriter { stores.writer(index) }

  func finish() {}

  func settle() {}

  var counters: EngineCounters {
    let counts = stores.counts
    return EngineCounters(
      flushedBytes: counts.flushed_bytes, writtenBytes: counts.written_bytes,
      falsePositives: counts.false_positives)
  }

  func checkpoint(_ number: Int, in directory: String) throws -> UInt64? {
    throw BenchError("the floor has no checkpoints")
  }

  func close() throws { try stores.close() }
}
