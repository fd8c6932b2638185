import Foundation
import SedimentMicro
import Testing

@Suite("Micro cases")
struct MicroCaseTests {
  @Test(
    "a round answers right, whatever the number of items",
    arguments: MicroCase.all.map(\.name), [1, 7, 5_000])
  func roundsAnswerRight(_ name: String, items: Int) throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "sediment-\(UUID())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let micro = try #require(MicroCase.all.first { $0.name == name })
    let round = try micro.prepare(items: items, in: directory.path)
    try round()
    try FileManager.default.removeItem(at: directory)
  }

  @Test("no two cases have one name")
  func namesAreUnique() {
    #expect(Set(MicroCase.all.map(\.name)).count == MicroCase.all.count)
  }

  @Test("every case has a threshold, and every threshold a case")
  func thresholdsAreComplete() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let file = root.appending(path: "Benchmarks/Thresholds/micro.txt")
    let names = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
      .filter { !$0.hasPrefix("#") }.compactMap { $0.split(separator: " ").first }
    #expect(names.map(String.init).sorted() == MicroCase.all.map(\.name).sorted())
  }
}
