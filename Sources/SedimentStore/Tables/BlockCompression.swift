internal import CLZ4

/// How the blocks of an ordered table are written. On disk: never renumber.
public enum BlockCompression: UInt8, Sendable, CaseIterable {
  /// As they are.
  case none = 0
  /// As LZ4 blocks, those that become shorter by an eighth at least.
  case lz4 = 1
}

/// The bytes of one block as it is in a file:
///
///     u64 checksum of all behind (place: the block's offset) │ u32 bytes of the block │ u8 codec
///     │ the block, or what LZ4 made of it
struct BlockFrame {
  static let headerBytes = 13

  /// Bytes that compression may take for a block.
  static func compressedBytesMax(_ byteCount: Int) -> Int {
    Int(LZ4_compressBound(Int32(clamping: byteCount)))
  }

  /// Compresses a block into `room`, of at least `compressedBytesMax` bytes.
  ///
  /// - Returns: how many bytes it became; `nil` when that is not worth it.
  static func compress(
    _ block: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer
  ) -> Int? {
    let count = unsafe LZ4_compress_default(
      block.baseAddress?.assumingMemoryBound(to: CChar.self),
      room.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(block.count),
      Int32(clamping: room.count))
    return count > 0 && Int(count) <= block.count - block.count / 8 ? Int(count) : nil
  }

  /// Writes header and checksum of a frame whose payload is in place.
  static func seal(
    _ frame: UnsafeMutableRawBufferPointer, blockBytes: Int, codec: BlockCompression,
    fileID: UInt64, offset: UInt64
  ) {
    guard let base = frame.baseAddress else { return }
    unsafe base.storeLittle(UInt32(truncatingIfNeeded: blockBytes), at: 8)
    unsafe base.storeLittle(codec.rawValue, at: 12)
    let sum = unsafe Checksum.of(
      UnsafeRawBufferPointer(rebasing: frame[8...]),
      seed: Checksum.seed(fileID: fileID, place: offset))
    unsafe base.storeLittle(sum, at: 0)
  }

  /// What a frame says of its block, once its checksum was found right.
  struct Header {
    var blockBytes: Int
    var codec: BlockCompression
  }

  /// Checks a frame as it was read.
  ///
  /// - Throws: what is wrong with it, in words.
  static func open(
    _ frame: UnsafeRawBufferPointer, fileID: UInt64, offset: UInt64
  ) throws(BlockFlaw) -> Header {
    guard frame.count > headerBytes, let base = frame.baseAddress else {
      throw BlockFlaw("\(frame.count) bytes")
    }
    let expected = unsafe base.loadLittle(UInt64.self, at: 0)
    let found = unsafe Checksum.of(
      UnsafeRawBufferPointer(rebasing: frame[8...]),
      seed: Checksum.seed(fileID: fileID, place: offset))
    guard expected == found else { throw BlockFlaw("checksum does not match") }
    let bytes = unsafe Int(base.loadLittle(UInt32.self, at: 8))
    let raw = unsafe base.loadLittle(UInt8.self, at: 12)
    guard let codec = BlockCompression(rawValue: raw) else { throw BlockFlaw("codec \(raw)") }
    guard bytes >= 1, bytes <= BlockFormat.jumboBytesMax else {
      throw BlockFlaw("a block of \(bytes) bytes")
    }
    let payload = frame.count - headerBytes
    // LZ4 makes no more than 255 bytes of one.
    let isPossible = codec == .none ? bytes == payload : bytes / 255 <= payload
    guard isPossible else { throw BlockFlaw("a block of \(bytes) bytes in \(payload)") }
    return Header(blockBytes: bytes, codec: codec)
  }

  /// Brings the block of an opened frame into `room`, of `header.blockBytes` bytes, and checks it.
  static func unpack(
    _ frame: UnsafeRawBufferPointer, _ header: Header, into room: UnsafeMutableRawBufferPointer
  ) throws(BlockFlaw) {
    let payload = unsafe UnsafeRawBufferPointer(rebasing: frame[headerBytes...])
    let block = unsafe UnsafeMutableRawBufferPointer(rebasing: room[..<header.blockBytes])
    switch header.codec {
    case .none: unsafe block.copyMemory(from: payload)
    case .lz4:
      let count = unsafe LZ4_decompress_safe(
        payload.baseAddress?.assumingMemoryBound(to: CChar.self),
        block.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(payload.count),
        Int32(block.count))
      guard Int(count) == block.count else { throw BlockFlaw("compressed data that is damaged") }
    }
    if let flaw = unsafe BlockView.flaw(in: UnsafeRawBufferPointer(block)) {
      throw BlockFlaw(flaw)
    }
  }
}

/// What is wrong with a block, in words.
struct BlockFlaw: Error {
  var text: String

  init(_ text: String) { self.text = text }
}
