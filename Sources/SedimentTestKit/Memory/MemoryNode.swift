import SedimentIO

/// A file of the memory file system: what the disk holds, what programs see, and the difference.
struct MemoryFileNode: Sendable {
  /// What is on the disk whatever happens.
  var durable = MemoryContent()
  /// What reads see.
  var current = MemoryContent()
  /// Contents that each unsynchronised block has had, oldest first; any of them, or the durable
  /// one, may be what a crash leaves.
  var pendingBlocks: [UInt64: [[UInt8]?]] = [:]
  /// Likewise for the size.
  var pendingSizes: [UInt64] = []

  /// How many versions of one block are remembered. Of many small appends to a block the middle
  /// ones tell nothing new; the bound keeps a log of single records from costing their square.
  static let versionsMax = 6

  mutating func write(_ bytes: [UInt8], at offset: UInt64, blockBytes: Int) {
    let pieces = MemoryContent.pieces(
      offset: offset, count: bytes.count, blockBytes: blockBytes)
    for piece in pieces {
      var block = current.block(piece.block, blockBytes: blockBytes)
      let source = bytes[piece.start..<(piece.start + piece.range.count)]
      block.replaceSubrange(piece.range, with: source)
      current.setBlock(piece.block, block)
      remember(piece.block, block)
    }
    setSize(max(current.size, offset + UInt64(bytes.count)))
  }

  mutating func truncate(to size: UInt64, blockBytes: Int) {
    setSize(size)
    for index in current.clearPastSize(blockBytes: blockBytes) {
      remember(index, current.blocks[index])
    }
  }

  private mutating func setSize(_ size: UInt64) {
    if size == current.size { return }
    current.size = size
    pendingSizes.append(size)
    if pendingSizes.count > Self.versionsMax { pendingSizes.removeFirst() }
  }

  private mutating func remember(_ index: UInt64, _ bytes: [UInt8]?) {
    pendingBlocks[index, default: []].append(bytes)
    if pendingBlocks[index, default: []].count > Self.versionsMax {
      pendingBlocks[index]?.removeFirst()
    }
  }

  /// Writes the pending blocks to the disk. Blocks that a failed sync gave up stay as they are.
  mutating func synchronize(blockBytes: Int) {
    for index in pendingBlocks.keys { durable.setBlock(index, current.blocks[index]) }
    if !pendingSizes.isEmpty {
      durable.size = current.size
      durable.clearPastSize(blockBytes: blockBytes)
    }
    forgetPending()
  }

  mutating func forgetPending() {
    pendingBlocks = [:]
    pendingSizes = []
  }

  /// Makes `content` both what the disk holds and what programs see.
  mutating func settle(_ content: MemoryContent) {
    durable = content
    current = content
    forgetPending()
  }
}

/// A change to a directory's names that is not durable yet. Each is atomic.
enum MemoryEntryChange: Sendable {
  case add(name: String, node: Int)
  case remove(name: String, node: Int)
  case rename(from: String, to: String, node: Int)

  func apply(to entries: inout [String: Int]) {
    switch self {
    case .add(let name, let node):
      entries[name] = node
    case .remove(let name, let node):
      if entries[name] == node { entries[name] = nil }
    case .rename(let from, let to, let node):
      if entries[from] == node { entries[from] = nil }
      entries[to] = node
    }
  }

  /// The node it names, which must live for as long as the change is pending.
  var node: Int {
    switch self {
    case .add(_, let node), .remove(_, let node), .rename(_, _, let node): node
    }
  }
}

/// A directory of the memory file system.
struct MemoryDirectoryNode: Sendable {
  var durable: [String: Int] = [:]
  var current: [String: Int] = [:]
  var pending: [MemoryEntryChange] = []
  /// Whoever has it open can put nothing into it any more.
  var isRemoved = false

  mutating func change(_ change: MemoryEntryChange) {
    change.apply(to: &current)
    pending.append(change)
  }

  mutating func synchronize() {
    for change in pending { change.apply(to: &durable) }
    pending = []
  }

  mutating func settle(_ entries: [String: Int]) {
    durable = entries
    current = entries
    pending = []
    // What a crash leaves has a name.
    isRemoved = false
  }
}

/// What a name can stand for.
enum MemoryNode: Sendable {
  case file(MemoryFileNode)
  case directory(MemoryDirectoryNode)
  case symbolicLink

  var kind: FileMetadata.Kind {
    switch self {
    case .file: .file
    case .directory: .directory
    case .symbolicLink: .symbolicLink
    }
  }
}
