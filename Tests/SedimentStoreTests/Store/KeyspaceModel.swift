import SedimentStore
import SedimentTestKit

/// What a keyspace must answer: a dictionary from a key to its entries, with the rules of
/// ARCHITECTURE.md §2.1 written down as plainly as possible.
struct KeyspaceModel: Hashable {
  /// An entry that counts: the newest of a key stand last.
  struct Entry: Hashable {
    var time: Int64
    var value: [UInt8]
  }

  /// `nil` is for ever.
  let ttl: Int64?
  let lateness: Int64
  let valueWidth: Int
  private(set) var largestTime: Int64?
  private var entries: [[UInt8]: [Entry]] = [:]

  init(_ options: KeyspaceOptions) {
    switch options.timeToLive {
    case .forever: ttl = nil
    case .milliseconds(let milliseconds): ttl = milliseconds
    }
    lateness = options.allowedLateness
    valueWidth = Int(options.valueWidth)
  }

  private var zeros: [UInt8] { [UInt8](repeating: 0, count: valueWidth) }

  private func isExpired(_ time: Int64) -> Bool {
    guard let ttl, let largestTime else { return false }
    return largestTime - lateness >= time + ttl
  }

  /// Entries of a key that have not expired.
  func live(_ key: [UInt8]) -> [Entry] {
    entries[key, default: []].filter { !isExpired($0.time) }
  }

  /// The times that are worth asking about.
  func isDuplicate(_ key: [UInt8], at time: Int64) -> Bool {
    live(key).contains { entry in ttl.map { abs(entry.time - time) < $0 } ?? true }
  }

  mutating func insert(
    _ key: [UInt8], time: Int64, value: [UInt8]?, late: LatePolicy
  ) -> InsertDecision {
    largestTime = max(largestTime ?? time, time)
    let isLate = ttl != nil && largestTime.map { time < $0 - lateness } ?? false
    let current = live(key)
    entries[key] = current.isEmpty ? nil : current
    if isDuplicate(key, at: time) { return .duplicate }
    if isLate && late == .refuse { return .lateRefused }
    if isExpired(time) { return .lateUnprotected }
    entries[key, default: []].append(Entry(time: time, value: value ?? zeros))
    return isLate ? .lateNew : .new
  }

  mutating func put(_ keys: [[UInt8]], times: [Int64], values: [[UInt8]]?) {
    for (index, key) in keys.enumerated() {
      entries[key] = [Entry(time: times[index], value: values?[index] ?? zeros)]
    }
    if let latest = times.max() { largestTime = max(largestTime ?? latest, latest) }
  }

  mutating func remove(_ keys: [[UInt8]]) {
    for key in keys { entries[key] = nil }
  }

  /// All keys that ever had an entry that may still count.
  var keys: [[UInt8]] { Array(entries.keys) }
}

extension HashedKeyspace {
  /// A batch of keys.
  static func batch(_ keys: [[UInt8]]) throws -> KeyBatch {
    let batch = KeyBatch()
    for key in keys { try batch.append(key) }
    return batch
  }

  /// Where the keyspace answers otherwise than `model` about `keys`; `nil` where it does not.
  ///
  /// Asks by lookups, which change nothing: one for what is there, one for the borders of the TTL.
  func difference(from model: KeyspaceModel, keys: [[UInt8]]) throws -> String? {
    if model.ttl != nil && largestTimeSeen != model.largestTime {
      return "largest time \(largestTimeSeen as Any), not \(model.largestTime as Any)"
    }
    let batch = try Self.batch(keys)
    let found = try lookup(batch)
    var times: [Int64] = []
    for (index, key) in keys.enumerated() {
      let live = model.live(key)
      switch (found[index], live.isEmpty) {
      case (nil, true): break
      case (nil, false): return "key \(key) is not found, should be \(live)"
      case (let entry?, _):
        let latest = live.max { $0.time < $1.time }
        if latest != .init(time: entry.time, value: entry.value) {
          return "key \(key) is \(entry), should be the latest of \(live)"
        }
      }
      let anchor = live.last?.time ?? model.largestTime ?? 0
      times.append(anchor + Int64(index % 3 - 1) * max((model.ttl ?? 1) - Int64(index % 2), 0))
    }
    let answers = try contains(batch, times: times)
    for (index, key) in keys.enumerated()
    where answers[index] != model.isDuplicate(key, at: times[index]) {
      return "key \(key) at \(times[index]): \(answers[index]), entries \(model.live(key))"
    }
    return nil
  }
}
