// Loading a filter, all of it or what a budget allows.
//
// What can be left out is a suffix of the image: lines of a Bloom filter (hashes beyond them answer
// "maybe") or planes of a fuse filter (each one less doubles the false positives). So a load reads
// a prefix of the image, in pieces of any length, front to back.
//
// A Bloom filter is used as it is on disk. The planes of a fuse filter are turned into cells of k
// bits, one behind the other, so that a probe touches three cache lines and not 3k. The pieces are
// first put where the words of one group of 64 cells meet (word p of group g at g·k + p), then each
// group, k words of planes, becomes 64 cells of k bits, which fill exactly the same k words.

/// How much of a filter a load takes.
package struct FilterLoadPlan: Hashable, Sendable {
  /// The filter.
  package let geometry: FilterGeometry
  /// Lines (blocked Bloom) or planes (binary fuse) to load; 0 makes a filter that says "maybe".
  package let units: Int
  /// Bytes to read, a prefix of the image.
  package let imageBytes: Int
  /// Bytes of memory the loaded filter takes.
  package let memoryBytes: Int
}

extension FilterGeometry {
  /// The most of the filter that fits `byteBudget` bytes of memory.
  package func loadPlan(byteBudget: Int = .max) -> FilterLoadPlan {
    switch layout {
    case .none:
      return FilterLoadPlan(geometry: self, units: 0, imageBytes: 0, memoryBytes: 0)
    case .blockedBloom(let bloom):
      let lines = min(Int(bloom.storedLines), max(0, byteBudget) / BlockedBloomLayout.lineBytes)
      let bytes = lines * BlockedBloomLayout.lineBytes
      return FilterLoadPlan(geometry: self, units: lines, imageBytes: bytes, memoryBytes: bytes)
    case .binaryFuse(let fuse):
      let room = max(0, byteBudget - LoadedFilter.cellPadding) / fuse.planeBytes
      let planes = min(Int(fuse.planes), room)
      let bytes = planes * fuse.planeBytes
      return FilterLoadPlan(
        geometry: self, units: planes, imageBytes: bytes,
        memoryBytes: planes == 0 ? 0 : bytes + LoadedFilter.cellPadding)
    }
  }
}

/// Takes the bytes a plan asks for, piece by piece, and makes the filter of them.
package struct FilterLoader: ~Copyable {
  /// What is being loaded.
  package let plan: FilterLoadPlan

  /// Bytes of the image taken so far.
  package private(set) var taken = 0

  private var memory: AlignedBytes

  /// A loader that has taken nothing. Takes the plan's memory.
  package init(plan: FilterLoadPlan) {
    self.plan = plan
    // A load that ends before all of the image was written makes no filter.
    memory = AlignedBytes(uninitialized: plan.memoryBytes)
    for index in plan.imageBytes..<plan.memoryBytes { unsafe memory.bytes[index] = 0 }
  }

  /// Where the next `count` bytes of the image belong as they are, for whoever puts them there and
  /// says so by `takeNextBytes`.
  ///
  /// - Returns: `nil` when they must be given to `append`: the plan ends before, or the memory is
  ///   no image.
  package func nextBytes(_ count: Int) -> UnsafeMutableRawBufferPointer? {
    guard case .blockedBloom = plan.geometry.layout, count <= plan.imageBytes - taken else {
      return nil
    }
    // SAFETY: `taken + count` is within the plan, and so within the memory.
    return unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[taken..<taken + count])
  }

  /// Takes `count` bytes that were put where `nextBytes` says.
  package mutating func takeNextBytes(_ count: Int) {
    precondition(count <= plan.imageBytes - taken, "more bytes than the plan has")
    taken += count
  }

  /// Takes the next bytes of the image; those beyond the plan are ignored.
  package mutating func append(_ piece: UnsafeRawBufferPointer) {
    let count = min(piece.count, plan.imageBytes - taken)
    guard count > 0 else { return }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: piece[0..<count])
    if case .binaryFuse(let fuse) = plan.geometry.layout {
      unsafe interleave(bytes, planeBytes: fuse.planeBytes)
    } else {
      // SAFETY: `taken + count` is within the plan, and so within the memory.
      unsafe memory.bytes[taken..<taken + count].copyBytes(from: bytes)
    }
    taken += count
  }

  /// Ends the load; throws if bytes of the plan are missing.
  package consuming func finish() throws(CodingError) -> LoadedFilter {
    guard taken == plan.imageBytes else { throw .truncated(offset: taken) }
    if case .binaryFuse(let fuse) = plan.geometry.layout, plan.units > 0 {
      let words = unsafe memory.base.assumingMemoryBound(to: UInt64.self)
      // SAFETY: the memory holds `units` words for each of the groups of 64 cells.
      unsafe BitPlanes.transpose(words, groups: fuse.planeBytes / 8, planes: plan.units)
    }
    return LoadedFilter(plan: plan, memory: memory)
  }

  /// Puts bytes of planes where the words of their group meet.
  private func interleave(_ bytes: UnsafeRawBufferPointer, planeBytes: Int) {
    var index = 0
    while index < bytes.count {
      let (plane, inPlane) = (taken + index).quotientAndRemainder(dividingBy: planeBytes)
      let (group, inWord) = inPlane.quotientAndRemainder(dividingBy: 8)
      let target = (group * plan.units + plane) * 8 + inWord
      // SAFETY: plane < units and group < planeBytes / 8, so the target is within the memory.
      if inWord == 0 && bytes.count - index >= 8 {
        let word = unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        unsafe memory.base.storeBytes(of: word, toByteOffset: target, as: UInt64.self)
        index += 8
      } else {
        unsafe memory.base.storeBytes(of: bytes[index], toByteOffset: target, as: UInt8.self)
        index += 1
      }
    }
  }
}
