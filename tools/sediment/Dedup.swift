// sediment dedup: reads the options of the job, runs it, and tells a person what happened.

public import ArgumentParser
import SedimentIO
public import SedimentJob
public import SedimentStore

struct Dedup: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Emits the first record of every key within its time to live, and remembers.",
    discussion: """
      The state belongs to its directory: stop the job, kill it, start it again with the same \
      options, and it goes on where its last epoch ended, neither repeating nor losing a record. \
      With --output - that holds up to a crash, after which the records of the lost epoch are \
      printed again. The same goes for a reader of standard output that goes away, which ends the \
      job with exit code 1.

      On HDFS, webhdfss:// is the same over TLS; a second NameNode is asked when the first is on \
      stand-by. Who asks: ?user.name=NAME behind the path, or ?auth=kerberos for the ticket at \
      hand, or a delegation token in the environment variable SEDIMENT_WEBHDFS_TOKEN. \
      SSL_CERT_FILE names certificates to trust.

      Topics of Kafka are read for ever, by one instance with one state (or by several, see \
      --partitioned-by-key and --repartition-by-key), from where the state's last epoch ended. In \
      files the records' values are lines; to topics records go with their \
      keys, headers and times, in one transaction an epoch, and readers with \
      isolation.level=read_committed see each first record once, whatever happens.

      \(Dedup.example)
      """)

  static let example = """
    Example:
      sediment dedup in.ndjson --key user,id --ttl 7d --state s --output out/
      sediment dedup kafka://host/clicks --group g --key id --ttl 7d --state s \\
        --output kafka://host/clicks-unique
    """

  @Argument(
    help: ArgumentHelp(
      "Files, directories, patterns, or - for standard input; .gz is read as it is. Or topics: "
        + "kafka://broker[:port][,…]/topic[,…].",
      valueName: "input"))
  var inputs: [String] = []

  @OptionGroup(title: "Records and keys") var records: RecordOptions
  @OptionGroup(title: "Time") var times: TimeOptions
  @OptionGroup(title: "State") var state: StateOptions
  @OptionGroup(title: "Output") var output: OutputOptions
  @OptionGroup(title: "Topics") var kafka: KafkaOptions
  @OptionGroup(title: "Running") var running: RunningOptions

  func run() throws {
    let messages = MessagePrinter(isQuiet: running.quiet, isVerbose: running.verbose)
    do {
      try run(messages)
    } catch let error as JobError {
      messages.fail(error.description)
      throw ExitCode(1)
    }
  }

  private func run(_ messages: MessagePrinter) throws {
    let progress = running.showsProgress ? ProgressLine(messages) : nil
    let inputFiles = InputFileSystem.system
    let options = try jobOptions(reading: inputFiles)
    let summaryFile = try output.summary.map { try SummaryFile($0) }
    let control = JobControl()
    let signals = SignalWatch(control, messages)
    defer { signals.cancel() }
    let status = try running.status(messages)
    defer { status?.server.stop() }
    let environment = JobEnvironment(
      fileSystem: RemoteOutputs.fileSystem(for: options) { messages.show($0) },
      inputs: inputFiles, report: { messages.show($0) }, onProgress: progress?.listener,
      status: status?.board)
    let job = DedupJob(options, in: environment, control: control)
    do throws(JobError) {
      let summary = try job.run()
      progress?.end()
      try tell(summary)
    } catch {
      progress?.end()
      // What was durable before counts, and is told before the reason.
      if let summary = error.summary { try tell(summary) }
      throw error
    }
    func tell(_ summary: JobSummary) throws(JobError) {
      messages.show(summary, of: options)
      do throws(FileError) {
        try summaryFile?.write(summary.json)
      } catch {
        throw JobError(wrapping: error)
      }
    }
  }
}

// MARK: - Options by group

struct RecordOptions: ParsableArguments {
  @Option(
    help:
      "ndjson, csv or lines; by the inputs' extension, else ndjson. For lines the line is the key."
  )
  var format: RecordFormat.Kind?

