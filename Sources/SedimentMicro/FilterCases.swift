import SedimentStore

extension MicroCase {
  /// Both filters: building from a table's hashes, and probing, with every second hash there.
  static let filterCases = [
    MicroCase("bloom-build", item: "hash") { input in
      let hashes = Columns(input.sortedHashes)
      return {
        try WrongAnswer.check(Int(bloom(of: hashes).geometry.keyCount), input.items)
      }
    },
    MicroCase("bloom-probe", item: "hash, every second one there") { input in
      try probing(input) { bloom(of: $0) }
    },
    MicroCase("fuse-build", item: "hash") { input in
      let hashes = Columns(input.sortedHashes)
      return {
        try WrongAnswer.check(Int(fuse(of: hashes).geometry.keyCount), input.items)
      }
    },
    MicroCase("fuse-probe", item: "hash, every second one there") { input in
      try probing(input) { try fuse(of: $0) }
    },
  ]

  /// Hashes in columns, as a table's writer has them.
  private struct Columns {
    let highs: [UInt64]
    let lows: [UInt64]

    init(_ hashes: [KeyHash]) {
      highs = hashes.map(\.high)
      lows = hashes.map(\.low)
    }

    func with(_ body: (UnsafePointer<UInt64>, UnsafePointer<UInt64>) -> Void) {
      unsafe highs.withUnsafeBufferPointer { highs in
        unsafe lows.withUnsafeBufferPointer { lows in
          guard let highs = highs.baseAddress, let lows = lows.baseAddress else { return }
          unsafe body(highs, lows)
        }
      }
    }
  }

  private static func bloom(of columns: Columns) -> FilterImage {
    var builder = BlockedBloomFilterBuilder(expectedKeys: columns.highs.count)
    unsafe columns.with { highs, lows in
      unsafe builder.add(highs: highs, lows: lows, count: columns.highs.count)
    }
    return builder.finish()
  }

  private static func fuse(of columns: Columns) throws -> FilterImage {
    var builder = BinaryFuseFilterBuilder(expectedKeys: columns.highs.count)
    unsafe columns.with { highs, lows in
      unsafe builder.add(highs: highs, lows: lows, count: columns.highs.count)
    }
    return try builder.finish()
  }

  private static func probing(
    _ input: MicroInput, _ build: (Columns) throws -> FilterImage
  ) throws -> MicroRound {
    let present = input.hashes
    let absent = MicroInput.hashes(input.items, stream: 1)
    let hashes = (0..<input.items).map { $0 % 2 == 0 ? present[$0] : absent[$0] }
    let filter = try LoadedFilter.load(build(Columns(present.sorted())))
    let candidates = (0..<input.items).map { UInt32($0) }
    var survivors = candidates
    // What passes besides is the same every time, so it is counted once, one by one.
    let expected = hashes.count { filter.probe.mayContain($0) }
    guard (input.items / 2...input.items * 3 / 4 + 1).contains(expected) else {
      throw WrongAnswer(found: expected, expected: input.items / 2)
    }
    return {
      let kept = unsafe hashes.withUnsafeBufferPointer { hashes in
        unsafe candidates.withUnsafeBufferPointer { candidates in
          unsafe survivors.withUnsafeMutableBufferPointer { survivors in
            guard let hashes = hashes.baseAddress, let all = candidates.baseAddress,
              let survivors = survivors.baseAddress
            else { return 0 }
            unsafe filter.probe.prefetch(hashes, candidates: all, count: candidates.count)
            return unsafe filter.probe.filter(
              hashes, candidates: all, count: candidates.count, into: survivors)
          }
        }
      }
      try WrongAnswer.check(kept, expected)
    }
  }
}
