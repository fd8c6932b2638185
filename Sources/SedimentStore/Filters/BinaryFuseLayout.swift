// Where a hash falls in a binary fuse filter (Graf and Lemire, "Binary Fuse Filters: Fast and
// Smaller Than Xor Filters", 2022), and how its cells lie on disk.
//
// The cells are divided into segments of a power of two. A hash has one cell in each of three
// segments that follow each other; a key's fingerprint is the exclusive or of its three cells.
//
// On disk bit p of all cells together is plane p: cell c is bit c & 63 of 64-bit word c >> 6. A
// plane is padded with zeros to 64 bytes, and the planes follow each other. The exclusive or works
// on each bit alone, so any prefix of k planes is a filter of its own with 2^-k false positives.

/// The parameters of a binary fuse filter.
package struct BinaryFuseLayout: Hashable, Sendable {
  /// Most planes, that is bits of a fingerprint.
  package static let planesMax: UInt8 = 16
  /// Longest segment, as in the paper.
  package static let segmentLengthMax: UInt32 = 1 << 18
  /// Most cells: positions are 32-bit numbers.
  package static let cellsMax: UInt64 = 1 << 32

  /// Chosen by the builder so that the cells can be filled.
  package let seed: UInt64
  /// Bits of a fingerprint.
  package let planes: UInt8
  /// Cells in a segment; a power of two.
  package let segmentLength: UInt32
  /// Segments in which a hash's first cell can lie; there are two more.
  package let segmentCount: UInt32

  /// Takes parameters that are known to be valid.
  init(seed: UInt64, planes: UInt8, segmentLength: UInt32, segmentCount: UInt32) {
    self.seed = seed
    self.planes = planes
    self.segmentLength = segmentLength
    self.segmentCount = segmentCount
  }

  /// Takes parameters from disk.
  init(
    validatingSeed seed: UInt64, planes: UInt8, segmentLength: UInt32, segmentCount: UInt32
  ) throws(CodingError) {
    guard planes >= 1 && planes <= BinaryFuseLayout.planesMax else {
      throw .invalid("binary fuse filter with \(planes) planes")
    }
    guard segmentLength.nonzeroBitCount == 1,
      segmentLength <= BinaryFuseLayout.segmentLengthMax
    else { throw .invalid("binary fuse filter with segments of \(segmentLength)") }
    let cells = (UInt64(segmentCount) + 2) * UInt64(segmentLength)
    guard segmentCount >= 1 && cells <= BinaryFuseLayout.cellsMax else {
      throw .invalid("binary fuse filter with \(segmentCount) segments of \(segmentLength)")
    }
    self.init(
      seed: seed, planes: planes, segmentLength: segmentLength, segmentCount: segmentCount)
  }

  /// Cells of the filter.
  package var cellCount: Int { (Int(segmentCount) + 2) * Int(segmentLength) }

  /// Bytes of a plane, padding included.
  package var planeBytes: Int { (cellCount + 511) / 512 * 64 }

  /// Bytes of the image.
  package var imageBytes: Int { planeBytes * Int(planes) }

  /// The numbers a probe computes with.
  var mapping: FuseMapping {
    FuseMapping(
      seed: seed, segmentLength: segmentLength, startCells: segmentCount * segmentLength)
  }
}

/// Maps `KeyHash.low` to three cells and a fingerprint.
struct FuseMapping: BitwiseCopyable, Sendable {
  let seed: UInt64
  let segmentLength: UInt32
  /// Cells in which a hash's first cell can lie.
  let startCells: UInt32

  /// A hash's cells and its fingerprint, of which a filter of k planes uses the low k bits.
  struct Place: BitwiseCopyable {
    let first, second, third: UInt32
    let fingerprint: UInt32
  }

  /// The word from which the place is taken: the finaliser of MurmurHash3 over hash and seed.
  @inline(__always)
  func word(_ low: UInt64) -> UInt64 {
    var h = low &+ seed
    h = (h ^ (h &>> 33)) &* 0xFF51_AFD7_ED55_8CCD
    h = (h ^ (h &>> 33)) &* 0xC4CE_B9FE_1A85_EC53
    return h ^ (h &>> 33)
  }

  /// The place of a word.
  @inline(__always)
  func place(_ word: UInt64) -> Place {
    let mask = segmentLength &- 1
    let first = UInt32(truncatingIfNeeded: word.multipliedFullWidth(by: UInt64(startCells)).high)
    let second = (first &+ segmentLength) ^ (UInt32(truncatingIfNeeded: word &>> 18) & mask)
    let third =
      (first &+ segmentLength &+ segmentLength) ^ (UInt32(truncatingIfNeeded: word) & mask)
    return Place(
      first: first, second: second, third: third,
      fingerprint: UInt32(truncatingIfNeeded: word ^ (word &>> 32)))
  }
}
