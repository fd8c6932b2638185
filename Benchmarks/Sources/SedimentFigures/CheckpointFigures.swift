import Dispatch
import SedimentStore

/// Takes checkpoints while keys go on coming, and restores the last one.
struct CheckpointFigures {
  let arguments: Arguments
  let store: StateStore
  let keyspace: HashedKeyspace
  /// The keys go on where the insertion ended.
  var stream: KeyStream

  static let rounds = 10

  var checkpoints: String { arguments.state + ".checkpoints" }
  var restored: String { arguments.state + ".restored" }

  mutating func run(_ figures: inout Figures) throws {
    let clock = ContinuousClock()
    var calls = Latencies()
    var infos: [CheckpointInfo] = []
    var seconds: [Double] = []
    for _ in 0..<Self.rounds {
      let start = clock.now
      infos.append(try checkpoint(inserting: &calls))
      seconds.append((clock.now - start).inSeconds)
    }
    figures.add("checkpoint_total_bytes", infos[0].totalBytes)
    figures.add("checkpoint_first_seconds", seconds[0])
    figures.add("checkpoint_second_seconds", seconds[1])
    figures.add("checkpoint_second_new_files", infos[1].newFiles)
    figures.add("checkpoint_second_new_bytes", infos[1].newBytes)
    figures.add("checkpoint_batch_p99_milliseconds", Double(calls.percentile(0.99)) / 1e6)
    figures.add("checkpoint_batch_max_milliseconds", Double(calls.largest) / 1e6)

    let start = clock.now
    try StateStore.restore(checkpoint: CheckpointReference(path: checkpoints), to: restored)
    figures.add("restore_seconds", (clock.now - start).inSeconds)
  }

  /// Makes a checkpoint on another thread, and inserts until it is made.
  private mutating func checkpoint(inserting calls: inout Latencies) throws -> CheckpointInfo {
    let answer = Answer()
    let done = DispatchSemaphore(value: 0)
    DispatchQueue.global().async { [store, checkpoints] in
      answer.result = Result { try store.checkpoint(to: checkpoints) }
      done.signal()
    }
    let clock = ContinuousClock()
    let batch = KeyBatch()
    let times = [Int64](repeating: 0, count: arguments.batch)
    var decisions = [UInt8](repeating: 0, count: arguments.batch)
    repeat {
      try stream.fill(batch, count: arguments.batch)
      let start = clock.now
      try keyspace.insertIfAbsent(batch, times: times, decisions: &decisions)
      calls.add((clock.now - start).inNanoseconds)
    } while done.wait(timeout: .now()) == .timedOut
    return try answer.get()
  }

  /// @unchecked because the semaphore orders the write before the read.
  private final class Answer: @unchecked Sendable {
    var result: Result<CheckpointInfo, any Error>?

    func get() throws -> CheckpointInfo {
      guard let result else { preconditionFailure("asked before it was there") }
      return try result.get()
    }
  }
}
