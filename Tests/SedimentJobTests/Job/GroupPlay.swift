import Foundation
import SedimentTestKit
import Synchronization

/// An instance of a job that can be killed and started again. Thread-safe.
protocol PlayedInstance: AnyObject, Sendable {
  /// Runs until all is read or it is killed.
  func run()
  /// The process dies; its disk keeps what it has, or loses what was not durable.
  func kill()
  func revive(losingPower: Bool)
}

/// What happens to three instances that share topics, by a seed: they die and are started again,
/// are given up for dead while they live, and partitions move from one to the other.
struct GroupPlay {
  let instances: [any PlayedInstance]
  /// They are members of all; the first one's end is the end of the input.
  let groups: [ModelGroup]
  let seed: UInt64
  /// After so many nothing happens any more, so that the end comes.
  var turns = 400

  /// Plays until all is read, and ends the instances.
  func play(until isAtEnd: () throws -> Bool) async throws {
    var generator = SeededGenerator(seed: seed)
    var threads: [Int: Thread] = [:]
    func start(_ number: Int) {
      let thread = Thread { [instances] in instances[number].run() }
      thread.start()
      threads[number] = thread
    }
    start(0)
    start(1)
    var turn = 0
    while try !isAtEnd() {
      turn += 1
      try await Task.sleep(nanoseconds: UInt64.random(in: 0...3_000_000, using: &generator))
      if turn < turns { happen(&generator) }
      for (number, thread) in threads where thread.isFinished {
        instances[number].revive(losingPower: Bool.random(using: &generator))
        start(number)
      }
      if threads[2] == nil, turn > 10 { start(2) }
    }
    groups[0].finish()
    while threads.values.contains(where: { !$0.isFinished }) {
      try await Task.sleep(nanoseconds: 1_000_000)
    }
  }

  private func happen(_ generator: inout SeededGenerator) {
    let number = Int.random(in: 0..<instances.count, using: &generator)
    let group = groups[Int.random(in: 0..<groups.count, using: &generator)]
    switch Int.random(in: 0..<12, using: &generator) {
    case 0:
      instances[number].kill()
      group.expel(number)
    case 1: group.expel(number)
    case 2: group.shuffle()
    default: break
    }
  }
}

extension FaultInjectingFileSystem {
  /// Lets one call of twenty take up to 10 ms, which ones by a seed, so that others come between.
  func delayCalls(seed: UInt64) {
    let generator = Mutex(SeededGenerator(seed: seed))
    interrupt { _, _ in
      let micros = generator.withLock { generator in
        Int.random(in: 0..<20, using: &generator) == 0
          ? UInt32.random(in: 1...10_000, using: &generator) : 0
      }
      if micros > 0 { usleep(micros) }
    }
  }
}
