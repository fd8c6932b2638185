import SedimentStore

/// Where a job's records come from; kept in the state, so that one is never gone on with by
/// another.
package enum RecordOrigin: Sendable, Equatable {
  /// Files and streams.
  case files
  /// Topics.
  case topics(TopicOrigin)

  /// For messages.
  package var text: String {
    switch self {
    case .files: "files"
    case .topics(let origin): "topics " + origin.topics.joined(separator: ",")
    }
  }

  /// The topics, if these are what records come from.
  package var topics: TopicOrigin? {
    if case .topics(let origin) = self { origin } else { nil }
  }
}

/// Topics of one cluster.
package struct TopicOrigin: Sendable, Equatable {
  /// Names, in order of their bytes.
  package private(set) var topics: [String]
  /// What the cluster calls itself; `nil` until it was asked.
  package var cluster: String?

  /// Most topics, and most bytes of a name, which is Kafka's limit.
  package static let topicsMax = 1000
  package static let nameBytesMax = 249
  /// Most bytes of a cluster's id.
  package static let clusterBytesMax = 1024

  /// Topics in any order.
  package init(_ topics: [String], cluster: String? = nil) {
    self.topics = topics.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    self.cluster = cluster
  }
}

extension TopicOrigin {
  /// Writes the encoding: see `JobMetadata`.
  func encode(to writer: inout ByteWriter) {
    writer.writeVarint(UInt64(topics.count))
    for topic in topics { writer.writeString(topic) }
    writer.writeOptional(cluster)
  }

  /// Reads the encoding.
  init(from reader: inout ByteReader) throws(CodingError) {
    let count = try reader.readCount(itemBytes: 1)
    guard count >= 1, count <= Self.topicsMax else { throw .invalid("\(count) topics") }
    var names: [String] = []
    for _ in 0..<count { names.append(try reader.readString(maxBytes: Self.nameBytesMax)) }
    self.init(names, cluster: try reader.readOptionalString())
    guard names == topics, Set(names).count == count else {
      throw .invalid("the topics are out of order")
    }
    guard cluster?.utf8.count ?? 0 <= Self.clusterBytesMax else {
      throw .invalid("the cluster's id is too long")
    }
  }
}
