import Foundation
import Testing

/// `sediment dedup kafka://…` against a mock cluster: records in, the first-seen set out.
@Suite final class KafkaCommandTests {
  private let kafka: KafkaHarness

  init() throws {
    kafka = try KafkaHarness()
  }

  private func record(_ key: Int, _ more: String = "") -> String { "{\"k\":\(key)\(more)}" }

  @Test func theFirstSeenSetOfAllPartitionsComesOutAndTheNextRunGoesOn() throws {
    try kafka.cluster.command("topic clicks 3")
    try kafka.cluster.command("topic views 1")
    for partition in 0..<3 {
      // Every key in two partitions, and twice in each.
      let keys = (0..<3000).map { ($0 % 1500) + partition * 750 }
      try kafka.produce(keys.map { record($0) }, to: "clicks", partition)
    }
    try kafka.produce([record(1), record(90_000)], to: "views")
    let first = try kafka.runToEnd("clicks,views", ["--summary", "summary.json"])
    #expect(first.status == 0, "\(first.talk)")
    #expect(first.talk.contains("reading 4 partitions of topics clicks,views"), "\(first.talk)")
    #expect(first.talk.contains("9,002 events, 3,001 emitted, 6,001 duplicates"), "\(first.talk)")
    #expect(first.talk.contains("4 partitions, 0 records behind their ends"), "\(first.talk)")
    let expected = Set((0..<3000).map { record($0) } + [record(90_000)])
    let output = try kafka.output()
    #expect(Set(output) == expected && output.count == expected.count)
    let summary = try #require(
      try JSONSerialization.jsonObject(with: Data(contentsOf: kafka.url("summary.json")))
        as? [String: Any])
    #expect(summary["partitions"] as? Int == 4 && summary["lag_records"] as? Int == 0)

