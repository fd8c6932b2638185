private import CSedimentKernels

/// The checksum of everything on disk: XXH3-64, seeded with the identity of the bytes' place.
///
/// A block that was written for another file, or for another place of the same file, therefore
/// fails. On disk: never change.
package enum Checksum {
  /// The checksum of `bytes` under `seed`.
  package static func of(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
    guard let base = bytes.baseAddress else {
      var nothing: UInt8 = 0
      return unsafe sediment_xxh3_64(&nothing, 0, seed)
    }
    return unsafe sediment_xxh3_64(base, bytes.count, seed)
  }

  /// The checksum of `bytes` under `seed`.
  package static func of(_ bytes: [UInt8], seed: UInt64) -> UInt64 {
    unsafe bytes.span.bytes.withUnsafeBytes { unsafe of($0, seed: seed) }
  }

  /// The seed of the bytes at `place` (a page number, an offset or a section) of file `fileID`.
  ///
  /// Both words pass through the finaliser of splitmix64, in turn, so neighbouring places and
  /// exchanged words give unrelated seeds.
  package static func seed(fileID: UInt64, place: UInt64) -> UInt64 {
    mix(mix(fileID &+ 0x9E37_79B9_7F4A_7C15) ^ (place &+ 0xD1B5_4A32_D192_ED03))
  }

  private static func mix(_ word: UInt64) -> UInt64 {
    var x = word
    x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
    x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
    return x ^ (x >> 31)
  }
}
