/// Turns bit planes into cells and back.
enum BitPlanes {
  /// Turns each group of `planes` little-endian words, word p holding bit p of 64 cells, into the
  /// 64 cells of `planes` bits, packed from the lowest bit of the first word on, in the same words.
  static func transpose(_ words: UnsafeMutablePointer<UInt64>, groups: Int, planes: Int) {
    let width = UInt64(planes)
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: planes) { copy in
      for group in 0..<groups {
        let base = unsafe words + group * planes
        for plane in 0..<planes { unsafe copy[plane] = UInt64(littleEndian: base[plane]) }
        var filled: UInt64 = 0
        var out: UInt64 = 0
        var next = 0
        for octet in UInt64(0)..<8 {
          let low = unsafe cells(of: copy, octet: octet, from: 0)
          let high = unsafe planes > 8 ? cells(of: copy, octet: octet, from: 8) : 0
          for cell in UInt64(0)..<8 {
            let value = ((low &>> (8 &* cell)) & 0xff) | (((high &>> (8 &* cell)) & 0xff) &<< 8)
            out |= value &<< filled
            filled &+= width
            guard filled >= 64 else { continue }
            unsafe base[next] = out.littleEndian
            next += 1
            filled &-= 64
            out = filled == 0 ? 0 : value &>> (width &- filled)
          }
        }
      }
    }
  }

  /// Eight cells of up to eight planes, a byte each.
  @inline(__always)
  private static func cells(
    of words: UnsafeMutableBufferPointer<UInt64>, octet: UInt64, from plane: Int
  ) -> UInt64 {
    var rows: UInt64 = 0
    for row in 0..<min(8, words.count - plane) {
      let byte = unsafe (words[plane + row] &>> (8 &* octet)) & 0xff
      rows |= byte &<< UInt64(8 * row)
    }
    return transposed8x8(rows)
  }

  /// Exchanges rows (bytes) and columns (bits) of an 8 × 8 matrix (Warren, "Hacker's Delight",
  /// 7-3).
  @inline(__always)
  static func transposed8x8(_ matrix: UInt64) -> UInt64 {
    var x = matrix
    var t = (x ^ (x &>> 7)) & 0x00AA_00AA_00AA_00AA
    x = x ^ t ^ (t &<< 7)
    t = (x ^ (x &>> 14)) & 0x0000_CCCC_0000_CCCC
    x = x ^ t ^ (t &<< 14)
    t = (x ^ (x &>> 28)) & 0x0000_0000_F0F0_F0F0
    return x ^ t ^ (t &<< 28)
  }
}
