// Writes one table: entries in, a file out.
//
// 1. `append` checks a block of entries and copies it behind the columns of those before.
// 2. As long as more is staged than fits a unit, the quanta before that of the first entry that
//    does not fit become a page. A quantum that alone is larger than a unit waits until its end is
//    there, and becomes a jumbo page.
// 3. Pages are assembled in a buffer of 1 MiB and written when it is full.
// 4. `finish` writes what is left, the filter, the index and the footer, and synchronises the file;
//    `finishUnsynchronized` leaves that to the caller, as the directory always is.
//
// Invariants
// 1. The staged entries are whole quanta, but for the last, which may go on.
// 2. Between two calls, more than a unit is staged only when all of it is one quantum.
// 3. `index` has one element for every unit handed to `output`.
// 4. Unless one of the two returned, no file of the table's name is left (as far as the file system
//    lets us remove it).
//
// Concurrency: single owner.

package import SedimentIO

/// Writes a table's entries, in order, into a new file.
///
///     var writer = try TableWriter(directory: directory, number: number, …)
///     while try merge.fill(&block) { try writer.append(block, 0..<block.count) }
///     let metadata = try writer.finish()
package struct TableWriter: ~Copyable {
  /// What is decided about a table before its first entry.
  package struct Plan: Sendable {
    /// Names the file.
    package var number: FileNumber
    /// Drawn at random; seeds the checksums.
    package var fileID: UInt64
    /// What an entry is made of.
    package var layout: EntryLayout
    /// Whether entries other than inserts can come.
    package var hasKinds: Bool
    /// The times that can come; a narrow range makes narrow times.
    package var timeBounds: ClosedRange<Int64>
    /// The `high` words that can come; sets how fine quanta are.
    package var hashRange: ClosedRange<UInt64>
    /// About how many entries will come; sizes the filter.
    package var expectedEntries: Int
    /// The filter the table gets.
    package var filter: FilterPolicy

    /// A plan; nothing is written before the first entry.
    package init(
      number: FileNumber, fileID: UInt64, layout: EntryLayout, hasKinds: Bool,
      timeBounds: ClosedRange<Int64>, hashRange: ClosedRange<UInt64>, expectedEntries: Int,
      filter: FilterPolicy
    ) {
      self.number = number
      self.fileID = fileID
      self.layout = layout
      self.hasKinds = hasKinds
      self.timeBounds = timeBounds
      self.hashRange = hashRange
      self.expectedEntries = expectedEntries
      self.filter = filter
    }
  }

  /// Which filter a table gets.
  package enum FilterPolicy: Sendable, Hashable {
    case none
    /// Fast to build and probe: for fresh flushes.
    case blockedBloom(bitsPerKey: Int)
    /// A tenth of the false positives, for tables that stay; takes 8 bytes of memory a key and more
    /// while it is built.
    case binaryFuse(planes: Int)
  }

  private let plan: Plan
  private let directory: any Directory
  private var output: SequentialWriter
  private var staging: PageStaging
  private var filter: TableFilterBuilder
  private var index: [UInt32] = []
  private let quanta: TableQuanta
  private let timeBase: Int64
  private var isFinished = false

  private var last = KeyHash(high: 0, low: 0)
  private var smallestHigh: UInt64 = 0
  private var smallestTime = Int64.max
  private var largestTime = Int64.min
  /// Entries appended so far.
  package private(set) var entryCount: UInt64 = 0

  /// Makes the table's file. Throws `FileError`, `.exists` when the number was used before.
  package init(directory: any Directory, plan: Plan) throws {
    self.plan = plan
    self.directory = directory
    guard
      let quanta = TableQuanta(
        rangeLow: plan.hashRange.lowerBound, rangeHigh: plan.hashRange.upperBound)
    else { preconditionFailure("a closed range is never upside down") }
    self.quanta = quanta
    timeBase = plan.timeBounds.lowerBound
    let shape = PageShape(
      layout: plan.layout, hasKinds: plan.hasKinds, timeBase: timeBase,
      timeWidth: PageShape.timeWidth(for: plan.timeBounds))
    staging = PageStaging(shape: shape)
    filter = TableFilterBuilder(plan)
    output = SequentialWriter(try directory.openFile(plan.number.tableName, .create))
  }

  deinit {
    if !isFinished { TableFile.discard(output.file, plan.number, from: directory) }
  }

  /// About the size of the file if it were finished now.
  package var estimatedFileBytes: UInt64 {
    let staged = staging.pageBytes(ofFirst: staging.count)
    return output.offset
      + UInt64(staged + filter.imageBytesEstimate + index.count * 4 + 2 * TableFormat.footerBytes)
  }

  /// Appends entries of a block. Entries come in order of hash; those of one hash newest first.
  ///
  /// Keys and values are copied. Throws `TableWriteError` when an entry cannot stand here, or
  /// `FileError`; the file is gone after either, and the writer only to be dropped.
  ///
  /// - Precondition: the range lies within the block.
  package mutating func append(_ block: borrowing EntryBlock, _ range: Range<Int>) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= block.count, "beyond the block")
    if range.isEmpty { return }
    guard let extent = block.extent(of: range), admits(extent) else {
      throw misfit(in: block, range)
    }
    staging.append(block, range, keyBytes: extent.keyBytes)
    if entryCount == 0 { smallestHigh = staging.high(at: 0) }
    last = extent.last
    smallestTime = min(smallestTime, extent.smallestTime)
    largestTime = max(largestTime, extent.largestTime)
    entryCount &+= UInt64(range.count)
    while staging.pageBytes(ofFirst: staging.count) > TableFormat.unitBytes,
      let count = try nextPage()
    {
      try emitPage(of: count)
    }
  }

  /// Ends the table and makes its content durable.
  ///
  /// - Returns: what the manifest is to remember; `nil` when there were no entries, and then no
  ///   file. Throws `FileError`; the file is gone then.
  package consuming func finish() throws -> TableMetadata? {
    let directory = self.directory
    guard let (metadata, file) = try finishUnsynchronized() else { return nil }
    try TableFile.settle(file, metadata.number, in: directory)
    return metadata
  }

  /// Ends the table. Its content is durable once the caller has synchronised the file, which stays
  /// open for that: what failed meanwhile is told to who had it open.
  ///
  /// - Returns: as `finish`, and the file.
  package consuming func finishUnsynchronized() throws -> (TableMetadata, any File)? {
    guard entryCount > 0 else { return nil }
    try emitPage(of: staging.count)
    let image = filter.finish()
    let footer = try writeSections(filter: image)
    unsafe footer.encode(
      into: try output.reserve(TableFormat.footerBytes), fileID: plan.fileID)
    output.commit(TableFormat.footerBytes)
    guard output.offset <= TableFormat.fileBytesMax else { throw TableWriteError.tableTooLarge }
    try output.flush()
    isFinished = true
    let metadata = TableMetadata(
      number: plan.number, fileID: plan.fileID, fileBytes: output.offset,
      entryCount: entryCount, smallestHigh: smallestHigh, largestHigh: last.high,
      smallestTime: smallestTime, largestTime: largestTime, layout: plan.layout,
      hasKinds: plan.hasKinds, filterKind: image.geometry.kind)
    return (metadata, output.file)
  }

  /// Gives the table up and removes its file.
  package consuming func abort() {
    // The end of `self` removes what was not finished.
  }
}

