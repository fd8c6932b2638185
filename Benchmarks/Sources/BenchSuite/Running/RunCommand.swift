// run: engines in turn, each run in a process and directory of its own.

import ArgumentParser
import Foundation

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs engines in turn on one workload and compares them.",
    discussion: """
      Every run is a process of its own in a directory of its own. Engines take turns (A B A B). \
      All make the same events inside the timed part, which ends when everything is flushed, \
      synchronised and counted. When the engines do not accept the same number of keys the runs \
      are void: exit status 1.

      The workloads from fillseq on are those of ordered key-value stores, named as db_bench and \
      YCSB do, with keys of 16 bytes and values of 100 that compress to half: --events entries, \
      --lookups operations, one store for all threads, the log on and, but for fillsync, not \
      synchronised; --memory is that of both engines.

      Of a peer in the others, rocksdb and lmdb, every writer has a store of its own and the keys \
      are routed by adserver_id; the floor likewise. Sediment is one store with twice as many \
      shards. The peers are got by tools/setup --benchmarks.
      """)

  @Option(help: "What is done: \(WorkloadName.names).")
  var workload = WorkloadName.dedup

  @Option(
    name: .customLong("engine"),
    help: "Once for each engine: \(EngineName.names); sediment and its usual peer by default.")
  var engines: [EngineName] = []

  @Option(help: "Events that are inserted; keys or entries that are loaded before lookups.")
  var events: Count = Count(3_000_000)

  @Option(help: "Writers, or readers.")
  var threads = 2

  @Option(help: "Sediment's memory budget, such as 512MiB. Peers have the one they are tuned for.")
  var memory: Size = Size(2 << 30)

  @Option(name: .customLong("dup"), help: "The share of events that repeat an earlier one.")
  var repeats: Share = Share(thousandths: 200)

  @Option(help: "Sediment's key mode: fingerprint or exact.")
  var mode = ModeName.fingerprint

  @Option(help: "Another seed, another sequence of events.")
  var seed: UInt64 = 42

  @Option(help: "Events in a batch.")
  var batch = 1024

  @Option(
    name: .customLong("epochs"),
    help: "Seconds between Sediment's epochs and, in checkpoint, between checkpoints; 0 for none.")
  var epochSeconds = 10.0

  @Option(help: "Keys that are looked up, or operations.")
  var lookups: Count = Count(1_000_000)

  @Flag(help: "Lookups and restarts find an empty page cache.")
  var cold = false

  @Option(help: "Times to live that the events of dedup-ttl span.")
  var windows: UInt64 = 20

  @Option(help: "Runs of each engine.")
  var runs = 1

  @Option(help: "Where runs write; a directory below it for each. The temporary directory.")
  var directory: String?

  @Option(
    name: .customLong("keep-loaded"),
    help: ArgumentHelp(
      "Where stores of ordered workloads are kept once they are loaded, and found by later runs.",
      valueName: "directory"))
  var keepDirectory: String?

  @Option(help: "The sediment executable, for job; the release build of the package.")
  var tool: String?

  @Flag(help: "Sediment's ordered keyspace is of the tiered style.")
  var tiered = false

  @Option(
    help: ArgumentHelp(
      "Added to rocksdb's settings, to look for stronger ones: name=value;…", valueName: "options"))
  var rocksdbOptions: String?

  @Option(help: "A directory that keeps records of the runs, for report.")
  var output: String?

  @Flag(help: "Print one JSON object on one line a run, and nothing else.")
  var json = false

  @Flag(help: "Print all options in force.")
  var explain = false

  func validate() throws {
    guard runs >= 1 else { throw ValidationError("--runs is at least 1") }
    for engine in chosenEngines {
      if let objection = engine.objection(to: workload) { throw ValidationError(objection) }
      if let complaint = request(engine, number: 0).complaint { throw ValidationError(complaint) }
    }
    if workload == .checkpoint, epochSeconds <= 0 {
      throw ValidationError("checkpoint needs --epochs above 0")
    }
  }

  func run() throws {
    var records: [RunRecord] = []
    let store = try output.map { try RecordStore(directory: $0) }
    for run in 1...runs {
      for engine in chosenEngines {
        let record = try ChildProcess.run(request(engine, number: records.count))
        try store?.append(record)
        records.append(record)
        if json {
          FileHandle.standardOutput.write(Data((record.figures.json + "\n").utf8))
        } else {
          note("run \(run) of \(runs): \(Self.summary(record.figures))")
        }
      }
    }
    if explain { Self.explain(records, toStandardError: json) }
    if !json { print(ResultTable(records).text) }
    try checkAccepted(records)
  }

  private var chosenEngines: [EngineName] {
    if !engines.isEmpty { return engines }
    let usual: [EngineName] = workload.isOrdered ? [.sediment, .rocksdb] : [.sediment, .floor]
    return usual.filter { $0.objection(to: workload) == nil }
  }

  private func request(_ engine: EngineName, number: Int) -> RunRequest {
    let parent = directory ?? NSTemporaryDirectory()
    let name = "sediment-bench-\(ProcessInfo.processInfo.processIdentifier)-\(number)"
    var request = RunRequest(
      engine, workload, events: events.value,
      directory: URL(fileURLWithPath: parent).appendingPathComponent(name).path, threads: threads,
      mode: mode)
    request.seed = seed
    request.repeatThousandths = repeats.thousandths
    request.batch = batch
    request.memory = memory.bytes
    request.epochSeconds = epochSeconds
    request.lookups = lookups.value
    request.isCold = cold
    request.windows = windows
    request.keepDirectory = keepDirectory
    request.tool = tool
    if tiered { request.isTiered = true }
    request.rocksdbOptions = rocksdbOptions
    return request
  }

  private static func summary(_ figures: RunFigures) -> String {
    "\(figures.engine) \(figures.workload): "
      + "\(grouped(UInt64(figures.eventsPerSecond))) events/s, "
      + "\(grouped(figures.accepted)) accepted"
  }

  /// The options of every engine, once.
  private static func explain(_ records: [RunRecord], toStandardError: Bool) {
    var seen = Set<EngineName>()
    for record in records where seen.insert(record.request.engine).inserted {
      let lines = ["\(record.figures.engine):"] + record.options.map { "  " + $0 }
      if toStandardError { lines.forEach(note) } else { print(lines.joined(separator: "\n")) }
    }
  }

  /// - Throws: exit status 1 when the runs are void.
  private func checkAccepted(_ records: [RunRecord]) throws {
    guard Set(records.map(\.figures.accepted)).count > 1 else { return }
    let counts = records.map { "\($0.figures.engine) \(grouped($0.figures.accepted))" }
    note("void: accepted keys differ: " + counts.joined(separator: ", "))
    throw ExitCode(1)
  }
}

// MARK: - Arguments

extension CaseIterable where Self: RawRepresentable<String> {
  static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}

/// A count; digits may be grouped by underscores.
struct Count: ExpressibleByArgument {
  var value: UInt64

  init(_ value: UInt64) { self.value = value }

  init?(argument: String) {
    guard let value = parseCount(argument) else { return nil }
    self.value = value
  }

  var defaultValueDescription: String { "\(value)" }
}

/// Bytes, in KiB, MiB or GiB.
struct Size: ExpressibleByArgument {
  var bytes: Int

  init(_ bytes: Int) { self.bytes = bytes }

  init?(argument: String) {
    guard let bytes = parseSize(argument) else { return nil }
    self.bytes = bytes
  }

  var defaultValueDescription: String { inBytes(UInt64(bytes)).filter { $0 != " " } }
}

/// A share from 0 to 1.
struct Share: ExpressibleByArgument {
  var thousandths: UInt64

  init(thousandths: UInt64) { self.thousandths = thousandths }

  init?(argument: String) {
    guard let thousandths = parseThousandths(argument) else { return nil }
    self.thousandths = thousandths
  }

  var defaultValueDescription: String { decimal(Double(thousandths) / 1000, digits: 1) }
}
