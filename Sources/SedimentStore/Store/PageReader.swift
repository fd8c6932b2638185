internal import SedimentIO

/// Reads the pages of tables for one thread at a time: from the cache; where the system has them in
/// memory, one by one; and those that wait for the disk, many at once.
///
/// Memory for reading many at once is taken when that happens first.
// @unchecked because one thread at a time has it.
@safe
final class PageReader: @unchecked Sendable {
  /// Pages that are read at once.
  static let pagesMax = 128
  /// Pages ahead of the one looked into whose memory in the cache is asked for: five lines each.
  private static let pagesAhead = 8

  private let cache: PageCache
  /// A page of one unit, for those read one by one.
  private let single: AlignedBuffer
  private var many: Many?

  /// What reading many at once takes: pages of any tables, and for whom they are.
  @safe
  private final class Many {
    let reader = BatchReader(depth: PageReader.pagesMax)
    let memory: AlignedBuffer
    let requests: UnsafeMutableBufferPointer<ReadRequest>
    /// The reads of all requests, and which of them are of each.
    let reads: UnsafeMutablePointer<PageRead>
    let parts: UnsafeMutablePointer<Range<Int>>
    var count = 0
    private var readCount = 0
    /// The tables of the requests, by the numbers that those have for files.
    var tables: [TableReader] = []
    var files: [any File] = []

    init() throws(AllocationError) {
      memory = try AlignedBuffer(byteCount: PageReader.pagesMax * TableFormat.unitBytes)
      unsafe requests = .allocate(capacity: PageReader.pagesMax)
      unsafe parts = .allocate(capacity: PageReader.pagesMax)
      unsafe reads = .allocate(capacity: ShardScratch.chunkRecords)
    }

    deinit {
      unsafe requests.deallocate()
      unsafe parts.deallocate()
      unsafe reads.deallocate()
    }

    /// Whether a page for so many reads has room.
    func hasRoom(for reads: Int) -> Bool {
      count < PageReader.pagesMax && readCount + reads <= ShardScratch.chunkRecords
    }

    func add(_ page: UnsafeBufferPointer<PageRead>, of table: TableReader) {
      guard let first = unsafe page.first, let source = page.baseAddress else { return }
      if tables.last !== table {
        tables.append(table)
        files.append(table.file)
      }
      let unitBytes = TableFormat.unitBytes
      let place = count * unitBytes
      unsafe requests.initializeElement(
        at: count,
        to: ReadRequest(
          file: tables.count - 1, offset: UInt64(first.place.first) * UInt64(unitBytes),
          destination: UnsafeMutableRawBufferPointer(
            rebasing: memory.bytes[place..<place + unitBytes])))
      unsafe (reads + readCount).update(from: source, count: page.count)
      unsafe parts[count] = readCount..<readCount + page.count
      readCount += page.count
      count += 1
    }

    func part(_ index: Int) -> UnsafeBufferPointer<PageRead> {
      let part = unsafe parts[index]
      return unsafe UnsafeBufferPointer(start: reads + part.lowerBound, count: part.count)
    }

    func removeAll() {
      count = 0
      readCount = 0
      tables.removeAll(keepingCapacity: true)
      files.removeAll(keepingCapacity: true)
    }
  }

  /// A reader that looks into `cache` first and offers it what it reads.
  init(cache: PageCache) throws(AllocationError) {
    self.cache = cache
    single = try AlignedBuffer(byteCount: TableFormat.unitBytes)
  }

  /// Asks for the memory of the cache that a look for a page will read first.
  @inline(__always)
  func prefetch(_ probe: TableProbe, unit: UInt32) {
    cache.prefetch(fileID: probe.fileID, unit: unit)
  }