extension TableWriter {
  /// Whether entries may be appended.
  @inline(__always)
  private func admits(_ extent: EntryBlock.Extent) -> Bool {
    (entryCount == 0 || !(extent.first < last))
      && quanta.contains(extent.first.high) && quanta.contains(extent.last.high)
      && extent.smallestTime >= plan.timeBounds.lowerBound
      && extent.largestTime <= plan.timeBounds.upperBound
      && extent.longestKey <= EntryLayout.keyBytesMax && (plan.hasKinds || !extent.hasKinds)
  }

  /// How many of the staged entries, which are more than fit a unit, are the next page; `nil` when
  /// that depends on what comes.
  private func nextPage() throws -> Int? {
    let fitting = staging.countFittingUnit()
    var end = fitting
    while end > 0, stagedQuantum(end) == stagedQuantum(end - 1) { end -= 1 }
    if end > 0 { return end }
    let first = stagedQuantum(0)
    if stagedQuantum(staging.count - 1) == first {
      try checkPageUnits(ofFirst: staging.count)
      return nil
    }
    end = fitting + 1
    while stagedQuantum(end) == first { end += 1 }
    return end
  }

  @inline(__always)
  private func stagedQuantum(_ index: Int) -> UInt32 { quanta.quantum(of: staging.high(at: index)) }

