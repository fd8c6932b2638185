import Foundation
import Testing

/// The program and a mock cluster of its own.
final class KafkaHarness: KafkaProgram {
  let cluster: MockProcess

  /// - Parameter sessionMillis: the mock cluster gives a group out anew only after about as long.
  init(brokerCount: Int = 1, sessionMillis: Int = 3000) throws {
    let root = try Self.newDirectory()
    cluster = try MockProcess(in: root, brokerCount: brokerCount)
    super.init(root: root, brokers: cluster.brokers, sessionMillis: sessionMillis)
  }

  deinit {
    cluster.end()
  }

  /// Produces lines as values.
  func produce(_ lines: [String], to topic: String, _ partition: Int = 0) throws {
    let name = UUID().uuidString
    try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: url(name))
    try cluster.command("lines \(topic) \(partition) \(url(name).path)")
  }

  /// Produces records: JSON, as `kafka-mock` takes it.
  func produce(records: [String], to topic: String, _ partition: Int = 0) throws {
    let name = UUID().uuidString
    try Data((records.joined(separator: "\n") + "\n").utf8).write(to: url(name))
    try cluster.command("records \(topic) \(partition) \(url(name).path)")
  }
}

/// A record of a topic, as the mock cluster tells it.
struct WrittenRecord: Decodable, Equatable {
  var partition: Int
  var value: String?
  var key: String?
  var headers: [[String?]]
  var timestamp: Int64
}

extension KafkaHarness {
  /// All records of a topic, of transactions that are open, too.
  func records(of topic: String, partitions: Int) throws -> [WrittenRecord] {
    let name = UUID().uuidString
    try cluster.command("read \(topic) \(partitions) \(url(name).path)")
    return try text(of: name).split(separator: "\n").map {
      try JSONDecoder().decode(WrittenRecord.self, from: Data($0.utf8))
    }
  }

  /// A topic as an output.
  func address(_ topic: String) -> String { "kafka://\(brokers)/\(topic)" }
}

/// The helper process with the cluster.
final class MockProcess {
  let brokers: String
  private let process = Process()
  private let input = Pipe()
  private let lines: LineReader

  init(in directory: URL, brokerCount: Int) throws {
    let output = Pipe()
    process.arguments = ["\(brokerCount)"]
    process.executableURL = try KafkaProgram.executable("kafka-mock")
    process.currentDirectoryURL = directory
    process.standardInput = input
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    lines = LineReader(output.fileHandleForReading)
    brokers = try #require(try lines.next())
  }

  /// Sends a command and waits for its answer.
  func command(_ text: String) throws {
    try input.fileHandleForWriting.write(contentsOf: Data((text + "\n").utf8))
    let answer = try lines.next()
    try #require(answer == "ok", "\(text): \(answer ?? "no answer")")
  }

  func end() {
    do { try input.fileHandleForWriting.close() } catch { Issue.record(error) }
    process.waitUntilExit()
  }
}
