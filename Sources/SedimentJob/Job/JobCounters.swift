package import SedimentStore

/// What happened to records. `events` is the sum of `emitted`, `learned`, `duplicates`, `rejected`
/// and `lateDropped`.
package struct JobCounters: Sendable, Equatable {
  /// Records that were read.
  package var events: UInt64 = 0
  /// Records that went to the output.
  package var emitted: UInt64 = 0
  /// Records that were first of their key and only went into the state.
  package var learned: UInt64 = 0
  /// Records whose key was seen within its time to live.
  package var duplicates: UInt64 = 0
  /// Records that are bad, or late where late ones are rejected.
  package var rejected: UInt64 = 0
  /// Records older than the watermark whose key was not found, whatever became of them.
  package var late: UInt64 = 0
  /// Late records that were emitted and could not be remembered.
  package var lateUnprotected: UInt64 = 0
  /// Late records that were dropped.
  package var lateDropped: UInt64 = 0
  /// Bytes of the records that were read, with line ends and all of lines that are too long.
  package var bytesIn: UInt64 = 0
  /// Bytes of the records that were emitted.
  package var bytesOut: UInt64 = 0

  /// Nothing has happened.
  package init() {}

  /// The counters in the order in which they are kept; new ones go to the end.
  private static let fields: [any WritableKeyPath<JobCounters, UInt64> & Sendable] = [
    \.events, \.emitted, \.learned, \.duplicates, \.rejected, \.late, \.lateUnprotected,
    \.lateDropped, \.bytesIn, \.bytesOut,
  ]

  /// Adds what another run counted.
  package mutating func add(_ other: JobCounters) {
    for field in Self.fields { self[keyPath: field] &+= other[keyPath: field] }
  }

  /// What was counted since `before`, which is of the same run.
  func since(_ before: JobCounters) -> JobCounters {
    var counters = self
    for field in Self.fields { counters[keyPath: field] &-= before[keyPath: field] }
    return counters
  }

  /// Writes the number of counters and each as a varint.
  package func encode(to writer: inout ByteWriter) {
    writer.writeVarint(UInt64(Self.fields.count))
    for field in Self.fields { writer.writeVarint(self[keyPath: field]) }
  }

  /// Reads what `encode` wrote.
  package init(from reader: inout ByteReader) throws(CodingError) {
    let count = try reader.readCount(itemBytes: 1)
    guard count == Self.fields.count else { throw .invalid("\(count) counters") }
    for field in Self.fields { self[keyPath: field] = try reader.readVarint() }
  }
}
