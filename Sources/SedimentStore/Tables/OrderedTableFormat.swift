// A table of an ordered keyspace on disk: an immutable, sorted file of entries.
//
//   block 0 │ block 1 │ … │ filter section │ index section │ footer (4096 bytes)
//
// Blocks lie side by side, each in a frame (`BlockCompression.swift`); what is in them is drawn in
// `BlockBuilder.swift`, the index in `BlockIndex.swift`, the filter, of every key once, in
// `TableFilterSection.swift`. Entries are in rising order of keys as strings of bytes; those of one
// key in falling order of their tags, newest first.
//
// Footer:
//
//      0  u64  checksum of the footer's other 4088 bytes
//      8  u64  magic                    16  u32  format version
//     20  u32  0                        24  u64  entryCount
//     32  u64  otherCount               40  u64  smallestSequence
//     48  u64  largestSequence          56  u64  end of the blocks, where the filter section begins
//     64  u64  filterBytes              72  u64  indexOffset
//     80  u64  indexBytes               88  u64  index checksum
//     96  zeros
//
// All integers are little-endian. Every checksum is seeded with the file's identity and the place:
// a block's offset, which is below 2³², or one of `TableFormat.Place`.

/// The constants of the format. On disk: never renumber.
enum OrderedTableFormat {
  /// "SEDORDER" read as a little-endian word.
  static let magic: UInt64 = 0x5245_4452_4F44_4553
  static let version: UInt32 = 1

  /// No file of so many bytes has more: an entry has four bytes, of which LZ4 makes a 255th.
  static func entryCountMax(fileBytes: UInt64) -> UInt64 { fileBytes * 64 }
}

/// The fields of the footer, at the offsets drawn above.
struct OrderedTableFooter: Equatable {
  var entryCount: UInt64
  var otherCount: UInt64
  var smallestSequence: UInt64
  var largestSequence: UInt64
  var blocksEnd: UInt64
  var filterBytes: UInt64
  var indexOffset: UInt64
  var indexBytes: UInt64
  var indexChecksum: UInt64

  /// Writes the footer with its checksum into `TableFormat.footerBytes` bytes.
  func encode(into out: UnsafeMutableRawPointer, fileID: UInt64) {
    unsafe out.initializeMemory(as: UInt8.self, repeating: 0, count: TableFormat.footerBytes)
    unsafe out.storeLittle(OrderedTableFormat.magic, at: 8)
    unsafe out.storeLittle(OrderedTableFormat.version, at: 16)
    for (index, field) in fields.enumerated() { unsafe out.storeLittle(field, at: 24 + 8 * index) }
    unsafe out.storeLittle(Self.checksum(UnsafeRawPointer(out), fileID: fileID), at: 0)
  }

  private var fields: [UInt64] {
    [
      entryCount, otherCount, smallestSequence, largestSequence, blocksEnd, filterBytes,
      indexOffset, indexBytes, indexChecksum,
    ]
  }

  private static func checksum(_ bytes: UnsafeRawPointer, fileID: UInt64) -> UInt64 {
    unsafe Checksum.of(
      UnsafeRawBufferPointer(start: bytes + 8, count: TableFormat.footerBytes - 8),
      seed: Checksum.seed(fileID: fileID, place: TableFormat.Place.footer))
  }

  /// Says why the bytes are no footer of such a table, `nil` when they are one of some version.
  static func flaw(in bytes: UnsafeRawPointer, fileID: UInt64) -> String? {
    if unsafe bytes.loadLittle(UInt64.self, at: 0) != checksum(bytes, fileID: fileID) {
      return "footer checksum does not match: damaged, or the footer of another file"
    }
    let magic = unsafe bytes.loadLittle(UInt64.self, at: 8)
    return magic == OrderedTableFormat.magic ? nil : "not a table of an ordered keyspace"
  }

  /// The format version of a footer, whatever the version.
  static func version(of bytes: UnsafeRawPointer) -> UInt32 {
    unsafe bytes.loadLittle(UInt32.self, at: 16)
  }

  /// Reads the fields of a footer without a flaw, of the version that this build knows.
  init(_ bytes: UnsafeRawPointer) {
    func field(_ index: Int) -> UInt64 {
      unsafe bytes.loadLittle(UInt64.self, at: 24 + 8 * index)
    }
    self.init(
      entryCount: field(0), otherCount: field(1), smallestSequence: field(2),
      largestSequence: field(3), blocksEnd: field(4), filterBytes: field(5),
      indexOffset: field(6), indexBytes: field(7), indexChecksum: field(8))
  }

  init(
    entryCount: UInt64, otherCount: UInt64, smallestSequence: UInt64, largestSequence: UInt64,
    blocksEnd: UInt64, filterBytes: UInt64, indexOffset: UInt64, indexBytes: UInt64,
    indexChecksum: UInt64
  ) {
    self.entryCount = entryCount
    self.otherCount = otherCount
    self.smallestSequence = smallestSequence
    self.largestSequence = largestSequence
    self.blocksEnd = blocksEnd
    self.filterBytes = filterBytes
    self.indexOffset = indexOffset
    self.indexBytes = indexBytes
    self.indexChecksum = indexChecksum
  }

  /// Says where the footer contradicts itself, the file's size or the manifest; `nil` when nowhere.
  ///
  /// `metadata.fileBytes` is the file's true size. After this, every section lies inside the file.
  func flaw(against metadata: OrderedTableMetadata) -> String? {
    if entryCount != metadata.entryCount || otherCount != metadata.otherCount {
      return "\(entryCount) entries, of which \(otherCount) are no puts"
    }
    let expected = metadata.sequencesInFile
    if smallestSequence != expected.lowerBound || largestSequence != expected.upperBound {
      return "other sequence numbers than the manifest's"
    }
    // Each comparison is by subtraction from what is known to be in the file: no sum can wrap.
    let body = metadata.fileBytes - UInt64(TableFormat.footerBytes)
    guard blocksEnd >= 1, blocksEnd <= body, filterBytes <= body - blocksEnd else {
      return "blocks up to \(blocksEnd), a filter section of \(filterBytes) bytes"
    }
    guard indexOffset == blocksEnd + filterBytes, indexBytes == body - indexOffset else {
      return "index section at \(indexOffset), \(indexBytes) bytes"
    }
    return nil
  }
}
