import Foundation
import SedimentJob
import Testing

/// Inputs that were made up to cost memory or time.
@Suite final class CraftedInputTests {
  private let program: Program

  init() throws {
    program = try Program()
  }

  private func gzip(_ name: String) throws {
    let zip = Process()
    zip.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    zip.arguments = ["gzip", program.url(name).path]
    try zip.run()
    zip.waitUntilExit()
    try #require(zip.terminationStatus == 0)
  }

  /// Runs the job in 8 MiB on one thread; what it counted.
  private func dedup(_ arguments: String...) throws -> [String: Any] {
    let outcome = try program.run(
      ["dedup"] + arguments + [
        "--ttl", "forever", "--state", "state", "--summary", "summary.json", "--memory", "8MiB",
        "--parallelism", "1", "--rejects", "bad.ndjson",
      ])
    #expect(outcome.status == 0, "\(outcome.talk)")
    let summary = try JSONSerialization.jsonObject(
      with: Data(contentsOf: program.url("summary.json")))
    return try #require(summary as? [String: Any])
  }

  /// Far less than what comes out of the bomb: line buffers of 16 MiB and what the process needs.
  private static let residentBytesMax = 200 << 20

  /// Members of 1 MiB in 1 KiB each, one behind the other.
  private func writeBomb(_ content: String, to name: String) throws {
    try program.write(content, to: "member")
    try gzip("member")
    let member = try Data(contentsOf: program.url("member.gz"))
    #expect(member.count < content.utf8.count / 200)
    try program.write(Data((0..<512).flatMap { _ in member }), to: name)
  }

  @Test func aBombOfOneLineIsOneReject() throws {
    try writeBomb(String(repeating: " ", count: 1 << 20), to: "bomb.gz")
    let summary = try dedup("bomb.gz", "--format", "lines")
    #expect(summary["events"] as? Int == 1 && summary["rejected"] as? Int == 1)
    #expect(try #require(summary["peak_rss_bytes"] as? Int) < Self.residentBytesMax)
    #expect(try program.text(of: "bad.ndjson").utf8.count < 4096)
  }

  @Test func aBombOfShortRecordsIsReadInPieces() throws {
    let record = "{\"k\":1}" + String(repeating: " ", count: 56) + "\n"
    try writeBomb(String(repeating: record, count: 16_384), to: "bomb.ndjson.gz")
    let summary = try dedup("bomb.ndjson.gz", "--key", "k")
    #expect(summary["events"] as? Int == 512 * 16_384 && summary["emitted"] as? Int == 1)
    #expect(try #require(summary["peak_rss_bytes"] as? Int) < Self.residentBytesMax)
  }

  @Test func deepJSONHugeKeysNULAndBadUTF8CostTheirLineOnly() throws {
    let deep = String(repeating: "[", count: 200_000)
    var data = Data("{\"k\":1}\n".utf8)
    data += Data("{\"k\":2,\"n\":\(deep)}\n".utf8)
    data += Data("{\"k\":3,\"n\":\(String(repeating: "[", count: 127))".utf8)
    data += Data("\(String(repeating: "]", count: 127))}\n".utf8)
    data += Data("{\"k\":\"\(String(repeating: "x", count: 70_000))\"}\n".utf8)
    data += Data("{\"k\":\"a\u{0}\"}\n{\"k\":\"".utf8) + Data([0xC3, 0x28]) + Data("\"}\n".utf8)
    data += Data("{\"k\":1e999999999}\n{\"k\":\"\\ud800\"}\n{\"k\":4}\n".utf8)
    data += Data("{\"k\":\(String(repeating: "9", count: 60_000))}\n".utf8)
    data += Data(repeating: 0x78, count: (16 << 20) + 1) + Data("\n{\"k\":1}\n".utf8)
    try program.write(data, to: "in.ndjson")
    let summary = try dedup("in.ndjson", "--key", "k")
    #expect(summary["events"] as? Int == 12)
    #expect(summary["duplicates"] as? Int == 1)
    let reasons = try program.text(of: "bad.ndjson").split(separator: "\n").map { line in
      line.components(separatedBy: "\"reason\":\"")[1].prefix { $0 != "\"" }
    }
    for reason in ["invalidJSON", "keyTooLong", "nulByte", "invalidUTF8", "lineTooLong"] {
      #expect(reasons.contains { $0 == reason }, "\(reasons)")
    }
    #expect(try #require(summary["peak_rss_bytes"] as? Int) < Self.residentBytesMax)
  }

  @Test func aPatternThatBacktracksForEverCostsItsLineOnly() throws {
    let evil = String(repeating: "a", count: 40_000)
    try program.write("ab\n\(evil)!\nab\nb\n", to: "in.log")
    let summary = try dedup("in.log", "--format", "lines", "--key-regex", "^((?:a+)+b|b)$")
    #expect(summary["events"] as? Int == 4 && summary["emitted"] as? Int == 2)
  }
}
