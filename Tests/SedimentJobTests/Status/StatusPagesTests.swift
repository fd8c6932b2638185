import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// What a job tells of itself: figures, health, forecasts.
@Suite struct StatusPagesTests {
  private static func progress(_ events: UInt64 = 10) -> JobProgress {
    var counters = JobCounters()
    counters.events = events
    counters.emitted = 7
    counters.duplicates = 2
    counters.rejected = 1
    return JobProgress(
      counters: counters, elapsedNanos: 2_500_000_000, eventsPerSecond: 4.9, stateKeys: 7,
      stateBytes: 4096, epochAgeNanos: 250_000_000, checkpointAgeNanos: nil, bytesTotal: 900)
  }

  private static func resources(
    available: UInt64? = 1_000, filters: UInt64 = 10, of limit: UInt64 = 100
  ) -> JobStatus.Resources {
    var resources = JobStatus.Resources()
    resources.rejectReasons = ["no key": 1, "a \"bad\"\nline": 2]
    resources.epoch = "3.1"
    resources.epochNanos = 1_500_000
    resources.memoryBytesMax = 1 << 30
    resources.filterBytes = filters
    resources.filterBytesMax = limit
    resources.availableBytes = available
    return resources
  }

  @Test func nothingIsSaidBeforeItIsKnown() {
    let board = StatusBoard(clock: ManualClock())
    #expect(board.page("/readyz") == StatusPage(code: 503, text: "starting\n"))
    #expect(board.page("/healthz") == StatusPage(code: 200, text: "ok\n"))
    #expect(
      board.page("/metrics").text
        == """
        # HELP sediment_up 1 while the job reads, decides and writes.
        # TYPE sediment_up gauge
        sediment_up 0

        """)
    #expect(
      board.page("/status").text
        == """
        {"phase":"starting","disk_full_in_seconds":null,"filter_memory_full_in_seconds":null}

        """)
    #expect(board.page("/").code == 404 && board.page("/metrics/").code == 404)
  }

  @Test func figuresAreThoseOfTheJob() throws {
    let board = StatusBoard(clock: ManualClock())
    board.enter(.running)
    board.post(Self.progress(), Self.resources())
    #expect(board.page("/readyz") == StatusPage(code: 200, text: "running\n"))
    let metrics = board.page("/metrics")
    #expect(metrics.contentType == "text/plain; version=0.0.4; charset=utf-8")
    for line in [
      "sediment_up 1", "sediment_records_total 10", "sediment_emitted_total 7",
      "sediment_duplicates_total 2", "sediment_state_keys 7", "sediment_input_bytes 900",
      "sediment_epoch_age_seconds 0.25", "sediment_epoch_duration_seconds 0.0015",
      "sediment_disk_available_bytes 1000", "sediment_memory_budget_bytes 1073741824",
      "sediment_rejected_total{reason=\"no key\"} 1",
      "sediment_rejected_total{reason=\"a \\\"bad\\\"\\nline\"} 2",
    ] {
      #expect(metrics.text.contains("\n\(line)\n"), "\(line)")
    }
    // Of what is not known nothing is said.
    #expect(!metrics.text.contains("checkpoint_age") && !metrics.text.contains("forecast"))
    try Self.checkForm(metrics.text)
    let json = board.page("/status").text
    for field in [
      "\"phase\":\"running\"", "\"records\":10", "\"records_per_second\":4", "\"epoch\":\"3.1\"",
      "\"reject_reasons\":{\"a \\\"bad\\\"\\nline\":2,\"no key\":1}",
      "\"checkpoint_age_seconds\":null",
    ] {
      #expect(json.contains(field), "\(field)")
    }
  }

  @Test func partitionsThatAreFurthestBehindAreNamed() throws {
    let board = StatusBoard(clock: ManualClock())
    var progress = Self.progress()
    var all = (0..<1500).map { PartitionLag(TopicPartition("t", $0), records: UInt64($0 % 1200)) }
    all.append(PartitionLag(TopicPartition("a", 7), records: 1199))
    let lag = TopicLag(of: all)
    #expect(lag.partitions == 1501 && lag.records == all.reduce(0) { $0 + $1.records })
    progress.lag = lag
    board.post(progress, Self.resources())
    let text = board.page("/metrics").text
    try Self.checkForm(text)
    #expect(text.contains("\nsediment_topic_lag_records \(lag.records)\n"))
    let lines = text.split(separator: "\n").filter {
      $0.hasPrefix("sediment_topic_partition_lag_records{")
    }
    #expect(lines.count == 1000)
    #expect(lines[0] == "sediment_topic_partition_lag_records{topic=\"a\",partition=\"7\"} 1199")
    #expect(lines[1] == "sediment_topic_partition_lag_records{topic=\"t\",partition=\"1199\"} 1199")
    #expect(text.contains("1,000 at the most"))
    let values = lines.compactMap { UInt64($0.split(separator: " ").last ?? "") }
    #expect(values == all.map(\.records).sorted(by: >).prefix(1000).map { $0 })
    let json = board.page("/status").text
    #expect(
      json.contains(
        "\"topic_partition_lag_records\":[{\"topic\":\"a\",\"partition\":7,\"records\":1199},"))
    progress.lag = nil
    board.post(progress, Self.resources())
    #expect(!board.page("/metrics").text.contains("topic_partition"))
    #expect(board.page("/status").text.contains("\"topic_partition_lag_records\":null"))
  }

  @Test func transactionsAndEpochsThatWereNotTakenAreTold() throws {
    let board = StatusBoard(clock: ManualClock())
    var resources = Self.resources()
    board.post(Self.progress(), resources)
    #expect(!board.page("/metrics").text.contains("transaction_age"))
    #expect(board.page("/status").text.contains("\"transaction_age_seconds\":null"))
    resources.transactionNanos = 2_500_000_000
    board.countAbortedEpoch()
    board.countAbortedEpoch()
    board.enter(.goingBack)
    board.post(Self.progress(), resources)
    let text = board.page("/metrics").text
    try Self.checkForm(text)
    #expect(text.contains("\nsediment_transaction_age_seconds 2.5\n"))
    #expect(text.contains("\nsediment_aborted_epochs_total 2\n"))
    #expect(board.page("/status").text.contains("\"aborted_epochs\":2"))
    let ready = board.page("/readyz")
    #expect(ready.code == 503 && ready.text.hasPrefix("going back to the last epoch"))
  }

  /// Every family has its help and type once, before its values, and every value is a number.
  private static func checkForm(_ text: String) throws {
    var family = ""
    var families: Set<String> = []
    #expect(text.hasSuffix("\n"))
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 3)
      if line.hasPrefix("# HELP ") {
        family = String(words[2])
        #expect(families.insert(family).inserted, "\(family) twice")
      } else if line.hasPrefix("# TYPE ") {
        #expect(words[2] == family && ["gauge", "counter"].contains(words[3]))
        #expect((words[3] == "counter") == family.hasSuffix("_total"), "\(family)")
      } else {
        #expect(line.hasPrefix(family + " ") || line.hasPrefix(family + "{"))
        let value = try #require(line.split(separator: " ").last)
        #expect(Double(value) != nil, "\(line)")
      }
    }
  }

  @Test func aJobThatDoesNotMoveIsNotHealthy() {
    let clock = ManualClock()
    let board = StatusBoard(clock: clock)
    // Opening a large state may take its time.
    clock.advance(byMillis: 3_600_000)
    #expect(board.page("/healthz").code == 200)
    board.enter(.running)
    clock.advance(byMillis: 59_000)
    #expect(board.page("/healthz").code == 200)
    clock.advance(byMillis: 2_000)
    #expect(
      board.page("/healthz") == StatusPage(code: 503, text: "the job has not moved for 61 s\n"))
    board.beat()
    #expect(board.page("/healthz").code == 200)
    board.enter(.waiting)
    #expect(board.page("/readyz").code == 503)
  }

  /// A clock that is read by somebody before the job moves, and is answered behind that.
  private final class LateClock: Clock {
    private let nanos = Mutex<UInt64>(100)

    func nowMillis() -> Int64 { 0 }

    func monotonicNanos() -> UInt64 {
      nanos.withLock { nanos in
        nanos -= 1
        return nanos
      }
    }
  }

  @Test func aJobThatMovesWhileItIsLookedAtIsHealthy() {
    let board = StatusBoard(clock: LateClock())
    board.enter(.running)
    board.beatStageBefore()
    #expect(board.page("/healthz") == StatusPage(code: 200, text: "ok\n"))
  }

  @Test func aStageBeforeTheJobIsWatchedWhileItRuns() {
    let clock = ManualClock()
    let board = StatusBoard(clock: clock)
    board.enter(.running)
    board.beatStageBefore()
    clock.advance(byMillis: 61_000)
    board.beat()
    #expect(
      board.page("/healthz")
        == StatusPage(code: 503, text: "the repartitioning has not moved for 61 s\n"))
    board.restStageBefore()
    #expect(board.page("/healthz").code == 200)
  }

  @Test func forecastsFollowTheLastHalfHour() {
    let clock = ManualClock()
    let board = StatusBoard(clock: clock)
    func post(_ available: UInt64?, _ filters: UInt64) {
      board.post(Self.progress(), Self.resources(available: available, filters: filters))
    }
    post(1_000, 10)
    #expect(board.forecast == JobForecast())
    clock.advance(byMillis: 10_000)
    post(900, 30)
    // 10 bytes a second of 900, two of 70.
    #expect(board.forecast.diskSeconds == 90 && board.forecast.filterSeconds == 35)
    // What was faster more than half an hour ago counts no more.
    for _ in 0..<200 {
      clock.advance(byMillis: 10_000)
      post(900, 30)
    }
    #expect(board.forecast == JobForecast())
    clock.advance(byMillis: 10_000)
    post(1_200, 100)
    #expect(board.forecast == JobForecast())
    clock.advance(byMillis: 10_000)
    post(nil, 100)
    #expect(board.forecast == JobForecast())
  }

  @Test func addressesAreReadOrRefused() {
    func address(_ text: String) -> String? {
      StatusAddress(text).map { "\($0.urlHost) \($0.port)\($0.isLoopback ? "" : " open")" }
    }
    #expect(address("127.0.0.1:9464") == "127.0.0.1 9464")
    #expect(address(":0") == "127.0.0.1 0")
    #expect(address("localhost:80") == "localhost 80")
    #expect(address("[::1]:9464") == "[::1] 9464")
    #expect(address("[::]:9464") == "[::] 9464 open")
    #expect(address("0.0.0.0:1") == "0.0.0.0 1 open")
    #expect(address("127.evil.example:1") == "127.evil.example 1 open")
    for text in ["", "9464", "::1:80", "host:", "host:65536", "host:-1", "host:a"] {
      #expect(address(text) == nil, "\(text)")
    }
  }
}
