import SedimentIO

/// What of the unsynchronised changes a crash leaves on the disk.
public enum CrashSurvival: Sendable, Equatable {
  /// Nothing: the strictest disk that keeps its promises.
  case nothing
  /// Everything that was still to be written. What a failed sync forgot is lost all the same.
  case everything
}

extension MemoryDisk {
  /// The disk after a crash, with all or none of what was pending.
  func crashed(_ survival: CrashSurvival) -> MemoryDisk {
    settling(
      file: { file in
        var file = file
        if survival == .everything { file.synchronize(blockBytes: blockBytes) }
        return file.durable
      },
      entries: { directory in
        var directory = directory
        if survival == .everything { directory.synchronize() }
        return directory.durable
      })
  }

  /// The disk after a crash that chose for each block among the contents it has had, for each size
  /// likewise, and for each change of a name whether it happened. `tearing` also leaves blocks of
  /// which the first sectors are of one content and the rest of the one before it.
  func crashed(
    using generator: inout some RandomNumberGenerator, tearing: Bool
  ) -> MemoryDisk {
    // How much survives is itself chosen, or else nearly all crashes would keep about half.
    let odds = [0, 32, 128, 224, 256][Int.random(in: 0..<5, using: &generator)]
    return settling(
      file: {
        $0.survivor(odds, tearing, blockBytes: blockBytes, using: &generator)
      },
      entries: {
        var entries = $0.durable
        for change in $0.pending where generator.happens(odds) { change.apply(to: &entries) }
        return entries
      })
  }

  private func settling(
    file content: (MemoryFileNode) -> MemoryContent,
    entries: (MemoryDirectoryNode) -> [String: Int]
  ) -> MemoryDisk {
    var result = self
    // In order of their numbers, so that one seed makes one disk.
    for number in nodes.keys.sorted() {
      switch nodes[number] {
      case .file(let file):
        let survivor = content(file)
        result.changeFile(number) { $0.settle(survivor) }
      case .directory(let directory):
        let survivor = entries(directory)
        result.changeDirectory(number) { $0.settle(survivor) }
      case .symbolicLink, nil: break
      }
    }
    result.collect(keeping: [])
    return result
  }
}

extension MemoryFileNode {
  /// One of the contents that a crash may leave.
  func survivor(
    _ odds: Int, _ tearing: Bool, blockBytes: Int, using generator: inout some RandomNumberGenerator
  ) -> MemoryContent {
    var content = durable
    for index in pendingBlocks.keys.sorted() where generator.happens(odds) {
      // The durable content stands first, so that every content has one before it.
      let versions = [durable.blocks[index]] + pendingBlocks[index, default: []]
      // Mostly the last one: that is what a disk with time to write has written.
      let last = versions.count - 1
      let chosen =
        generator.happens(128) ? last : Int.random(in: 1...last, using: &generator)
      let torn = tearing && generator.happens(32)
      content.setBlock(
        index,
        torn
          ? Self.tear(versions[chosen - 1], versions[chosen], blockBytes, using: &generator)
          : versions[chosen])
    }
    if generator.happens(odds), let size = pendingSizes.randomElement(using: &generator) {
      content.size = generator.happens(128) ? current.size : size
    }
    content.clearPastSize(blockBytes: blockBytes)
    return content
  }

  /// The first sectors of `new`, then the rest of `old`.
  private static func tear(
    _ old: [UInt8]?, _ new: [UInt8]?, _ blockBytes: Int,
    using generator: inout some RandomNumberGenerator
  ) -> [UInt8] {
    let zeros = [UInt8](repeating: 0, count: blockBytes)
    let sectors = blockBytes / MemoryFileSystem.sectorBytes
    let cut = Int.random(in: 0...sectors, using: &generator) * MemoryFileSystem.sectorBytes
    return Array((new ?? zeros)[..<cut] + (old ?? zeros)[cut...])
  }
}

extension RandomNumberGenerator {
  /// Whether something of `odds` in 256 happens.
  fileprivate mutating func happens(_ odds: Int) -> Bool {
    Int(truncatingIfNeeded: next() & 255) < odds
  }
}
