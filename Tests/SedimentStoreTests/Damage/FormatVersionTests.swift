import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Files that a newer build wrote: they are refused, by name and version, and left as they are.
@Suite("Unknown versions of formats")
struct FormatVersionTests {
  private static let sample = Result { try DamageSample(.closed) }

  @Test("a record log of an unknown version is refused", arguments: SampleScript.Place.allCases)
  func recordLogs(place: SampleScript.Place) throws {
    let files = try Self.sample.get().files(of: place).filter {
      $0.hasSuffix(".log") || $0.hasSuffix(".checkpoint") || $0.contains("MANIFEST-")
    }
    #expect(files.count >= 4)
    for file in files {
      try Self.check(place, file, version: 3) { bytes in
        Self.put(3, width: 4, at: 8, of: &bytes)
        let fileID = Self.word(bytes, at: 16)
        let sum = Checksum.of(
          Array(bytes.prefix(24)), seed: Checksum.seed(fileID: fileID, place: 0))
        Self.put(sum, width: 8, at: 24, of: &bytes)
      }
    }
  }

  @Test("a table of an unknown version is refused", arguments: SampleScript.Place.allCases)
  func tables(place: SampleScript.Place) throws {
    let sample = try Self.sample.get()
    let state = try ReadOnlyStore.open(
      at: "/" + (DamageSample.paths[place] ?? ""), fileSystem: sample.disk.clone()
    ).state
    let files = sample.files(of: place).filter { $0.hasSuffix(".sst") }
    #expect(files.count == state.tables.count && !files.isEmpty)
    for table in state.tables.values {
      let file = try #require(files.first { $0.contains(table.number.digits) })
      try Self.check(place, file, version: 9) { bytes in
        let footer = bytes.count - 4096
        Self.put(9, width: 4, at: footer + 16, of: &bytes)
        let sum = Checksum.of(
          Array(bytes[(footer + 8)...]),
          seed: Checksum.seed(fileID: table.fileID, place: 1 << 32))
        Self.put(sum, width: 8, at: footer, of: &bytes)
      }
    }
  }

  @Test("a manifest's record of an unknown version is refused")
  func manifestPayload() throws {
    let sample = try Self.sample.get()
    let file = try #require(sample.files(of: .state).first { $0.contains("MANIFEST-") })
    // The first record is a snapshot, the second an acknowledgement, the third an edit.
    let first = RecordLogFormat.headerBytes
    let length = Int(Self.word(try sample.disk.contents(of: file), at: first + 8) & 0xFFFF_FFFF)
    let third = first + (16 + length + 7) / 8 * 8 + 16
    for record in [first, third] {
      try Self.check(.state, file, version: 7, supported: 5) { bytes in
        bytes[record + 16] = 7
        Self.sumRecord(at: record, of: &bytes)
      }
    }
  }

  @Test(
    "a checkpoint's record of an unknown version is refused", arguments: [0, 9],
    [SampleScript.Place.checkpoint, .savepoint])
  func checkpointPayload(field: Int, place: SampleScript.Place) throws {
    let sample = try Self.sample.get()
    let file = try #require(sample.files(of: place).first { $0.hasSuffix(".checkpoint") })
    // The state's version stands behind the checkpoint's own and the time.
    try Self.check(place, file, version: 6, supported: field == 0 ? 1 : 5) { bytes in
      let record = RecordLogFormat.headerBytes
      bytes[record + 16 + field] = 6
      Self.sumRecord(at: record, of: &bytes)
    }
  }

