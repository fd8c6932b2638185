// Where reading of every input begins, given what the state remembers of files.
//
// A file is first looked for by its path. What has no position there may be a file with another
// name: it is found by device and inode, and on another machine by its head. So the cost is one or
// two opens a file, however many positions the state keeps.

internal import SedimentIO
internal import SedimentStore

/// An input and where to begin in it.
package struct PlannedInput: Sendable, Equatable {
  /// What to read.
  package var source: InputSource
  /// In uncompressed bytes.
  package var offset: UInt64 = 0
  /// The line at the offset.
  package var line: UInt64 = 1

  /// An input from its beginning on.
  package init(_ source: InputSource) {
    self.source = source
  }
}

/// The inputs of a run, in order.
package struct InputPlan: Sendable {
  /// What to read.
  package private(set) var inputs: [PlannedInput] = []
  /// What was noticed about files, for a person.
  package private(set) var notices: [String] = []
  /// Files whose reading goes on where it stopped.
  package private(set) var resumedFiles = 0
  /// Positions whose file is among the inputs under this path, or another one now.
  package private(set) var superseded: Set<String> = []

  /// Matches `sources` with the positions that a state keeps.
  package init(
    _ sources: [InputSource], positions: [FilePosition], in files: InputFileSystem
  ) throws(SourceError) {
    var byPath: [String: FilePosition] = [:]
    for position in positions { byPath[position.path] = position }
    let paths = Set(sources.map(\.path))
    let strays = StrayPositions(positions.filter { !paths.contains($0.path) })
    for source in sources {
      guard case .file(let path) = source else {
        inputs.append(PlannedInput(source))
        continue
      }
      var input = PlannedInput(source)
      if let position = byPath[path] {
        try resume(&input, path: path, at: position, candidates: [path], in: files)
      }
      if input.offset == 0 {
        // A name that has another file now may have the file of another name.
        for position in try strays.candidates(for: path, in: files) {
          let match = try position.match([path], in: files)
          guard case .moved = match else { continue }
          begin(&input, at: position)
          superseded.insert(position.path)
          notices.append(
            "\(path) is \(position.path) under another name: going on at byte \(position.offset)")
          break
        }
      }
      inputs.append(input)
    }
  }

  private mutating func resume(
    _ input: inout PlannedInput, path: String, at position: FilePosition, candidates: [String],
    in files: InputFileSystem
  ) throws(SourceError) {
    switch try position.match(candidates, in: files) {
    case .same: begin(&input, at: position)
    case .truncated(let size):
      notices.append(
        "\(path) has \(size) bytes, and \(position.offset) were read before: it was cut off, and "
          + "is read from its beginning")
    case .replaced:
      notices.append("\(path) is another file than before: it is read from its beginning")
    case .moved, .missing: break
    }
  }

  private mutating func begin(_ input: inout PlannedInput, at position: FilePosition) {
    input.offset = position.offset
    input.line = position.line
    resumedFiles += 1
  }
}

/// Positions of files that have no input of their path, by what a moved file keeps.
private struct StrayPositions {
  private struct Inode: Hashable {
    var device: UInt64
    var inode: UInt64
  }

  private struct Head: Hashable {
    var bytes: UInt64
    var hash: UInt64
  }

  private var byInode: [Inode: [FilePosition]] = [:]
  private var byHead: [Head: [FilePosition]] = [:]
  /// Lengths of heads, the longest first.
  private var headLengths: [UInt64] = []

  init(_ positions: [FilePosition]) {
    for position in positions {
      let identity = position.identity
      byInode[Inode(device: identity.device, inode: identity.inode), default: []].append(position)
      guard identity.headBytes > 0 else { continue }
      byHead[Head(bytes: identity.headBytes, hash: identity.headHash), default: []]
        .append(position)
    }
    headLengths = Set(byHead.keys.map(\.bytes)).sorted(by: >)
  }

  /// Positions that may be of the file at `path`.
  func candidates(
    for path: String, in files: InputFileSystem
  ) throws(SourceError) -> [FilePosition] {
    guard !byInode.isEmpty, let metadata = try files.metadata(of: path), metadata.kind == .file
    else { return [] }
    var found = byInode[Inode(device: metadata.device, inode: metadata.inode)] ?? []
    guard let longest = headLengths.first, metadata.size > 0 else { return found }
    let head = try head(of: path, bytes: min(longest, metadata.size), in: files)
    for length in headLengths where length <= UInt64(head.count) {
      let hash = Checksum.of(Array(head[..<Int(length)]), seed: 0)
      found += byHead[Head(bytes: length, hash: hash)] ?? []
    }
    return found
  }

  private func head(
    of path: String, bytes: UInt64, in files: InputFileSystem
  ) throws(SourceError) -> [UInt8] {
    let file = try files.open(path)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(min(bytes, FileIdentity.hashedBytesMax)), alignment: 16)
    defer { unsafe buffer.deallocate() }
    do {
      let count = try unsafe file.read(into: buffer, at: 0)
      return unsafe Array(buffer[..<count])
    } catch {
      throw .unreadable(error)
    }
  }
}
