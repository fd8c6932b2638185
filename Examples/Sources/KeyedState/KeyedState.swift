// Keyed state: how often each user visited each page, kept across runs.
//
//   swift run --package-path Examples KeyedState visits.state ann /prices
//   ann visited /prices once
//   swift run --package-path Examples KeyedState visits.state ann /prices
//   ann visited /prices 2 times
//
// A value has a fixed width, 0 to 64 bytes; here it is a count of eight bytes. Counts that nobody
// touched for thirty days go by themselves.

import Foundation
import SedimentDedup
import SedimentStore

@main
enum KeyedState {
  static func main() throws {
    guard CommandLine.arguments.count == 4 else {
      print("usage: KeyedState STATE USER PAGE")
      return
    }
    let (user, page) = (CommandLine.arguments[2], CommandLine.arguments[3])
    let store = try StateStore.open(at: CommandLine.arguments[1])
    let visits = try store.keyspace(
      "visits",
      KeyspaceOptions(valueWidth: 8, timeToLive: .milliseconds(30 * 86_400_000)))

    let key = CompositeKey(.string(user), .string(page)).bytes
    let count = (try visits.lookup(key).map { decode($0.value) } ?? 0) + 1
    try visits.put(key, time: now(), value: encode(count))
    print("\(user) visited \(page) \(count == 1 ? "once" : "\(count) times")")

    try store.commitEpoch()
    try store.close()
  }

  /// Milliseconds since 1970.
  static func now() -> Int64 { Int64(Date().timeIntervalSince1970 * 1000) }

  static func encode(_ count: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * UInt64($0))) }
  }

  static func decode(_ bytes: [UInt8]) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
