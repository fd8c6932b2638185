import SedimentStore
import Testing

@Suite struct FigureTests {
  @Test func countsAreGrouped() {
    #expect(Figure.count(0 as UInt64) == "0")
    #expect(Figure.count(999 as UInt64) == "999")
    #expect(Figure.count(8_354_194 as UInt64) == "8,354,194")
    #expect(Figure.count(UInt64.max) == "18,446,744,073,709,551,615")
    #expect(Figure.count(1, of: "table") == "1 table" && Figure.count(2, of: "table") == "2 tables")
  }

  @Test func sizesHaveOneDigitBehindThePoint() {
    #expect(Figure.bytes(1023) == "1023 B")
    #expect(Figure.bytes(1536) == "1.5 KiB")
    #expect(Figure.bytes((1 << 20) - 1) == "1.0 MiB")
    #expect(Figure.bytes(.max) == "16.0 EiB")
  }

  @Test func timesAreISO8601() {
    #expect(Figure.time(0) == "1970-01-01T00:00:00.000Z")
    #expect(Figure.time(1_700_000_000_123) == "2023-11-14T22:13:20.123Z")
    #expect(Figure.time(951_782_400_000) == "2000-02-29T00:00:00.000Z")
    #expect(Figure.time(-1) == "1969-12-31T23:59:59.999Z")
    #expect(Figure.time(-62_167_219_200_000) == "0000-01-01T00:00:00.000Z")
    #expect(Figure.time(253_402_300_799_999) == "9999-12-31T23:59:59.999Z")
    #expect(Figure.time(.max) == "9223372036854775807 ms")
    #expect(Figure.time(.min) == "-9223372036854775808 ms")
  }

  @Test func durationsNameTheirUnits() {
    #expect(Figure.duration(604_800_000) == "7d")
    #expect(Figure.duration(129_600_001) == "1d12h1ms")
    #expect(Figure.duration(0) == "0ms")
  }

  @Test func chancesHaveTwoDigits() {
    #expect(Figure.chance(1e20 * 0x1p-129) == "1.5e-19")
    #expect(Figure.chance(0.0999) == "1.0e-1")
    #expect(Figure.chance(0) == "0")
    #expect(Figure.percent(0.00412) == "0.41 %")
  }
}