  /// The units that a page of the first `count` staged entries takes.
  @discardableResult
  private func checkPageUnits(ofFirst count: Int) throws -> Int {
    let bytes = staging.pageBytes(ofFirst: count)
    let units = (bytes + TableFormat.unitBytes - 1) / TableFormat.unitBytes
    guard units <= TableFormat.pageUnitsMax else { throw TableWriteError.pageTooLarge }
    return units
  }

  /// Makes the first `count` staged entries a page.
  private mutating func emitPage(of count: Int) throws {
    let units = try checkPageUnits(ofFirst: count)
    let pageBytes = units * TableFormat.unitBytes
    guard output.offset + UInt64(pageBytes) <= TableFormat.fileBytesMax else {
      throw TableWriteError.tableTooLarge
    }
    let first = UInt64(index.count)
    let page = unsafe try output.reserve(pageBytes)
    unsafe staging.assemble(first: count, into: page, units: units)
    let sum = unsafe Checksum.of(
      UnsafeRawBufferPointer(start: page + 8, count: pageBytes - 8),
      seed: Checksum.seed(fileID: plan.fileID, place: first))
    unsafe page.storeLittle(sum, at: 0)
    let begin = stagedQuantum(0)
    output.commit(pageBytes)
    for _ in 0..<units { index.append(begin) }
    staging.addHashes(ofFirst: count, to: &filter)
    staging.removeFirst(count)
  }

  /// Writes filter and index, and pads to the footer.
  private mutating func writeSections(filter image: FilterImage) throws -> TableFooter {
    let filterOffset = output.offset
    try TableFilterSection.write(image, to: &output, fileID: plan.fileID)
    let filterBytes = output.offset - filterOffset
    try output.pad(to: 8)
    let indexOffset = output.offset
    let bytes = index.count * 4
    let room = unsafe try output.reserve(bytes)
    for unit in index.indices { unsafe room.storeLittle(index[unit], at: unit * 4) }
    let indexChecksum = unsafe Checksum.of(
      UnsafeRawBufferPointer(start: room, count: bytes),
      seed: Checksum.seed(fileID: plan.fileID, place: TableFormat.Place.index))
    output.commit(bytes)
    try output.pad(to: UInt64(TableFormat.footerBytes))
    return TableFooter(
      isExact: plan.layout.isExact, valueWidth: plan.layout.valueWidth,
      timeWidth: UInt8(staging.shape.timeWidth), hasKinds: plan.hasKinds, timeBase: timeBase,
      entryCount: entryCount, pageUnits: UInt64(index.count), rangeLow: quanta.rangeLow,
      rangeHigh: quanta.rangeHigh, smallestHigh: smallestHigh, largestHigh: last.high,
      smallestTime: smallestTime, largestTime: largestTime, filterOffset: filterOffset,
      filterBytes: filterBytes, indexOffset: indexOffset, indexBytes: UInt64(bytes),
      indexChecksum: indexChecksum)
  }

  /// Names the reason for which `append` does not take the range: that of its first misfit.
  @inline(never)
  private func misfit(in block: borrowing EntryBlock, _ range: Range<Int>) -> TableWriteError {
    var before = entryCount > 0 ? last : KeyHash(high: 0, low: 0)
    for index in range {
      let entry = block.entry(at: index)
      if entry.hash < before { return .outOfOrder }
      if !quanta.contains(entry.hash.high) { return .hashOutOfRange }
      if entry.keyLength > EntryLayout.keyBytesMax { return .keyTooLong }
      if !plan.hasKinds && entry.kind != .insert { return .kindNotStored }
      if !plan.timeBounds.contains(entry.time) { break }
      before = entry.hash
    }
    return .timeOutOfBounds
  }
}
