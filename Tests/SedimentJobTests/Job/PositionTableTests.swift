import SedimentJob
import Testing

@Suite("Position table")
struct PositionTableTests {
  @Test func positionsComeOutInTheOrderOfTheirBeginnings() throws {
    var table = PositionTable([])
    #expect(table.all.isEmpty)
    for path in ["b", "a", "c"] { table.set(try makePosition(path)) }
    table.set(try makePosition("b", offset: 90, line: 7))
    #expect(table.all.map(\.path) == ["b", "a", "c"])
    #expect(table.all[0].offset == 90 && table.all[0].line == 7)
    #expect(PositionTable(table.all).all == table.all)
  }

  @Test func aForgottenPathBeginsAgainAtTheEnd() throws {
    var table = PositionTable(try ["a", "b"].map { try makePosition($0) })
    table.remove("a")
    table.remove("not there")
    #expect(table.all.map(\.path) == ["b"])
    table.set(try makePosition("a", offset: 1))
    #expect(table.all.map(\.path) == ["b", "a"])
  }

  @Test func beyondTheMostTheOldestQuarterIsForgotten() throws {
    let most = JobMetadata.positionsMax
    var table = PositionTable([])
    for number in 0..<most { table.set(try makePosition("\(number)")) }
    #expect(table.all.count == most)
    table.set(try makePosition("0", offset: 5))
    #expect(table.all.count == most, "one that is known takes no place")
    table.set(try makePosition("\(most)"))
    let all = table.all
    #expect(all.count == most - most / 4 + 1)
    #expect(all.first?.path == "\(most / 4)")
    #expect(all.last?.path == "\(most)")
    table.set(try makePosition("after"))
    #expect(table.all.last?.path == "after")
  }
}
