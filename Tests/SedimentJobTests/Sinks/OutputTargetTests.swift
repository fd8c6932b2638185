import SedimentJob
import Testing

@Suite struct OutputTargetTests {
  @Test(arguments: [
    ("-", OutputTarget.standardOutput), ("out/", .directory("out/")), ("out", .directory("out")),
    ("a.b/out", .directory("a.b/out")), ("out.ndjson", .file("out.ndjson")),
    ("a/b.csv", .file("a/b.csv")), ("dir.d", .directory("dir.d")), (".out", .directory(".out")),
    ("out.", .directory("out.")), ("/x.y", .file("/x.y")), ("o.csv/", .directory("o.csv/")),
  ])
  func aWordNamesOneKindOfOutput(word: String, target: OutputTarget) {
    #expect(OutputTarget(word, isDirectory: { $0 == "dir.d" }) == target)
  }

  @Test func anEmptyWordIsNoOutput() {
    #expect(OutputTarget("", isDirectory: { _ in false }) == nil)
  }

  @Test func pathsSplitAtTheirLastSlash() {
    #expect(OutputTarget.split("a.csv") == (".", "a.csv"))
    #expect(OutputTarget.split("/a.csv") == ("/", "a.csv"))
    #expect(OutputTarget.split("x/y/a.csv") == ("x/y", "a.csv"))
  }

  @Test(arguments: [
    "part-1-1.ndjson", "part-000000000001-1", "part-000000000001-01.csv",
    "part-0000000000012-1.csv",
    "part-+00000000001-1.csv", "part-000000000001-1-1.csv", "part-000000000001-1..csv", "part-.csv",
  ])
  func namesThatOnlyLookLikePartsAreNone(name: String) {
    #expect(PartName(final: name) == nil)
    #expect(PartName(temporary: ".\(name).tmp") == nil)
  }
}
