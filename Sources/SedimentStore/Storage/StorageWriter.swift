// Who publishes: a state directory, in one of its openings.
//
//   DIR/WRITER    <id of the directory, 32 hex digits> <sequence>\n
//
// The id is drawn for a directory and never leaves it: it is in no checkpoint. The sequence is that
// of the last entry in the log when the directory was restored: whatever others have published by
// then is what it goes on from, and what they publish later supersedes it, however often it is
// opened. A copy of the whole directory has the same id; of two of those the writer epoch tells.

internal import SedimentIO

/// See the file's header.
package struct StorageWriter: Hashable, Sendable {
  package var directory: StoreIdentity
  /// Drawn when the store was opened.
  package var opening: StoreIdentity
  /// The last entry of the log that it goes on from.
  package var base: UInt64

  package init(directory: StoreIdentity, opening: StoreIdentity, base: UInt64) {
    self.directory = directory
    self.opening = opening
    self.base = base
  }

  private static let fileName = "WRITER"
  private static let temporaryName = ".WRITER.new"
  private static let bytesMax = 128

  /// Whether a store may publish behind a checkpoint.
  ///
  /// - Parameter writerEpoch: of the store.
  package func mayFollow(
    _ checkpoint: PublishedCheckpoint, at sequence: UInt64, writerEpoch: UInt64
  ) -> Bool {
    guard sequence > base else { return true }
    guard checkpoint.directory == directory else { return false }
    return checkpoint.opening == opening || checkpoint.id.writerEpoch < writerEpoch
  }

  /// The writer of a state directory, which becomes one when it is none yet.
  static func read(
    in directory: any Directory, opening: StoreIdentity
  ) throws -> StorageWriter {
    guard try directory.metadata(of: fileName) != nil else {
      let writer = StorageWriter(directory: .random(), opening: opening, base: 0)
      try writer.write(in: directory)
      return writer
    }
    let file = try directory.openFile(fileName, .read)
    defer { file.close() }
    var bytes = [UInt8](repeating: 0, count: bytesMax)
    bytes.removeLast(bytes.count - (try file.read(into: &bytes, at: 0)))
    let words = String(decoding: bytes, as: UTF8.self).split(
      separator: " ", omittingEmptySubsequences: false)
    guard words.count == 2, words[1].hasSuffix("\n"), let id = StoreIdentity(words[0]),
      let base = UInt64(words[1].dropLast())
    else {
      throw Corruption(
        file: fileName, offset: 0, what: "content", expected: "an id and a number",
        found: "something else")
    }
    return StorageWriter(directory: id, opening: opening, base: base)
  }

  /// Makes it durable.
  func write(in target: any Directory) throws {
    if try target.metadata(of: Self.temporaryName) != nil {
      try target.remove(Self.temporaryName)
    }
    let file = try target.openFile(Self.temporaryName, .create)
    defer { file.close() }
    try file.write(Array("\(directory) \(base)\n".utf8), at: 0)
    try file.synchronize()
    try target.rename(Self.temporaryName, to: Self.fileName, replacing: true)
    try target.synchronize()
  }
}
