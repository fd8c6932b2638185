import CPeers
import CWorkload
import Foundation
import Testing

/// Calls `body` with the key and time of every event of a writer.
func forEachEvent(
  of workload: workload_events, writer: UInt32 = 0, _ body: ([UInt8], Int64) -> Void
) {
  let batch = 777
  var workload = workload
  var cursor = workload_cursor(next: 0, writer: writer)
  var buffer = [UInt8](repeating: 0, count: batch * 24)
  var times = [Int64](repeating: 0, count: batch)
  while true {
    let count = workload_fill(&workload, &cursor, &buffer, &times, batch)
    if count == 0 { return }
    for index in 0..<count { body(Array(buffer[index * 24..<index * 24 + 24]), times[index]) }
  }
}

private func keys(_ workload: workload_events, writer: UInt32 = 0) -> [[UInt8]] {
  var keys: [[UInt8]] = []
  forEachEvent(of: workload, writer: writer) { key, _ in keys.append(key) }
  return keys
}

/// The events of `sediment generate`, unless told otherwise.
func workload(
  _ events: UInt64, repeats: workload_repeats = WORKLOAD_REPEATS_MIXED, thousandths: UInt64 = 200,
  writers: UInt32 = 1
) -> workload_events {
  workload_events(
    events: events, seed: 42, repeat_thousandths: thousandths, repeats: repeats, first_id: 0,
    ids: 0, writers: writers)
}

@Suite struct WorkloadTests {
  /// `sediment generate` prints these counts of distinct ids.
  @Test(arguments: [(30_000, 25_104), (300_000, 250_326)])
  func distinctKeysAreThoseOfGenerate(events: Int, distinct: Int) {
    #expect(Set(keys(workload(UInt64(events)))).count == distinct)
  }

  @Test func theFirstKeyIsThatOfGenerate() throws {
    let key = try #require(keys(workload(1)).first)
    let words = stride(from: 0, to: 24, by: 8).map { start in
      key[start..<start + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }
    #expect(words == [2535, 1_700_000_000_000, 0x6e78_9e6a_a1b9_65f4])
  }

  @Test func writersShareTheEvents() {
    let all = keys(workload(20_000))
    let shares = (0..<3).map { keys(workload(20_000, writers: 3), writer: $0) }
    #expect(shares.map(\.count).reduce(0, +) == all.count)
    #expect(shares.flatMap { $0 }.sorted(by: isBefore) == all.sorted(by: isBefore))
    #expect(Set(shares[0]).isDisjoint(with: shares[1]))
  }

  @Test func withoutRepeatsAllKeysDiffer() {
    #expect(Set(keys(workload(50_000, thousandths: 0))).count == 50_000)
  }

  @Test func recentRepeatsAreRecent() {
    let all = keys(workload(250_000, repeats: WORKLOAD_REPEATS_RECENT))
    var lastSeen: [[UInt8]: Int] = [:]
    var furthest = 0
    for (index, key) in all.enumerated() {
      if let last = lastSeen[key] { furthest = max(furthest, index - last) }
      lastSeen[key] = index
    }
    #expect(furthest <= 100_000)
    #expect(furthest > 90_000)
  }

  private func isBefore(_ a: [UInt8], _ b: [UInt8]) -> Bool { a.lexicographicallyPrecedes(b) }
}

@Suite struct FloorTests {
  /// A memtable of 4,096 keys: dozens of runs on three levels.
  @Test func agreesWithASetThroughFlushesAndMerges() throws {
    let directory = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var options = peer_floor_options(memtable_keys: 4096, fanout: 4)
    var error = peer_error()
    let store = try #require(peer_floor_open(directory, &options, &error))
    let all = keys(workload(200_000))
    let bytes = all.flatMap { $0 }
    var times = [Int64](repeating: 0, count: all.count)
    var accepted: UInt64 = 0
    bytes.withUnsafeBufferPointer { bytes in
      times.withUnsafeMutableBufferPointer { times in
        var batch = peer_batch(
          keys: bytes.baseAddress, times: times.baseAddress, count: all.count)
        #expect(peer_insert(store, &batch, &accepted, &error))
        #expect(peer_flush(store, &error))
        var found: UInt64 = 0
        #expect(peer_lookup(store, &batch, &found, &error))
        #expect(found == UInt64(all.count))
      }
    }
    #expect(accepted == UInt64(Set(all).count))
    let counters = peer_count(store)
    #expect(counters.flushed_bytes == accepted * 16)
    #expect(counters.written_bytes > 2 * counters.flushed_bytes)
    #expect(peer_close(store, &error))
  }

  @Test func refusesImpossibleOptions() {
    var options = peer_floor_options(memtable_keys: 4096, fanout: 1)
    var error = peer_error()
    #expect(peer_floor_open("nowhere", &options, &error) == nil)
  }

  @Test func aMissingLibraryIsAnError() {
    var options = peer_lmdb_options(map_bytes: 1 << 20, batches_per_transaction: 1)
    var error = peer_error()
    #expect(peer_lmdb_open("/nonexistent.so", "nowhere", &options, &error) == nil)
  }
}

/// A new directory.
func temporaryDirectory() throws -> String {
  let path = NSTemporaryDirectory() + "sediment-bench-tests-" + UUID().uuidString
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  return path
}
