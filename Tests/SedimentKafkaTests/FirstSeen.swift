import KafkaTestKit

/// Of every key of a topic the first record, and where it is: what a job must write, of all that
/// the topic has or of what was read at some moment. For topics whose keys are in one partition
/// each.
struct FirstSeen {
  private struct Place {
    var partition: Int32
    var offset: Int64
  }

  /// By the record's value.
  private var places: [String: Place] = [:]
  private var keys: Set<Substring> = []
  /// Of every partition the offset behind its last record.
  private var ends: [Int32: Int64] = [:]

  /// Reads a topic whose values are `KeyedEvents`.
  init(of topic: String, _ consumer: TestConsumer) throws {
    try consumer.forEachRecord(of: topic) { record in
      ends[record.partition] = record.offset + 1
      guard let value = record.value, keys.insert(Self.key(of: value)).inserted else { return }
      places[value] = Place(partition: record.partition, offset: record.offset)
    }
  }

  private static func key(of value: String) -> Substring {
    value[..<(value.utf8.firstIndex(of: UInt8(ascii: ",")) ?? value.endIndex)]
  }

  /// How many keys there are.
  var count: Int { places.count }

  /// Whether all records are before these offsets.
  func isAll(before offsets: [Int32: Int64]) -> Bool {
    ends.allSatisfy { offsets[$0.key] ?? 0 >= $0.value }
  }

  /// What is wrong with an output; `nil` for nothing.
  ///
  /// - Parameter offsets: where reading of each partition stood; `nil` when it had read all.
  func flaw(of output: [String], at offsets: [Int32: Int64]? = nil) -> String? {
    func isRead(_ place: Place) -> Bool {
      guard let offsets else { return true }
      return place.offset < offsets[place.partition] ?? 0
    }
    var seen: Set<String> = []
    for value in output {
      guard let place = places[value] else { return "\(value) is not the first of its key" }
      guard isRead(place) else {
        return "\(value) of offset \(place.offset) of partition \(place.partition) is there, and "
          + "the offsets are \(offsets ?? [:])"
      }
      guard seen.insert(value).inserted else { return "\(value) is there twice" }
    }
    for (value, place) in places where isRead(place) && !seen.contains(value) {
      return "\(value) of offset \(place.offset) of partition \(place.partition) is missing, and "
        + "the offsets are \(offsets ?? [:])"
    }
    return nil
  }
}
