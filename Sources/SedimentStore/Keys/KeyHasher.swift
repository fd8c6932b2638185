private import CSedimentKernels

/// Hashes keys with SipHash-2-4-128 under one seed, a batch at a time where it can.
public struct KeyHasher: Sendable {
  /// The seed. Hashes of different seeds are not comparable.
  public let seed: HashSeed

  /// A hasher under `seed`.
  public init(seed: HashSeed) {
    self.seed = seed
  }

  /// The hash of one key.
  public func hash(_ key: UnsafeRawBufferPointer) -> KeyHash {
    var words: (UInt64, UInt64) = (0, 0)
    // SAFETY: the kernel reads `key.count` bytes, 16 bytes of seed, and writes two words. An empty
    // buffer may have no address; the seed's then stands in for it and no byte is read.
    unsafe seed.withBytes { seed in
      let bytes = unsafe key.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? seed
      unsafe withUnsafeMutableBytes(of: &words) { out in
        unsafe sediment_siphash128(
          bytes, key.count, seed, out.assumingMemoryBound(to: UInt64.self).baseAddress)
      }
    }
    return KeyHash(high: words.0, low: words.1)
  }

  /// The hash of one key.
  public func hash(_ key: RawSpan) -> KeyHash {
    unsafe key.withUnsafeBytes { unsafe hash($0) }
  }

  /// Hashes all keys of `batch`, in order.
  ///
  /// - Parameter hashes: Room for `batch.count` hashes.
  public func hash(_ batch: KeyBatch, into hashes: UnsafeMutablePointer<KeyHash>) {
    unsafe hash(batch.view, into: hashes)
  }

  /// Hashes all keys of `keys`, in order.
  ///
  /// - Parameter hashes: Room for `keys.count` hashes.
  package func hash(_ keys: KeyBatchView, into hashes: UnsafeMutablePointer<KeyHash>) {
    // SAFETY: a view's ends lie in order within its bytes, and a `KeyHash` is two words, high
    // first.
    unsafe seed.withBytes { seed in
      unsafe sediment_siphash128_batch(
        keys.bytes, keys.ends, keys.count, seed,
        UnsafeMutableRawPointer(hashes).assumingMemoryBound(to: UInt64.self))
    }
  }
}
