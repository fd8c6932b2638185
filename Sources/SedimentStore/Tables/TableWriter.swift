// Writes one table: entries in, a synchronised file out.
//
// 1. `append` puts an entry into the columns of the page being filled.
// 2. When an entry does not fit the unit, all quanta before its own become a page; the entries of
//    its own quantum move to the front of the next. A quantum that alone is larger than a unit
//    grows into a jumbo page, which ends with its quantum.
// 3. Pages are assembled in a buffer of 1 MiB and written when it is full.
// 4. `finish` writes what is left, the filter, the index and the footer, and synchronises the file.
//    The directory is the caller's to synchronise.
//
// Invariants
// 1. The staged entries are whole quanta, but for the last, which may go on.
// 2. More than a unit is staged only when all of it is one quantum.
// 3. `index` has one element for every unit handed to `output`.
// 4. Unless `finish` returned, no file of the table's name is left (as far as the file system lets
//    us remove it).
//
// Concurrency: single owner.

package import SedimentIO

/// Writes a table's entries, in order, into a new file.
///
///     var writer = try TableWriter(directory: directory, number: number, …)
///     while try merge.advance() { try writer.append(merge.current) }
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
  private let timeSpread: UInt64
  private var isFinished = false

  /// The quantum of the entry appended last, and where its entries begin in the staging.
  private var quantum: UInt32 = 0
  private var quantumStart = 0
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
    timeSpread = UInt64(bitPattern: plan.timeBounds.upperBound &- timeBase)
    let shape = PageShape(
      layout: plan.layout, hasKinds: plan.hasKinds, timeBase: timeBase,
      timeWidth: PageShape.timeWidth(for: plan.timeBounds))
    staging = PageStaging(shape: shape)
    filter = TableFilterBuilder(plan)
    output = SequentialWriter(try directory.openFile(plan.number.tableName, .create))
  }

  deinit {
    if !isFinished { removeFile() }
  }

  /// About the size of the file if it were finished now.
  package var estimatedFileBytes: UInt64 {
    let staged = staging.pageBytes(count: staging.count, keyBytes: staging.keyBytes)
    return output.offset
      + UInt64(staged + filter.imageBytesEstimate + index.count * 4 + 2 * TableFormat.footerBytes)
  }

  /// Appends an entry. Entries come in order of hash; those of one hash newest first.
  ///
  /// The key and value are copied. Throws `TableWriteError` when the entry cannot stand here, or
  /// `FileError`; the file is gone after either, and the writer only to be dropped.
  package mutating func append(_ entry: EntryReference) throws {
    let high = entry.hash.high
    let delta = UInt64(bitPattern: entry.time &- timeBase)
    // Unsigned: a time below the base is far above the spread.
    guard
      delta <= timeSpread, quanta.contains(high), entryCount == 0 || !(entry.hash < last),
      entry.keyLength <= EntryLayout.keyBytesMax, plan.hasKinds || entry.kind == .insert
    else { throw refuse(entry) }
    let quantum = quanta.quantum(of: high)
    if quantum != self.quantum {
      self.quantum = quantum
      quantumStart = staging.count
    }
    let keyLength = plan.layout.isExact ? Int(entry.keyLength) : 0
    let bytes = staging.pageBytes(
      count: staging.count + 1, keyBytes: staging.keyBytes + keyLength)
    if bytes > TableFormat.unitBytes { try makeRoom(keyLength: keyLength) }
    staging.append(entry, delta: delta)
    if entryCount == 0 { smallestHigh = high }
    last = entry.hash
    smallestTime = min(smallestTime, entry.time)
    largestTime = max(largestTime, entry.time)
    entryCount &+= 1
  }

  /// Ends the table and makes its content durable.
  ///
  /// - Returns: what the manifest is to remember; `nil` when there were no entries, and then no
  ///   file. Throws `FileError`; the file is gone then.
  package consuming func finish() throws -> TableMetadata? {
    guard entryCount > 0 else { return nil }
    try emitPage(of: staging.count)
    let image = filter.finish()
    let footer = try writeSections(filter: image)
    unsafe footer.encode(
      into: try output.reserve(TableFormat.footerBytes), fileID: plan.fileID)
    output.commit(TableFormat.footerBytes)
    guard output.offset <= TableFormat.fileBytesMax else { throw TableWriteError.tableTooLarge }
    try output.flush()
    try output.file.synchronize()
    output.file.close()
    isFinished = true
    return TableMetadata(
      number: plan.number, fileID: plan.fileID, fileBytes: output.offset,
      entryCount: entryCount, smallestHigh: smallestHigh, largestHigh: last.high,
      smallestTime: smallestTime, largestTime: largestTime, layout: plan.layout,
      hasKinds: plan.hasKinds, filterKind: image.geometry.kind)
  }

  /// Gives the table up and removes its file.
  package consuming func abort() {
    // The end of `self` removes what was not finished.
  }
}

extension TableWriter {
  /// The staged page is full: emits the quanta before the last, and grows for the last if need be.
  @inline(never)
  private mutating func makeRoom(keyLength: Int) throws {
    if quantumStart > 0 {
      try emitPage(of: quantumStart)
      quantumStart = 0
    }
    let bytes = staging.pageBytes(
      count: staging.count + 1, keyBytes: staging.keyBytes + keyLength)
    guard bytes <= TableFormat.pageUnitsMax * TableFormat.unitBytes else {
      throw TableWriteError.pageTooLarge
    }
    staging.ensureRoom(keyLength: keyLength)
  }

  /// Makes the first `count` staged entries a page.
  private mutating func emitPage(of count: Int) throws {
    let bytes = staging.pageBytes(count: count, keyBytes: staging.keyBytes(ofFirst: count))
    let units = (bytes + TableFormat.unitBytes - 1) / TableFormat.unitBytes
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
    let begin = unsafe quanta.quantum(
      of: UnsafeRawPointer(page).loadLittle(UInt64.self, at: TableFormat.pageHeaderBytes))
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

  /// Names the reason for which `append` does not take `entry`.
  @inline(never)
  private func refuse(_ entry: EntryReference) -> TableWriteError {
    if entryCount > 0 && entry.hash < last { return .outOfOrder }
    if !quanta.contains(entry.hash.high) { return .hashOutOfRange }
    if entry.keyLength > EntryLayout.keyBytesMax { return .keyTooLong }
    if !plan.hasKinds && entry.kind != .insert { return .kindNotStored }
    return .timeOutOfBounds
  }

  /// Closes and removes the unfinished file.
  private func removeFile() {
    output.file.close()
    do {
      try directory.remove(plan.number.tableName)
    } catch {
      // Nobody names the file: recovery removes it as an orphan. The error that led here is the
      // one that is reported.
    }
  }
}
