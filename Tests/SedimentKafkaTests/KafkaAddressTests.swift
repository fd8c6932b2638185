import SedimentJob
import SedimentKafka
import Testing

@Suite struct KafkaAddressTests {
  @Test func brokersAndTopicsAreTakenApart() throws {
    let one = try KafkaAddress("kafka://localhost/clicks")
    #expect(one.brokers == ["localhost"] && one.topics == ["clicks"])
    let brokers = "a:9092,b.example.org:9093,[::1]:9092,[fe80::1]"
    let many = try KafkaAddress("kafka://\(brokers)/x_1,y-2,Z.3")
    #expect(many.brokers == ["a:9092", "b.example.org:9093", "[::1]:9092", "[fe80::1]"])
    #expect(many.topics == ["x_1", "y-2", "Z.3"])
    #expect(KafkaAddress.isMeant(by: "kafka://") && !KafkaAddress.isMeant(by: "kafka.ndjson"))
  }

  @Test(arguments: [
    ("files/a", "does not begin with kafka://"), ("kafka://a", "names no topic"),
    ("kafka:///t", "a broker is empty"), ("kafka://a,/t", "a broker is empty"),
    ("kafka://:9092/t", "a host is empty"), ("kafka://a:0/t", "\"0\" is no port"),
    ("kafka://a:65536/t", "\"65536\" is no port"), ("kafka://a:+1/t", "\"+1\" is no port"),
    ("kafka://a:/t", "\"\" is no port"), ("kafka://[::1/t", "lacks a ]"),
    ("kafka://[::1]x/t", "is no broker"), ("kafka://u@a/t", "is no broker"),
    ("kafka://a b/t", "is no broker"), ("kafka://a/", "a topic is empty"),
    ("kafka://a/t,", "a topic is empty"), ("kafka://a/t,t", "a topic twice"),
    ("kafka://a/^t.*", "is no name of a topic"), ("kafka://a/t/u", "is no name of a topic"),
    ("kafka://a/t?x=1", "is no name of a topic"), ("kafka://a/..", "is no name of a topic"),
    ("kafka://a/" + String(repeating: "t", count: 250), "is no name of a topic"),
  ])
  func whatIsNoAddressIsRefusedByReason(text: String, reason: String) {
    #expect {
      try KafkaAddress(text)
    } throws: { error in
      "\(error)".contains(reason) && "\(error)".contains("kafka://broker[:port][,…]/topic[,…]")
    }
  }

  @Test func aThousandTopicsAreTheMost() throws {
    let topics = (0..<1000).map { "t\($0)" }
    #expect(try KafkaAddress("kafka://a/" + topics.joined(separator: ",")).topics == topics)
    #expect(throws: KafkaError.self) {
      try KafkaAddress("kafka://a/" + (topics + ["more"]).joined(separator: ","))
    }
  }
}
