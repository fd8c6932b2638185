import SedimentStore
import Testing

@Suite("The choice of filters")
struct FilterChoiceTests {
  /// A keyspace of a million keys in one shard, with room for everything.
  private var choice: FilterChoice {
    FilterChoice(
      keyspaceBytes: 20_000_000, keyspaceEntries: 1_000_000, shardEntries: 1_000_000,
      runEntries: 1_000_000, pageMemoryBytes: 1 << 30, filterMemoryBytes: 1 << 30,
      builderBytesMax: 1 << 30)
  }

  private func isFuse(_ policy: TableWriter.FilterPolicy) -> Bool {
    if case .binaryFuse = policy { true } else { false }
  }

  @Test func whatFitsTheMemoryHasBloomFilters() {
    #expect(!isFuse(FilterChoice.flushed))
    #expect(!isFuse(choice.merged(entries: 100_000)))
    #expect(choice.fuseEntriesMax == nil)
  }

  @Test func largeRunsOfWhatDoesNotFitHaveFuseFilters() {
    var pages = choice
    pages.pageMemoryBytes = 10_000_000
    var filters = choice
    // All of them are 1.5 MB; what is written now stays until there are twice as many.
    filters.filterMemoryBytes = 2_900_000
    for var choice in [pages, filters] {
      #expect(isFuse(choice.merged(entries: 100_000)))
      choice.runEntries = 125_000
      #expect(isFuse(choice.merged(entries: 100_000)))
      choice.runEntries = 124_999
      #expect(!isFuse(choice.merged(entries: 100_000)))
    }
    filters.filterMemoryBytes = 3_000_000
    #expect(!isFuse(filters.merged(entries: 100_000)))
  }

  @Test func tablesAreAsLargeAsTheirFiltersCanBeBuilt() throws {
    var choice = choice
    choice.filterMemoryBytes = 0
    choice.builderBytesMax = 8 << 20
    let entries = try #require(choice.fuseEntriesMax)
    #expect(BinaryFuseFilterBuilder.memoryBytes(keys: entries, planes: 10) <= 8 << 20)
    #expect(BinaryFuseFilterBuilder.memoryBytes(keys: 2 * entries, planes: 10) > 8 << 20)
    #expect(isFuse(choice.merged(entries: entries)))
    #expect(!isFuse(choice.merged(entries: entries + 1)))
    // Tables must not become many and small.
    choice.builderBytesMax = 1 << 20
    #expect(choice.fuseEntriesMax == nil)
  }
}