    let again = try kafka.runToEnd("clicks,views")
    #expect(again.status == 0 && again.talk.contains("resumed state at epoch"), "\(again.talk)")
    #expect(again.talk.contains("0 events, 0 emitted"), "\(again.talk)")
    try kafka.produce([record(5), record(100_000)], to: "clicks", 1)
    let more = try kafka.runToEnd("clicks,views")
    #expect(more.talk.contains("2 events, 1 emitted, 1 duplicates"), "\(more.talk)")
    #expect(Set(try kafka.output()) == expected.union([record(100_000)]))
    let facts = try kafka.inspect()
    #expect(facts.contains("clicks [1] at 3002") && facts.contains("clicks, views"), "\(facts)")
  }

  @Test func itRunsUntilItIsStoppedAndThatIsAnEpoch() throws {
    try kafka.cluster.command("topic t 2")
    let pipe = Pipe()
    let process = try kafka.start(
      kafka.job("t", ["--output", "out/", "--duplicates", "-"]), output: pipe)
    let duplicates = LineReader(pipe.fileHandleForReading)
    for round in 0..<3 {
      try kafka.produce([record(round), record(round, ",\"n\":\(round)")], to: "t", round % 2)
      try duplicates.lines(until: "\"n\":\(round)")
    }
    kill(process.processIdentifier, SIGTERM)
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    #expect(try kafka.output() == [record(0), record(1), record(2)])
    let rest = try kafka.runToEnd("t")
    #expect(rest.status == 0 && rest.talk.contains("0 events"), "\(rest.talk)")
  }

  // MARK: - Keys, times, values

  @Test func keysComeFromTheRecordsKeyAndTombstonesAndMissingKeysAreRejectsWithTheirPlace() throws {
    try kafka.cluster.command("topic t 2")
    try kafka.produce(
      records: [
        #"{"key":"a","value":"one"}"#, #"{"key":"a","value":"two"}"#, #"{"key":"b","value":""}"#,
        #"{"key":"c"}"#, #"{"value":"no key"}"#, #"{"key":"","value":"empty key"}"#,
        #"{"key":"d","value":"two\nlines"}"#, #"{"key":"","value":"again"}"#,
      ], to: "t", 1)
    let outcome = try kafka.run(
      kafka.job(
        "t", key: ["--key-from", "key", "--format", "lines"],
        ["--until-end", "--output", "out/", "--rejects", "bad.ndjson"]))
    #expect(outcome.status == 0, "\(outcome.talk)")
    #expect(try kafka.output() == ["one", "", "empty key"])
    #expect(
      try kafka.text(of: "bad.ndjson") == """
        {"topic":"t","partition":1,"offset":3,"reason":"tombstone","record":""}
        {"topic":"t","partition":1,"offset":4,"reason":"missingKey","record":"no key"}
        {"topic":"t","partition":1,"offset":6,"reason":"newlineInRecord","record":"two\\nlines"}

        """)
    let get = try kafka.run(["get", "state", "[\"a\"]"])
    #expect(get.status == 0, "\(get.talk)")
    let wrong = try kafka.run(["get", "state", "{\"k\":1}"])
    #expect(wrong.status == 2 && wrong.talk.contains("beside the records"), "\(wrong.talk)")
  }

  @Test func keysComeFromTheLastHeaderOfAName() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.produce(
      records: [
        #"{"value":"{\"v\":1}","headers":[["id","x"]]}"#,
        #"{"value":"{\"v\":2}","headers":[["id","y"],["other","z"],["id","x"]]}"#,
        #"{"value":"{\"v\":3}","headers":[["id","y"]]}"#,
        #"{"value":"{\"v\":4}","headers":[["other","y"]]}"#, #"{"value":"{\"v\":5}"}"#,
        #"{"value":"{\"v\":6}","headers":[["id",null]]}"#,
        #"{"value":"{\"v\":\n7}","headers":[["id","w"]]}"#,
        #"{"value":"no json","headers":[["id","u"]]}"#,
        #"{"value":"","headers":[["id","t"]]}"#,
      ], to: "t")
    let outcome = try kafka.run(
      kafka.job(
        "t", key: ["--key-from", "header:id", "--on-missing-key", "keep"],
        ["--until-end", "--output", "out/", "--rejects", "bad.ndjson"]))
    #expect(outcome.status == 0, "\(outcome.talk)")
    #expect(
      try kafka.output()
        == [
          "{\"v\":1}", "{\"v\":3}", "{\"v\":4}", "{\"v\":5}", "{\"v\":6}", "{\"v\": 7}",
        ])
    let bad = try kafka.text(of: "bad.ndjson").split(separator: "\n")
    #expect(bad.count == 2 && bad[0].contains("\"offset\":7,\"reason\":\"invalidJSON\""))
    #expect(bad.last?.contains("\"offset\":8,\"reason\":\"emptyValue\"") == true)
  }

  @Test(arguments: [["--record-time"], ["--time-field", "t"]])
  func eventTimesAreTheRecordsOrAField(time: [String]) throws {
    try kafka.cluster.command("topic t 1")
    let times = [1000, 1050, 1100, 1099, 1200]
    try kafka.produce(
      records: times.enumerated().map { index, time in
        let value = #"{\"k\":1,\"t\":\#(time),\"n\":\#(index)}"#
        return #"{"value":"\#(value)","timestamp":\#(time)}"#
      }, to: "t")
    var arguments = kafka.job("t", ["--until-end", "--output", "out/"] + time)
    arguments[try #require(arguments.firstIndex(of: "forever"))] = "100ms"
    let outcome = try kafka.run(arguments)
    #expect(outcome.status == 0, "\(outcome.talk)")
    // A duplicate lies less than 100 ms from one that was emitted.
    #expect(
      try kafka.output()
        == [(1000, 0), (1100, 2), (1200, 4)].map { "{\"k\":1,\"t\":\($0.0),\"n\":\($0.1)}" })
  }

  // MARK: - Where the first run begins

  @Test func theFirstRunBeginsWhereItIsAskedForAndLaterOnesGoOn() throws {
    try kafka.cluster.command("topic t 2")
    for partition in 0..<2 {
      try kafka.produce(
        records: (0..<10).map {
          let value = #"{\"k\":\#(partition * 10 + $0)}"#
          return #"{"value":"\#(value)","timestamp":\#(1000 + $0)}"#
        }, to: "t", partition)
    }
    func keys(_ start: String, _ state: String) throws -> [Int] {
      let outcome = try kafka.run(
        kafka.job(
          "t", group: state, state: state,
          ["--until-end", "--output", state + ".out/", "--start", start]))
      #expect(outcome.status == 0, "\(outcome.talk)")
      return try kafka.output(state + ".out").map { Int($0.dropFirst(5).dropLast()) ?? -1 }.sorted()
    }
    #expect(try keys("earliest", "a") == Array(0..<20))
    #expect(try keys("latest", "b").isEmpty)
    // The mock cluster finds no times: the answer is that of a time behind the last record.
    #expect(try keys("timestamp:1007", "c").isEmpty)
    #expect(try keys("offsets:t:1=8", "d") == Array(0..<10) + [18, 19])
    // That reading began at the end is durable, though no record was read.
    try kafka.produce([record(50)], to: "t", 1)
    #expect(try keys("earliest", "b") == [50])
  }
}
