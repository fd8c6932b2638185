import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Two keyspaces share the log, and one was flushed: what was before the flush was made durable for
/// that, and is not lost as a torn tail would be.
@Suite("Holes in the log of ordered keyspaces")
struct WriteLogHoleTests {
  /// The state of a killed store, of which no write was acknowledged as durable.
  private struct Sample {
    let disk: MemoryFileSystem
    /// What the keyspaces with a log held after each write.
    let history: [[OrderedScript.Model]]
    /// Logs with records.
    let logs: [String]
    /// The last write that a recorded flush holds.
    let flushedIndex: Int

    /// - Parameter logCount: how many files of the log are to have records.
    init(logCount: Int) throws {
      let memory = MemoryFileSystem()
      let script = OrderedScript(seed: 61, fileSystem: memory)
      try script.open()
      // The log goes over to its next file where that is there, which a thread of the store makes.
      for number in 0..<5_000 {
        try Self.write(number, to: script)
        let hasFlushed = try Self.state(memory).orderedTables.isEmpty == false
        if hasFlushed, try Self.logs(memory).count >= logCount { break }
      }
      try script.store?.waitUntilIdle()
      for number in 5_000..<5_012 { try Self.write(number, to: script) }
      disk = memory.clone()
      script.drop()
      history = script.history
      logs = try Self.logs(disk)
      flushedIndex = Int(
        try Self.state(disk).orderedTables.map(\.largestSequence).max() ?? 0)
    }

    /// Much to one keyspace, which is flushed for it, and little to the other.
    private static func write(_ number: Int, to script: OrderedScript) throws {
      let key = [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
      let isLittle = number % 4 == 3
      try script.write([
        (isLittle ? 1 : 0, key, [UInt8](repeating: key[1], count: isLittle ? 2 : 500))
      ])
    }

    private static func state(_ disk: MemoryFileSystem) throws -> StoreState {
      try ReadOnlyStore.open(at: "/state", fileSystem: disk).state
    }

    private static func logs(_ disk: MemoryFileSystem) throws -> [String] {
      try state(disk).writeLogs.map { "state/" + $0.number.logName }.filter {
        try disk.contents(of: $0).count > RecordLogFormat.headerBytes
      }
    }
  }

  @Test(
    "damage below a flush that was recorded is told, or loses nothing before it",
    arguments: [1, 2])
  func damageBelowFlush(logCount: Int) throws {
    let sample = try Sample(logCount: logCount)
    #expect(sample.logs.count >= logCount && sample.flushedIndex > 10)
    var refusedCount = 0
    for log in sample.logs {
      let bytes = try sample.disk.contents(of: log)
      for place in stride(from: RecordLogFormat.headerBytes, to: bytes.count, by: 97) {
        var flipped = bytes
        flipped[place] ^= 4
        for damaged in [flipped, Array(bytes[..<place])] {
          let what = "\(log): \(damaged.count == bytes.count ? "flipped" : "cut") at \(place)"
          guard let index = try index(of: damaged, in: log, sample) else {
            refusedCount += 1
            continue
          }
          #expect(index >= sample.flushedIndex, "\(what)")
        }
      }
    }
    #expect(refusedCount > 0)
  }

  /// What of the history a store with a damaged log holds; `nil` where it is refused, -1 for what
  /// never was so.
  private func index(of damaged: [UInt8], in log: String, _ sample: Sample) throws -> Int? {
    let copy = sample.disk.clone()
    try copy.replaceContents(of: log, with: damaged)
    do throws(StoreError) {
      return try wrapping {
        let store = try StateStore.open(
          at: "/state", options: OrderedScript.options(ManualClock()), fileSystem: copy)
        let found = try OrderedScript.contents(of: try OrderedScript.open(store))
        return sample.history.lastIndex(of: found.logged) ?? -1
      }
    } catch {
      #expect(error.code == .corrupted, "\(error)")
      return nil
    }
  }
}
