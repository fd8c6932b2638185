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
  func difference(from model: KeyspaceModel, keys: [[UInt8]]) throws -> String? {
    try difference(from: KeyspaceExpectation(model, keys: keys))
  }

  /// Where the keyspace answers otherwise than expected; `nil` where it does not.
  ///
  /// Asks by lookups, which change nothing: one for what is there, one for the borders of the TTL.
  func difference(from expected: KeyspaceExpectation) throws -> String? {
    if expected.hasTimeToLive && largestTimeSeen != expected.largestTime {
      return "largest time \(largestTimeSeen as Any), not \(expected.largestTime as Any)"
    }
    let batch = try Self.batch(expected.keys)
    let found = try lookup(batch)
    for (index, live) in expected.live.enumerated() {
      guard let entry = found[index] else {
        if live.isEmpty { continue }
        return "key \(expected.keys[index]) is not found, should be \(live)"
      }
      let latest = live.max { $0.time < $1.time }
      if latest?.time != entry.time || latest?.value != entry.value {
        return "key \(expected.keys[index]) is \(entry), should be the latest of \(live)"
      }
    }
    let answers = try contains(batch, times: expected.times)
    for (index, answer) in answers.enumerated() where answer != expected.areDuplicates[index] {
      let key = expected.keys[index]
      return "key \(key) at \(expected.times[index]): \(answer), entries \(expected.live[index])"
    }
    return nil
  }
}

/// What a model says of some keys, worked out once for many stores.
struct KeyspaceExpectation: Sendable {
  let keys: [[UInt8]]
  let hasTimeToLive: Bool
  let largestTime: Int64?
  /// For each key its entries that count.
  let live: [[KeyspaceModel.Entry]]
  /// For each key a time at a border of the TTL, and whether a record of that time is a duplicate.
  let times: [Int64]
  let areDuplicates: [Bool]

  init(_ model: KeyspaceModel, keys: [[UInt8]]) {
    self.keys = keys
    hasTimeToLive = model.ttl != nil
    largestTime = model.largestTime
    let live = keys.map { model.live($0) }
    let times = live.enumerated().map { index, live in
      let anchor = live.last?.time ?? model.largestTime ?? 0
      return anchor + Int64(index % 3 - 1) * max((model.ttl ?? 1) - Int64(index % 2), 0)
    }
    self.live = live
    self.times = times
    areDuplicates = zip(keys, times).map { model.isDuplicate($0, at: $1) }
  }
}
