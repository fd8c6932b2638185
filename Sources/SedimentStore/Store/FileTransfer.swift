// Bringing files of a state from one directory into another: by link where the two lie on one file
// system, else by copy.

internal import SedimentIO

/// See the file's header.
enum FileTransfer {
  /// Read and written at a time.
  private static let chunkBytes = 1 << 20

  /// How many bytes a transfer wrote or linked; 0 when the file was there already.
  struct Outcome {
    var newFiles = 0
    var newBytes: UInt64 = 0
  }

  /// Brings an immutable file that has at least `bytes` bytes. A shorter one that is under the new
  /// name already is replaced.
  static func link(
    _ name: String, in source: any Directory, to newName: String, in target: any Directory,
    bytes: UInt64
  ) throws -> Outcome {
    let found = try target.metadata(of: newName)
    if let found, found.kind == .file, found.size >= bytes { return Outcome() }
    try checkIsFile(name, in: source, atLeast: bytes)
    if found == nil {
      do throws(FileError) {
        try source.link(name, into: target, as: newName)
        return Outcome(newFiles: 1, newBytes: bytes)
      } catch {
        guard error.code == .crossDevice else { throw error }
      }
    }
    return try copy(name, in: source, to: newName, in: target, bytes: bytes)
  }

  /// Brings the first `bytes` of a file that may grow meanwhile.
  static func copyPrefix(
    _ name: String, in source: any Directory, to newName: String, in target: any Directory,
    bytes: UInt64
  ) throws -> Outcome {
    if let found = try target.metadata(of: newName), found.kind == .file, found.size == bytes {
      return Outcome()
    }
    try checkIsFile(name, in: source, atLeast: bytes)
    return try copy(name, in: source, to: newName, in: target, bytes: bytes)
  }

  private static func checkIsFile(
    _ name: String, in directory: any Directory, atLeast bytes: UInt64
  ) throws {
    guard let metadata = try directory.metadata(of: name) else {
      throw Corruption(
        file: name, offset: 0, what: "file", expected: "there", found: "missing")
    }
    guard metadata.kind == .file else {
      throw Corruption(
        file: name, offset: 0, what: "file", expected: "a regular file", found: "\(metadata.kind)")
    }
    guard metadata.size >= bytes else {
      throw Corruption(
        file: name, offset: metadata.size, what: "file size", expected: "\(bytes)",
        found: "\(metadata.size)")
    }
  }

  /// Copies under a temporary name, synchronises, renames.
  private static func copy(
    _ name: String, in source: any Directory, to newName: String, in target: any Directory,
    bytes: UInt64
  ) throws -> Outcome {
    let temporary = CheckpointDirectory.temporaryPrefix + newName
    let from = try source.openFile(name, .read)
    defer { from.close() }
    if try target.metadata(of: temporary) != nil { try target.remove(temporary) }
    let into = try target.openFile(temporary, .create)
    defer { into.close() }
    do {
      try copy(bytes, of: name, from, to: into)
      try target.rename(temporary, to: newName, replacing: true)
    } catch {
      // On a full disk a half-made copy would be in the way of the next attempt.
      discard(temporary, in: target)
      throw error
    }
    return Outcome(newFiles: 1, newBytes: bytes)
  }

  /// Copies the first `bytes` of a file and makes them durable.
  private static func copy(
    _ bytes: UInt64, of name: String, _ from: any File, to into: any File
  ) throws {
    var offset: UInt64 = 0
    while offset < bytes {
      var chunk = [UInt8](repeating: 0, count: Int(min(UInt64(chunkBytes), bytes - offset)))
      let count = try from.read(into: &chunk, at: offset)
      guard count == chunk.count else {
        throw Corruption(
          file: name, offset: offset, what: "file size", expected: "\(bytes)",
          found: "\(offset + UInt64(count))")
      }
      try into.write(chunk, at: offset)
      offset += UInt64(count)
    }
    try into.synchronize()
  }

  /// Removes a file as far as that is possible: the error before it is the one that counts.
  static func discard(_ name: String, in directory: any Directory) {
    do {
      try directory.remove(name)
    } catch {
      return
    }
  }
}

extension FileTransfer.Outcome {
  static func += (left: inout FileTransfer.Outcome, right: FileTransfer.Outcome) {
    left.newFiles += right.newFiles
    left.newBytes += right.newBytes
  }
}
