// Where reading of every input begins, given what the state remembers of files.
//
// Logs are rotated: a name has another file than before, and the file has another name. So files
// and positions are brought together from the surest sign to the weakest, each at most once:
//
//   1. the same device and inode under the same name
//   2. the same device and inode under another name
//   3. the same content under the same name: a copy, on another machine as a rule
//   4. the same content under another name
//
// The first two need the head and the bytes before the position to agree, too: inodes are used
// again. The cost is one look at every file, one opening for each that is known, and one more for
// each that is not, however many positions the state keeps.

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
  /// The record before the offset had no line end.
  package var isUnterminated = false
  /// The name that the file of the offset has now, where the source is another file: it is finished
  /// first.
  package var predecessor: String?
  /// What the bytes before the offset must be, where only reading up to it can tell.
  package var tail: TailHash?

  /// An input from its beginning on.
  package init(_ source: InputSource) {
    self.source = source
  }
}

/// The inputs of a run, in order.
package struct InputPlan: Sendable {
  /// A file that has another name now.
  package struct Move: Sendable, Equatable {
    /// The name it had.
    package var oldPath: String
    /// Its position under the name that it has.
    package var position: FilePosition
  }

  /// What to read.
  package private(set) var inputs: [PlannedInput] = []
  /// What was noticed about files, for a person.
  package private(set) var notices: [String] = []
  /// Files whose reading goes on under another name.
  package private(set) var moves: [Move] = []

  /// Matches `sources` with the positions that a state keeps. A file that is named again is left
  /// out. With `follows`, files that were rotated since are looked for beside their inputs.
  package init(
    _ sources: [InputSource], positions: [FilePosition], follows: Bool = false,
    in files: InputFileSystem
  ) throws(SourceError) {
    var known = KnownFiles(positions)
    var found = try list(sources, in: files)
    for sign in KnownFiles.Sign.allCases {
      var left: [FoundFile] = []
      for file in found {
        if let position = try known.claim(file, by: sign, in: files) {
          begin(file, at: position)
        } else {
          left.append(file)
        }
      }
      found = left
    }
    for file in found {
      guard let position = known.position(ofFileAt: file.path) else { continue }
      if follows, !known.isClaimed(file.path) {
        try finishPredecessor(of: file, position, in: files)
      } else {
        try explain(file, position, in: files)
      }
    }
  }

  /// Lists what to read, every file once, and the files that are there.
  private mutating func list(
    _ sources: [InputSource], in files: InputFileSystem
  ) throws(SourceError) -> [FoundFile] {
    var found: [FoundFile] = []
    var names: [Inode: String] = [:]
    for source in sources {
      if case .file(let path) = source, let metadata = try files.metadata(of: path),
        metadata.kind == .file
      {
        if let other = names.updateValue(path, forKey: Inode(metadata)) {
          notices.append(
            other == path
              ? "\(path) is named more than once: it is read once"
              : "\(path) is the same file as \(other): it is read once")
          names[Inode(metadata)] = other
          continue
        }
        found.append(FoundFile(index: inputs.count, path: path, metadata: metadata))
      }
      inputs.append(PlannedInput(source))
    }
    return found
  }

  /// Goes on with a file at its position.
  private mutating func begin(_ file: FoundFile, at position: FilePosition) {
    inputs[file.index].offset = position.offset
    inputs[file.index].line = position.line
    inputs[file.index].isUnterminated = position.isUnterminated
    if position.isCompressed, position.tailBytes > 0 {
      inputs[file.index].tail = TailHash(bytes: position.tailBytes, hash: position.tailHash)
    }
    guard position.path != file.path else { return }
    notices.append(
      "\(file.path) is \(position.path) under another name: going on at byte \(position.offset)")
    var moved = position
    moved.path = file.path
    moved.identity.device = file.metadata.device
    moved.identity.inode = file.metadata.inode
    moves.append(Move(oldPath: position.path, position: moved))
  }

  /// Begins with the file that had the name of `file` before.
  private mutating func finishPredecessor(
    of file: FoundFile, _ position: FilePosition, in files: InputFileSystem
  ) throws(SourceError) {
    let (parent, name) = InputFileSystem.split(file.path)
    let siblings: [DirectoryEntry]
    do {
      siblings = try files.fileSystem.openDirectory(at: parent, creating: false).entries()
    } catch {
      throw .unreadable(error)
    }
    for entry in siblings where entry.kind == .file && entry.name != name {
      let path = file.path.dropLast(name.count) + entry.name
      guard case .moved = try position.match([String(path)], in: files) else { continue }
      inputs[file.index].offset = position.offset
      inputs[file.index].line = position.line
      inputs[file.index].isUnterminated = position.isUnterminated
      inputs[file.index].predecessor = String(path)
      notices.append(
        "\(file.path) is a new file, and the one before is \(path) now: going on there at byte "
          + "\(position.offset) first")
      return
    }
    try explain(file, position, in: files)
    notices.append(
      "the file that \(file.path) was is not beside it: what was written to it behind byte "
        + "\(position.offset) is not read")
  }

  /// Says why a file with a known name is read from its beginning.
  private mutating func explain(
    _ file: FoundFile, _ position: FilePosition, in files: InputFileSystem
  ) throws(SourceError) {
    switch try position.match([file.path], in: files) {
    case .truncated(let size):
      notices.append(
        "\(file.path) has \(size) bytes, and \(position.offset) were read before: it was cut off, "
          + "and is read from its beginning")
    case .same, .replaced:
      notices.append("\(file.path) is another file than before: it is read from its beginning")
    case .moved, .missing: break
    }
  }
}

