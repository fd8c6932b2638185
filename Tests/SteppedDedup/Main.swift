// A dedup job that kills itself at a step of its choice, for the tests on real brokers.
//
//   stepped-dedup BROKERS GROUP INPUT OUTPUT STATE HANDOVER STEP NUMBER
//
// reads the topic INPUT to its end and writes OUTPUT; HANDOVER is a directory, or - for one state
// over all partitions. At the NUMBER-th time that it comes to STEP it dies as by kill -9. Steps are
// calls of the producer, `before-commit` or `after-commit`, and calls of the file system below one
// of the two directories, `state-synchronizeFile` or `handover-rename`; see `ProducerStep` and
// `FileOperation`.

import Foundation
import SedimentIO
import SedimentJob
import SedimentKafka
import SedimentStore
import SedimentTestKit

@main
enum Main {
  static func main() throws {
    let words = Array(CommandLine.arguments.dropFirst())
    guard words.count == 8, let number = Int(words[7]) else {
      FileHandle.standardError.write(Data("see the header of Tests/SteppedDedup/Main.swift\n".utf8))
      exit(2)
    }
    let steps = Steps(dyingAt: words[6], number: number)
    do {
      _ = try job(words, steps).run()
    } catch {
      FileHandle.standardError.write(Data("stepped-dedup: \(error)\n".utf8))
      exit(1)
    }
  }

  private static func job(_ words: [String], _ steps: Steps) throws -> DedupJob {
    let (brokers, group, input, output) = (words[0], words[1], words[2], words[3])
    var properties = KafkaProperties()
    for text in ["session.timeout.ms=6000", "heartbeat.interval.ms=500"] {
      try properties.add(text, from: "stepped-dedup")
    }
    var options = JobOptions(
      description: JobDescription(
        origin: .topics(TopicOrigin([input])),
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever),
      sources: [], statePath: words[4])
    options.topics = try KafkaInput(
      KafkaAddress("kafka://\(brokers)/\(input)"), group: group, properties: properties,
      endsAtEnds: true)
    options.targets = [.output: .topic(output)]
    options.topicOutput = SteppedOutput(
      base: try KafkaOutput(
        brokers.split(separator: ",").map(String.init), topics: [.output: output], group: group,
        properties: properties),
      steps: steps)
    options.epochIntervalMillis = 20
    options.batchRecordsMax = 100
    let fileSystem = FaultInjectingFileSystem(PosixFileSystem())
    if words[5] != "-" {
      options.partitioning = Partitioning(
        storage: try DirectoryStorage(at: words[5], fileSystem: fileSystem), group: group)
    }
    let places = ["state": words[4], "handover": words[5]]
    fileSystem.interrupt { operation, path in
      for (name, place) in places where path.contains(place) {
        steps.take("\(name)-\(operation.rawValue)")
      }
    }
    return DedupJob(
      options,
      in: JobEnvironment(
        fileSystem: fileSystem, inputs: .system,
        report: { message in
          FileHandle.standardError.write(Data("stepped-dedup: \(message.text)\n".utf8))
        }),
      control: JobControl())
  }
}
