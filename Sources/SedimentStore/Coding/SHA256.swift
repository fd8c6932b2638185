private import CSedimentKernels

/// SHA-256 (FIPS 180-4) of bytes that arrive in parts; for the checksums of savepoints.
package struct SHA256: Sendable {
  /// The 32 bytes of a digest.
  package struct Digest: Hashable, Sendable {
    /// The digest's bytes.
    package let bytes: [UInt8]

    /// 64 lower-case hexadecimal digits, as `sha256sum` prints them.
    package var hexadecimal: String {
      let digits = Array("0123456789abcdef".utf8)
      let text = bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
      return String(decoding: text, as: UTF8.self)
    }
  }

  private var state = sediment_sha256()

  /// The digest of nothing so far.
  package init() {
    unsafe sediment_sha256_init(&state)
  }

  /// The digest of `bytes` alone.
  package static func digest(of bytes: [UInt8]) -> Digest {
    var running = SHA256()
    running.update(bytes)
    return running.finish()
  }

  /// Takes more bytes.
  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    unsafe sediment_sha256_update(&state, base, bytes.count)
  }

  /// Takes more bytes.
  package mutating func update(_ bytes: [UInt8]) {
    unsafe bytes.span.bytes.withUnsafeBytes { unsafe update($0) }
  }

  /// The digest of all bytes taken so far. More may be taken afterwards.
  package func finish() -> Digest {
    var last = state
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
      unsafe sediment_sha256_finish(&last, buffer.baseAddress)
      count = 32
    }
    return Digest(bytes: bytes)
  }
}
