package import SedimentJob

/// Where the first run begins: `--start`.
package enum KafkaStartPoint: Sendable, Equatable {
  /// At the first record there is.
  case earliest
  /// Behind the last record there is.
  case latest
  /// At the first record with this time or a later one, in ms since 1970; at the end if none has.
  case timestamp(Int64)
  /// At these offsets, and in partitions that are not named at the beginning.
  case offsets(TopicPositions)

  /// Reads a word of the command line.
  ///
  /// - Parameter topics: the topics there are to be read.
  /// - Throws: `KafkaError.usage`.
  package init(_ text: String, topics: [String]) throws(KafkaError) {
    if text == "earliest" {
      self = .earliest
    } else if text == "latest" {
      self = .latest
    } else if text.hasPrefix("timestamp:") {
      guard let millis = Int64(text.dropFirst("timestamp:".count)), millis >= 0 else {
        throw .usage("--start \(text): a timestamp is in milliseconds since 1970")
      }
      self = .timestamp(millis)
    } else if text.hasPrefix("offsets:") {
      self = .offsets(try Self.offsets(text, topics))
    } else {
      throw .usage(
        "--start \(text): it is earliest, latest, timestamp:MS or "
          + "offsets:TOPIC:PARTITION=OFFSET,…")
    }
  }

  private static func offsets(
    _ text: String, _ topics: [String]
  ) throws(KafkaError) -> TopicPositions {
    var positions = TopicPositions()
    let words = text.dropFirst("offsets:".count).split(
      separator: ",", omittingEmptySubsequences: false)
    for word in words {
      // A topic has no colon in its name, and a number no equals sign.
      let parts = word.split(separator: ":", omittingEmptySubsequences: false)
      let numbers = parts.count == 2 ? parts[1].split(separator: "=", maxSplits: 1) : []
      guard numbers.count == 2, let number = Int32(numbers[0]), number >= 0,
        let offset = Int64(numbers[1]), offset >= 0
      else { throw .usage("--start \(text): \"\(word)\" is not TOPIC:PARTITION=OFFSET") }
      let partition = TopicPartition(String(parts[0]), number)
      guard topics.contains(partition.topic) else {
        throw .usage("--start \(text): \(partition.topic) is none of the topics that are read")
      }
      guard positions[partition] == nil else {
        throw .usage("--start \(text): \(partition) is named twice")
      }
      positions[partition] = offset
    }
    return positions
  }
}
