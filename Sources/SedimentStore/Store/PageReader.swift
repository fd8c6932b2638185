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

  /// What reading many at once takes.
  @safe
  private final class Many {
    let reader = BatchReader(depth: PageReader.pagesMax)
    let memory: AlignedBuffer
    let requests: UnsafeMutableBufferPointer<ReadRequest>
    /// For whom the page of each request is: a part of `reads`.
    let parts: UnsafeMutablePointer<Range<Int>>
    var count = 0

    init() throws(AllocationError) {
      memory = try AlignedBuffer(byteCount: PageReader.pagesMax * TableFormat.unitBytes)
      unsafe requests = .allocate(capacity: PageReader.pagesMax)
      unsafe parts = .allocate(capacity: PageReader.pagesMax)
    }

    deinit {
      unsafe requests.deallocate()
      unsafe parts.deallocate()
    }

    func add(_ part: Range<Int>, unit: UInt32) {
      let unitBytes = TableFormat.unitBytes
      let place = count * unitBytes
      unsafe requests.initializeElement(
        at: count,
        to: ReadRequest(
          file: 0, offset: UInt64(unit) * UInt64(unitBytes),
          destination: UnsafeMutableRawBufferPointer(
            rebasing: memory.bytes[place..<place + unitBytes])))
      unsafe parts[count] = part
      count += 1
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

  /// Calls `body` for every page of `reads`, with the part of `reads` that is of it.
  ///
  /// - Parameters:
  ///   - reads: sorted by page.
  ///   - count: how many there are.
  /// - Throws: what reading threw; `body` may then have been called for some.
  func read(
    _ reads: UnsafePointer<PageRead>, count: Int, of table: TableReader,
    _ body: (PageView, Range<Int>) -> Void
  ) throws {
    // A read that threw may have left some.
    many?.count = 0
    var next = 0
    var asked = 0
    while next < count {
      while asked < min(next + Self.pagesAhead, count) {
        unsafe cache.prefetchPage(reads[asked].place, of: table.probe)
        asked += 1
      }
      let read = unsafe reads[next].place
      var end = next + 1
      while end < count, unsafe reads[end].place.first == read.first { end += 1 }
      let part = next..<end
      next = end
      // A page while no other is wanted is not worth a ring.
      let waits = part.count == count
      if try readOne(read, of: table, waits: waits, { body($0, part) }) { continue }
      let many = try self.many ?? Many()
      self.many = many
      many.add(part, unit: read.first)
      if many.count == Self.pagesMax { try readTogether(many, of: table, body) }
    }
    if let many, many.count > 0 { try readTogether(many, of: table, body) }
  }

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
    _ many: Many, of table: TableReader, _ body: (PageView, Range<Int>) -> Void
  ) throws {
    let requests = unsafe UnsafeMutableBufferPointer(rebasing: many.requests[..<many.count])
    // Emptied whatever happens: the memory serves the next table.
    defer { many.count = 0 }
    let files = [table.file]
    var failure: (any Error)?
    unsafe many.reader.read(requests, of: files) { index in
      guard failure == nil else { return }
      do {
        let unit = unsafe UInt32(requests[index].offset / UInt64(TableFormat.unitBytes))
        let view = try unsafe table.view(of: requests[index], first: unit)
        if let page = unsafe UnsafeRawPointer(requests[index].destination.baseAddress) {
          unsafe cache.insert(fileID: table.metadata.fileID, unit: unit, copying: page)
        }
        body(view, unsafe many.parts[index])
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }
}
