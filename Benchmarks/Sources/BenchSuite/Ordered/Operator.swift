// What one thread of an ordered workload does.

import Foundation
import Synchronization

/// The operations of one thread.
struct Operator: Sendable {
  /// What one operation is.
  enum Kind: Sendable {
    case fill(isShuffled: Bool, synchronized: Bool)
    /// In the background, which is not counted, beside readers and until they are done.
    case overwrite(isBackground: Bool)
    case read(isThere: Bool)
    case multiRead(count: Int)
    case seek(nexts: Int)
    case scan(reverse: Bool)
    case mix(Mix)
  }

  /// A mix of operations, in hundredths; the rest are reads.
  struct Mix: Sendable {
    var updates: UInt64 = 0
    var inserts: UInt64 = 0
    var scans: UInt64 = 0
    var modifies: UInt64 = 0
    /// Whether reads prefer what was inserted last.
    var readsLatest = false
  }

  /// What a thread came to.
  struct Part: Sendable {
    var found: UInt64 = 0
    var operations: UInt64 = 0
    var latencies = Latencies()
  }

  let kind: Kind
  /// Whether it goes on until the others have done their part, and does not count itself.
  var isBackground: Bool {
    if case .overwrite(let isBackground) = kind { return isBackground }
    return false
  }
  let entries: UInt64
  let seed: UInt64
  let shuffle: Shuffle
  let zipf: Zipf?

  /// The operators of all threads.
  static func make(_ request: RunRequest, threads: Int, seed: UInt64? = nil) -> [Operator] {
    let kinds = Self.kinds(request.workload, threads: threads)
    let zipf = request.workload.rawValue.hasPrefix("ycsb") ? Zipf(request.events) : nil
    return kinds.map {
      Operator(
        kind: $0, entries: request.events, seed: seed ?? request.seed,
        shuffle: Shuffle(request.events), zipf: zipf)
    }
  }

  private static func kinds(_ workload: WorkloadName, threads: Int) -> [Kind] {
    func all(_ kind: Kind) -> [Kind] { Array(repeating: kind, count: threads) }
    switch workload {
    case .fillseq: return all(.fill(isShuffled: false, synchronized: false))
    case .fillrandom: return all(.fill(isShuffled: true, synchronized: false))
    case .fillsync: return all(.fill(isShuffled: true, synchronized: true))
    case .overwrite: return all(.overwrite(isBackground: false))
    case .readmissing: return all(.read(isThere: false))
    case .multireadrandom: return all(.multiRead(count: 64))
    case .seekrandom: return all(.seek(nexts: 10))
    case .scan: return [.scan(reverse: false)]
    case .scanreverse: return [.scan(reverse: true)]
    case .readwhilewriting: return all(.read(isThere: true)) + [.overwrite(isBackground: true)]
    case .ycsbA: return all(.mix(Mix(updates: 50)))
    case .ycsbB: return all(.mix(Mix(updates: 5)))
    case .ycsbC: return all(.mix(Mix()))
    case .ycsbD: return all(.mix(Mix(inserts: 5, readsLatest: true)))
    case .ycsbE: return all(.mix(Mix(inserts: 5, scans: 95)))
    case .ycsbF: return all(.mix(Mix(modifies: 50)))
    default: return all(.read(isThere: true))
    }
  }

  /// Does so many operations; those of a fill are the ones from `first` on.
  func run(
    _ engine: any OrderedEngine, count: UInt64, first: UInt64, _ progress: RunProgress,
    _ index: Int
  ) throws -> Part {
    var source = EntrySource(seed: seed, thread: index)
    var part = Part()
    let clock = ContinuousClock()
    let own = progress.writers[index]
    var inserted: UInt64 = 0
    var number: UInt64 = 0
    while isBackground ? !Self.readersAreDone(progress) : number < count {
      let start = clock.now
      let done: (operations: UInt64, found: UInt64)
      switch kind {
      case .fill(let isShuffled, let synchronized):
        let place = first + number
        source.setKey(isShuffled ? shuffle.place(place) : place)
        try source.withEntry { try engine.put($0, $1, synchronized: synchronized) }
        done = (1, 1)
      case .overwrite:
        source.setKey(source.draw(below: entries))
        try source.withEntry { try engine.put($0, $1, synchronized: false) }
        done = isBackground ? (0, 0) : (1, 1)
      case .read(let isThere):
        let place = source.draw(below: entries)
        if isThere { source.setKey(place) } else { source.setMissingKey(place) }
        done = (1, try source.withEntry { key, _ in try engine.get(key) } ? 1 : 0)
      case .multiRead(let keys):
        done = (UInt64(keys), try multiRead(keys, &source, engine))
      case .seek(let nexts):
        source.setKey(source.draw(below: entries))
        let found = try source.withEntry { key, _ in
          try engine.scan(from: key, reverse: false, count: nexts + 1)
        }
        done = (1, found > 0 ? 1 : 0)
      case .scan(let reverse):
        let found = UInt64(try engine.scan(from: nil, reverse: reverse, count: .max))
        done = (found, found)
      case .mix(let mix):
        done = try operate(mix, &source, engine, index: index, &inserted)
      }
      if !isBackground { part.latencies.record(clock.now - start) }
      part.operations += done.operations
      part.found += done.found
      own.note(events: part.operations, accepted: part.found)
      number += isMultiple ? done.operations : 1
    }
    if !isBackground { progress.leave(index) }
    return part
  }

  private var isMultiple: Bool {
    if case .multiRead = kind { return true }
    return false
  }

  private static func readersAreDone(_ progress: RunProgress) -> Bool {
    progress.writers.dropLast().allSatisfy { $0.position.load(ordering: .acquiring) == .max }
  }

  private func multiRead(
    _ count: Int, _ source: inout EntrySource, _ engine: any OrderedEngine
  ) throws -> UInt64 {
    var keys: [UInt8] = []
    keys.reserveCapacity(count * EntrySource.keyBytes)
    for _ in 0..<count {
      source.setKey(source.draw(below: entries))
      keys += source.key
    }
    return UInt64(
      try keys.withUnsafeBytes { try engine.multiGet($0, keyBytes: EntrySource.keyBytes) })
  }

  private func operate(
    _ mix: Mix, _ source: inout EntrySource, _ engine: any OrderedEngine, index: Int,
    _ inserted: inout UInt64
  ) throws -> (operations: UInt64, found: UInt64) {
    let dice = source.draw(below: 100)
    let rank = zipf?.rank(source.draw()) ?? source.draw(below: entries)
    if dice < mix.inserts {
      // Behind all keys, each thread its own.
      inserted += 1
      source.setKey(entries + inserted * 64 + UInt64(index))
      try source.withEntry { try engine.put($0, $1, synchronized: false) }
      return (1, 1)
    }
    if mix.readsLatest, rank < inserted {
      source.setKey(entries + (inserted - rank) * 64 + UInt64(index))
    } else {
      source.setKey(shuffle.place(rank))
    }
    if dice < mix.inserts + mix.scans {
      let length = Int(1 + source.draw(below: 100))
      let found = try source.withEntry { key, _ in
        try engine.scan(from: key, reverse: false, count: length)
      }
      return (1, found > 0 ? 1 : 0)
    }
    let isUpdate = dice < mix.inserts + mix.scans + mix.updates
    let isModify = !isUpdate && dice < mix.inserts + mix.scans + mix.updates + mix.modifies
    let found = try source.withEntry { key, value in
      let found = isUpdate ? true : try engine.get(key)
      if isUpdate || isModify { try engine.put(key, value, synchronized: false) }
      return found
    }
    return (1, found ? 1 : 0)
  }
}