  @Test("CURRENT, which has no version, is refused when it says more than this build knows")
  func current() throws {
    let disk = try Self.sample.get().disk.clone()
    var words = String(decoding: try disk.contents(of: "state/CURRENT"), as: UTF8.self)
    words.insert(contentsOf: " 2", at: words.index(before: words.endIndex))
    try disk.replaceContents(of: "state/CURRENT", with: Array(words.utf8))
    let before = try Self.files(of: disk)
    let error = #expect(throws: StoreError.self) {
      try StateStore.open(at: "/state", options: SampleScript.options(), fileSystem: disk)
    }
    #expect(error?.code == .corrupted && error?.message.contains("CURRENT") == true)
    #expect(try Self.files(of: disk) == before)
  }

  /// Notes a file's new content among the savepoint's sums, as a newer version would have done.
  private static func list(
    _ bytes: [UInt8], as file: String, replacing old: [UInt8], in disk: MemoryFileSystem
  ) throws {
    let root = DamageSample.paths[.savepoint] ?? ""
    let sums = "\(root)/SHA256SUMS"
    let lines = String(decoding: try disk.contents(of: sums), as: UTF8.self)
    let before = SHA256.digest(of: old).hexadecimal
    let after = SHA256.digest(of: bytes).hexadecimal
    let changed = lines.split(separator: "\n").map { line in
      line.hasPrefix(before) ? after + line.dropFirst(before.count) : String(line)
    }
    try #require(changed.joined().contains(after), "\(file) is listed")
    try disk.replaceContents(of: sums, with: Array((changed.joined(separator: "\n") + "\n").utf8))
  }

  /// Changes a file and shows that the place is refused for it, and nothing is touched.
  private static func check(
    _ place: SampleScript.Place, _ file: String, version: UInt64, supported: UInt64 = 1,
    _ change: (inout [UInt8]) throws -> Void
  ) throws {
    let disk = try sample.get().disk.clone()
    var bytes = try disk.contents(of: file)
    try change(&bytes)
    if place == .savepoint {
      try list(bytes, as: file, replacing: disk.contents(of: file), in: disk)
    }
    try disk.replaceContents(of: file, with: bytes)
    let before = try files(of: disk)
    let path = "/" + (DamageSample.paths[place] ?? "")
    let isRestored = place != .state
    let error = #expect(throws: StoreError.self, "\(file)") {
      if isRestored {
        try StateStore.restore(
          checkpoint: CheckpointReference(path: path, inNewestOf: disk), to: "/restored",
          fileSystem: disk)
      }
      let store = try StateStore.open(
        at: isRestored ? "/restored" : path, options: SampleScript.options(), fileSystem: disk)
      try store.close()
    }
    #expect(error?.code == .unsupportedFormat, "\(file): \(error as Any)")
    let cause = error?.cause as? UnsupportedFormat
    #expect(cause?.version == version && cause?.supported == supported)
    let name = try #require(file.split(separator: "/").last)
    // A restored table or log is named as it is in the restored state.
    #expect(cause.map { name.hasPrefix($0.file.prefix(12)) } == true, "\(cause as Any)")
    for word in ["version \(version)", "up to \(supported)"] {
      #expect(error?.message.contains(word) == true, "\(error as Any)")
    }
    let after = try files(of: disk)
    #expect(before.allSatisfy { after[$0.key] == $0.value }, "\(file): something has changed")
    #expect(after.keys.allSatisfy { before[$0] != nil || $0.hasPrefix("restored/") })
  }

  private static func files(of disk: MemoryFileSystem) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for path in disk.files() where !path.hasSuffix("/LOCK") {
      files[path] = try disk.contents(of: path)
    }
    return files
  }

  // MARK: - Bytes

  private static func word(_ bytes: [UInt8], at offset: Int) -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
  }

  private static func put(
    _ value: UInt64, width: Int, at offset: Int, of bytes: inout [UInt8]
  ) {
    for index in 0..<width {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
    }
  }

  /// Writes the checksum that a record must have to be taken for whole.
  private static func sumRecord(at record: Int, of bytes: inout [UInt8]) {
    let length = Int(word(bytes, at: record + 8) & 0xFFFF_FFFF)
    let seed = Checksum.seed(fileID: word(bytes, at: 16), place: UInt64(record))
    let sum = Checksum.of(Array(bytes[(record + 8)..<(record + 16 + length)]), seed: seed)
    put(sum, width: 8, at: record, of: &bytes)
  }
}

extension CheckpointReference {
  /// The only checkpoint of a directory, by its name: so that nothing asks which is the newest.
  fileprivate init(path: String, inNewestOf disk: MemoryFileSystem) {
    let prefix = path.dropFirst() + "/"
    let file = disk.files().first { $0.hasPrefix(prefix) && $0.hasSuffix(".checkpoint") }
    self.init(path: "/" + (file ?? String(path.dropFirst())))
  }
}
