/// Which filter a table gets: a pure choice by data and budget.
///
/// A blocked Bloom filter costs one cache line a probe and is cheap to build. A binary fuse filter
/// has a tenth of the false positives for about the same memory, and twice the cost of a probe, so
/// it pays where a false positive is a read from the disk: for merged tables of a keyspace that is
/// larger than the memory that can cache it.
package struct FilterChoice: Sendable {
  /// Bytes of the keyspace's tables.
  package var keyspaceBytes: UInt64
  /// Bytes of memory that hold pages, the operating system's included.
  package var pageMemoryBytes: UInt64
  /// Bytes that building one filter may take.
  package var builderBytesMax: Int

  package init(keyspaceBytes: UInt64, pageMemoryBytes: UInt64, builderBytesMax: Int) {
    self.keyspaceBytes = keyspaceBytes
    self.pageMemoryBytes = pageMemoryBytes
    self.builderBytesMax = builderBytesMax
  }

  /// About 0.4 % false positives.
  private static let bloomBitsPerKey = 12
  /// About 0.1 % false positives at 1.41 bytes a key.
  private static let fusePlanes = 10

  /// The filter of a table that is flushed and will be merged before long.
  package static let flushed = TableWriter.FilterPolicy.blockedBloom(bitsPerKey: bloomBitsPerKey)

  /// The filter of a table of `entries` entries that a merge writes.
  package func merged(entries: Int) -> TableWriter.FilterPolicy {
    let builderBytes = BinaryFuseFilterBuilder.memoryBytes(keys: entries, planes: Self.fusePlanes)
    return keyspaceBytes > pageMemoryBytes && builderBytes <= builderBytesMax
      ? .binaryFuse(planes: Self.fusePlanes) : Self.flushed
  }
}
