/// Events with keys that are each in one partition only, so that the first record of every key is
/// known whatever the order in which partitions are read.
struct KeyedEvents {
  /// The values of each partition, in order.
  private(set) var lines: [[String]] = []
  /// Of every key the first one.
  private(set) var first: Set<String> = []
  /// The bytes of all others, with a newline each.
  private(set) var duplicateBytes = 0

  /// Draws events.
  ///
  /// - Parameters:
  ///   - each: how many a partition has.
  ///   - keys: from how many the key of each is drawn, in a partition.
  ///   - bytes: what an event has at least.
  init(
    partitions: Int, each: Int, keys: Int, bytes: Int = 0,
    using generator: inout some RandomNumberGenerator
  ) {
    for partition in 0..<partitions {
      var seen: Set<Int> = []
      var own: [String] = []
      for number in 0..<each {
        let key = Int.random(in: 0..<keys, using: &generator) * partitions + partition
        var line = "{\"k\":\(key),\"n\":\(number)"
        let padding = bytes - line.utf8.count - 7
        if padding > 0 { line += ",\"p\":\"" + String(repeating: "x", count: padding) + "\"" }
        line += "}"
        own.append(line)
        if seen.insert(key).inserted {
          first.insert(line)
        } else {
          duplicateBytes += line.utf8.count + 1
        }
      }
      lines.append(own)
    }
  }
}
