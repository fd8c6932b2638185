import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// An entry that owns its bytes.
struct TestEntry: Hashable {
  var hash: KeyHash
  var time: Int64
  var kind: EntryKind = .insert
  var value: [UInt8] = []
  var key: [UInt8] = []

  init(
    _ hash: KeyHash, time: Int64, kind: EntryKind = .insert, value: [UInt8] = [], key: [UInt8] = []
  ) {
    self.hash = hash
    self.time = time
    self.kind = kind
    self.value = value
    self.key = key
  }

  /// A copy of what a reference shows.
  init(_ entry: EntryReference, valueWidth: Int) {
    hash = entry.hash
    time = entry.time
    kind = entry.kind
    value = unsafe Array(UnsafeRawBufferPointer(start: entry.value, count: valueWidth))
    key = unsafe Array(entry.keyBytes)
  }

  func withReference<Answer>(_ body: (EntryReference) throws -> Answer) rethrows -> Answer {
    try unsafe value.withUnsafeBytes { value in
      try unsafe key.withUnsafeBytes { key in
        try body(
          unsafe EntryReference(
            hash: hash, time: time, kind: kind, value: value.isEmpty ? nil : value.baseAddress,
            key: key.baseAddress, keyLength: UInt32(key.count)))
      }
    }
  }
}

extension EntryBlock {
  /// Copies of all entries.
  func entries(valueWidth: Int) -> [TestEntry] {
    (0..<count).map { TestEntry(entry(at: $0), valueWidth: valueWidth) }
  }
}

extension TableWriter {
  /// Appends entries one by one.
  mutating func append(_ entries: [TestEntry]) throws {
    var block = EntryBlock(layout: EntryLayout(isExact: true, valueWidth: 1), hasKinds: true)
    for entry in entries {
      try entry.withReference { entry in
        block.removeAll()
        block.append(entry)
        try append(block, 0..<1)
      }
    }
  }
}

/// What a random table is made of.
struct TableShape: Sendable, CustomTestStringConvertible {
  var count = 1_000
  var isExact = false
  var valueWidth: UInt8 = 0
  var timeSpread: Int64 = 1 << 20
  var hasKinds = false
  var keyLengths: [Int] = [8]
  var filter = TableWriter.FilterPolicy.blockedBloom(bitsPerKey: 12)
  var hashRange: ClosedRange<UInt64> = 0...UInt64.max
  /// Every n-th hash is followed by others that are equal in full, or in `high` only.
  var repeats = 10

  var layout: EntryLayout { EntryLayout(isExact: isExact, valueWidth: valueWidth) }

  var testDescription: String {
    "\(count) entries, exact \(isExact), value \(valueWidth), times \(timeSpread), "
      + "kinds \(hasKinds), keys \(keyLengths), filter \(filter)"
  }

  /// Sorted entries, the same for the same seed.
  func entries(seed: UInt64) -> [TestEntry] {
    var generator = SeededGenerator(seed: seed)
    var entries: [TestEntry] = []
    while entries.count < count {
      var hash = KeyHash(
        high: UInt64.random(in: hashRange, using: &generator), low: generator.next())
      if let last = entries.last, Int.random(in: 0..<repeats, using: &generator) == 0 {
        hash = KeyHash(
          high: last.hash.high, low: Bool.random(using: &generator) ? last.hash.low : hash.low)
      }
      let length = keyLengths.randomElement(using: &generator) ?? 0
      entries.append(
        TestEntry(
          hash, time: 1_700_000_000_000 + Int64.random(in: 0...timeSpread, using: &generator),
          kind: hasKinds
            ? EntryKind(rawValue: UInt8.random(in: 0...2, using: &generator)) ?? .insert : .insert,
          value: (0..<valueWidth).map { _ in UInt8.random(in: 0...255, using: &generator) },
          key: isExact
            ? (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) } : []))
    }
    return entries.sorted { $0.hash < $1.hash }
  }
}

/// A table in a memory file system.
struct TestTable {
  static let number = FileNumber(12)
  static let name = "000000000012.sst"

