// What every client of Kafka's brokers is told.

import ArgumentParser
import Foundation
import SedimentKafka

struct KafkaClientOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A property of librdkafka, such as security.protocol=SSL. May be repeated.",
      valueName: "name=value"))
  var kafkaProperty: [String] = []

  @Option(
    help: ArgumentHelp(
      "A file of such properties, one a line; # begins a comment. --kafka-property goes before it.",
      valueName: "file"))
  var kafkaProperties: String?

  /// The file's properties, then those of the command line.
  func properties() throws -> KafkaProperties {
    var properties = KafkaProperties()
    if let path = kafkaProperties {
      let text: String
      do {
        text = try String(contentsOfFile: path, encoding: .utf8)
      } catch {
        throw ValidationError(
          "--kafka-properties \(path) cannot be read: \(error.localizedDescription)")
      }
      try properties.add(fileText: text, path: path)
    }
    for property in kafkaProperty {
      try properties.add(property, from: "--kafka-property")
    }
    return properties
  }
}
