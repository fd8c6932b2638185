import SedimentIO
import SedimentInspection
import SedimentStore
import SedimentTestKit
import Testing

/// What is shown of an ordered keyspace: one key, and entries in order.
@Suite("Keys of ordered keyspaces")
struct OrderedKeyReportTests {
  private let disk = MemoryFileSystem()
  private let clock = ManualClock(millis: 1_000)

  /// A state whose keyspace has keys in the log, in level 0 and in the last level.
  private func makeState() throws {
    let store = try StateStore.open(
      at: "/state", options: StoreOptions(memoryBudget: 16 << 20, clock: clock),
      seed: HashSeed(first: 1, second: 2), fileSystem: disk)
    let words = try store.orderedKeyspace("words")
    for word in ["sand", "stone", "stream"] { try words.put(Array(word.utf8), Array("old".utf8)) }
    try store.flush()
    try words.put([0, 255], [1])
    try store.flush()
    // One table alone would be moved as it is.
    try store.compact()
    try words.put(Array("stone".utf8), Array("a \"hard\" thing".utf8))
    try words.put(Array("stream".utf8), [7], timeToLive: .milliseconds(500))
    try store.flush()
    try words.remove(Array("sand".utf8))
    try store.close()
  }

  private func report(_ key: String) throws -> OrderedKeyReport {
    try OrderedKeyReport(of: Array(key.utf8), at: "/state", clock: clock, fileSystem: disk)
  }

  /// The names of the tables, level by level.
  private func tables() throws -> [String] {
    try ReadOnlyStore.open(at: "/state", fileSystem: disk).state.orderedTables
      .map(\.number.tableName)
  }

  @Test func aValueIsShownWithItsPlace() throws {
    try makeState()
    let report = try report("stone")
    let tables = try tables()
    #expect(tables.count == 2)
    #expect(
      report.text(explains: false) == """
        Key "stone" in ordered keyspace words
          value    "a \\"hard\\" thing"
          written  by write 5, in \(tables[0])
          expires  never

        """)
    let text = report.text(explains: true)
    for line in [
      "  \(tables[0]), level 0: read block 0 of 1\n    write 5: put of 14 bytes\n",
      "  \(tables[1]), level 6: read block 0 of 1\n    oldest write: put of 3 bytes\n",
      ".log, log: read to its end\n",
    ] {
      #expect(text.contains(line), "\(line) in \(text)")
    }
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 80 }, "\(text)")
  }

  @Test func whatIsNotThereIsAnAnswer() throws {
    try makeState()
    #expect(try report("sand").text(explains: false).contains("removed by write 7, in "))
    #expect(try report("reed").text(explains: false).hasSuffix("words\n  not found\n"))
    #expect(try report("reed").finding == .absent)
    let outside = try report("zebra").text(explains: true)
    #expect(outside.contains("level 0: outside its keys, nothing read\n"))
    #expect(outside.contains("  level 6: outside its keys, nothing read\n"))
  }

  @Test func whatHasExpiredIsSaidToBe() throws {
    try makeState()
    #expect(try report("stream").text(explains: false).contains("value    0x07\n"))
    clock.advance(byMillis: 500)
    let text = try report("stream").text(explains: false)
    #expect(text.contains("  expired\n") && text.contains("expires    1970-01-01T00:00:01.500Z"))
  }

  @Test func programsAreToldTheSame() throws {
    try makeState()
    let value = try report("stone").json(explains: true)
    guard case .object(let members) = value else { throw StoreError(.closed, "no object") }
    for member in [
      JSONValue.Member("key", "stone"), .init("found", true), .init("state", "value"),
      .init("sequence", .unsigned(5)), .init("value", "a \"hard\" thing"),
    ] {
      #expect(members.contains(member), "\(member.name)")
    }
    #expect(value.text.contains("\"outcome\": \"read\""))
    let removed = try report("sand").json(explains: false)
    #expect(removed.line.contains("\"found\": false, \"state\": \"removed\""))
    #expect(!removed.line.contains("\"lookup\"") && !removed.line.contains("\n"))
  }

  @Test func entriesAreScannedInBothDirections() throws {
    try makeState()
    let scan = try EntryScan(at: "/state", clock: clock, fileSystem: disk)
    func lines(
      _ range: EntryScan.Range = .init(), goingBack: Bool = false, limit: Int = .max
    ) throws -> [String] {
      var lines: [String] = []
      try scan.run(range, goingBack: goingBack, limit: limit) { lines.append($0.text) }
      return lines
    }
    let all = ["0x00ff  0x01", "\"stone\"  \"a \\\"hard\\\" thing\"", "\"stream\"  0x07"]
    #expect(try lines() == all)
    #expect(try lines(goingBack: true) == all.reversed())
    #expect(try lines(limit: 1) == [all[0]])
    #expect(try lines(limit: 0).isEmpty)
    var range = EntryScan.Range()
    range.prefix = Array("str".utf8)
    #expect(try lines(range) == [all[2]])
    range.prefix = nil
    range.lower = Array("s".utf8)
    range.upper = Array("stp".utf8)
    #expect(try lines(range, goingBack: true) == [all[1]])
    var json: [String] = []
    try scan.run(limit: 1) { json.append($0.json.line) }
    #expect(json == ["{\"key_hex\": \"00ff\", \"value\": \"\\u0001\"}"])
  }

  @Test func keyspacesOfTheOtherKindAreNamedAsSuch() throws {
    try makeState()
    let store = try StateStore.open(at: "/state", fileSystem: disk)
    _ = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    try store.close()
    func message(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return ""
    }
    let hashed = message {
      _ = try EntryScan(in: "seen", at: "/state", fileSystem: disk)
    }
    #expect(hashed.contains("keyspace seen is a hashed one"))
    let ordered = message {
      _ = try KeyReport(of: [1], in: "words", at: "/state", fileSystem: disk)
    }
    #expect(ordered.contains("keyspace words is an ordered one"))
    let unnamed = message { _ = try EntryScan(at: "/state", fileSystem: disk) }
    #expect(unnamed.contains("several keyspaces: name one of words, seen"))
    let missing = message { _ = try EntryScan(in: "w", at: "/state", fileSystem: disk) }
    #expect(missing.contains("no keyspace w, only words, seen"))
  }

  @Test(arguments: ["", "00", "0x00ff", "ABcd"])
  func hexadecimalDigitsAreRead(text: String) throws {
    let bytes = try #require(ByteText.bytes(hexadecimal: text))
    let digits = text.hasPrefix("0x") ? String(text.dropFirst(2)) : text
    #expect(ByteText.hexadecimal(bytes) == digits.lowercased())
  }

  @Test(arguments: ["0", "0g", "+1", "0x0", "é"])
  func otherTextIsNoHexadecimal(text: String) {
    #expect(ByteText.bytes(hexadecimal: text) == nil)
  }

  @Test func onlyPrintableTextIsShownAsText() {
    #expect(ByteText.shown(Array("é \u{4E2D}".utf8)) == "\"é \u{4E2D}\"")
    #expect(ByteText.shown([]) == "\"\"")
    for bytes in [Array("a\nb".utf8), [0xC3], Array("\u{202E}".utf8)] as [[UInt8]] {
      #expect(ByteText.shown(bytes) == "0x" + ByteText.hexadecimal(bytes))
    }
  }
}
