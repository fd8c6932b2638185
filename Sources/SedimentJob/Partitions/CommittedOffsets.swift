// What the group has committed of partitions that are being opened, asked for many at a time.
//
// Asking takes a connection to the group's coordinator, and waits for a transaction that is under
// way; its answer is of whole topics. So whoever asks first asks for all partitions that are
// expected by then, and the others take their part of the answer. It is theirs once: a partition
// that went and came again is asked for again.
//
// Invariant: an answer was asked for after its partition was expected, which follows its
// assignment.
//
// Concurrency: any thread; one asks, the others wait for it.

internal import SedimentIO

/// See the file's header.
// @unchecked because everything that changes is touched only with `monitor` held.
package final class CommittedOffsets: @unchecked Sendable {
  /// `nil`: nothing was committed.
  private typealias Answer = CommittedOffset?

  private let producer: any TopicProducer
  private let monitor = Monitor()
  private var expected: Set<TopicPartition> = []
  private var answers: [TopicPartition: Answer] = [:]
  /// What a thread asks for now, if one does.
  private var asking: Set<TopicPartition>?

  /// Offsets that the group of a producer has committed.
  package init(_ producer: any TopicProducer) { self.producer = producer }

  /// Says which partitions will be asked for.
  package func expect(_ partitions: [TopicPartition]) {
    monitor.withLock {
      expected.formUnion(partitions)
      for partition in partitions { answers[partition] = nil }
    }
  }

  /// What is committed of a partition; empty for nothing.
  package func committed(of partition: TopicPartition) throws -> [TopicPartition: CommittedOffset] {
    while true {
      switch next(partition) {
      case .answer(let answer): return answer.map { [partition: $0] } ?? [:]
      case .ask(let partitions): try ask(partitions)
      }
    }
  }

  private enum Step {
    case answer(Answer)
    case ask(Set<TopicPartition>)
  }

  private func next(_ partition: TopicPartition) -> Step {
    monitor.withLock {
      while true {
        if let answer = answers.removeValue(forKey: partition) { return .answer(answer) }
        guard let asking else { break }
        // What is asked for now is waited for, unless it was expected anew since.
        if !asking.contains(partition) { expected.insert(partition) }
        monitor.wait()
      }
      let all = expected.union([partition])
      expected.removeAll()
      asking = all
      return .ask(all)
    }
  }

  private func ask(_ partitions: Set<TopicPartition>) throws {
    let result = Result { try producer.committed(Set(partitions.map(\.topic)).sorted()) }
    monitor.withLock {
      asking = nil
      if case .success(let committed) = result {
        // Those that came again meanwhile need a later answer.
        for partition in partitions.subtracting(expected) {
          answers.updateValue(committed[partition], forKey: partition)
        }
      }
      monitor.broadcast()
    }
    _ = try result.get()
  }
}
