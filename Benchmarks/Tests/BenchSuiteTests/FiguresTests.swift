import BenchSuite
import Testing

@Suite struct TextTests {
  @Test func sharesAreThousandthsRoundedUp() {
    #expect(parseThousandths("0.2") == 200)
    #expect(parseThousandths("0.07") == 70)
    #expect(parseThousandths("0.0001") == 1)
    #expect(parseThousandths("0") == 0)
    #expect(parseThousandths("1") == 1000)
    #expect(parseThousandths("1.1") == nil)
    #expect(parseThousandths("-0.1") == nil)
  }

  @Test func sizesHaveUnits() {
    #expect(parseSize("4GiB") == 4 << 30)
    #expect(parseSize("512MiB") == 512 << 20)
    #expect(parseSize("1_000") == 1000)
    #expect(parseSize("9223372036854775807GiB") == nil)
    #expect(parseSize("GiB") == nil)
  }

  @Test func numbersHaveTheirDecimals() {
    #expect(decimal(1.005, digits: 0) == "1")
    #expect(decimal(0.05, digits: 2) == "0.05")
    #expect(decimal(-1.5, digits: 1) == "-1.5")
    #expect(decimal(.nan, digits: 1) == "0")
    #expect(grouped(1_234_567) == "1,234,567")
    #expect(inBytes(3 << 29) == "1.5 GiB")
    #expect(inBytes(2 << 30) == "2 GiB")
    #expect(withoutTrailingZeros("100") == "100")
  }

  @Test func theMiddleOfTwoIsTheirMean() {
    #expect(middle(of: [4, 1, 3]) == 3)
    #expect(middle(of: [4, 1]) == 2.5)
    #expect(middle(of: []) == nil)
  }
}

@Suite struct CourseTests {
  private let course = [
    CoursePoint(seconds: 1, events: 100, accepted: 80),
    CoursePoint(seconds: 3, events: 200, accepted: 140),
    CoursePoint(seconds: 4, events: 200, accepted: 140),
  ]

  @Test func timesBetweenPointsAreInProportion() {
    #expect(course.seconds(at: 50) == 0.5)
    #expect(course.seconds(at: 150) == 2)
    #expect(course.seconds(at: 200) == 3)
    #expect(course.accepted(at: 150) == 110)
  }

  @Test func speedIsEventsOverTime() {
    #expect(course.speed(from: 100, to: 200) == 50)
    #expect(course.speed(from: 200, to: 200) == nil)
  }

  @Test func theFlushAtTheEndIsLeftOut() {
    #expect(course.whileDeciding.map(\.seconds) == [1, 3])
  }
}

@Suite struct ScaleTests {
  @Test func anAxisFromZeroEndsWithATick() {
    let scale = Scale(0, 930, isLogarithmic: false, fits: false)
    #expect(scale.ticks == [0, 200, 400, 600, 800, 1000])
    #expect(scale.share(500) == 0.5)
  }

  @Test func logarithmicTicksEncloseTheData() {
    let scale = Scale(30, 4000, isLogarithmic: true, fits: false)
    #expect(scale.ticks == [30, 100, 300, 1000, 3000, 10000])
    #expect(abs(scale.share(10_000) - 1) < 1e-9)
  }

  @Test func bytesHaveStepsOfPowersOfTwo() {
    let scale = Scale(0, 300e6, isLogarithmic: false, isBinary: true, fits: false)
    #expect(scale.ticks.allSatisfy { $0 == 0 || Int($0) % (1 << 26) == 0 })
  }
}
