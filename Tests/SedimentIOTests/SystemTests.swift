import SedimentIO
import SedimentTestKit
import Synchronization
import Testing

@Suite struct SystemTests {
  @Test func monitorsHandWorkFromThreadToThread() throws {
    final class Queue: Sendable {
      let monitor = Monitor()
      nonisolated(unsafe) var items: [Int] = []  // Guarded by the monitor.
      nonisolated(unsafe) var sum = 0
    }
    let queue = Queue()
    let consumer = try SystemThread(name: "consumer") {
      for _ in 0..<1000 {
        queue.monitor.lock()
        while unsafe queue.items.isEmpty { queue.monitor.wait() }
        unsafe queue.sum += queue.items.removeLast()
        queue.monitor.unlock()
      }
    }
    for number in 0..<1000 {
      queue.monitor.withLock { unsafe queue.items.append(number) }
      queue.monitor.signal()
    }
    consumer.join()
    #expect(queue.monitor.withLock { unsafe queue.sum } == 499_500)
  }

  @Test func aTimedWaitEnds() {
    let monitor = Monitor()
    monitor.lock()
    while monitor.wait(nanoseconds: 1_000_000) {}
    monitor.unlock()
  }

  @Test func alignedBuffersAreZeroAgainWhenDiscarded() throws {
    let buffer = try AlignedBuffer(byteCount: 3 << 20, hugePages: true)
    #expect(unsafe UInt(bitPattern: buffer.bytes.baseAddress) % 4096 == 0)
    #expect(unsafe buffer.bytes.allSatisfy { $0 == 0 })
    unsafe buffer.bytes[1 << 20] = 7
    try buffer.discard()
    #expect(unsafe buffer.bytes[1 << 20] == 0)
    #expect(unsafe try AlignedBuffer(byteCount: 0).bytes.count == 0)
  }

  @Test func aPoolGivesPiecesSideBySideAndTakesThemBack() throws {
    let pool = HugePagePool()
    var generator = SeededGenerator(seed: 3)
    var pieces: [(memory: PooledMemory, mark: UInt8)] = []
    for step in 0..<400 {
      if pieces.count < 30 || Bool.random(using: &generator) {
        let memory = try pool.take(byteCount: Int.random(in: 1...6 << 20, using: &generator))
        let mark = UInt8(truncatingIfNeeded: step)
        unsafe memory.bytes.initializeMemory(as: UInt8.self, repeating: mark)
        pieces.append((memory, mark))
      } else {
        pieces.remove(at: Int.random(in: pieces.indices, using: &generator))
      }
      // A sample of each: nothing was written over it.
      for (memory, mark) in pieces {
        let bytes = unsafe memory.bytes
        let (first, last) = unsafe (bytes[0], bytes[bytes.count - 1])
        #expect(first == mark && last == mark)
        let address = UInt(bitPattern: bytes.baseAddress)
        #expect(address % UInt(HugePagePool.unitBytes) == 0)
      }
      var needed = 0
      for piece in pieces { unsafe needed += piece.memory.bytes.count }
      let counts = pool.byteCounts
      #expect(counts.taken >= needed && counts.resident >= counts.taken)
      #expect(counts.taken <= needed + pieces.count * HugePagePool.unitBytes)
    }
    pieces = []
    #expect(pool.byteCounts == (0, 0))
    #expect(throws: AllocationError.self) { try pool.take(byteCount: 0) }
    #expect(throws: AllocationError.self) {
      try pool.take(byteCount: HugePagePool.pieceBytesMax + 1)
    }
    // From another place at the same time.
    let other = try SystemThread(name: "other") {
      for count in 1...200 { _ = try? pool.take(byteCount: count << 12) }
    }
    for count in 1...200 { _ = try pool.take(byteCount: count << 12) }
    other.join()
    #expect(pool.byteCounts.taken == 0)
  }

  @Test func memoryThatIsNotThereIsAnError() {
    for count in [-1, Int.max] {
      #expect(throws: AllocationError(byteCount: count)) { try AlignedBuffer(byteCount: count) }
    }
  }

  @Test func theProcessKnowsItsSize() {
    #expect(ProcessStatistics.residentBytes > 1 << 20)
    #expect(ProcessStatistics.peakResidentBytes > 1 << 20)
    #expect(ProcessStatistics.systemMemoryBytes() > 1 << 26)
    #expect(ProcessStatistics.systemMemoryBytes() <= ProcessStatistics.physicalMemoryBytes)
    #expect(ProcessStatistics.processIdentifier > 0)
  }

  @Test func controlGroupLimitsAreFoundUpTheTree() {
    #expect(
      ControlGroups.limitPaths("0::/a/b\n") == [
        "/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max",
        "/sys/fs/cgroup/memory.max",
      ])
    #expect(
      ControlGroups.limitPaths("5:cpu,memory:/c\n3:pids:/d\nnonsense\n") == [
        "/sys/fs/cgroup/memory/c/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
      ])
    #expect(ControlGroups.limit("1048576\n") == 1_048_576)
    for text in ["max\n", "", "9223372036854771712\n", "99999999999999999999999"] {
      #expect(ControlGroups.limit(text) == nil)
    }
  }

  @Test func clocksRun() {
    let clock = SystemClock()
    let first = clock.monotonicNanos()
    #expect(clock.nowMillis() > 1_700_000_000_000)
    #expect(clock.monotonicNanos() >= first)
    let manual = ManualClock(millis: 5)
    manual.advance(byMillis: 10)
    #expect(manual.nowMillis() == 15 && manual.monotonicNanos() == 10_000_000)
    manual.set(millis: 1)
    #expect(manual.nowMillis() == 1 && manual.monotonicNanos() == 10_000_000)
  }

  @Test func aSeedReplays() {
    var first = SeededGenerator(seed: 0)
    var second = SeededGenerator(seed: 0)
    #expect(first.next() == 0xe220_a839_7b1d_cdaf)
    _ = second.next()
    #expect(first.next() == second.next() && first.description == "seed 0")
  }
}
