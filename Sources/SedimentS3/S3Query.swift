internal import SedimentHTTP

/// Queries of URLs, as they are sent and signed.
enum S3Query {
  /// `name=value&…`, encoded and in the order that signatures want.
  static func encoded(_ items: [(name: String, value: String)]) -> String {
    items.map { (PercentCoding.encoded($0.name), PercentCoding.encoded($0.value)) }
      .sorted { $0 < $1 }
      .map { "\($0)=\($1)" }.joined(separator: "&")
  }
}
