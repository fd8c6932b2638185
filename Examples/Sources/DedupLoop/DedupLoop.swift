// Prints every line of standard input that was never seen before, in this run or any earlier one:
//
//   swift run --package-path Examples DedupLoop seen.state < access.log
//
// The loop is the shape of every program on the store: fill a batch, ask once for all of it, write
// what is new, and at last make the epoch durable. A crash before `commitEpoch` forgets the lines
// since the epoch before, so they are printed again by the next run, and none is lost.

import SedimentStore

@main
enum DedupLoop {
  /// Lines decided together: enough for the store to hide the latency of memory and disk.
  static let batchLines = 4096

  static func main() throws {
    guard CommandLine.arguments.count == 2 else {
      print("usage: DedupLoop STATE < LINES")
      return
    }
    let store = try StateStore.open(at: CommandLine.arguments[1])
    let seen = try store.keyspace("lines", KeyspaceOptions(timeToLive: .forever))

    var lines: [String] = []
    while let line = readLine() {
      lines.append(line)
      if lines.count == batchLines { try printNew(&lines, in: seen) }
    }
    try printNew(&lines, in: seen)

    try store.commitEpoch()
    try store.close()
  }

  static func printNew(_ lines: inout [String], in seen: HashedKeyspace) throws {
    let keys = KeyBatch()
    for line in lines { try keys.append(line) }
    // With `forever` an entry's time decides nothing.
    let new = try seen.insertIfAbsent(keys, times: [Int64](repeating: 0, count: lines.count))
    for index in lines.indices where new[index] { print(lines[index]) }
    lines.removeAll(keepingCapacity: true)
  }
}
