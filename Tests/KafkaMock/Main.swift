// A mock cluster in a process of its own, for the tests of SedimentKafka.
//
//   kafka-mock [BROKERS]
//
// prints the addresses of its brokers, then takes one command a line and answers each with a line:
// `ok`, or `error` and why. It ends with its standard input.
//
//   topic NAME PARTITIONS        makes a topic
//   lines TOPIC PARTITION FILE   a record for each line of a file: its value
//   records TOPIC PARTITION FILE a record for each line: JSON with "value", "key" (texts or null),
//                                "headers" (pairs of texts), "timestamp" (ms)
//   read TOPIC PARTITIONS FILE   writes all records to a file, one JSON object a line
//   leader TOPIC PARTITION N     which broker leads a partition; they are counted from 1
//   fail KEY CODE COUNT          the next COUNT requests of a kind fail
//   mend KEY                     those that were still to fail do not
//   topic-error NAME CODE        what the brokers say of a topic; 0 for nothing
//   down [N], up [N]             a broker, or all
//
// The cluster keeps 5 MiB or 100,000 sets of messages of a partition; older ones vanish.

import CRdKafka
import Foundation

@main
enum Main {
  static func main() throws {
    let cluster = try MockCluster(
      brokerCount: CommandLine.arguments.dropFirst().first.flatMap { Int32($0) } ?? 1)
    answer(cluster.brokers)
    while let line = readLine() {
      do {
        try cluster.run(line.split(separator: " ").map(String.init))
        answer("ok")
      } catch {
        answer("error \(error)")
      }
    }
  }

  /// Writes a line at once.
  private static func answer(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
  }
}

/// What a command failed with.
struct MockError: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) {
    self.description = description
  }
}
