import SedimentDedup
import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Synchronization

/// A small job over a memory file system: input, options, output, and what must come out.
struct JobHarness {
  static let timeToLive: Int64 = 400
  static let lateness: Int64 = 50

  var disk: MemoryFileSystem
  var options: JobOptions
  /// The records of every input, in order.
  private(set) var files: [(path: String, lines: [String])] = []

  init(_ disk: MemoryFileSystem = MemoryFileSystem(), mode: KeyMode = .fingerprint) {
    self.disk = disk
    let format = RecordFormat(kind: .ndjson, keyFields: ["k"], timeField: "t")
    options = JobOptions(
      description: JobDescription(
        format: format, keyMode: mode, timeToLive: .milliseconds(Self.timeToLive),
        allowedLateness: Self.lateness),
      sources: [], statePath: "state")
    options.targets[.output] = .directory("out")
    options.parallelism = 1
    options.memoryBudget = StoreOptions.memoryBudgetMin
    options.epochIntervalMillis = 1 << 40
    options.retainedCheckpoints = 0
    options.fullDiskPatienceMillis = 0
  }

  /// Adds an input of `count` records, about a third of them duplicates, times out of order.
  mutating func addInput(
    _ path: String, records count: Int, from time: Int64 = 0,
    using generator: inout SeededGenerator
  ) throws {
    var lines: [String] = []
    for number in 0..<count {
      let key = Int.random(in: 0..<(count * 2 / 3 + 1), using: &generator)
      let now = time + Int64(number) + Int64.random(in: -30...30, using: &generator)
      lines.append("{\"k\":\(key),\"t\":\(now),\"n\":\"\(path)/\(number)\"}\n")
    }
    try add(path, lines: lines)
  }

  /// Adds an input.
  mutating func add(_ path: String, lines: [String]) throws {
    try disk.write(lines.joined(), to: path)
    files.append((path, lines))
    options.sources.append(.file(path))
  }

  /// The first-seen set, by the oracle.
  func expected() -> String {
    var oracle = DedupOracle(ttlMillis: Self.timeToLive, latenessMillis: Self.lateness)
    var text = ""
    for line in files.flatMap(\.lines) {
      let key = line.dropFirst(5).prefix { $0 != "," }
      let time = line.drop { $0 != "t" }.dropFirst(3).prefix { $0 != "," }
      if oracle.decide(key: Array(key.utf8), time: Int64(time) ?? 0).isEmitted { text += line }
    }
    return text
  }

  /// Runs the job; `messages` gets what it says.
  ///
  /// - Parameter fileSystem: for state and outputs, when it is not the disk itself.
  func run(
    on fileSystem: (any FileSystem)? = nil, control: JobControl = JobControl(),
    standardInput: String = "", messages: MessageLog = MessageLog()
  ) throws -> JobSummary {
    try DedupJob(
      options,
      in: JobEnvironment(
        fileSystem: fileSystem ?? disk, inputs: InputFileSystem(disk), standardOutput: NoStream(),
        standardInput: { TextStream(standardInput) }, report: { messages.add($0) }),
      control: control
    ).run()
  }

  /// All parts of a directory, one behind the other.
  func output(_ path: String = "out") throws -> String {
    let directory = try disk.openDirectory(at: path, creating: false)
    let names = try directory.entries().map(\.name).filter { !$0.hasPrefix(".") }
    return try names.map { try disk.text(of: path + "/" + $0) }.joined()
  }

  /// The same for an output that may not be there yet.
  func visibleOutput(_ path: String = "out") throws -> String {
    do {
      return try output(path)
    } catch let error as FileError where error.code == .notFound {
      return ""
    }
  }
}

/// Messages of a job. Thread-safe.
final class MessageLog: Sendable {
  private let messages = Mutex<[JobMessage]>([])
  private let onMessage: @Sendable (JobMessage) -> Void

  /// - Parameter onMessage: called with every message, by the thread that sends it.
  init(_ onMessage: @escaping @Sendable (JobMessage) -> Void = { _ in }) {
    self.onMessage = onMessage
  }

  func add(_ message: JobMessage) {
    messages.withLock { $0.append(message) }
    onMessage(message)
  }

  var texts: [String] { messages.withLock { $0.map(\.text) } }

  func contains(_ text: String) -> Bool { texts.contains { $0.contains(text) } }
}

private struct NoStream: SedimentJob.OutputStream {
  func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {}
}

/// A text as standard input.
final class TextStream: ByteStream {
  private var rest: ArraySlice<UInt8>

  init(_ text: String) {
    rest = Array(text.utf8)[...]
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws(SourceError) -> Int {
    let count = min(buffer.count, rest.count)
    unsafe buffer.copyBytes(from: rest.prefix(count))
    rest = rest.dropFirst(count)
    return count
  }
}

extension MemoryFileSystem {
  /// Makes or replaces a file, durably.
  func write(_ text: String, to path: String) throws {
    let (parent, name) = OutputTarget.split(path)
    let directory = try openDirectory(at: parent, creating: true)
    if try directory.metadata(of: name) != nil { try directory.remove(name) }
    let file = try directory.openFile(name, .create)
    let bytes = Array(text.utf8)
    try unsafe bytes.span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe file.write(bytes, at: 0)
    }
    try file.synchronize()
    try directory.synchronize()
  }

  /// Adds to the end of a file.
  func append(_ text: String, to path: String) throws {
    let (parent, name) = OutputTarget.split(path)
    let file = try openDirectory(at: parent, creating: false).openFile(name, .readWrite)
    let bytes = Array(text.utf8)
    let size = try file.size()
    try unsafe bytes.span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe file.write(bytes, at: size)
    }
    try file.synchronize()
  }

  func text(of path: String) throws -> String {
    String(decoding: try contents(of: path), as: UTF8.self)
  }
}
