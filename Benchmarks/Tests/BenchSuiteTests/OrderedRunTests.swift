import BenchSuite
import Foundation
import Testing

@Suite struct OrderedRunTests {
  private static let workloads = WorkloadName.allCases.filter(\.isOrdered)

  @Test(arguments: workloads)
  func everyOperationFindsWhatIsThere(workload: WorkloadName) throws {
    let directory = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var request = RunRequest(
      .sediment, workload, events: 3_000, directory: directory + "/run", threads: 2)
    request.memory = 32 << 20
    request.lookups = 1_000
    let record = try EngineRun(request: request).run()
    let figures = record.figures
    #expect(figures.accepted == (workload == .readmissing ? 0 : figures.events))
    switch workload {
    case .fillseq, .fillrandom, .fillsync, .overwrite, .scan, .scanreverse:
      #expect(figures.events == 3_000)
    default: #expect(figures.events >= 1_000 && figures.events < 1_200)
    }
  }

  @Test func aShuffleIsABijection() {
    for bound in [1, 2, 3, 1_000, 4_096, 5_000] as [UInt64] {
      let shuffle = Shuffle(bound)
      let places = Set((0..<bound).map { shuffle.place($0) })
      #expect(places.count == Int(bound) && places.allSatisfy { $0 < bound })
    }
  }

  @Test func ranksAreDrawnAsZipfSays() {
    let count: UInt64 = 10_000
    let zipf = Zipf(count)
    var hits = [Int](repeating: 0, count: Int(count))
    let draws = 200_000
    for draw in 0..<draws {
      let rank = zipf.rank(UInt64(draw) &* (UInt64.max / UInt64(draws)))
      #expect(rank < count)
      hits[Int(min(rank, count - 1))] += 1
    }
    // The first has 1 of the sum of 1/i^0.99, the tenth 10^0.99 times less.
    let sum = (1...count).reduce(0) { $0 + 1 / pow(Double($1), 0.99) }
    #expect(abs(Double(hits[0]) / Double(draws) * sum - 1) < 0.02)
    #expect(abs(Double(hits[9]) / Double(hits[0]) * pow(10, 0.99) - 1) < 0.2)
  }
}
