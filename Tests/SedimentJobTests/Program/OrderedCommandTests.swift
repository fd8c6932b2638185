import Foundation
import SedimentStore
import Testing

/// The tool on a state with an ordered keyspace.
@Suite final class OrderedCommandTests {
  private let program: Program

  init() throws {
    program = try Program()
    let store = try open()
    let words = try store.orderedKeyspace("words")
    for round in 0..<3 {
      for word in ["sand", "stone", "stream"] {
        try words.put(Array(word.utf8), Array("\(word) \(round)".utf8))
      }
      if round < 2 { try store.flush() }
    }
    try words.put([0, 255], [])
    try store.close()
  }

  private func open() throws -> StateStore {
    try StateStore.open(
      at: program.url("state").path, options: StoreOptions(memoryBudget: 8 << 20))
  }

  @Test func aKeyIsLookedUpBesideTheWriter() throws {
    let store = try open()
    try #require(store.orderedKeyspace(named: "words")).put(Array("sand".utf8), [1])
    let found = try program.run("get", "state", "sand")
    #expect(found.status == 0 && found.output.contains("value    0x01"), "\(found.talk)")
    let hex = try program.run("get", "state", "--hex", "00ff", "--explain")
    #expect(hex.status == 0 && hex.output.contains("Key 0x00ff"), "\(hex.talk)")
    #expect(hex.output.contains("level 0: outside its keys, nothing read"))
    let absent = try program.run("get", "state", "reed", "--json")
    #expect(absent.status == 0 && absent.output.contains("\"found\": false"))
    let wrong = try program.run("get", "state", "--hex", "0g")
    #expect(wrong.status == 2 && wrong.talk.contains("hexadecimal"))
    let missing = try program.run("get", "state", "--keyspace", "w", "a")
    #expect(missing.status == 1 && missing.talk.contains("no keyspace w, only words"))
    try store.close()
  }

  @Test func entriesAreScanned() throws {
    let all = try program.run("scan", "state")
    #expect(all.status == 0, "\(all.talk)")
    #expect(
      all.output == """
        0x00ff  ""
        "sand"  "sand 2"
        "stone"  "stone 2"
        "stream"  "stream 2"

        """)
    let some = try program.run(
      "scan", "state", "--keyspace", "words", "--prefix", "st", "--reverse", "--limit", "1",
      "--json")
    #expect(some.output == "{\"key\": \"stream\", \"value\": \"stream 2\"}\n")
    let bounded = try program.run("scan", "state", "--hex", "--from", "01", "--to", "73747a")
    #expect(bounded.output.split(separator: "\n").count == 3, "\(bounded.output)")
    let wrong = try program.run("scan", "state", "--prefix", "a", "--to", "b")
    #expect(wrong.status == 2 && wrong.talk.contains("--prefix stands alone"))
    let small = try program.run("scan", "state", "--memory", "1")
    #expect(small.status == 1 && small.talk.contains("give a memory budget of"))
  }

  @Test func compactLeavesOneLevelAndAnEmptyLog() throws {
    let outcome = try program.run("compact", "state")
    #expect(outcome.status == 0, "\(outcome.talk)")
    #expect(outcome.output.contains("before: ") && outcome.output.contains("2 tables, 6 entries"))
    #expect(outcome.output.contains("1 table, 4 entries"), "\(outcome.output)")
    let explained = try program.run("get", "state", "stone", "--explain")
    #expect(explained.output.contains("value    \"stone 2\""))
    #expect(!explained.output.contains(".log"), "\(explained.output)")
    #expect(try program.run("verify", "state").status == 0)
  }

  @Test func repairSavesWhatIsWholeAndNamesTheRest() throws {
    let whole = try program.run("repair", "state", "--to", "copy")
    #expect(whole.status == 0 && whole.output.contains("Nothing is lost."), "\(whole.talk)")
    #expect(try program.run("scan", "copy").output == program.run("scan", "state").output)
    let tables = try FileManager.default.contentsOfDirectory(atPath: program.url("state").path)
      .filter { $0.hasSuffix(".sst") }.sorted()
    let table = try #require(tables.first)
    var bytes = try Data(contentsOf: program.url("state/" + table))
    bytes[20] ^= 1
    try program.write(bytes, to: "state/" + table)
    let taken = try program.run("repair", "state", "--to", "copy")
    #expect(taken.status == 1 && taken.talk.contains("copy is not empty"))
    let partial = try program.run("repair", "state", "--to", "saved")
    #expect(partial.status == 1 && partial.output.contains(table), "\(partial.talk)")
    #expect(partial.output.contains("lost: 3 entries"), "\(partial.output)")
    #expect(try program.run("verify", "saved").status == 0)
    #expect(try program.run("scan", "saved").output.contains("\"stone 2\""))
  }
}
