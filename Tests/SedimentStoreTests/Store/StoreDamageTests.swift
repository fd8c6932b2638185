import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// What a damaged store may do: answer as if it were whole, or throw a typed error.
@Suite("Damage to a store")
struct StoreDamageTests {
  /// A small store that was closed in good order, and what it must answer.
  struct Sample: Sendable {
    let fileSystem: MemoryFileSystem
    let workload: RandomWorkload
    let model: KeyspaceModel
    let keys: [[UInt8]]

    init(_ log: LogPolicy, seed: UInt64) throws {
      workload = RandomWorkload(seed: seed, isSmall: true, log: log)
      let memory = MemoryFileSystem()
      let script = ScriptedStore(workload, fileSystem: memory)
      try script.open()
      for operation in [StoreOperation.insert, .insert, .put, .commit, .insert, .commit] {
        try script.perform(operation)
      }
      try script.close()
      fileSystem = memory
      model = script.model
      keys = (0..<workload.keyCount).map { [workload] in workload.key($0) }
    }

    /// Opens a copy after `damage` and asks for everything.
    func exercise(_ what: String, _ damage: (MemoryFileSystem) throws -> Void) throws {
      let copy = fileSystem.clone()
      try damage(copy)
      var workload = workload
      do {
        let store = try StateStore.open(
          at: "/state", options: workload.storeOptions(), fileSystem: copy)
        let keyspace = try store.keyspace("seen", workload.options)
        if let problem = try keyspace.difference(from: model, keys: keys) {
          Issue.record("\(what): \(problem)")
        }
        try store.close()
      } catch let error as StoreError {
        let isTyped = [.corrupted, .unsupportedFormat].contains(error.code)
        #expect(isTyped || what.contains("link"), "\(what): \(error.code) \(error)")
      }
    }

    var files: [String] { fileSystem.files().filter { !$0.hasSuffix("LOCK") } }
  }

  static let policies: [LogPolicy] = [.epochs, .everyBatch(synchronized: true)]

  @Test("one flipped bit anywhere is harmless or reported", arguments: policies)
  func flippedBits(policy: LogPolicy) throws {
    let sample = try Sample(policy, seed: 41)
    var generator = SeededGenerator(seed: 12)
    for file in sample.files {
      // Tables have tests of their own for every byte.
      let stride = file.hasSuffix(".sst") ? 37 : 1
      let count = try sample.fileSystem.contents(of: file).count
      for offset in Swift.stride(from: 0, to: count, by: stride) {
        let bit = offset * 8 + Int.random(in: 0..<8, using: &generator)
        try sample.exercise("\(file) bit \(bit)") { try $0.flipBit(of: file, at: bit) }
      }
    }
  }

  @Test("a file cut short, lengthened or zeroed is harmless or reported", arguments: policies)
  func truncations(policy: LogPolicy) throws {
    let sample = try Sample(policy, seed: 43)
    for file in sample.files {
      let bytes = try sample.fileSystem.contents(of: file)
      for size in stride(from: 0, to: bytes.count, by: 64) {
        try sample.exercise("\(file) cut at \(size)") { try $0.truncate(file, to: size) }
        try sample.exercise("\(file) zeroed from \(size)") {
          let zeros = [UInt8](repeating: 0, count: bytes.count - size)
          try $0.replaceContents(of: file, with: bytes[..<size] + zeros)
        }
      }
      for tail in [1, 8, 4096] {
        try sample.exercise("\(file) with garbage behind it") {
          try $0.replaceContents(of: file, with: bytes + [UInt8](repeating: 0xA5, count: tail))
        }
      }
    }
  }

  @Test("swapped, missing and linked files are harmless or reported", arguments: policies)
  func wrongFiles(policy: LogPolicy) throws {
    let sample = try Sample(policy, seed: 47)
    let other = try Sample(policy, seed: 47)
    for file in sample.files {
      try sample.exercise("\(file) as a link") {
        try $0.removeFile(at: file)
        try $0.makeSymbolicLink(at: file)
      }
      try sample.exercise("\(file) missing") { try $0.removeFile(at: file) }
      for source in sample.files where source != file {
        let bytes = try sample.fileSystem.contents(of: source)
        try sample.exercise("\(source) as \(file)") {
          try $0.replaceContents(of: file, with: bytes)
        }
      }
      guard other.files.contains(file), !file.hasSuffix("CURRENT") else { continue }
      let bytes = try other.fileSystem.contents(of: file)
      try sample.exercise("\(file) of another store") {
        try $0.replaceContents(of: file, with: bytes)
      }
    }
  }

  @Test("a deleted file is damage that names it, never a store to be made", arguments: policies)
  func deletedFiles(policy: LogPolicy) throws {
    let sample = try Sample(policy, seed: 59)
    var kinds: Set<String> = []
    for file in sample.files {
      let copy = sample.fileSystem.clone()
      try copy.removeFile(at: file)
      let name = String(file.dropFirst("state/".count))
      kinds.insert(name.hasPrefix("MANIFEST") ? "manifest" : String(name.suffix(4)))
      var workload = sample.workload
      let options = workload.storeOptions()
      let error = #expect(throws: StoreError.self) {
        try StateStore.open(at: "/state", options: options, fileSystem: copy)
      }
      #expect(error?.code == .corrupted && error?.message.contains(name) == true, "\(file)")
      guard name != "CURRENT" else { continue }
      let seen = #expect(throws: StoreError.self) {
        let reader = try ReadOnlyStore.open(at: "/state", fileSystem: copy)
        for key in sample.keys { _ = try reader.lookup(key, in: "seen") }
      }
      #expect(seen?.code == .corrupted && seen?.message.contains(name) == true, "\(file)")
    }
    // Whether the keys are in a table or still in a log depends on the threads.
    #expect(kinds.contains("manifest") && !kinds.isDisjoint(with: [".sst", ".log"]), "\(kinds)")
    let missing = #expect(throws: StoreError.self) {
      try ReadOnlyStore.open(at: "/nowhere", fileSystem: sample.fileSystem)
    }
    #expect(missing?.code == .notFound)
  }

  @Test("CURRENT cannot lead out of the directory")
  func crafted() throws {
    let sample = try Sample(.epochs, seed: 53)
    let lines = [
      "", "\n", "../../etc/passwd 0 0 0\n", "MANIFEST-../x 0 0 0\n",
      "MANIFEST-000000000001 ffffffffffffffffff 0 0\n", String(repeating: "9", count: 4_000),
    ]
    for line in lines {
      try sample.exercise("CURRENT is \(line.prefix(20))") {
        try $0.replaceContents(of: "state/CURRENT", with: Array(line.utf8))
      }
    }
  }

  @Test("two openers: the second is refused, and let in when the first is gone")
  func secondOpener() throws {
    let memory = MemoryFileSystem()
    let first = try StateStore.open(at: "/state", fileSystem: memory)
    do {
      _ = try StateStore.open(at: "/state", fileSystem: memory)
      Issue.record("two openers at once")
    } catch {
      guard case .locked = error.code else { throw error }
    }
    try first.close()
    try StateStore.open(at: "/state", fileSystem: memory).close()
    memory.isReadOnly = true
    #expect(throws: StoreError.self) { try StateStore.open(at: "/state", fileSystem: memory) }
    memory.isReadOnly = false
    try memory.removeFile(at: "state/LOCK")
    try memory.makeSymbolicLink(at: "state/LOCK")
    #expect(throws: StoreError.self) { try StateStore.open(at: "/state", fileSystem: memory) }
  }
}