  @Option(
    help:
      "Key fields, apart by commas (\\, is one in a name): JSON paths (a.b[0]), or CSV columns.")
  var key: String?

  @Option(
    help: ArgumentHelp(
      "For lines: the groups of this regular expression are the key.", valueName: "regex"))
  var keyRegex: String?

  @Option(
    help: ArgumentHelp(
      "For topics, where the key is: in the record's value, its whole key, or a header.",
      valueName: "place"))
  var keyFrom: KeySource = .value

  @Option(help: "fingerprint (a keyed 128-bit hash stands for the key) or exact (the key itself).")
  var mode: KeyMode = .fingerprint

  @Option(
    help: ArgumentHelp(
      "Records without a key are rejected, kept, or end the job.", valueName: "action"))
  var onMissingKey: MissingKeyHandling = .reject
}

struct TimeOptions: ParsableArguments {
  @Option(
    help: "How long a key counts from its first record on: 7d, 12h, 1h30m, or forever. Required.",
    transform: Parse.timeToLive)
  var ttl: TimeToLive?

  @Option(
    help: ArgumentHelp(
      "The field with the event time. Without it, the time is when the record is read.",
      valueName: "field"))
  var timeField: String?

  @Flag(help: "For topics: the event time is the one that Kafka keeps with the record.")
  var recordTime = false

  @Option(help: ArgumentHelp("What the time counts.", valueName: "unit"))
  var timeUnit: TimeUnit = .milliseconds

  @Option(
    help: ArgumentHelp(
      "How far a time may lie behind the largest before a record is late; by default an eighth of "
        + "the TTL.", valueName: "time"),
    transform: Parse.duration)
  var allowedLateness: Int64?

  @Option(
    help: ArgumentHelp(
      "A time further ahead of the clock makes its record a reject. (default: 1h)",
      valueName: "time"),
    transform: Parse.duration)
  var maxAhead: Int64 = 3_600_000

  @Option(help: ArgumentHelp("Late records whose key is not found.", valueName: "action"))
  var late: LateHandling = .keep
}

struct StateOptions: ParsableArguments {
  @Option(name: .customLong("state"), help: "The state's directory. Required.")
  var path: String?

  @Flag(help: "Put existing state aside as DIR.old-N and begin anew, with another output.")
  var fresh = false

  @Option(
    name: .customLong("from"),
    help: ArgumentHelp(
      "Put existing state aside and go on from a checkpoint: its id, or a path.",
      valueName: "checkpoint"))
  var checkpoint: String?

  @Flag(name: .customLong("change-ttl"), help: "Make --ttl the state's, which has another.")
  var changesTimeToLive = false

  @Option(
    help: ArgumentHelp("How often an epoch becomes durable. (default: 30s)", valueName: "time"),
    transform: Parse.duration)
  var checkpointInterval: Int64 = 30_000

  @Option(
    help: ArgumentHelp("Local checkpoints that are kept in DIR/checkpoints.", valueName: "count"))
  var retain = 3
}

struct OutputOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "DIR/ for parts, FILE to append to, - for standard output (the default), parts on HDFS: "
        + "webhdfs://host:port[,host:port]/path, or a topic: kafka://broker[:port][,…]/topic.",
      valueName: "output"))
  var output: String?

  @Option(help: ArgumentHelp("Where duplicates go; as --output.", valueName: "output"))
  var duplicates: String?

  @Option(
    help: ArgumentHelp("Where bad records go, as NDJSON; as --output.", valueName: "output"))
  var rejects: String?

  @Option(
    help: ArgumentHelp("A part ends before it grows larger. (default: 256MiB)", valueName: "size"),
    transform: Parse.size)
  var rollSize: UInt64 = 256 << 20

  @Flag(help: "Insert keys without emitting: fill the state from history.")
  var learn = false

  @Option(help: ArgumentHelp("Write counts as JSON to a file at the end.", valueName: "file"))
  var summary: String?
}

