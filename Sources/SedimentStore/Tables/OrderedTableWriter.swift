// Writes one table of an ordered keyspace: entries in, a file out.
//
// Entries gather in a block until the next does not fit; then the block is compressed into the
// output's buffer and named in the index. Keys are hashed for the filter a few hundred at a time.
// `finish` writes what is left, the filter, the index and the footer, and synchronises the file;
// `finishUnsynchronized` leaves that to the caller, as the directory always is.
//
// Invariants
// 1. Unless one of the two returned, no file of the table's name is left (as far as the file system
//    lets us remove it).
//
// Concurrency: single owner.

package import SedimentIO

/// Writes a table's entries, in order, into a new file.
package struct OrderedTableWriter: ~Copyable {
  /// What is decided about a table before its first entry.
  package struct Plan: Sendable {
    /// Names the file.
    package var number: FileNumber
    /// Drawn at random; seeds the checksums.
    package var fileID: UInt64
    /// Of the hashes in the filter.
    package var seed: HashSeed
    /// About how many entries will come; sizes the filter.
    package var expectedEntries: Int
    /// Bits of filter for each key; 0 for no filter.
    package var filterBitsPerKey: Int
    /// How blocks are written.
    package var compression: BlockCompression

    /// A plan; nothing is written before the first entry.
    package init(
      number: FileNumber, fileID: UInt64, seed: HashSeed, expectedEntries: Int,
      filterBitsPerKey: Int = BlockedBloomFilterBuilder.bitsPerKeyDefault,
      compression: BlockCompression = .lz4
    ) {
      self.number = number
      self.fileID = fileID
      self.seed = seed
      self.expectedEntries = expectedEntries
      self.filterBitsPerKey = filterBitsPerKey
      self.compression = compression
    }
  }

  private let plan: Plan
  private let directory: any Directory
  private var output: SequentialWriter
  private var block = BlockBuilder()
  private var index = BlockIndexBuilder()
  private var filter: KeyFilterBuilder
  private var isFinished = false

  private var lastTag = EntryTag(word: 0)
  private var smallestKey: [UInt8] = []
  private var smallestSequence = UInt64.max
  private var largestSequence: UInt64 = 0
  private var otherCount: UInt64 = 0
  /// Entries appended so far.
  package private(set) var entryCount: UInt64 = 0

  /// Makes the table's file. Throws `FileError`, `.exists` when the number was used before.
  package init(directory: any Directory, plan: Plan) throws {
    self.plan = plan
    self.directory = directory
    filter = KeyFilterBuilder(plan)
    output = SequentialWriter(try directory.openFile(plan.number.tableName, .create))
  }

  deinit {
    if !isFinished { TableFile.discard(output.file, plan.number, from: directory) }
  }

  /// About the size of the file if it were finished now.
  package var estimatedFileBytes: UInt64 {
    output.offset
      + UInt64(
        block.byteCount + index.byteCountEstimate + filter.imageBytesEstimate
          + TableFormat.footerBytes)
  }

  /// Appends an entry, which comes behind those before. Key and value are copied.
  ///
  /// Throws `TableWriteError` when it cannot stand here, or `FileError`; the file is gone after
  /// either, and the writer only to be dropped.
  ///
  /// - Parameter value: up to 64 MiB, the time of expiry in front where the tag says so.
  package mutating func append(
    key: UnsafeRawBufferPointer, tag: EntryTag, value: UnsafeRawBufferPointer
  ) throws {
    guard key.count <= EntryLayout.keyBytesMax else { throw TableWriteError.keyTooLong }
    guard value.count <= BlockFormat.valueBytesMax else { throw TableWriteError.valueTooLong }
    let order = entryCount == 0 ? 1 : unsafe KeyOrder.compare(key, block.last)
    guard order > 0 || (order == 0 && tag < lastTag) else { throw TableWriteError.outOfOrder }
    if order > 0 || entryCount == 0 { unsafe filter.add(key) }
    if block.isEmpty { unsafe beginBlock(key) }
    if unsafe !block.append(key, tag, value) {
      try endBlock()
      unsafe beginBlock(key)
      _ = unsafe block.append(key, tag, value)
    }
    if entryCount == 0 { smallestKey = unsafe Array(key) }
    lastTag = tag
    smallestSequence = min(smallestSequence, tag.sequence)
    largestSequence = max(largestSequence, tag.sequence)
    if tag.kind != .put { otherCount &+= 1 }
    entryCount &+= 1
  }

  private mutating func beginBlock(_ key: UnsafeRawBufferPointer) {
    unsafe index.add(offset: output.offset, first: key, behind: block.last)
  }

  private mutating func endBlock() throws {
    let bytes = unsafe block.finish()
    let room = BlockFrame.compressedBytesMax(bytes.count)
    let frameBytes = BlockFrame.headerBytes + max(room, bytes.count)
    let offset = output.offset
    let base = unsafe try output.reserve(frameBytes)
    let payload = unsafe UnsafeMutableRawBufferPointer(
      start: base + BlockFrame.headerBytes, count: frameBytes - BlockFrame.headerBytes)
    var codec = BlockCompression.none
    var count = bytes.count
    if plan.compression == .lz4, let compressed = unsafe BlockFrame.compress(bytes, into: payload) {
      (codec, count) = (.lz4, compressed)
    } else {
      unsafe payload.copyMemory(from: bytes)
    }
    unsafe BlockFrame.seal(
      UnsafeMutableRawBufferPointer(start: base, count: BlockFrame.headerBytes + count),
      blockBytes: bytes.count, codec: codec, fileID: plan.fileID, offset: offset)
    output.commit(BlockFrame.headerBytes + count)
    block.removeAll()
    // Also what keeps offsets within the 32 bits that the index has for them.
    guard output.offset <= TableFormat.fileBytesMax else { throw TableWriteError.tableTooLarge }
  }

  /// Ends the table and makes its content durable.
  ///
  /// - Returns: what the manifest is to remember; `nil` when there were no entries, and then no
  ///   file. Throws `FileError`; the file is gone then.
  package consuming func finish() throws -> OrderedTableMetadata? {
    let directory = self.directory
    guard let (metadata, file) = try finishUnsynchronized() else { return nil }
    try TableFile.settle(file, metadata.number, in: directory)
    return metadata
  }

  /// Ends the table. Its content is durable once the caller has synchronised the file, which stays
  /// open for that: what failed meanwhile is told to who had it open.
  ///
  /// - Returns: as `finish`, and the file.
  package consuming func finishUnsynchronized() throws -> (OrderedTableMetadata, any File)? {
    guard entryCount > 0 else { return nil }
    let largestKey = unsafe Array(block.last)
    try endBlock()
    let image = filter.finish()
    try writeSections(image)
    guard output.offset <= TableFormat.fileBytesMax else { throw TableWriteError.tableTooLarge }
    try output.flush()
    isFinished = true
    let metadata = OrderedTableMetadata(
      number: plan.number, fileID: plan.fileID, fileBytes: output.offset, entryCount: entryCount,
      otherCount: otherCount, smallestSequence: smallestSequence,
      largestSequence: largestSequence, smallestKey: smallestKey, largestKey: largestKey,
      filterKind: image.geometry.kind)
    return (metadata, output.file)
  }

  private mutating func writeSections(_ image: FilterImage) throws {
    let blocksEnd = output.offset
    try TableFilterSection.write(image, to: &output, fileID: plan.fileID)
    let indexOffset = output.offset
    var gathered = BlockIndexBuilder()
    swap(&gathered, &index)
    let section = gathered.finish(end: blocksEnd)
    let sum = Checksum.of(
      section.bytes, seed: Checksum.seed(fileID: plan.fileID, place: TableFormat.Place.index))
    try unsafe section.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe output.append(bytes)
    }
    let footer = OrderedTableFooter(
      entryCount: entryCount, otherCount: otherCount, smallestSequence: smallestSequence,
      largestSequence: largestSequence, blocksEnd: blocksEnd,
      filterBytes: indexOffset - blocksEnd, indexOffset: indexOffset,
      indexBytes: UInt64(section.count), indexChecksum: sum)
    unsafe footer.encode(into: try output.reserve(TableFormat.footerBytes), fileID: plan.fileID)
    output.commit(TableFormat.footerBytes)
  }

  /// Gives the table up and removes its file.
  package consuming func abort() {
    // The end of `self` removes what was not finished.
  }
}

