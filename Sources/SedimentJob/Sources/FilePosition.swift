// Where reading of a file stopped, so that a later run finds the place: also when the file was
// moved, and not when another file has its name.
//
// A file is known by its device and inode, by a hash of its head (up to 4 KiB), and by a hash of up
// to 4 KiB before the position. On another machine device and inode differ, and the hashes decide;
// under another name, too, only with a head of 4 KiB: short files are often alike.
// Positions in `.gz` files count uncompressed bytes. Such files are known by the heads of their
// compressed bytes until they are read up to the position: the hash before it is of uncompressed
// bytes, and is compared then.
//
// The encoding, within the job's metadata of an epoch (on disk: never renumber):
//
//   string path │ u64 device │ u64 inode │ varint headBytes │ u64 headHash │
//   u8 flags (1: compressed, 2: unterminated) │ varint offset │ varint line │
//   varint tailBytes │ u64 tailHash

package import SedimentIO
package import SedimentStore

/// What a file is known by.
package struct FileIdentity: Sendable, Equatable {
  package var device: UInt64
  package var inode: UInt64
  /// Bytes that were hashed: the whole file, when it was shorter than the most.
  package var headBytes: UInt64
  package var headHash: UInt64

  /// Most bytes of the head and before the position that are hashed.
  package static let hashedBytesMax: UInt64 = 4096
}

/// A place in a file.
package struct FilePosition: Sendable, Equatable {
  package var path: String
  package var identity: FileIdentity
  package var isCompressed: Bool
  /// In uncompressed bytes.
  package var offset: UInt64
  /// The line at the offset, from 1.
  package var line: UInt64
  /// The record before the offset had no line end: the file ended there.
  package var isUnterminated: Bool
  /// Uncompressed bytes hashed before the offset.
  package var tailBytes: UInt64
  package var tailHash: UInt64
}

/// What became of a file since a position was taken.
package enum FileMatch: Sendable, Equatable {
  /// It is where it was; go on at the offset, in a compressed file if the bytes before it agree.
  case same
  /// It has another name now; go on there.
  case moved(to: String)
  /// It is shorter than the position.
  case truncated(size: UInt64)
  /// Another file has its name.
  case replaced
  /// No candidate has its name or its content.
  case missing
}

extension FilePosition {
  /// The position at `offset` of an open file. Of a compressed one, `tail` has the last bytes
  /// before it, uncompressed.
  package static func take(
    path: String, file: any File, metadata: FileMetadata, isCompressed: Bool, offset: UInt64,
    line: UInt64, isUnterminated: Bool = false, tail: [UInt8] = []
  ) throws(FileError) -> FilePosition {
    let headBytes = min(metadata.size, FileIdentity.hashedBytesMax)
    var tail = TailHash(of: tail)
    if !isCompressed {
      tail.bytes = min(offset, FileIdentity.hashedBytesMax)
      tail.hash = try hash(file, at: offset - tail.bytes, tail.bytes) ?? 0
    }
    return FilePosition(
      path: path,
      identity: FileIdentity(
        device: metadata.device, inode: metadata.inode, headBytes: headBytes,
        headHash: try hash(file, at: 0, headBytes) ?? 0),
      isCompressed: isCompressed, offset: offset, line: line, isUnterminated: isUnterminated,
      tailBytes: tail.bytes, tailHash: tail.hash)
  }

  /// Finds the file of this position among the inputs of a run.
  package func match(
    _ candidates: [String], in files: InputFileSystem
  ) throws(SourceError) -> FileMatch {
    var own: FileMatch = .missing
    if candidates.contains(path) {
      own = try state(ofFileAt: path, in: files)
      if own == .same { return .same }
    }
    for candidate in candidates where candidate != path {
      if try state(ofFileAt: candidate, in: files) == .same { return .moved(to: candidate) }
    }
    return own
  }

  /// Whether the file at another path, or this one, is the one of this position.
  private func state(
    ofFileAt other: String, in files: InputFileSystem
  ) throws(SourceError) -> FileMatch {
    guard let metadata = try files.metadata(of: other), metadata.kind == .file else {
      return .missing
    }
    let hasInode = metadata.device == identity.device && metadata.inode == identity.inode
    // An empty head says nothing, and a short one not enough under another name; then the file must
    // be the very same.
    let headBytesMin = other == path ? 1 : FileIdentity.hashedBytesMax
    guard hasInode || identity.headBytes >= headBytesMin else { return .replaced }
    let file = try files.open(other)
    do {
      let hasHead = try Self.hash(file, at: 0, identity.headBytes) == identity.headHash
      if !isCompressed, metadata.size < offset {
        return hasInode || hasHead ? .truncated(size: metadata.size) : .replaced
      }
      guard hasHead else { return .replaced }
      if isCompressed { return .same }
      let hasTail = try Self.hash(file, at: offset - tailBytes, tailBytes) == tailHash
      return hasTail ? .same : .replaced
    } catch {
      throw .unreadable(error)
    }
  }

  /// The hash of `count` bytes, at most `hashedBytesMax`; `nil` when there are fewer.
  private static func hash(
    _ file: any File, at offset: UInt64, _ count: UInt64
  ) throws(FileError) -> UInt64? {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(count), alignment: 8)
    defer { unsafe buffer.deallocate() }
    let read = count == 0 ? 0 : try unsafe file.read(into: buffer, at: offset)
    guard UInt64(read) == count else { return nil }
    return unsafe Checksum.of(UnsafeRawBufferPointer(buffer), seed: 0)
  }
}

extension FilePosition {
  /// Fewest bytes of an encoding: four u64, one u8, and five varints of one byte each, of which the
  /// first is the length of an empty path.
  package static let encodedBytesMin = 4 * 8 + 1 + 5

  /// Most bytes of an encoding beside the path: those above, 2 more for the path's length, 1 each
  /// for two counts up to 4 KiB, 8 each for offset and line.
  package static let encodedBytesMax = encodedBytesMin + 2 + 2 * 1 + 2 * 8

  /// Writes the encoding.
  package func encode(to writer: inout ByteWriter) {
    writer.writeString(path)
    writer.writeUInt64(identity.device)
    writer.writeUInt64(identity.inode)
    writer.writeVarint(identity.headBytes)
    writer.writeUInt64(identity.headHash)
    writer.writeUInt8((isCompressed ? 1 : 0) | (isUnterminated ? 2 : 0))
    writer.writeVarint(offset)
    writer.writeVarint(line)
    writer.writeVarint(tailBytes)
    writer.writeUInt64(tailHash)
  }

  /// Reads the encoding.
  package init(from reader: inout ByteReader) throws(CodingError) {
    path = try reader.readString(maxBytes: 65_536)
    identity = FileIdentity(
      device: try reader.readUInt64(), inode: try reader.readUInt64(),
      headBytes: try reader.readVarint(), headHash: try reader.readUInt64())
    let flags = try reader.readUInt8()
    isCompressed = flags & 1 != 0
    isUnterminated = flags & 2 != 0
    offset = try reader.readVarint()
    line = try reader.readVarint()
    tailBytes = try reader.readVarint()
    tailHash = try reader.readUInt64()
    guard flags <= 3, identity.headBytes <= FileIdentity.hashedBytesMax,
      tailBytes <= min(offset, FileIdentity.hashedBytesMax), offset <= UInt64(Int64.max),
      line <= UInt64(Int64.max)
    else { throw .invalid("a file position is out of its bounds") }
  }
}