  /// Calls `body` for every page of `reads`, with those reads that are of it.
  ///
  /// - Parameters:
  ///   - reads: sorted by page.
  ///   - count: how many there are, at most `ShardScratch.chunkRecords`.
  ///   - defers: whether pages that wait for the disk may be left for `readDeferred`, to be read
  ///     together with those of other tables.
  /// - Throws: what reading threw; `body` may then have been called for some.
  func read(
    _ reads: UnsafePointer<PageRead>, count: Int, of table: TableReader, defers: Bool,
    _ body: (PageView, UnsafeBufferPointer<PageRead>) -> Void
  ) throws {
    var next = 0
    var asked = 0
    while next < count {
      while asked < min(next + Self.pagesAhead, count) {
        unsafe cache.prefetchPage(reads[asked].place, of: table.probe)
        asked += 1
      }
      let place = unsafe reads[next].place
      var end = next + 1
      while end < count, unsafe reads[end].place.first == place.first { end += 1 }
      let part = unsafe UnsafeBufferPointer(start: reads + next, count: end - next)
      next = end
      // A page while no other is wanted is not worth a ring.
      let waits = !defers && part.count == count
      if try readOne(place, of: table, waits: waits, { unsafe body($0, part) }) { continue }
      let many = try self.many ?? Many()
      self.many = many
      if !many.hasRoom(for: part.count) { try unsafe readTogether(many, body) }
      unsafe many.add(part, of: table)
    }
    if !defers { try unsafe readDeferred(body) }
  }

  /// Reads the pages that were deferred, and calls `body` for each.
  func readDeferred(_ body: (PageView, UnsafeBufferPointer<PageRead>) -> Void) throws {
    if let many, many.count > 0 { try unsafe readTogether(many, body) }
  }

  /// Forgets what was deferred: a read that threw may have left some.
  func dropDeferred() { many?.removeAll() }

  /// Calls `body` with a page; `false` when it would have to wait for the disk and is not to.
  private func readOne(
    _ read: PagePlace, of table: TableReader, waits: Bool, _ body: (PageView) -> Void
  ) throws -> Bool {
    guard read.count == 1 else {
      try readLarge(read, of: table, body)
      return true
    }
    let fileID = table.metadata.fileID
    if let page = cache.lookup(fileID: fileID, unit: read.first) {
      defer { cache.unpin(page) }
      unsafe body(table.probe.shape.view(checked: page.address))
      return true
    }
    guard let memory = unsafe single.bytes.baseAddress else {
      throw AllocationError(byteCount: TableFormat.unitBytes)
    }
    let view =
      try unsafe waits
      ? table.readPage(first: read.first, count: 1, into: memory)
      : table.readPageWithoutWaiting(first: read.first, into: memory)
    guard let view else { return false }
    unsafe cache.insert(
      fileID: fileID, unit: read.first, copying: UnsafeRawPointer(memory))
    body(view)
    return true
  }

  /// A page of several units: one long record. They are rare, and not cached.
  private func readLarge(
    _ read: PagePlace, of table: TableReader, _ body: (PageView) -> Void
  ) throws {
    let byteCount = Int(read.count) * TableFormat.unitBytes
    let memory = try AlignedBuffer(byteCount: byteCount)
    guard let base = unsafe memory.bytes.baseAddress else {
      throw AllocationError(byteCount: byteCount)
    }
    body(try unsafe table.readPage(first: read.first, count: read.count, into: base))
  }

  /// Reads the pages that were found to wait for the disk.
  private func readTogether(
    _ many: Many, _ body: (PageView, UnsafeBufferPointer<PageRead>) -> Void
  ) throws {
    let requests = unsafe UnsafeMutableBufferPointer(rebasing: many.requests[..<many.count])
    // Emptied whatever happens: the memory serves the next ones.
    defer { many.removeAll() }
    var failure: (any Error)?
    unsafe many.reader.read(requests, of: many.files) { index in
      guard failure == nil else { return }
      do {
        let request = unsafe requests[index]
        let table = many.tables[request.file]
        let unit = UInt32(request.offset / UInt64(TableFormat.unitBytes))
        let view = try table.view(of: request, files: many.files, first: unit)
        if let page = unsafe UnsafeRawPointer(request.destination.baseAddress) {
          unsafe cache.insert(fileID: table.metadata.fileID, unit: unit, copying: page)
        }
        unsafe body(view, many.part(index))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }
}