struct RunningOptions: ParsableArguments {
  @Flag(
    help: ArgumentHelp(
      "Keep reading growing files, also when they are renamed or cut off, as tail -F does. They "
        + "must be there at the start, and files that come later into a directory are not read."))
  var follow = false

  @Option(
    help: ArgumentHelp(
      "Threads that parse and decide; by default the number of processors.", valueName: "count"))
  var parallelism: Int?

  @Option(
    help: ArgumentHelp(
      "Memory for the state; by default a quarter of the machine's, at most 2GiB.",
      valueName: "size"),
    transform: Parse.size)
  var memory: UInt64?

  @Option(
    name: .customLong("http"),
    help: ArgumentHelp(
      "Serve /metrics, /status, /healthz and /readyz there while the job runs: 127.0.0.1:9464. Any "
        + "port with 0.", valueName: "address"),
    transform: Parse.statusAddress)
  var statusAddress: StatusAddress?

  @Option(help: ArgumentHelp("A line that shows how far the job is.", valueName: "when"))
  var progress = ProgressChoice.auto

  @Flag(help: "Only warnings and errors.")
  var quiet = false

  @Flag(name: .shortAndLong, help: "More detail.")
  var verbose = false

  /// Whether the line is shown.
  var showsProgress: Bool {
    switch progress {
    case .always: true
    case .never: false
    case .auto: StandardStream.error.isTerminal && !quiet
    }
  }
}

extension RunningOptions {
  /// What the job tells by HTTP, where that is asked for.
  func status(
    _ messages: MessagePrinter
  ) throws(JobError) -> (board: StatusBoard, server: StatusServer)? {
    guard let address = statusAddress else { return nil }
    let board = StatusBoard()
    let server = try StatusServer(board, at: address)
    if !address.isLoopback {
      messages.show(
        JobMessage(
          .warning,
          "--http \(address.host): whoever reaches this address can read the job's figures; there "
            + "is no password"))
    }
    messages.show(
      JobMessage(.information, "figures at http://\(address.urlHost):\(server.port)/metrics"))
    return (board, server)
  }
}

enum ProgressChoice: String, CaseIterable, ExpressibleByArgument {
  case auto
  case always
  case never
}

extension RecordFormat.Kind: ExpressibleByArgument {}
extension TimeUnit: ExpressibleByArgument {}
extension LateHandling: ExpressibleByArgument {}
extension MissingKeyHandling: ExpressibleByArgument {}

extension KeyMode: ExpressibleByArgument {
  public init?(argument: String) {
    switch argument {
    case "fingerprint": self = .fingerprint
    case "exact": self = .exact
    default: return nil
    }
  }

  public static var allValueStrings: [String] { ["fingerprint", "exact"] }
  public var defaultValueDescription: String { "\(self)" }
}

/// Words of the command line that stand for quantities.
enum Parse {
  @Sendable static func statusAddress(_ text: String) throws -> StatusAddress {
    guard let address = StatusAddress(text) else {
      throw ValidationError("\(text) is no address: give HOST:PORT, as in 127.0.0.1:9464")
    }
    return address
  }

  @Sendable static func timeToLive(_ text: String) throws -> TimeToLive {
    guard let value = Quantity.timeToLive(text) else {
      throw ValidationError("'\(text)' is neither a duration, such as 7d or 1h30m, nor forever.")
    }
    return value
  }

  @Sendable static func duration(_ text: String) throws -> Int64 {
    guard let value = Quantity.millis(text) else {
      throw ValidationError("'\(text)' is not a duration, such as 30s, 250ms or 1h30m.")
    }
    return value
  }

  @Sendable static func size(_ text: String) throws -> UInt64 {
    guard let value = Quantity.bytes(text), value > 0 else {
      throw ValidationError("'\(text)' is not a size, such as 512MiB or 2GiB.")
    }
    return value
  }
}
