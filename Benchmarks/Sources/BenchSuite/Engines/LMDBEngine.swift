// LMDB at its fastest: no syncs until the end, so no crash safety meanwhile.

import CPeers

/// A store a writer.
final class LMDBEngine: Engine {
  static let reopens = true
  static let mapsFiles = true
  /// A key and its value take about 90 bytes of pages that are half full.
  private static let mapBytesPerKey: UInt64 = 160
  private static let batchesPerTransaction: UInt32 = 16

  private let stores: PeerStores
  let options: [String]

  init(_ request: RunRequest, directory: String) throws {
    let library = try PeerLibrary.lmdb.path()
    let mapBytes =
      (request.events / UInt64(request.threads) * Self.mapBytesPerKey + 1 << 30) & ~4095
    stores = try PeerStores(request.threads, in: directory) { path, error in
      var options = peer_lmdb_options(
        map_bytes: mapBytes, batches_per_transaction: Self.batchesPerTransaction)
      return peer_lmdb_open(library, path, &options, &error)
    }
    options = [
      "flags=MDB_NOSYNC|MDB_WRITEMAP|MDB_MAPASYNC|MDB_NOTLS|MDB_NORDAHEAD|MDB_NOMEMINIT",
      "mapsize=\(mapBytes) a store", "\(Self.batchesPerTransaction) batches a transaction",
      "put=MDB_NOOVERWRITE", "\(request.threads) stores, keys routed by adserver_id",
    ]
  }

  func writer(_ index: Int) -> any EngineWriter { stores.writer(index) }

  func finish() {}

  func settle() {}

  var counters: EngineCounters { EngineCounters() }

  func checkpoint(_ number: Int, in directory: String) throws -> UInt64? {
    let before = Directories.occupiedBytes(directory)
    try stores.checkpoint(number, in: directory)
    return Directories.occupiedBytes(directory) - before
  }

  func close() throws { try stores.close() }
}
