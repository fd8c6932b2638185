// Inserts different keys into a new store and prints what it took.
//
// Every key is new, the most expensive case: each becomes an entry that is flushed and merged. The
// time includes making the keys, about 10 ns each. `seconds` ends when the last epoch is durable;
// merges that are due then are waited for and counted in `idle_seconds`.

import SedimentStore

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

@main
enum Main {
  static func main() async {
    do {
      let arguments = try Arguments(Array(CommandLine.arguments.dropFirst()))
      var figures = Figures()
      if let lookups = arguments.asyncLookups {
        try await AsyncFigures(arguments: arguments, lookups: lookups).run(&figures)
      } else {
        try insert(arguments, &figures)
        try reopen(arguments, &figures)
      }
      print(figures.json)
    } catch {
      let message = Array("sediment-figures: \(error)\n".utf8)
      _ = write(STDERR_FILENO, message, message.count)
      exit(error is Arguments.UsageError ? 2 : 1)
    }
  }

  static func options(_ arguments: Arguments) -> StoreOptions {
    var options = StoreOptions(memoryBudget: arguments.memory)
    if let shards = arguments.shards { options.shards = shards }
    return options
  }

  static func open(_ arguments: Arguments) throws -> (StateStore, HashedKeyspace) {
    let store = try StateStore.open(at: arguments.state, options: options(arguments))
    let keyspace = try store.keyspace(
      "figures", KeyspaceOptions(keyMode: arguments.mode, timeToLive: .forever))
    return (store, keyspace)
  }

  static func insert(_ arguments: Arguments, _ figures: inout Figures) throws {
    let (store, keyspace) = try open(arguments)
    guard keyspace.approximateEntryCount == 0 else {
      throw Arguments.UsageError(description: "--state: \(arguments.state) holds keys already")
    }
    let clock = ContinuousClock()
    let start = clock.now
    var stream = KeyStream()
    let calls = try insertAll(arguments, store, keyspace, &stream)
    try store.commitEpoch()
    let seconds = (clock.now - start).inSeconds
    try store.waitUntilIdle()
    let idleSeconds = (clock.now - start).inSeconds - seconds
    try store.commitEpoch()

    figures.add("keys", arguments.keys)
    figures.add("mode", "\(arguments.mode)")
    figures.add("memory_budget_bytes", arguments.memory)
    figures.add("shards", options(arguments).shards)
    figures.add("batch", arguments.batch)
    figures.add("seconds", seconds)
    figures.add("keys_per_second", UInt64(Double(arguments.keys) / max(seconds, 1e-9)))
    figures.add("idle_seconds", idleSeconds)
    figures.add("batch_p50_milliseconds", Double(calls.percentile(0.5)) / 1e6)
    figures.add("batch_p99_milliseconds", Double(calls.percentile(0.99)) / 1e6)
    figures.add("batch_max_milliseconds", Double(calls.largest) / 1e6)
    add(store.statistics, &figures)
    if arguments.takesCheckpoints {
      var checkpoints = CheckpointFigures(
        arguments: arguments, store: store, keyspace: keyspace, stream: stream)
      try checkpoints.run(&figures)
    }
    try store.close()
  }

  /// - Returns: how long each call took.
  static func insertAll(
    _ arguments: Arguments, _ store: StateStore, _ keyspace: HashedKeyspace,
    _ stream: inout KeyStream
  ) throws -> Latencies {
    let clock = ContinuousClock()
    let committer = EpochCommitter(store)
    let batch = KeyBatch()
    var latencies = Latencies()
    var times: [Int64] = []
    var decisions: [UInt8] = []
    var left = arguments.keys
    var lastEpoch = clock.now
    while left > 0 {
      let count = Int(min(UInt64(arguments.batch), left))
      if times.count != count {
        times = [Int64](repeating: 0, count: count)
        decisions = [UInt8](repeating: 0, count: count)
      }
      try stream.fill(batch, count: count)
      let start = clock.now
      try keyspace.insertIfAbsent(batch, times: times, decisions: &decisions)
      let end = clock.now
      latencies.add((end - start).inNanoseconds)
      left -= UInt64(count)
      if arguments.epochMillis > 0,
        (end - lastEpoch).inNanoseconds / 1_000_000 >= arguments.epochMillis
      {
        try committer.beginIfIdle()
        lastEpoch = end
      }
    }
    committer.wait()
    return latencies
  }

  static func add(_ statistics: StoreStatistics, _ figures: inout Figures) {
    let written = statistics.bytesFlushed + statistics.bytesMerged + statistics.bytesLogged
    figures.add("bytes_flushed", statistics.bytesFlushed)
    figures.add("bytes_merged", statistics.bytesMerged)
    figures.add("bytes_logged", statistics.bytesLogged)
    figures.add(
      "bytes_written_per_byte_flushed", Double(written) / Double(max(statistics.bytesFlushed, 1)))
    figures.add("flushes", statistics.flushes)
    figures.add("merges", statistics.merges)
    figures.add("epochs", statistics.epochs)
    figures.add("longest_cut_milliseconds", Double(statistics.longestCutNanos) / 1e6)
    figures.add("stalls", statistics.stalls)
    figures.add("stall_seconds", Double(statistics.stallNanos) / 1e9)
    figures.add("filter_probes", statistics.filterProbes)
    figures.add("page_lookups", statistics.pageLookups)
    figures.add("false_positives", statistics.falsePositives)
  }

  static func reopen(_ arguments: Arguments, _ figures: inout Figures) throws {
    let clock = ContinuousClock()
    let start = clock.now
    let (store, keyspace) = try open(arguments)
    let found = try keyspace.contains(KeyStream.bytes(arguments.keys / 2))
    figures.add("reopen_seconds", (clock.now - start).inSeconds)
    figures.add("found_after_reopen", found ? 1 : 0)
    figures.add("peak_rss_bytes", peakResidentBytes())
    try store.close()
  }

  static func peakResidentBytes() -> Int {
    var usage = rusage()
    #if canImport(Darwin)
      getrusage(RUSAGE_SELF, &usage)
      return usage.ru_maxrss
    #else
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      return usage.ru_maxrss * 1024
    #endif
  }
}

extension Duration {
  var inNanoseconds: UInt64 {
    UInt64(components.seconds) * 1_000_000_000 + UInt64(components.attoseconds / 1_000_000_000)
  }

  var inSeconds: Double { Double(inNanoseconds) / 1e9 }
}
