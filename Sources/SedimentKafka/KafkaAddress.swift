// kafka://broker[:port][,broker[:port]…]/topic[,topic…]

import SedimentJob

/// Where topics are.
package struct KafkaAddress: Sendable, Equatable {
  /// What makes a text such an address.
  package static let scheme = "kafka://"

  /// `host` or `host:port`, as librdkafka takes them.
  package var brokers: [String]
  /// Names of topics, each once, in the order given.
  package var topics: [String]

  /// Whether a text is meant to be one.
  package static func isMeant(by text: String) -> Bool { text.hasPrefix(scheme) }

  /// Reads an address.
  ///
  /// - Throws: `KafkaError.usage`, saying what is wrong with it.
  package init(_ text: String) throws(KafkaError) {
    func refuse(_ reason: String) -> KafkaError {
      .usage("\(text): \(reason); an address is kafka://broker[:port][,…]/topic[,…]")
    }
    guard Self.isMeant(by: text) else { throw refuse("it does not begin with kafka://") }
    let rest = text.dropFirst(Self.scheme.count)
    guard let slash = rest.firstIndex(of: "/") else { throw refuse("it names no topic") }
    brokers = rest[..<slash].split(separator: ",", omittingEmptySubsequences: false)
      .map(String.init)
    for broker in brokers {
      if let reason = Self.flaw(ofBroker: broker) { throw refuse(reason) }
    }
    topics = rest[rest.index(after: slash)...].split(
      separator: ",", omittingEmptySubsequences: false
    )
    .map(String.init)
    for topic in topics {
      if let reason = Self.flaw(ofTopic: topic) { throw refuse(reason) }
    }
    guard topics.count <= TopicOrigin.topicsMax else {
      throw refuse("it names more than \(TopicOrigin.topicsMax) topics")
    }
    guard Set(topics).count == topics.count else { throw refuse("it names a topic twice") }
  }

  /// `host`, `host:port`, `[address]` or `[address]:port`.
  private static func flaw(ofBroker broker: String) -> String? {
    var host = broker[...]
    var port: Substring?
    if broker.hasPrefix("[") {
      guard let close = broker.firstIndex(of: "]") else { return "\"\(broker)\" lacks a ]" }
      host = broker[broker.index(after: broker.startIndex)..<close]
      let rest = broker[broker.index(after: close)...]
      guard rest.isEmpty || rest.hasPrefix(":") else { return "\"\(broker)\" is no broker" }
      port = rest.isEmpty ? nil : rest.dropFirst()
    } else if let colon = broker.firstIndex(of: ":") {
      host = broker[..<colon]
      port = broker[broker.index(after: colon)...]
    }
    guard !host.isEmpty else { return broker.isEmpty ? "a broker is empty" : "a host is empty" }
    let isPlain = host.unicodeScalars.allSatisfy {
      $0.isASCII && $0.value > 32 && $0.value < 127 && !"@?#\\\"".unicodeScalars.contains($0)
    }
    guard isPlain else { return "\"\(broker)\" is no broker" }
    if let port {
      guard port.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let number = UInt16(port), number > 0
      else { return "\"\(port)\" is no port" }
    }
    return nil
  }

  /// Kafka's own rule for names.
  static func flaw(ofTopic topic: String) -> String? {
    guard !topic.isEmpty else { return "a topic is empty" }
    let isLegal = topic.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "-"):
        true
      default: false
      }
    }
    guard isLegal, topic != ".", topic != "..", topic.utf8.count <= TopicOrigin.nameBytesMax else {
      return "\"\(topic)\" is no name of a topic: letters, digits, \".\", \"_\" and \"-\", up to "
        + "\(TopicOrigin.nameBytesMax)"
    }
    return nil
  }
}
