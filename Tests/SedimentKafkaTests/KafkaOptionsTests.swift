import SedimentJob
import SedimentKafka
import Testing

/// Where to begin, and properties: words of the command line.
@Suite struct KafkaOptionsTests {
  @Test func aStartIsAPlaceATimeOrOffsets() throws {
    let topics = ["a", "b.c"]
    #expect(try KafkaStartPoint("earliest", topics: topics) == .earliest)
    #expect(try KafkaStartPoint("latest", topics: topics) == .latest)
    #expect(
      try KafkaStartPoint("timestamp:1700000000000", topics: topics)
        == .timestamp(1_700_000_000_000))
    var positions = TopicPositions()
    positions[TopicPartition("a", 0)] = 5
    positions[TopicPartition("b.c", 12)] = .max
    let text = "offsets:a:0=5,b.c:12=9223372036854775807"
    #expect(try KafkaStartPoint(text, topics: topics) == .offsets(positions))
  }

  @Test(arguments: [
    "", "first", "timestamp:", "timestamp:-1", "timestamp:now", "offsets:", "offsets:a:0",
    "offsets:a:0=", "offsets:a:-1=0", "offsets:a:0=-1", "offsets:a:0=1,", "offsets:a:0=1,a:0=2",
    "offsets:other:0=1", "offsets:a:b:0=1", "offsets:a:2147483648=0",
    "offsets:a:0=9223372036854775808",
  ])
  func aStartThatIsNoneNamesTheOption(text: String) {
    #expect {
      try KafkaStartPoint(text, topics: ["a"])
    } throws: { error in
      guard case KafkaError.usage(let message) = error else { return false }
      return message.contains("--start \(text)")
    }
  }

  @Test func propertiesComeFromFilesAndWords() throws {
    var properties = KafkaProperties()
    try properties.add(
      fileText: "# TLS\r\n\n security.protocol = SSL \nssl.ca.location=/a=b\n", path: "p")
    try properties.add("client.id=x", from: "--kafka-property")
    #expect(properties.all.map(\.name) == ["security.protocol", "ssl.ca.location", "client.id"])
    #expect(properties.all.map(\.value) == ["SSL", "/a=b", "x"])
    #expect(properties.all[1].origin == "--kafka-properties p, line 4")
  }

  @Test(arguments: [
    "enable.auto.commit=true", "group.id=g", "auto.offset.reset=latest", "bootstrap.servers=a",
    "partition.assignment.strategy=cooperative-sticky", "enable.auto.offset.store=true",
    "group.instance.id=a", "group.protocol=consumer", "broker.version.fallback=0.9.0",
  ])
  func whatTheJobDecidesIsRefusedWithTheReason(text: String) {
    var properties = KafkaProperties()
    let name = text.prefix { $0 != "=" }
    #expect {
      try properties.add(text, from: "--kafka-property")
    } throws: { error in
      "\(error)".hasPrefix("--kafka-property: \(name) cannot be set: ")
    }
  }

  @Test func onlyCommittedRecordsAreRead() throws {
    var properties = KafkaProperties()
    for value in ["read_uncommitted", "READ_UNCOMMITTED", ""] {
      #expect {
        try properties.add("isolation.level=\(value)", from: "--kafka-property")
      } throws: { error in
        "\(error)".hasPrefix("--kafka-property: isolation.level can only be read_committed: ")
      }
    }
    try properties.add("isolation.level = read_committed", from: "--kafka-property")
    #expect(properties.all.map(\.value) == ["read_committed"])
  }

  @Test func topicsAreLookedAtForNewPartitions() throws {
    let name = "topic.metadata.refresh.interval.ms"
    var properties = KafkaProperties()
    for value in ["-1", "0", "", "soon"] {
      #expect {
        try properties.add("\(name)=\(value)", from: "--kafka-property")
      } throws: { error in
        "\(error)".hasPrefix("--kafka-property: \(name) is 1 or more, not \"\(value)\": added")
      }
    }
    try properties.add("\(name)=60000", from: "--kafka-property")
    #expect(properties.all.map(\.value) == ["60000"])
  }

  @Test func whatIsNoPropertyIsRefusedWithItsPlace() throws {
    var properties = KafkaProperties()
    #expect {
      try properties.add(fileText: "a=b\nnothing\n", path: "p")
    } throws: { error in
      "\(error)".hasPrefix("--kafka-properties p, line 2: \"nothing\" is not NAME=VALUE")
    }
    #expect(throws: KafkaError.self) { try properties.add("=x", from: "o") }
  }

  @Test(arguments: [
    ("no.such.property=1", "No such configuration property"),
    ("session.timeout.ms=soon", "session.timeout.ms"),
    ("security.protocol=open", "security.protocol"),
  ])
  func whatLibrdkafkaDoesNotKnowIsRefusedBeforeAnythingRuns(text: String, reason: String) throws {
    let address = try KafkaAddress("kafka://localhost/t")
    var properties = KafkaProperties()
    try properties.add(text, from: "--kafka-property")
    #expect {
      try KafkaInput(address, group: "g", properties: properties)
    } throws: { error in
      guard case KafkaError.usage(let message) = error else { return false }
      return message.hasPrefix("--kafka-property: ") && message.contains(reason)
    }
    #expect(throws: KafkaError.self) { try KafkaInput(address, group: "") }
    _ = try KafkaInput(address, group: "g")
  }
}
