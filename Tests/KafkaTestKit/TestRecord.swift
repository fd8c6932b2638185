// Records as tests write and read them.

/// A record to produce. As JSON it is a line of the command `records` of `kafka-mock`.
package struct TestRecord: Decodable, Sendable {
  package var value: String?
  package var key: String?
  /// Pairs of a name and a value.
  package var headers: [[String?]]?
  /// Milliseconds since 1970; the producer's clock without.
  package var timestamp: Int64?

  package init(
    value: String?, key: String? = nil, headers: [[String?]]? = nil, timestamp: Int64? = nil
  ) {
    self.value = value
    self.key = key
    self.headers = headers
    self.timestamp = timestamp
  }
}

/// A record that was read.
package struct ReadRecord: Sendable, Hashable {
  package var partition: Int32
  package var offset: Int64
  package var value: String?
  package var key: String?
  /// Pairs of a name and a value, in the order in which they are.
  package var headers: [[String?]]
  package var timestamp: Int64
}
