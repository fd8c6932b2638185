import Foundation
import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Stores that earlier builds wrote: every build opens them.
@Suite("Golden stores")
struct GoldenStoreTests {
  private typealias Place = SampleScript.Place

  /// Formats of hashed keyspaces that were released; each has a directory of this name under
  /// `Fixtures`. Those since there are ordered ones are in `OrderedGoldenTests`.
  static let formats = ["v1"]
  private static let testsPath = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
  /// Set to the name of a format, it has the fixture of that format written anew.
  private static let rewritten = ProcessInfo.processInfo.environment["REWRITE_GOLDEN_STORE"]

  private static func path(of format: String) -> String {
    "/\(testsPath)/Fixtures/\(format)"
  }

  @Test("a golden store has the files it is meant to have", arguments: formats)
  func inventory(format: String) throws {
    let disk = try Self.fixture(format)
    let files = disk.files()
    #expect(files.filter { $0.hasPrefix("state/") && $0.hasSuffix(".sst") }.count == 4)
    #expect(files.filter { $0.hasPrefix("state/") && $0.hasSuffix(".log") }.count >= 3)
    #expect(files.filter { $0.hasPrefix("backups/objects/") }.count == 4)
    #expect(files.filter { $0.hasPrefix("saved/objects/") }.count >= 5)
    let bytes = try files.reduce(0) { try $0 + disk.contents(of: $1).count }
    #expect(bytes < 100_000)
    let store = try ReadOnlyStore.open(at: "/state", fileSystem: disk)
    let windows = try #require(store.state.keyspaces.first { $0.name == "windows" })
    #expect(Set(windows.shards.flatMap(\.runs).map(\.window)).count == 2)
    #expect(windows.shards.flatMap(\.runs).contains { $0.hasKinds })
    #expect(store.state.keyspaces.allSatisfy { !$0.logs.isEmpty && !$0.shards[0].runs.isEmpty })
  }

  @Test("a golden state opens, answers, goes on and opens again", arguments: formats)
  func state(format: String) throws {
    try Self.check(.state, on: Self.fixture(format), at: "/state")
  }

  @Test("a golden state opens with another number of shards", arguments: formats)
  func otherShards(format: String) throws {
    let disk = try Self.fixture(format)
    var options = SampleScript.options()
    options.shards = 3
    let script = try Self.expectation()
    let content = try #require(script.contents[.state])
    for _ in 0..<2 {
      let store = try StateStore.open(at: "/state", options: options, fileSystem: disk)
      #expect(try content.difference(from: store, keys: script.keys) == nil)
      try store.compact()
      #expect(try content.difference(from: store, keys: script.keys) == nil)
      try store.commitEpoch(metadata: content.metadata)
      try store.close()
    }
  }

  @Test("golden checkpoints and savepoints restore, answer and go on", arguments: formats)
  func restoring(format: String) throws {
    let disk = try Self.fixture(format)
    for (place, path) in [(Place.checkpoint, "/backups"), (.savepoint, "/saved")] {
      #expect(try ReadOnlyStore.verify(at: path, fileSystem: disk).isEmpty)
      let target = "/restored\(path)"
      try StateStore.restore(
        checkpoint: CheckpointReference(path: path), to: target, fileSystem: disk)
      try Self.check(place, on: disk, at: target)
      #expect(try ReadOnlyStore.verify(at: path, fileSystem: disk).isEmpty, "\(path) changed")
    }
    #expect(try ReadOnlyStore.verify(at: "/state", fileSystem: disk).isEmpty)
  }

  /// What the fixtures must answer.
  private static func expectation() throws -> SampleScript {
    let script = SampleScript()
    try script.run()
    return script
  }

  /// Opens, asks for everything, writes more, and opens again, twice.
  private static func check(_ place: Place, on disk: MemoryFileSystem, at path: String) throws {
    let script = try expectation()
    var content = try #require(script.contents[place])
    var keys = script.keys
    for round in 0..<3 {
      let store = try StateStore.open(
        at: path, options: SampleScript.options(), fileSystem: disk)
      #expect(try content.difference(from: store, keys: keys) == nil, "round \(round)")
      let more = (0..<50).map { Array("more-\(round)-\($0)".utf8) }
      for (name, _) in SampleScript.keyspaces {
        let keyspace = try #require(store.keyspace(named: name))
        var model = try #require(content.models[name])
        let time = (model.largestTime ?? 0) + 1
        let new = try keyspace.insertIfAbsent(
          HashedKeyspace.batch(more + keys),
          times: [Int64](repeating: time, count: more.count + keys.count))
        for (index, key) in (more + keys).enumerated() {
          let decision = model.insert(key, time: time, value: nil, late: .keep)
          #expect(new[index] == decision.isAccepted)
        }
        content.models[name] = model
      }
      keys += more
      content.metadata.append(100)
      try store.commitEpoch(metadata: content.metadata)
      try store.close()
    }
  }
}

// MARK: - The fixtures' files

extension GoldenStoreTests {
  /// A fixture, in memory.
  static func fixture(_ format: String) throws -> MemoryFileSystem {
    let memory = MemoryFileSystem()
    let source = try PosixFileSystem().openDirectory(at: path(of: format), creating: false)
    let target = try memory.openDirectory(at: "/", creating: false)
    for entry in try source.entries() where entry.kind == .directory {
      try copy(
        try source.subdirectory(entry.name, creating: false),
        to: try target.subdirectory(entry.name, creating: true))
    }
    return memory
  }

  private static func copy(_ source: any Directory, to target: any Directory) throws {
    for entry in try source.entries() where entry.name != StateStore.lockName {
      guard entry.kind == .file else {
        try copy(
          try source.subdirectory(entry.name, creating: false),
          to: try target.subdirectory(entry.name, creating: true))
        continue
      }
      let from = try source.openFile(entry.name, .read)
      var bytes = [UInt8](repeating: 0, count: Int(try from.size()))
      #expect(try from.read(into: &bytes, at: 0) == bytes.count)
      let into = try target.openFile(entry.name, .create)
      try into.write(bytes, at: 0)
      try into.synchronize()
    }
    try target.synchronize()
  }

  /// Writes a fixture with the present build: see `Fixtures/README.md`.
  @Test(
    "a new format's fixture is written when asked for",
    .enabled(if: GoldenStoreTests.rewritten == "v1"))
  func rewrite() throws {
    let format = try #require(Self.rewritten)
    let memory = MemoryFileSystem()
    let store = try StateStore.open(
      at: "/state", options: SampleScript.options(),
      seed: HashSeed(first: 0x5EED, second: 0x6F1D), fileSystem: memory)
    try SampleScript(store: store).run()
    try store.close()
    try Self.save(memory, as: format)
  }

  /// Writes what a file system holds as the fixture of a format.
  static func save(_ memory: MemoryFileSystem, as format: String) throws {
    let target = try PosixFileSystem().openDirectory(at: path(of: format), creating: true)
    let source = try memory.openDirectory(at: "/", creating: false)
    for entry in try source.entries() {
      // Refused when it is there: a released format's fixture is removed by hand or not at all.
      try #require(try target.metadata(of: entry.name) == nil)
      try copy(
        try source.subdirectory(entry.name, creating: false),
        to: try target.subdirectory(entry.name, creating: true))
    }
  }
}