/// Gathers the hashes of a table's keys for its filter.
@safe
private struct KeyFilterBuilder: ~Copyable {
  private var bloom: BlockedBloomFilterBuilder?
  private let hasher: KeyHasher
  private let words: UnsafeMutablePointer<UInt64>
  private var count = 0

  private static let batch = 512

  init(_ plan: OrderedTableWriter.Plan) {
    bloom =
      plan.filterBitsPerKey == 0
      ? nil
      : BlockedBloomFilterBuilder(
        expectedKeys: plan.expectedEntries, bitsPerKey: plan.filterBitsPerKey)
    hasher = KeyHasher(seed: plan.seed)
    unsafe words = .allocate(capacity: 2 * Self.batch)
  }

  deinit { unsafe words.deallocate() }

  var imageBytesEstimate: Int {
    switch bloom {
    case .some(let builder): builder.memoryBytes
    case .none: 0
    }
  }

  mutating func add(_ key: UnsafeRawBufferPointer) {
    let hash = unsafe hasher.hash(key)
    unsafe words[count] = hash.high
    unsafe words[Self.batch + count] = hash.low
    count += 1
    if count == Self.batch { hand() }
  }

  private mutating func hand() {
    unsafe bloom?.add(highs: words, lows: words + Self.batch, count: count)
    count = 0
  }

  mutating func finish() -> FilterImage {
    hand()
    guard let builder = bloom.take() else { return FilterImage() }
    return builder.finish()
  }
}