/// What tells files apart while they exist.
private struct Inode: Hashable {
  var device: UInt64
  var inode: UInt64

  init(_ metadata: FileMetadata) {
    (device, inode) = (metadata.device, metadata.inode)
  }

  init(_ identity: FileIdentity) {
    (device, inode) = (identity.device, identity.inode)
  }
}

/// An input that is there.
private struct FoundFile {
  var index: Int
  var path: String
  var metadata: FileMetadata
}

/// The files that a state remembers, each of which is claimed by one input at most.
private struct KnownFiles {
  /// What tells that a file is a known one, the surest first.
  enum Sign: CaseIterable {
    case inodeAndName
    case inode
    case contentAndName
    case content
  }

  private struct Head: Hashable {
    var bytes: UInt64
    var hash: UInt64
  }

  private let positions: [FilePosition]
  private var isClaimed: [Bool]
  private var byPath: [String: Int] = [:]
  private var byInode: [Inode: [Int]] = [:]
  private var byHead: [Head: [Int]] = [:]
  /// Lengths of heads, the longest first.
  private let headLengths: [UInt64]

  init(_ positions: [FilePosition]) {
    self.positions = positions
    isClaimed = Array(repeating: false, count: positions.count)
    for (index, position) in positions.enumerated() {
      let identity = position.identity
      byPath[position.path] = index
      byInode[Inode(identity), default: []].append(index)
      guard identity.headBytes > 0 else { continue }
      byHead[Head(bytes: identity.headBytes, hash: identity.headHash), default: []].append(index)
    }
    headLengths = Set(byHead.keys.map(\.bytes)).sorted(by: >)
  }

  /// What is remembered under a name.
  func position(ofFileAt path: String) -> FilePosition? {
    byPath[path].map { positions[$0] }
  }

  /// Whether the file that had a name before is an input under another one.
  func isClaimed(_ path: String) -> Bool {
    byPath[path].map { isClaimed[$0] } ?? false
  }

  /// The position of a file that shows `sign`, and its content; nobody else gets it any more.
  mutating func claim(
    _ file: FoundFile, by sign: Sign, in files: InputFileSystem
  ) throws(SourceError) -> FilePosition? {
    for index in try candidates(for: file, by: sign, in: files) where !isClaimed[index] {
      switch try positions[index].match([file.path], in: files) {
      case .same, .moved:
        isClaimed[index] = true
        return positions[index]
      case .truncated, .replaced, .missing: break
      }
    }
    return nil
  }

  private func candidates(
    for file: FoundFile, by sign: Sign, in files: InputFileSystem
  ) throws(SourceError) -> [Int] {
    let ofInode = byInode[Inode(file.metadata)] ?? []
    switch sign {
    case .inodeAndName: return ofInode.filter { positions[$0].path == file.path }
    case .inode: return ofInode
    case .contentAndName: return byPath[file.path].map { [$0] } ?? []
    case .content: return try candidates(withHeadOf: file, in: files)
    }
  }

  private func candidates(
    withHeadOf file: FoundFile, in files: InputFileSystem
  ) throws(SourceError) -> [Int] {
    guard let longest = headLengths.first, file.metadata.size > 0 else { return [] }
    let head = try head(of: file.path, bytes: min(longest, file.metadata.size), in: files)
    var found: [Int] = []
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
