// sediment generate: the shared workload as text.

public import ArgumentParser
import SedimentIO
public import SedimentJob
import SedimentStore

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes a deterministic stream of events with duplicates.",
    discussion: """
      The same arguments give the same bytes everywhere. Half of the duplicates repeat one of the \
      last 100,000 events, half any earlier one. The number of distinct events is printed on \
      standard error; it is what a run of sediment dedup with \
      --key adserver_id,event_timestamp,request_id must emit.
      """)

  @Argument(help: "How many events to write.", transform: parseCount)
  var events: UInt64

  @Option(
    name: .customLong("dup"), help: "The share of duplicates, from 0 to 1.",
    transform: parseShare)
  var duplicates = DuplicateShare.standard

  @Option(help: "Another seed gives another sequence.")
  var seed: UInt64 = 42

  @Option(help: "The form of the records: ndjson, csv or lines.")
  var format: WorkloadFormat = .ndjson

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where to write; standard output by default.", valueName: "file"))
  var output: String?

  func run() throws {
    var generator = WorkloadGenerator(
      events: events, workload: Workload(duplicates: duplicates, seed: seed), format: format)
    if let output, output != "-" {
      let file = try createFile(at: output)
      var offset: UInt64 = 0
      try unsafe writeAll(from: &generator) { bytes in
        try unsafe file.write(bytes, at: offset)
        offset += UInt64(bytes.count)
      }
    } else {
      try unsafe writeAll(from: &generator) { bytes in try unsafe StandardStream.output.write(bytes)
      }
    }
    try StandardStream.error.write(
      "generated \(Figure.count(generator.eventsWritten)) events, "
        + "\(Figure.count(generator.distinctIDs)) distinct ids\n")
  }

  /// A new file at `path`; one that was there is replaced.
  private func createFile(at path: String) throws -> any File {
    let (directoryPath, name) = OutputTarget.split(path)
    let directory = try PosixFileSystem().openDirectory(at: directoryPath, creating: false)
    if try directory.metadata(of: name)?.kind == .file { try directory.remove(name) }
    return try directory.openFile(name, .create)
  }

  private func writeAll(
    from generator: inout WorkloadGenerator, to write: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { unsafe buffer.deallocate() }
    while true {
      let count = unsafe generator.write(into: buffer)
      guard count > 0 else { return }
      try unsafe write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }
}

extension WorkloadFormat: ExpressibleByArgument {}

@Sendable private func parseShare(_ text: String) throws -> DuplicateShare {
  guard let share = DuplicateShare(text) else {
    throw ValidationError("'\(text)' is not a decimal number from 0 to 1.")
  }
  return share
}

/// A count of events; digits may be grouped with underscores.
@Sendable private func parseCount(_ text: String) throws -> UInt64 {
  guard let count = UInt64(text.filter { $0 != "_" }) else {
    throw ValidationError("'\(text)' is not a number of events.")
  }
  return count
}
