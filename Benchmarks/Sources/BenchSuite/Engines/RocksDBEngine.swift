// RocksDB as an expert tunes it for this work, and as a keyed state uses it.

import CPeers
import Foundation

/// A store a writer; they share options, block cache and background threads.
///
/// @unchecked because the library is used by the stores alone.
final class RocksDBEngine: Engine, @unchecked Sendable {
  static let reopens = true
  static let mapsFiles = false

  private let directory: String
  private let settings: String
  private let library: OpaquePointer
  private let stores: PeerStores

  init(_ request: RunRequest, directory: String) throws {
    self.directory = directory
    let path = try PeerLibrary.rocksdb.path()
    let isNaive = request.engine == .rocksdbNaive
    var error = peer_error()
    let basis = isNaive ? Self.naive : Self.tuned(writers: request.threads)
    settings = basis + (request.rocksdbOptions.map { ";" + $0 } ?? "")
    let library = settings.withCString { text in
      var options = peer_rocksdb_options(
        text: text, batches: !isNaive, time_to_live: request.timeToLive ?? 0)
      return peer_rocksdb_load(path, &options, &error)
    }
    guard let library else { throw BenchError(error.text) }
    self.library = library
    stores = try PeerStores(request.threads, in: directory) { path, error in
      peer_rocksdb_open(library, path, &error)
    }
  }

  /// The strongest settings known for this work; each was found by trying. The hint doubles the
  /// speed of the memtable: it begins a search where the last one of the same prefix ended.
  private static func tuned(writers: Int) -> String {
    let bufferBytes = (writers > 1 ? 64 : 128) << 20
    return [
      "create_if_missing=true",
      "write_buffer_size=\(bufferBytes)",
      "max_write_buffer_number=4",
      "memtable_prefix_bloom_size_ratio=0.02",
      "memtable_whole_key_filtering=true",
      "memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix.8",
      "allow_concurrent_memtable_write=false",
      "compaction_style=kCompactionStyleUniversal",
      "level0_file_num_compaction_trigger=8",
      "compaction_options_universal="
        + "{size_ratio=10;min_merge_width=2;max_size_amplification_percent=4294967295}",
      "compression=kLZ4Compression",
      "max_background_compactions=2",
      "max_background_flushes=1",
      "max_open_files=-1",
      "block_based_table_factory={\(tunedTable)}",
    ].joined(separator: ";")
  }

  private static let tunedTable = [
    "filter_policy=bloomfilter:10:false",
    "whole_key_filtering=true",
    "cache_index_and_filter_blocks=false",
    "block_size=4096",
    "data_block_index_type=kDataBlockBinaryAndHash",
    "data_block_hash_table_util_ratio=0.75",
    "format_version=5",
    "checksum=kXXH3",
    "block_cache=\(1 << 30)",
  ].joined(separator: ";")

  private static let naive = "create_if_missing=true"

  /// What is set here, and what RocksDB wrote down of all options of the first store.
  var options: [String] {
    let store = directory + "/store-0"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: store)) ?? []
    let name = names.filter { $0.hasPrefix("OPTIONS-") }.max()
    let text = name.flatMap { FileManager.default.contents(atPath: store + "/" + $0) } ?? Data()
    return ["set: \(settings)", "write options: disableWAL=true"]
      + String(decoding: text, as: UTF8.self).split(separator: "\n")
      .map { String($0.drop(while: \.isWhitespace)) }.filter { !$0.hasPrefix("#") }
  }

  func writer(_ index: Int) -> any EngineWriter { stores.writer(index) }

  func finish() {}

  func settle() throws { try stores.settle() }

  var counters: EngineCounters { EngineCounters() }

  func checkpoint(_ number: Int, in directory: String) throws -> UInt64? {
    let before = Directories.occupiedBytes(directory)
    try stores.checkpoint(number, in: directory)
    let after = Directories.occupiedBytes(directory)
    return after > before ? after - before : 0
  }

  func close() throws {
    try stores.close()
    peer_rocksdb_unload(library)
  }
}
