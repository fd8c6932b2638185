// What stands in front of a filter's image on disk, and what the image's bytes mean.
//
//   offset  size  field
//        0     1  kind (FilterKind)
//        1     1  bits: blocked Bloom, bits set per key (8); fuse, planes (1-16); none, 0
//        2     6  0
//        8     8  keys in the filter
//       16     8  blocked Bloom: rangeLow       fuse: seed
//       24     8  blocked Bloom: rangeHigh      fuse: 0
//       32     4  blocked Bloom: planned lines  fuse: segment length
//       36     4  blocked Bloom: stored lines   fuse: segment count
//       40     8  bytes of the image
//
// On disk: never change.

/// How a filter is built. On disk: never renumber.
package enum FilterKind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// No filter: every key may be present.
  case none = 0
  /// 64-byte lines of eight words, one bit a key in each; a probe reads one line.
  case blockedBloom = 1
  /// 3-wise binary fuse fingerprints, stored in bit planes; a probe reads three cells.
  case binaryFuse = 2
}

/// The kind, size and parameters of a filter: all that is needed to read its image.
package struct FilterGeometry: Hashable, Sendable {
  /// The parameters of each kind.
  package enum Layout: Hashable, Sendable {
    /// No image.
    case none
    /// See `BlockedBloomLayout`.
    case blockedBloom(BlockedBloomLayout)
    /// See `BinaryFuseLayout`.
    case binaryFuse(BinaryFuseLayout)
  }

  /// Bytes of an encoded geometry.
  package static let encodedBytes = 48
  /// Largest image: a table has at most 2^32 keys, and no filter wants more than 16 bits for each.
  package static let imageBytesMax: UInt64 = 8 << 30

  /// Different keys in the filter.
  package let keyCount: UInt64
  /// The kind's parameters.
  package let layout: Layout

  /// No filter.
  package static let none = FilterGeometry(keyCount: 0, layout: .none)

  /// A geometry of parts that are known to be valid.
  init(keyCount: UInt64, layout: Layout) {
    self.keyCount = keyCount
    self.layout = layout
  }

  /// The kind.
  package var kind: FilterKind {
    switch layout {
    case .none: .none
    case .blockedBloom: .blockedBloom
    case .binaryFuse: .binaryFuse
    }
  }

  /// Bytes of the whole image.
  package var imageBytes: Int {
    switch layout {
    case .none: 0
    case .blockedBloom(let bloom): bloom.imageBytes
    case .binaryFuse(let fuse): fuse.imageBytes
    }
  }

  /// Appends the 48 bytes of the geometry.
  package func encode(to writer: inout ByteWriter) {
    writer.writeUInt8(kind.rawValue)
    switch layout {
    case .none:
      writer.writeZeros(7)
      writer.writeUInt64(keyCount)
      writer.writeZeros(24)
    case .blockedBloom(let bloom):
      writer.writeUInt8(UInt8(BlockedBloomLayout.bitsPerProbe))
      writer.writeZeros(6)
      writer.writeUInt64(keyCount)
      writer.writeUInt64(bloom.rangeLow)
      writer.writeUInt64(bloom.rangeHigh)
      writer.writeUInt32(bloom.plannedLines)
      writer.writeUInt32(bloom.storedLines)
    case .binaryFuse(let fuse):
      writer.writeUInt8(fuse.planes)
      writer.writeZeros(6)
      writer.writeUInt64(keyCount)
      writer.writeUInt64(fuse.seed)
      writer.writeUInt64(0)
      writer.writeUInt32(fuse.segmentLength)
      writer.writeUInt32(fuse.segmentCount)
    }
    writer.writeUInt64(UInt64(imageBytes))
  }

  /// Reads a geometry and checks all of it.
  ///
  /// - Parameter imageBytes: Bytes the file has for the image. A geometry that implies any other
  ///   number is refused, so no crafted count leads to memory being taken beyond the file's size.
  package static func decode(
    from reader: inout ByteReader, imageBytes available: UInt64
  ) throws(CodingError) -> FilterGeometry {
    let fields = try Fields(from: &reader)
    guard let kind = FilterKind(rawValue: fields.kind) else {
      throw .invalid("filter kind \(fields.kind) is not known")
    }
    guard fields.reserved == 0 else { throw .invalid("reserved bytes of the filter are not 0") }
    guard fields.imageBytes == available && available <= imageBytesMax else {
      throw .invalid("filter image of \(fields.imageBytes) bytes where there are \(available)")
    }
    let geometry = try FilterGeometry(
      keyCount: fields.keyCount, layout: fields.layout(of: kind))
    guard UInt64(geometry.imageBytes) == available else {
      throw .invalid("filter of \(geometry.imageBytes) bytes with an image of \(available)")
    }
    return geometry
  }

  /// The fields as they stand on disk.
  private struct Fields {
    let kind, bits: UInt8
    let reserved: UInt64
    let keyCount, first, second: UInt64
    let third, fourth: UInt32
    let imageBytes: UInt64

    init(from reader: inout ByteReader) throws(CodingError) {
      kind = try reader.readUInt8()
      bits = try reader.readUInt8()
      reserved = try UInt64(reader.readUInt16()) | UInt64(reader.readUInt32())
      keyCount = try reader.readUInt64()
      first = try reader.readUInt64()
      second = try reader.readUInt64()
      third = try reader.readUInt32()
      fourth = try reader.readUInt32()
      imageBytes = try reader.readUInt64()
    }

    func layout(of kind: FilterKind) throws(CodingError) -> Layout {
      switch kind {
      case .none:
        guard bits == 0, first == 0, second == 0, third == 0, fourth == 0, keyCount == 0 else {
          throw .invalid("a filter of kind none has parameters")
        }
        return .none
      case .blockedBloom:
        guard bits == BlockedBloomLayout.bitsPerProbe else {
          throw .invalid("blocked Bloom filter with \(bits) bits a key")
        }
        return try .blockedBloom(
          BlockedBloomLayout(
            validatingRange: first, second, plannedLines: third, storedLines: fourth))
      case .binaryFuse:
        guard second == 0 else { throw .invalid("reserved bytes of the filter are not 0") }
        return try .binaryFuse(
          BinaryFuseLayout(
            validatingSeed: first, planes: bits, segmentLength: third, segmentCount: fourth))
      }
    }
  }
}
