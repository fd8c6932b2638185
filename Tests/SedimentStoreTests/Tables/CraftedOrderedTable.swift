import SedimentStore
import SedimentTestKit
import Testing

/// The bytes of a table of an ordered keyspace, to be changed so that its checksums hold again.
struct CraftedOrderedTable {
  /// What the checksums of the parts are seeded with, as `TableFormat.Place` has them.
  private static let footerPlace: UInt64 = 1 << 32
  private static let indexPlace: UInt64 = 2 << 32
  /// Bytes of a block's frame before what the block became.
  static let frameBytes = 13
  static let footerBytes = 4096

  /// A block as it is in a file, true or not.
  struct Block {
    var payload: [UInt8]
    var blockBytes: UInt64
    var codec: UInt64

    /// - Parameter blockBytes: what the frame says; that of the payload when `nil`.
    init(_ payload: [UInt8], blockBytes: UInt64? = nil, codec: BlockCompression = .none) {
      self.payload = payload
      self.blockBytes = blockBytes ?? UInt64(payload.count)
      self.codec = UInt64(codec.rawValue)
    }
  }

  /// An entry of a block; the lengths may be any.
  struct Entry {
    var shared: UInt64 = 0
    var rest: UInt64
    var value: UInt64 = 0
    var tag = EntryTag(sequence: 1, kind: .put).word
    var bytes: [UInt8]
  }

  var bytes: [UInt8]
  var metadata: OrderedTableMetadata

  init(_ table: OrderedTestTable) throws {
    bytes = try table.bytes()
    metadata = table.metadata
  }

  var footer: Int { bytes.count - Self.footerBytes }
  var indexOffset: Int { Int(bytes.word(at: footer + 72)) }
  var indexBytes: Int { Int(bytes.word(at: footer + 80)) }

  /// Where the blocks of a file lie; `nil` when it is no ordered table.
  static func blocks(of bytes: [UInt8]) -> [Range<Int>]? {
    let footer = bytes.count - footerBytes
    // "SEDORDER"
    guard footer > 0, bytes.word(at: footer + 8) == 0x5245_4452_4F44_4553 else { return nil }
    let index = Int(bytes.word(at: footer + 72))
    let count = Int(bytes.word(at: index) & 0xFFFF_FFFF)
    let offsets = (0...count).map { Int(bytes.word(at: index + 8 + 4 * $0) & 0xFFFF_FFFF) }
    return zip(offsets, offsets.dropFirst()).map { $0..<$1 }
  }

  var blocks: [Range<Int>] { Self.blocks(of: bytes) ?? [] }

  // MARK: - Sealing

  mutating func sealFooter() {
    let sum = Checksum.of(
      Array(bytes[(footer + 8)...]),
      seed: Checksum.seed(fileID: metadata.fileID, place: Self.footerPlace))
    bytes.put(sum, bytes: 8, at: footer)
  }

  mutating func sealIndex() {
    let sum = Checksum.of(
      Array(bytes[indexOffset..<(indexOffset + indexBytes)]),
      seed: Checksum.seed(fileID: metadata.fileID, place: Self.indexPlace))
    bytes.put(sum, bytes: 8, at: footer + 88)
    sealFooter()
  }

  mutating func sealBlock(_ range: Range<Int>) {
    let sum = Checksum.of(
      Array(bytes[(range.lowerBound + 8)..<range.upperBound]),
      seed: Checksum.seed(fileID: metadata.fileID, place: UInt64(range.lowerBound)))
    bytes.put(sum, bytes: 8, at: range.lowerBound)
  }

  // MARK: - Making

  /// Replaces all blocks, and the index by one of theirs with empty separators.
  mutating func replaceBlocks(_ blocks: [Block]) {
    let blocksEnd = Int(bytes.word(at: footer + 56))
    let filter = Array(bytes[blocksEnd..<(blocksEnd + Int(bytes.word(at: footer + 64)))])
    var footerPage = Array(bytes[footer...])
    bytes = []
    var ranges: [Range<Int>] = []
    for block in blocks {
      let start = bytes.count
      bytes += [UInt8](repeating: 0, count: Self.frameBytes) + block.payload
      bytes.put(block.blockBytes, bytes: 4, at: start + 8)
      bytes.put(block.codec, bytes: 1, at: start + 12)
      ranges.append(start..<bytes.count)
    }
    var index = ByteWriter()
    index.writeUInt32(UInt32(blocks.count))
    index.writeUInt32(0)
    for range in ranges { index.writeUInt32(UInt32(range.lowerBound)) }
    index.writeUInt32(UInt32(bytes.count))
    index.writeZeros(4 * (blocks.count + 1))
    footerPage.put(UInt64(bytes.count), bytes: 8, at: 56)
    bytes += filter
    footerPage.put(UInt64(bytes.count), bytes: 8, at: 72)
    footerPage.put(UInt64(index.count), bytes: 8, at: 80)
    bytes += index.bytes + footerPage
    metadata.fileBytes = UInt64(bytes.count)
    for range in ranges { sealBlock(range) }
    sealIndex()
  }

  /// A block of entries, which may not be what they say.
  static func block(_ entries: [Entry]) -> [UInt8] {
    var writer = ByteWriter()
    writer.writeZeros(8)
    var restarts: [UInt16] = []
    for (index, entry) in entries.enumerated() {
      if index % 16 == 0 { restarts.append(UInt16(truncatingIfNeeded: writer.count)) }
      for number in [entry.shared, entry.rest, entry.value, entry.tag] {
        writer.writeVarint(number)
      }
      writer.writeBytes(entry.bytes)
    }
    var bytes = writer.bytes
    bytes.put(UInt64(bytes.count), bytes: 4, at: 0)
    bytes.put(UInt64(restarts.count), bytes: 2, at: 4)
    bytes.put(UInt64(entries.count), bytes: 2, at: 6)
    return bytes + restarts.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
  }

  /// An LZ4 block of few bytes that becomes so many zeros, of which there are 25 at the least.
  static func zeros(_ count: Int) -> [UInt8] {
    // One literal, a match of it as long as all but five, and five literals to end with.
    let match = count - 1 - 5 - 4 - 15
    return [0x1F, 0, 1, 0] + [UInt8](repeating: 255, count: match / 255)
      + [UInt8(match % 255), 0x50, 0, 0, 0, 0, 0]
  }
}
