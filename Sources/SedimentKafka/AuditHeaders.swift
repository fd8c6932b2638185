// The headers by which a record tells where it comes from:
//
//   sediment-epoch   the tag of the epoch whose transaction wrote it, as beside the group's offsets
//   sediment-source  topic/partition/offset, or the file's path:line

internal import CRdKafka
internal import SedimentJob

/// Which of the headers a topic's records get.
package struct AuditHeaderSet: OptionSet, Sendable {
  package let rawValue: Int

  package init(rawValue: Int) {
    self.rawValue = rawValue
  }

  /// `sediment-epoch`.
  package static let epoch = AuditHeaderSet(rawValue: 1)
  /// `sediment-source`.
  package static let source = AuditHeaderSet(rawValue: 2)
}

/// Writes the headers of one record after the other; keeps its memory.
struct AuditHeaders {
  private var text: [UInt8] = []
  private var epoch: (tag: EpochTag, text: [UInt8])?

  /// Adds headers of record `index`.
  ///
  /// - Parameter list: librdkafka's, which copies.
  mutating func add(
    _ choice: AuditHeaderSet, _ records: TopicRecords, _ index: Int, to list: OpaquePointer?
  ) {
    if choice.contains(.epoch) {
      let tag = records.tag
      if epoch?.tag != tag { epoch = (tag, Array(tag.description.utf8)) }
      if let epoch { unsafe Self.add("sediment-epoch", epoch.text, to: list) }
    }
    if choice.contains(.source) { unsafe addSource(records, index, to: list) }
  }

  private mutating func addSource(
    _ records: TopicRecords, _ index: Int, to list: OpaquePointer?
  ) {
    let batch = records.batch
    text.removeAll(keepingCapacity: true)
    switch batch.place(of: index, path: records.path) {
    case .topic(let partition, let offset):
      append(partition.topic, "/", UInt64(clamping: partition.partition))
      append("", "/", UInt64(clamping: offset))
    case .file(let path, let line, _):
      // Without a path it is a line of our own, of no source.
      guard !path.isEmpty else { break }
      append(path, ":", line)
    }
    if !text.isEmpty { unsafe Self.add("sediment-source", text, to: list) }
  }

  private mutating func append(_ name: String, _ separator: StaticString, _ number: UInt64) {
    text.append(contentsOf: name.utf8)
    unsafe text.append(separator.utf8Start.pointee)
    text.append(contentsOf: String(number).utf8)
  }

  private static func add(_ name: StaticString, _ value: [UInt8], to list: OpaquePointer?) {
    // SAFETY: a static string has a zero behind it, and librdkafka copies both.
    unsafe value.withUnsafeBytes { value in
      _ = unsafe name.utf8Start.withMemoryRebound(
        to: CChar.self, capacity: name.utf8CodeUnitCount
      ) {
        unsafe rd_kafka_header_add(
          list, $0, name.utf8CodeUnitCount, value.baseAddress, value.count)
      }
    }
  }
}
