internal import CSedimentKernels

/// The memory of an ordered memtable: trivially copyable, so that hot loops hold it in registers.
///
/// Offsets of nodes are in units of 8 bytes from the base, 0 is none. A node lies behind its tower:
///
///     −4·(l + 1)   u32 the next node at level l, for each of its levels
///              0   u64 head of the key │ u64 tag │ u32 key length │ u32 value length
///             24   key │ value │ zeros to 8 bytes
///
/// The first node has all levels, no key, and is before all others. Behind it lie the writer's
/// words: at each level the last node, and what the last search found.
@safe
package struct OrderedMemtableCore: @unchecked Sendable {
  // @unchecked because readers follow the protocol in `OrderedMemtable`'s header.
  /// Levels of the tallest tower: a fourth of the nodes of a level are in the next one.
  static let heightMax = 12
  private static let headerBytes = 24
  private static let firstNode = 4 * heightMax
  private static let tails = firstNode + headerBytes
  private static let found = tails + 4 * heightMax
  private static let heightAt = found + 4 * heightMax
  /// Bytes before the first entry.
  static let preambleBytes = (heightAt + 4 + 7) / 8 * 8
  /// What offsets reach.
  package static let byteCountMax = 1 << 35

  let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// Takes memory of at least `preambleBytes`, at a multiple of 8.
  init(base: UnsafeMutableRawPointer, byteCount: Int) {
    unsafe self.base = unsafe base
    self.byteCount = byteCount
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: Self.preambleBytes)
    unsafe base.storeBytes(of: 1, toByteOffset: Self.heightAt, as: UInt32.self)
    let first = UInt32(Self.firstNode / 8)
    for level in 0..<Self.heightMax {
      unsafe base.storeBytes(of: first, toByteOffset: Self.tails + 4 * level, as: UInt32.self)
    }
  }

  /// Bytes that an entry takes at the most.
  @inline(__always)
  static func entryBytesMax(key: Int, value: Int) -> Int {
    (4 * heightMax + headerBytes + key + value + 7) & ~7
  }

  // MARK: - Nodes

  /// A node by its offset in units; `none` where there is none.
  @frozen
  package struct Node: Equatable, BitwiseCopyable, Sendable {
    var unit: UInt32
    static let none = Node(unit: 0)
    package var isNone: Bool { unit == 0 }
  }

  private static let first = Node(unit: UInt32(firstNode / 8))

  @inline(__always)
  private func address(_ node: Node) -> UnsafeMutableRawPointer {
    unsafe base + Int(node.unit) &* 8
  }

  @inline(__always)
  private func link(_ node: Node, _ level: Int) -> UnsafeMutablePointer<UInt32> {
    unsafe (address(node) - 4 &* (level &+ 1)).assumingMemoryBound(to: UInt32.self)
  }

  @inline(__always)
  private func next(_ node: Node, _ level: Int) -> Node {
    Node(unit: unsafe sediment_load_acquire_u32(link(node, level)))
  }

  /// When the entry was written, and what it does.
  @inline(__always)
  package func tag(_ node: Node) -> EntryTag {
    EntryTag(word: unsafe address(node).load(fromByteOffset: 8, as: UInt64.self))
  }

  /// The entry's key; good as long as the memory.
  @inline(__always)
  package func key(_ node: Node) -> UnsafeRawBufferPointer {
    let address = unsafe address(node)
    let count = unsafe Int(address.load(fromByteOffset: 16, as: UInt32.self))
    return unsafe UnsafeRawBufferPointer(start: address + Self.headerBytes, count: count)
  }

  /// The entry's value, with the time of its expiry in front where it has one.
  @inline(__always)
  package func value(_ node: Node) -> UnsafeRawBufferPointer {
    let address = unsafe address(node)
    let keyCount = unsafe Int(address.load(fromByteOffset: 16, as: UInt32.self))
    let count = unsafe Int(address.load(fromByteOffset: 20, as: UInt32.self))
    return unsafe UnsafeRawBufferPointer(
      start: address + (Self.headerBytes &+ keyCount), count: count)
  }

  // MARK: - Looking

  /// What is looked for: an entry of this key, or behind it.
  @safe
  package struct Target {
    let key: UnsafeRawPointer
    let count: Int
    let head: UInt64
    let tag: EntryTag

    /// Entries of `key` that are no newer than `tag`, and those behind. The key is borrowed.
    @inline(__always)
    package init(_ key: UnsafeRawBufferPointer, tag: EntryTag) {
      // An empty buffer may have no address; no byte of what stands in for it is read.
      let start = unsafe key.baseAddress ?? UnsafeRawPointer(bitPattern: 8)
      unsafe self.key = unsafe start.unsafelyUnwrapped
      count = key.count
      head = unsafe KeyOrder.head(self.key, key.count)
      self.tag = tag
    }
  }

  /// Whether a node, which is not the first, lies before a place.
  @inline(__always)
  private func isBefore(_ node: Node, _ target: Target) -> Bool {
    let address = unsafe address(node)
    let head = unsafe address.load(as: UInt64.self)
    if head != target.head { return head < target.head }
    let count = unsafe Int(address.load(fromByteOffset: 16, as: UInt32.self))
    let order = unsafe KeyOrder.compare(
      address + Self.headerBytes, count, target.key, target.count)
    if order != 0 { return order < 0 }
    return tag(node) > target.tag
  }

  @inline(__always)
  private var height: Int {
    unsafe Int(
      sediment_load_relaxed_u32((base + Self.heightAt).assumingMemoryBound(to: UInt32.self)))
  }

  /// The first entry that is not before `target`.
  package func seek(_ target: Target) -> Node { bracket(target).behind }

  /// The last entry before `target`.
  package func seekBefore(_ target: Target) -> Node { bracket(target).before }

  /// The entries on both sides of a place.
  @inline(__always)
  private func bracket(_ target: Target) -> (before: Node, behind: Node) {
    var node = Self.first
    var behind = Node.none
    var level = height &- 1
    while true {
      let following = next(node, level)
      if !following.isNone && following != behind && isBefore(following, target) {
        node = following
        continue
      }
      // Met again a level below, it is behind the place there too.
      behind = following
      if level == 0 { return (node == Self.first ? .none : node, following) }
      level &-= 1
    }
  }

  /// The first entry of all.
  package var firstEntry: Node { next(Self.first, 0) }

  /// The last entry of all.
  package var lastEntry: Node {
    var node = Self.first
    var level = height &- 1
    while true {
      let following = next(node, level)
      if !following.isNone {
        node = following
      } else if level == 0 {
        return node == Self.first ? .none : node
      } else {
        level &-= 1
      }
    }
  }

  /// The entry behind one.
  @inline(__always)
  package func entry(after node: Node) -> Node { next(node, 0) }

  /// The entry before one.
  package func entry(before node: Node) -> Node {
    unsafe seekBefore(Target(key(node), tag: tag(node)))
  }

  // MARK: - Writing

  /// Enters an entry at its place.
  ///
  /// - Parameters:
  ///   - value: with the time of its expiry in front where the tag says so.
  ///   - used: bytes of the memory in use.
  ///   - height: levels of its tower, 1 to `heightMax`.
  /// - Returns: whether it fits; nothing is changed when it does not.
  func insert(
    key: UnsafeRawBufferPointer, tag: EntryTag, value: UnsafeRawBufferPointer, height: Int,
    used: inout Int
  ) -> Bool {
    let tower = (4 &* height &+ 7) & ~7
    let bytes = (tower &+ Self.headerBytes &+ key.count &+ value.count &+ 7) & ~7
    guard bytes <= byteCount &- used else { return false }
    let node = Node(unit: UInt32(truncatingIfNeeded: (used &+ tower) &>> 3))
    used &+= bytes
    let target = unsafe Target(key, tag: tag)
    // SAFETY: the entry's bytes were just found to fit, and nobody knows of them yet.
    let address = unsafe address(node)
    unsafe address.storeBytes(of: target.head, as: UInt64.self)
    unsafe address.storeBytes(of: tag.word, toByteOffset: 8, as: UInt64.self)
    unsafe address.storeBytes(
      of: UInt32(truncatingIfNeeded: key.count), toByteOffset: 16, as: UInt32.self)
    unsafe address.storeBytes(
      of: UInt32(truncatingIfNeeded: value.count), toByteOffset: 20, as: UInt32.self)
    let content = unsafe address + Self.headerBytes
    unsafe content.copyMemory(from: target.key, byteCount: key.count)
    if let source = value.baseAddress {
      unsafe (content + key.count).copyMemory(from: source, byteCount: value.count)
    }
    findPlace(target)
    link(node, height: height)
    return true
  }

  /// Leaves in the writer's words the node behind which `target` belongs, at each level.
  private func findPlace(_ target: Target) {
    let found = unsafe words(Self.found)
    let tails = unsafe words(Self.tails)
    let last = Node(unit: unsafe tails[0])
    // Keys often come in order: then the place is the end, at every level.
    if last == Self.first || isBefore(last, target) {
      unsafe found.update(from: tails, count: Self.heightMax)
      return
    }
    var node = Self.first
    var behind = Node.none
    var level = Self.heightMax &- 1
    while true {
      let following = next(node, level)
      if !following.isNone && following != behind && isBefore(following, target) {
        node = following
        continue
      }
      // Met again a level below, it is behind the place there too.
      behind = following
      unsafe found[level] = node.unit
      if level == 0 { return }
      level &-= 1
    }
  }

  /// Links a node that is complete in behind what `findPlace` found, lowest level first: whoever
  /// meets it at a level finds it at those below.
  private func link(_ node: Node, height: Int) {
    let found = unsafe words(Self.found)
    let tails = unsafe words(Self.tails)
    for level in 0..<height {
      let before = Node(unit: unsafe found[level])
      let behind = unsafe sediment_load_relaxed_u32(link(before, level))
      unsafe sediment_store_relaxed_u32(link(node, level), behind)
      unsafe sediment_store_release_u32(link(before, level), node.unit)
      if behind == 0 { unsafe tails[level] = node.unit }
    }
    if height > self.height {
      unsafe sediment_store_relaxed_u32(
        (base + Self.heightAt).assumingMemoryBound(to: UInt32.self), UInt32(height))
    }
  }

  @inline(__always)
  private func words(_ offset: Int) -> UnsafeMutablePointer<UInt32> {
    unsafe (base + offset).assumingMemoryBound(to: UInt32.self)
  }
}