  let directory: any Directory
  let metadata: TableMetadata
  let entries: [TestEntry]
  let valueWidth: Int

  init(
    _ shape: TableShape, seed: UInt64 = 1, fileID: UInt64 = 0xF11E, number: FileNumber = number,
    in directory: (any Directory)? = nil
  ) throws {
    try self.init(
      shape.entries(seed: seed), shape, fileID: fileID, number: number, in: directory)
  }

  init(
    _ entries: [TestEntry], _ shape: TableShape, fileID: UInt64 = 0xF11E,
    number: FileNumber = number, in directory: (any Directory)? = nil
  ) throws {
    let directory =
      try directory ?? MemoryFileSystem().openDirectory(at: "/tables", creating: true)
    var writer = try TableWriter(
      directory: directory, plan: Self.plan(shape, fileID: fileID, number: number))
    try writer.append(entries)
    self.metadata = try #require(try writer.finish())
    self.directory = directory
    self.entries = entries
    valueWidth = Int(shape.valueWidth)
  }

  static func plan(
    _ shape: TableShape, fileID: UInt64 = 0xF11E, number: FileNumber = number
  ) -> TableWriter.Plan {
    TableWriter.Plan(
      number: number, fileID: fileID, layout: shape.layout, hasKinds: shape.hasKinds,
      timeBounds: 1_700_000_000_000...(1_700_000_000_000 + shape.timeSpread),
      hashRange: shape.hashRange, expectedEntries: shape.count, filter: shape.filter)
  }

  func open(filterByteBudget: Int = .max) throws -> TableReader {
    try TableReader(
      directory: directory, metadata: metadata, filterByteBudget: filterByteBudget)
  }

  /// All bytes of the file.
  func bytes() throws -> [UInt8] {
    try readAll(metadata.number.tableName, in: directory)
  }

  /// A directory that holds `bytes` as the table's file.
  func replaced(by bytes: [UInt8]) throws -> any Directory {
    let directory = try MemoryFileSystem().openDirectory(at: "/tables", creating: true)
    let file = try directory.openFile(metadata.number.tableName, .create)
    try unsafe bytes.withUnsafeBytes { try unsafe file.write($0, at: 0) }
    file.close()
    return directory
  }

  /// The entries of `hash` by lookup, in their order.
  func lookup(_ hash: KeyHash, in reader: TableReader) throws -> [TestEntry] {
    try SedimentStoreTests.lookup(hash, in: reader, valueWidth: valueWidth)
  }
}

func readAll(_ name: String, in directory: any Directory) throws -> [UInt8] {
  let file = try directory.openFile(name, .read)
  defer { file.close() }
  var bytes = [UInt8](repeating: 0, count: Int(try file.size()))
  _ = try unsafe bytes.withUnsafeMutableBytes { try unsafe file.read(into: $0, at: 0) }
  return bytes
}

/// The entries of `hash` by filter, index and one page.
func lookup(_ hash: KeyHash, in reader: TableReader, valueWidth: Int) throws -> [TestEntry] {
  guard reader.probe.filter.mayContain(hash) else { return [] }
  let place = reader.probe.place(for: hash)
  guard place.count > 0 else { return [] }
  let memory = UnsafeMutableRawPointer.allocate(
    byteCount: Int(place.count) * TableFormat.unitBytes, alignment: 8)
  defer { unsafe memory.deallocate() }
  let view = try unsafe reader.readPage(first: place.first, count: place.count, into: memory)
  return view.range(of: hash, near: place.part).map {
    TestEntry(view.entry(at: $0), valueWidth: valueWidth)
  }
}

/// All entries of a source.
func drain(_ source: any PageSource, valueWidth: Int) throws -> [TestEntry] {
  var entries: [TestEntry] = []
  while let slice = try source.nextPage() {
    for index in slice.lower..<slice.upper {
      entries.append(TestEntry(slice.view.entry(at: index), valueWidth: valueWidth))
    }
  }
  return entries
}
