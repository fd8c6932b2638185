import SedimentStore
import Testing

@Suite struct FilterGeometryTests {
  static func images() throws -> [FilterImage] {
    let hashes = sortedHashes(1000, seed: 1)
    var fuse = BinaryFuseFilterBuilder(expectedKeys: 1000)
    fuse.add(hashes)
    return [FilterImage(), bloomImage(hashes), try fuse.finish()]
  }

  private func encoded(_ geometry: FilterGeometry) -> [UInt8] {
    var writer = ByteWriter()
    geometry.encode(to: &writer)
    return writer.bytes
  }

  private func decode(_ bytes: [UInt8], imageBytes: UInt64) throws(CodingError) -> FilterGeometry {
    try ByteReader.reading(bytes) { (reader) throws(CodingError) in
      try FilterGeometry.decode(from: &reader, imageBytes: imageBytes)
    }
  }

  @Test func geometriesComeBackAsTheyWere() throws {
    for image in try FilterGeometryTests.images() {
      let bytes = encoded(image.geometry)
      #expect(bytes.count == FilterGeometry.encodedBytes)
      let length = UInt64(image.geometry.imageBytes)
      #expect(try decode(bytes, imageBytes: length) == image.geometry)
    }
  }

  @Test func everyTruncationIsRefused() throws {
    for image in try FilterGeometryTests.images() {
      let bytes = encoded(image.geometry)
      for count in 0..<bytes.count {
        #expect(throws: CodingError.self) {
          try decode(Array(bytes.prefix(count)), imageBytes: UInt64(image.geometry.imageBytes))
        }
      }
    }
  }

  @Test func anImageOfAnotherLengthIsRefused() throws {
    for image in try FilterGeometryTests.images() {
      let length = UInt64(image.geometry.imageBytes)
      for wrong in [length &+ 1, length &- 1, length &+ 64, .max] {
        #expect(throws: CodingError.self) {
          try decode(encoded(image.geometry), imageBytes: wrong)
        }
      }
    }
  }

  /// A filter section also has a checksum; this is what stands behind it.
  @Test func everyFlippedBitIsRefusedOrGivesAFilterOfTheSameLength() throws {
    for image in try FilterGeometryTests.images() {
      let bytes = encoded(image.geometry)
      for bit in 0..<bytes.count * 8 {
        var damaged = bytes
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        let length = UInt64(image.geometry.imageBytes)
        guard let geometry = try? decode(damaged, imageBytes: length) else { continue }
        var loader = FilterLoader(plan: geometry.loadPlan())
        unsafe loader.append(image.bytes)
        let probe = try loader.finish().probe
        for hash in sortedHashes(50, seed: UInt64(bit)) { _ = probe.mayContain(hash) }
      }
    }
  }

  @Test func craftedParametersAreRefused() {
    func crafted(
      kind: UInt8, bits: UInt8, low: UInt64 = 0, high: UInt64 = 0, _ a: UInt32, _ b: UInt32,
      length: UInt64
    ) -> [UInt8] {
      var writer = ByteWriter()
      writer.writeUInt8(kind)
      writer.writeUInt8(bits)
      writer.writeZeros(6)
      for word in [1, low, high] { writer.writeUInt64(word) }
      writer.writeUInt32(a)
      writer.writeUInt32(b)
      writer.writeUInt64(length)
      return writer.bytes
    }
    let cases: [([UInt8], UInt64)] = [
      (crafted(kind: 3, bits: 0, 0, 0, length: 0), 0),
      (crafted(kind: 0, bits: 1, 0, 0, length: 0), 0),
      (crafted(kind: 1, bits: 7, 1, 1, length: 64), 64),
      (crafted(kind: 1, bits: 8, low: 2, high: 1, 1, 1, length: 64), 64),
      (crafted(kind: 1, bits: 8, 0, 0, length: 0), 0),
      (crafted(kind: 1, bits: 8, 1, 2, length: 128), 128),
      (crafted(kind: 1, bits: 8, .max, .max, length: 64 * 0xFFFF_FFFF), 64 * 0xFFFF_FFFF),
      (crafted(kind: 2, bits: 0, 64, 1, length: 0), 0),
      (crafted(kind: 2, bits: 17, 64, 1, length: 17 * 64), 17 * 64),
      (crafted(kind: 2, bits: 1, 63, 1, length: 64), 64),
      (crafted(kind: 2, bits: 1, 0, 1, length: 0), 0),
      (crafted(kind: 2, bits: 1, 64, 0, length: 64), 64),
      (crafted(kind: 2, bits: 1, 1 << 19, 1, length: 196_608), 196_608),
      (crafted(kind: 2, bits: 16, 1 << 18, .max, length: 1 << 33), 1 << 33),
      (crafted(kind: 2, bits: 1, high: 1, 64, 1, length: 64), 64),
    ]
    for (bytes, length) in cases {
      #expect(throws: CodingError.self) { try decode(bytes, imageBytes: length) }
    }
  }

  @Test(arguments: [1, 3, 7, 8, 64, 100, 4096])
  func aFilterIsTheSameWhateverThePiecesItComesIn(pieceBytes: Int) throws {
    let others = sortedHashes(3000, seed: 9)
    for image in try FilterGeometryTests.images() {
      for budget in [Int.max, image.geometry.imageBytes / 2] {
        let whole = try LoadedFilter.load(image, byteBudget: budget)
        var loader = FilterLoader(plan: image.geometry.loadPlan(byteBudget: budget))
        let bytes = imageBytes(image)
        for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
          let piece = Array(bytes[start..<min(start + pieceBytes, bytes.count)])
          unsafe piece.withUnsafeBytes { unsafe loader.append($0) }
        }
        let pieced = try loader.finish()
        let (a, b) = (whole.probe, pieced.probe)
        #expect(others.map { a.mayContain($0) } == others.map { b.mayContain($0) })
      }
    }
  }

  @Test func aLoadThatEndsEarlyIsRefused() throws {
    for image in try FilterGeometryTests.images() where image.geometry.imageBytes > 0 {
      #expect(throws: CodingError.self) {
        var loader = FilterLoader(plan: image.geometry.loadPlan())
        unsafe imageBytes(image).dropLast().withUnsafeBytes { unsafe loader.append($0) }
        _ = try loader.finish()
      }
    }
  }

  @Test func aBatchKeepsWhatSingleProbesKeepInOrder() throws {
    let hashes = sortedHashes(1000, seed: 1) + sortedHashes(3000, seed: 2)
    for image in try FilterGeometryTests.images() {
      let filter = try LoadedFilter.load(image)
      let probe = filter.probe
      for count in [0, 1, 15, 16, 17, 200, 4000] {
        let candidates = Array((0..<UInt32(4000)).reversed().prefix(count))
        var inPlace = candidates
        let kept = unsafe hashes.withUnsafeBufferPointer { hashes in
          unsafe inPlace.withUnsafeMutableBufferPointer { indices -> Int in
            guard let base = hashes.baseAddress, let first = indices.baseAddress else { return 0 }
            return unsafe probe.filter(
              base, candidates: UnsafePointer(first), count: count, into: first)
          }
        }
        let expected = candidates.filter { probe.mayContain(hashes[Int($0)]) }
        #expect(Array(inPlace.prefix(kept)) == expected)
      }
    }
  }
}
