import CPeers
import Foundation

/// RocksDB with leveled compaction, as an expert sets it up for point reads and scans.
///
/// @unchecked because the library is thread-safe.
final class RocksDBOrderedEngine: OrderedEngine, @unchecked Sendable {
  private let store: OpaquePointer
  private let settings: String
  private let directory: String

  init(_ request: RunRequest, directory: String) throws {
    self.directory = directory + "/store"
    settings =
      Self.tuned(memory: request.memory) + (request.rocksdbOptions.map { ";" + $0 } ?? "")
    var error = peer_error()
    let library = try PeerLibrary.rocksdb.path()
    guard let store = peer_ordered_open(library, self.directory, settings, &error) else {
      throw BenchError(error.text)
    }
    self.store = store
  }

  /// Three eighths of the memory are memtables, as Sediment's; of the rest, but for what merges
  /// take, the block cache holds blocks, indexes and filters.
  private static func tuned(memory: Int) -> String {
    let bufferBytes = min(max(memory / 8, 1 << 20), 128 << 20)
    return [
      "create_if_missing=true",
      "write_buffer_size=\(bufferBytes)",
      "max_write_buffer_number=3",
      "compaction_style=kCompactionStyleLevel",
      "level_compaction_dynamic_level_bytes=true",
      "target_file_size_base=\(64 << 20)",
      "max_bytes_for_level_base=\(256 << 20)",
      "level0_file_num_compaction_trigger=4",
      "compression=kLZ4Compression",
      "max_background_compactions=2",
      "max_background_flushes=1",
      "max_open_files=-1",
      "bytes_per_sync=1048576",
      "wal_bytes_per_sync=1048576",
      "block_based_table_factory={\(table(cacheBytes: memory / 2))}",
    ].joined(separator: ";")
  }

  private static func table(cacheBytes: Int) -> String {
    [
      "filter_policy=bloomfilter:12:false",
      "whole_key_filtering=true",
      "cache_index_and_filter_blocks=true",
      "pin_l0_filter_and_index_blocks_in_cache=true",
      "cache_index_and_filter_blocks_with_high_priority=true",
      "block_size=4096",
      "data_block_index_type=kDataBlockBinaryAndHash",
      "data_block_hash_table_util_ratio=0.75",
      "format_version=5",
      "checksum=kXXH3",
      "block_cache=\(cacheBytes)",
    ].joined(separator: ";")
  }

  var options: [String] { ["set: \(settings)", "write options: the log is on"] }

  private func check(_ body: (inout peer_error) -> Bool) throws {
    var error = peer_error()
    guard body(&error) else { throw BenchError(error.text) }
  }

  func put(
    _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, synchronized: Bool
  ) throws {
    try check { peer_ordered_put(store, key.peer, value.peer, synchronized, &$0) }
  }

  func get(_ key: UnsafeRawBufferPointer) throws -> Bool {
    var found = false
    try check { peer_ordered_get(store, key.peer, &found, &$0) }
    return found
  }

  func multiGet(_ keys: UnsafeRawBufferPointer, keyBytes: Int) throws -> Int {
    var found = 0
    try check {
      peer_ordered_multi_get(
        store, keys.peer.data, keyBytes, keys.count / keyBytes, &found, &$0)
    }
    return found
  }

  func scan(from start: UnsafeRawBufferPointer?, reverse: Bool, count: Int) throws -> Int {
    var scan = peer_scan()
    try check { error in
      guard let start else {
        return peer_ordered_scan(store, nil, reverse, count, &scan, &error)
      }
      var bytes = start.peer
      return peer_ordered_scan(store, &bytes, reverse, count, &scan, &error)
    }
    return Int(scan.entries)
  }

  func settle() throws {
    try check { peer_ordered_flush(store, &$0) }
    try check { peer_ordered_settle(store, &$0) }
  }

  var counters: EngineCounters { EngineCounters() }

  func close() { peer_ordered_close(store) }
}

extension UnsafeRawBufferPointer {
  fileprivate var peer: peer_bytes {
    peer_bytes(data: baseAddress?.assumingMemoryBound(to: CChar.self), count: count)
  }
}
