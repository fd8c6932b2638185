// The state of a memory file system as one value: copying it is a snapshot.
//
// How it works: nodes (files, directories) are numbered and stand in a table; a directory maps
// names to numbers, so several names may share a node (hard links). Arrays and dictionaries are
// copied on write, so a snapshot costs what is changed after it.
//
// Invariants
// 1. Node 0 is the root directory.
// 2. Every node that a durable, current or pending entry names is in the table.
// 3. In a file, `current` equals `durable` wherever no block is pending, except after a sync that
//    failed with `FailedSync.forgotten`.

import SedimentIO

struct MemoryDisk: Sendable {
  let blockBytes: Int
  private(set) var nodes: [Int: MemoryNode] = [0: .directory(MemoryDirectoryNode())]
  private var nextNode = 1

  static let root = 0

  init(blockBytes: Int) {
    self.blockBytes = blockBytes
  }

  // MARK: Nodes

  func file(_ node: Int) -> MemoryFileNode? {
    if case .file(let file)? = nodes[node] { file } else { nil }
  }

  func directory(_ node: Int) -> MemoryDirectoryNode? {
    if case .directory(let directory)? = nodes[node] { directory } else { nil }
  }

  mutating func changeFile(_ node: Int, _ change: (inout MemoryFileNode) -> Void) {
    guard var file = file(node) else { return }
    nodes[node] = .symbolicLink  // Lets go of the one other reference, so that nothing is copied.
    change(&file)
    nodes[node] = .file(file)
  }

  mutating func changeDirectory(_ node: Int, _ change: (inout MemoryDirectoryNode) -> Void) {
    guard var directory = directory(node) else { return }
    nodes[node] = .symbolicLink
    change(&directory)
    nodes[node] = .directory(directory)
  }

  /// Puts a new node under `name`.
  mutating func add(_ node: MemoryNode, as name: String, in directory: Int) -> Int {
    let number = nextNode
    nextNode += 1
    nodes[number] = node
    changeDirectory(directory) { $0.change(.add(name: name, node: number)) }
    return number
  }

  func linkCount(_ node: Int) -> UInt64 {
    var count: UInt64 = 0
    for case .directory(let directory) in nodes.values {
      for target in directory.current.values where target == node { count += 1 }
    }
    return count
  }

  /// Bytes of all blocks that programs see.
  var usedBytes: UInt64 {
    var blocks = 0
    for case .file(let file) in nodes.values { blocks += file.current.blocks.count }
    return UInt64(blocks) * UInt64(blockBytes)
  }

  /// Drops nodes that neither a name nor an open file nor a pending change can bring back.
  mutating func collect(keeping open: Set<Int>) {
    var reachable = open
    reachable.insert(Self.root)
    for case .directory(let directory) in nodes.values {
      reachable.formUnion(directory.durable.values)
      reachable.formUnion(directory.current.values)
      for change in directory.pending { reachable.insert(change.node) }
    }
    nodes = nodes.filter { reachable.contains($0.key) }
  }

  // MARK: Paths

  /// The components of a path; `.` and empty ones are dropped, `..` goes up.
  static func components(_ path: String) -> [String] {
    var result: [String] = []
    for component in path.split(separator: "/") where component != "." {
      if component == ".." { _ = result.popLast() } else { result.append(String(component)) }
    }
    return result
  }

  /// The node that programs see at `path`.
  func node(at path: String) -> Int? {
    var node = Self.root
    for component in Self.components(path) {
      guard let next = directory(node)?.current[component] else { return nil }
      node = next
    }
    return node
  }

  /// Paths of all files that programs see, without a leading `/`, in byte order.
  func filePaths() -> [String] {
    var paths: [String] = []
    func visit(_ node: Int, _ prefix: String) {
      for (name, child) in directory(node)?.current ?? [:] {
        switch nodes[child] {
        case .file: paths.append(prefix + name)
        case .directory: visit(child, prefix + name + "/")
        case .symbolicLink, nil: break
        }
      }
    }
    visit(Self.root, "")
    return paths.sorted(by: PathName.precedes)
  }
}
