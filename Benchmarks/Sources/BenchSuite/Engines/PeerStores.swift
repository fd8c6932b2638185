// The stores of a peer, one a writer, each in a directory of its own.

import CPeers
import Foundation

/// @unchecked because each store is used by its writer alone, but for checkpoints, which the peers
/// allow beside it, and for what comes after the writers have ended.
final class PeerStores: @unchecked Sendable {
  private let stores: [UnsafeMutablePointer<peer_store>]

  /// Opens so many stores.
  init(
    _ count: Int, in directory: String,
    open: (String, inout peer_error) -> UnsafeMutablePointer<peer_store>?
  ) throws {
    var stores: [UnsafeMutablePointer<peer_store>] = []
    for index in 0..<count {
      let path = "\(directory)/store-\(index)"
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true)
      var error = peer_error()
      guard let store = open(path, &error) else { throw BenchError(error.text) }
      stores.append(store)
    }
    self.stores = stores
  }

  func writer(_ index: Int) -> any EngineWriter { PeerWriter(store: stores[index]) }

  func settle() throws { try forEach { peer_settle($0, &$1) } }

  func close() throws { try forEach { peer_close($0, &$1) } }

  func checkpoint(_ number: Int, in directory: String) throws {
    try FileManager.default.createDirectory(
      atPath: "\(directory)/\(number)", withIntermediateDirectories: true)
    for (index, store) in stores.enumerated() {
      var error = peer_error()
      let path = "\(directory)/\(number)/store-\(index)"
      guard peer_checkpoint(store, path, &error) else { throw BenchError(error.text) }
    }
  }

  /// The sum of what all count.
  var counts: peer_counters {
    stores.reduce(into: peer_counters()) { sum, store in
      let counters = peer_count(store)
      sum.flushed_bytes += counters.flushed_bytes
      sum.written_bytes += counters.written_bytes
      sum.false_positives += counters.false_positives
    }
  }

  private func forEach(
    _ body: (UnsafeMutablePointer<peer_store>, inout peer_error) -> Bool
  ) throws {
    for store in stores {
      var error = peer_error()
      guard body(store, &error) else { throw BenchError(error.text) }
    }
  }
}

private final class PeerWriter: EngineWriter {
  private let store: UnsafeMutablePointer<peer_store>

  init(store: UnsafeMutablePointer<peer_store>) { self.store = store }

  func insert(_ batch: EventBatch) throws -> Int { try call(peer_insert, batch) }

  func lookup(_ batch: EventBatch) throws -> Int { try call(peer_lookup, batch) }

  func finish() throws {
    var error = peer_error()
    guard peer_flush(store, &error) else { throw BenchError(error.text) }
  }

  private typealias BatchCall = (
    UnsafeMutablePointer<peer_store>?, UnsafePointer<peer_batch>?, UnsafeMutablePointer<UInt64>?,
    UnsafeMutablePointer<peer_error>?
  ) -> Bool

  private func call(_ function: BatchCall, _ batch: EventBatch) throws -> Int {
    var error = peer_error()
    var answer: UInt64 = 0
    let isDone = batch.times.withUnsafeBufferPointer { times in
      var columns = peer_batch(keys: batch.keys, times: times.baseAddress, count: batch.count)
      return function(store, &columns, &answer, &error)
    }
    guard isDone else { throw BenchError(error.text) }
    return Int(answer)
  }
}

extension peer_error {
  var text: String {
    withUnsafeBytes(of: message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
