import SedimentStore
import SedimentTestKit
import Testing

@Suite("Page cache")
struct PageCacheTests {
  private func withPage<Answer>(
    _ fileID: UInt64, _ unit: UInt32, _ body: (UnsafeRawPointer) -> Answer
  ) -> Answer {
    let page = UnsafeMutableRawPointer.allocate(
      byteCount: TableFormat.unitBytes, alignment: 8)
    defer { unsafe page.deallocate() }
    for word in 0..<TableFormat.unitBytes / 8 {
      unsafe page.storeBytes(
        of: Self.content(fileID, unit), toByteOffset: word * 8, as: UInt64.self)
    }
    return unsafe body(UnsafeRawPointer(page))
  }

  private static func content(_ fileID: UInt64, _ unit: UInt32) -> UInt64 {
    fileID &* 1_000_003 &+ UInt64(unit)
  }

  private func insert(_ fileID: UInt64, _ unit: UInt32, into cache: PageCache) {
    unsafe withPage(fileID, unit) { unsafe cache.insert(fileID: fileID, unit: unit, copying: $0) }
  }

  /// Whether a pinned page is all of the page it should be.
  private func isIntact(_ page: PageCache.PinnedPage, _ fileID: UInt64, _ unit: UInt32) -> Bool {
    stride(from: 0, to: TableFormat.unitBytes, by: 8).allSatisfy {
      unsafe page.address.load(fromByteOffset: $0, as: UInt64.self) == Self.content(fileID, unit)
    }
  }

  @Test("a page that is found is the page that was put in")
  func foundPageIsThePagePutIn() throws {
    var generator = SeededGenerator(seed: 9)
    let cache = try PageCache(byteBudget: 100 * TableFormat.unitBytes + 17)
    #expect(cache.frameCount == 100)
    var hits = 0
    for _ in 0..<20_000 {
      let fileID = UInt64.random(in: 1...3, using: &generator)
      let unit = UInt32.random(in: 0..<100, using: &generator)
      if let page = cache.lookup(fileID: fileID, unit: unit) {
        hits += 1
        #expect(isIntact(page, fileID, unit))
        cache.unpin(page)
      } else {
        insert(fileID, unit, into: cache)
      }
    }
    let statistics = cache.statistics
    #expect(statistics.hits == UInt64(hits))
    #expect(statistics.hits + statistics.misses == 20_000)
    #expect(statistics.insertions - statistics.evictions <= 100)
    #expect(hits > 4_000)
  }

  @Test("a cache without frames finds nothing")
  func cacheWithoutFrames() throws {
    for budget in [-1, 0, 4095] {
      let cache = try PageCache(byteBudget: budget)
      insert(1, 1, into: cache)
      #expect(cache.lookup(fileID: 1, unit: 1) == nil)
      #expect(cache.frameCount == 0)
    }
  }

  @Test("a pinned page stays as it is while others come and go")
  func pinnedPageStays() throws {
    let cache = try PageCache(byteBudget: 16 * TableFormat.unitBytes)
    insert(1, 1, into: cache)
    let pinned = try #require(cache.lookup(fileID: 1, unit: 1))
    for unit in 2..<2_000 as Range<UInt32> { insert(1, unit, into: cache) }
    #expect(isIntact(pinned, 1, 1))
    cache.unpin(pinned)
    // Unpinned and no longer found again, it makes room.
    for unit in 2_000..<4_000 as Range<UInt32> {
      insert(1, unit, into: cache)
      insert(1, unit, into: cache)
    }
    #expect(cache.lookup(fileID: 1, unit: 1) == nil)
  }

  @Test("a page read again outlives pages read once")
  func pageReadAgainStays() throws {
    let cache = try PageCache(byteBudget: 256 * TableFormat.unitBytes)
    insert(7, 7, into: cache)
    for unit in 0..<5_000 as Range<UInt32> {
      insert(1, unit, into: cache)
      if let page = cache.lookup(fileID: 7, unit: 7) { cache.unpin(page) }
    }
    #expect(cache.lookup(fileID: 7, unit: 7) != nil)
  }

