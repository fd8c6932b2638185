// Where a hash falls in a blocked Bloom filter.
//
// The planned hash range [rangeLow, rangeHigh] is divided evenly among the planned lines, in order:
// `line(high)` never decreases. So a prefix of the lines serves a prefix of the range, a filter can
// be built in one pass over sorted hashes without knowing where the table will end, and it can be
// loaded in part.
//
//   quantum = (high - rangeLow) >> shift       32 bits, smallest shift for which the range fits
//   line    = (quantum * multiplier) >> 64     multiplier = floor(lines * 2^64 / quanta)
//   bit     = low >> 6·word & 63               in each of the eight 64-bit words of the line
//
// With x keys in a line, a key that is absent finds all its bits set with chance
// (1 - (63/64)^x)^8; x is a Poisson variable around keys / lines.

/// The parameters of a blocked Bloom filter.
package struct BlockedBloomLayout: Hashable, Sendable {
  /// Bytes of a line: one cache line, eight words.
  package static let lineBytes = 64
  /// Bits set for each key, one in each word of its line.
  package static let bitsPerProbe = 8
  /// Most lines: the image stays within `FilterGeometry.imageBytesMax`.
  package static let linesMax: UInt32 = 1 << 27

  /// Smallest `KeyHash.high` of the planned range.
  package let rangeLow: UInt64
  /// Largest `KeyHash.high` of the planned range.
  package let rangeHigh: UInt64
  /// Lines among which the planned range is divided; at least 1.
  package let plannedLines: UInt32
  /// Lines in the image: the planned ones, less those behind the last that a key fell in.
  package let storedLines: UInt32

  /// Takes parameters that are known to be valid.
  init(rangeLow: UInt64, rangeHigh: UInt64, plannedLines: UInt32, storedLines: UInt32) {
    self.rangeLow = rangeLow
    self.rangeHigh = rangeHigh
    self.plannedLines = plannedLines
    self.storedLines = storedLines
  }

  /// Takes parameters from disk.
  init(
    validatingRange low: UInt64, _ high: UInt64, plannedLines: UInt32, storedLines: UInt32
  ) throws(CodingError) {
    guard low <= high else { throw .invalid("filter range ends before it begins") }
    guard plannedLines >= 1 && plannedLines <= BlockedBloomLayout.linesMax else {
      throw .invalid("blocked Bloom filter planned with \(plannedLines) lines")
    }
    guard storedLines <= plannedLines else {
      throw .invalid("blocked Bloom filter with \(storedLines) of \(plannedLines) lines")
    }
    self.init(
      rangeLow: low, rangeHigh: high, plannedLines: plannedLines, storedLines: storedLines)
  }

  /// Bytes of the image.
  package var imageBytes: Int { Int(storedLines) * BlockedBloomLayout.lineBytes }

  /// The numbers a probe computes with.
  var mapping: LineMapping {
    let span = rangeHigh - rangeLow
    let shift = UInt64(max(0, 32 - span.leadingZeroBitCount))
    let quanta = (span >> shift) + 1
    // With more lines than quanta, each quantum has a line of its own.
    let multiplier =
      UInt64(plannedLines) < quanta
      ? quanta.dividingFullWidth((high: UInt64(plannedLines), low: 0)).quotient : .max
    return LineMapping(rangeLow: rangeLow, shift: shift, multiplier: multiplier)
  }
}

/// Maps `KeyHash.high` to a line; see the head of this file.
struct LineMapping: BitwiseCopyable, Sendable {
  let rangeLow: UInt64
  let shift: UInt64
  let multiplier: UInt64

  /// The line of `high`; for one outside the planned range, any number.
  @inline(__always)
  func line(_ high: UInt64) -> UInt64 {
    let quantum = (high &- rangeLow) &>> shift
    return quantum.multipliedFullWidth(by: multiplier).high
  }
}
