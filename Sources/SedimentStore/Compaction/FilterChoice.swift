/// Which filter a table gets: a pure choice by data and budget.
///
/// A blocked Bloom filter costs one cache line a probe and is cheap to build. A binary fuse filter
/// has a quarter of the false positives for a little less memory, and costs three lines. So it pays
/// where a false positive is a read from the disk: in a keyspace that is larger than the memory
/// that can cache it. And it is the better one to have only a part of: each plane that is left out
/// doubles its false positives, where of half a Bloom filter nothing is left for half of the keys.
/// So it is also for keyspaces whose filters will not fit the memory for them. In both, only large
/// runs get it: there are few of them, they take most of the memory, and theirs is what goes first.
package struct FilterChoice: Sendable {
  /// Bytes of the keyspace's tables.
  package var keyspaceBytes: UInt64
  /// Entries of the keyspace's tables.
  package var keyspaceEntries: UInt64
  /// Entries of the shard's tables, and of those that are merged.
  package var shardEntries: UInt64
  package var runEntries: UInt64
  /// Bytes of memory that hold pages, the operating system's included.
  package var pageMemoryBytes: UInt64
  /// Bytes of memory for filters.
  package var filterMemoryBytes: Int
  /// Bytes that building one filter may take.
  package var builderBytesMax: Int

  /// A choice by its data.
  package init(
    keyspaceBytes: UInt64, keyspaceEntries: UInt64, shardEntries: UInt64, runEntries: UInt64,
    pageMemoryBytes: UInt64, filterMemoryBytes: Int, builderBytesMax: Int
  ) {
    self.shardEntries = shardEntries
    self.runEntries = runEntries
    self.keyspaceBytes = keyspaceBytes
    self.keyspaceEntries = keyspaceEntries
    self.pageMemoryBytes = pageMemoryBytes
    self.filterMemoryBytes = filterMemoryBytes
    self.builderBytesMax = builderBytesMax
  }

  /// About 0.4 % false positives.
  private static let bloomBitsPerKey = 12
  /// About 0.1 % false positives at 1.41 bytes a key; 12 bits of the other let 0.4 % pass.
  private static let fusePlanes = 10
  /// Tables of fewer entries than this would be too many.
  private static let fuseEntriesMin = 1 << 15

  /// The filter of a table that is flushed and will be merged before long.
  package static let flushed = TableWriter.FilterPolicy.blockedBloom(bitsPerKey: bloomBitsPerKey)

  /// A run of an eighth of its shard is a large one.
  private static let largeShare: UInt64 = 8

  /// Most entries of a table whose filter merges can build in the memory they have, or `nil` where
  /// a Bloom filter is the better one and the table may have any size.
  package var fuseEntriesMax: Int? {
    guard runEntries * Self.largeShare >= shardEntries else { return nil }
    // A table of the last level stays until the keyspace is about twice as large.
    let bloomBytes = keyspaceEntries * UInt64(Self.bloomBitsPerKey) / 8
    let willOverflow = 2 * bloomBytes > UInt64(filterMemoryBytes)
    guard keyspaceBytes > pageMemoryBytes || willOverflow else { return nil }
    let perEntry = BinaryFuseFilterBuilder.memoryBytes(keys: 1 << 20, planes: Self.fusePlanes) >> 20
    let entries = builderBytesMax / (perEntry + 1)
    return entries < Self.fuseEntriesMin ? nil : entries
  }

  /// The filter of a table of `entries` entries that a merge writes.
  package func merged(entries: Int) -> TableWriter.FilterPolicy {
    guard let entriesMax = fuseEntriesMax, entries <= entriesMax else { return Self.flushed }
    return .binaryFuse(planes: Self.fusePlanes)
  }
}