  @Test("a full cache takes in a page at its second coming, not at its first")
  func fullCacheTakesInWhatComesTwice() throws {
    let cache = try PageCache(byteBudget: 4096 * TableFormat.unitBytes)
    for unit in 0..<5_000 as Range<UInt32> { insert(1, unit, into: cache) }
    let filled = cache.statistics
    // The stripes are not filled quite evenly.
    #expect(filled.insertions > 4_000 && filled.insertions <= 4_200)
    for unit in 10_000..<10_500 as Range<UInt32> { insert(1, unit, into: cache) }
    let once = cache.statistics.insertions - filled.insertions
    #expect(once < 150)
    for unit in 10_000..<10_500 as Range<UInt32> { insert(1, unit, into: cache) }
    let found = (10_000..<10_500 as Range<UInt32>).filter { unit in
      guard let page = cache.lookup(fileID: 1, unit: unit) else { return false }
      cache.unpin(page)
      return true
    }
    #expect(found.count > 400)
  }

  @Test("a cache that is made smaller drops pages, and one made larger again fills what was free")
  func sizeChanges() throws {
    let pages: Range<UInt32> = 0..<2_000
    func found(_ cache: PageCache) -> Int {
      pages.count { unit in
        guard let page = cache.lookup(fileID: 1, unit: unit) else { return false }
        defer { cache.unpin(page) }
        #expect(isIntact(page, 1, unit))
        return true
      }
    }
    let cache = try PageCache(byteBudget: 1_600 * TableFormat.unitBytes)
    for _ in 0..<2 { for unit in pages { insert(1, unit, into: cache) } }
    #expect((1_500...1_600).contains(found(cache)))
    cache.resize(byteBudget: 400 * TableFormat.unitBytes)
    #expect((300...400).contains(found(cache)))
    for _ in 0..<2 { for unit in pages { insert(1, unit, into: cache) } }
    #expect((300...400).contains(found(cache)))
    cache.resize(byteBudget: 0)
    #expect(found(cache) == 0)
    insert(1, 1, into: cache)
    #expect(cache.lookup(fileID: 1, unit: 1) == nil)
    // More than it was made for is as much as it was made for.
    cache.resize(byteBudget: .max)
    for unit in pages { insert(1, unit, into: cache) }
    #expect((1_500...1_600).contains(found(cache)))
  }

  @Test("a page that is read while its frame is given up stays whole until it is unpinned")
  func pinnedPageOutlivesItsFrame() throws {
    let cache = try PageCache(byteBudget: 64 * TableFormat.unitBytes)
    for unit in 0..<64 as Range<UInt32> { insert(1, unit, into: cache) }
    let units = 0..<64 as Range<UInt32>
    let found = units.lazy.compactMap { unit in
      cache.lookup(fileID: 1, unit: unit).map { (unit, $0) }
    }.first
    let (unit, pinned) = try #require(found)
    cache.resize(byteBudget: 0)
    #expect(isIntact(pinned, 1, unit))
    cache.unpin(pinned)
  }

  @Test("threads that share a cache see intact pages only")
  func threadsSeeIntactPages() async throws {
    let cache = try PageCache(byteBudget: 64 * TableFormat.unitBytes)
    let damaged = await withTaskGroup(of: Int.self, returning: Int.self) { group in
      for task in 0..<4 {
        group.addTask { Self.damagedPages(in: cache, seed: UInt64(task)) }
      }
      return await group.reduce(0, +)
    }
    #expect(damaged == 0)
  }

  /// Reads and inserts at random and counts the pages that are not what they should be.
  private static func damagedPages(in cache: PageCache, seed: UInt64) -> Int {
    let suite = PageCacheTests()
    var generator = SeededGenerator(seed: seed)
    var damaged = 0
    for _ in 0..<3_000 {
      let unit = UInt32.random(in: 0..<200, using: &generator)
      if unit < 2 { cache.resize(byteBudget: (32 + Int(seed) * 16) * TableFormat.unitBytes) }
      if let page = cache.lookup(fileID: 5, unit: unit) {
        if !suite.isIntact(page, 5, unit) { damaged += 1 }
        cache.unpin(page)
      } else {
        suite.insert(5, unit, into: cache)
      }
    }
    return damaged
  }
}
