/// The fields of a table's footer, at the offsets drawn in `TableFormat.swift`.
struct TableFooter: Equatable {
  var isExact: Bool
  var valueWidth: UInt8
  var timeWidth: UInt8
  var hasKinds: Bool
  var timeBase: Int64
  var entryCount: UInt64
  var pageUnits: UInt64
  var rangeLow: UInt64
  var rangeHigh: UInt64
  var smallestHigh: UInt64
  var largestHigh: UInt64
  var smallestTime: Int64
  var largestTime: Int64
  var filterOffset: UInt64
  var filterBytes: UInt64
  var indexOffset: UInt64
  var indexBytes: UInt64
  var indexChecksum: UInt64

  /// Writes the footer with its checksum into `TableFormat.footerBytes` bytes.
  func encode(into out: UnsafeMutableRawPointer, fileID: UInt64) {
    unsafe out.initializeMemory(as: UInt8.self, repeating: 0, count: TableFormat.footerBytes)
    unsafe out.storeLittle(TableFormat.magic, at: 8)
    unsafe out.storeLittle(TableFormat.version, at: 16)
    unsafe out.storeLittle(isExact ? 1 : 0 as UInt8, at: 20)
    unsafe out.storeLittle(valueWidth, at: 21)
    unsafe out.storeLittle(timeWidth, at: 22)
    unsafe out.storeLittle(hasKinds ? 1 : 0 as UInt8, at: 23)
    unsafe out.storeLittle(timeBase, at: 24)
    unsafe out.storeLittle(entryCount, at: 32)
    unsafe out.storeLittle(pageUnits, at: 40)
    unsafe out.storeLittle(rangeLow, at: 48)
    unsafe out.storeLittle(rangeHigh, at: 56)
    unsafe out.storeLittle(smallestHigh, at: 64)
    unsafe out.storeLittle(largestHigh, at: 72)
    unsafe out.storeLittle(smallestTime, at: 80)
    unsafe out.storeLittle(largestTime, at: 88)
    unsafe out.storeLittle(filterOffset, at: 96)
    unsafe out.storeLittle(filterBytes, at: 104)
    unsafe out.storeLittle(indexOffset, at: 112)
    unsafe out.storeLittle(indexBytes, at: 120)
    unsafe out.storeLittle(indexChecksum, at: 128)
    unsafe out.storeLittle(Self.checksum(UnsafeRawPointer(out), fileID: fileID), at: 0)
  }

  private static func checksum(_ bytes: UnsafeRawPointer, fileID: UInt64) -> UInt64 {
    unsafe Checksum.of(
      UnsafeRawBufferPointer(start: bytes + 8, count: TableFormat.footerBytes - 8),
      seed: Checksum.seed(fileID: fileID, place: TableFormat.Place.footer))
  }

  /// Says why the bytes are no footer of a table, `nil` when they are one of some version.
  static func flaw(in bytes: UnsafeRawPointer, fileID: UInt64) -> String? {
    if unsafe bytes.loadLittle(UInt64.self, at: 0) != checksum(bytes, fileID: fileID) {
      return "footer checksum does not match: damaged, or the footer of another file"
    }
    if unsafe bytes.loadLittle(UInt64.self, at: 8) != TableFormat.magic { return "not a table" }
    return nil
  }

  /// The format version of a footer, whatever the version.
  static func version(of bytes: UnsafeRawPointer) -> UInt32 {
    unsafe bytes.loadLittle(UInt32.self, at: 16)
  }

  /// Says what is wrong with a footer of a known version before its fields are looked at, `nil`
  /// when nothing.
  static func badFlag(in bytes: UnsafeRawPointer) -> String? {
    for flag in [20, 23] where unsafe bytes.loadLittle(UInt8.self, at: flag) > 1 {
      return "flag at \(flag) of the footer is neither 0 nor 1"
    }
    return nil
  }

  /// Reads the fields of a footer without a flaw.
  init(_ bytes: UnsafeRawPointer) {
    isExact = unsafe bytes.loadLittle(UInt8.self, at: 20) == 1
    valueWidth = unsafe bytes.loadLittle(UInt8.self, at: 21)
    timeWidth = unsafe bytes.loadLittle(UInt8.self, at: 22)
    hasKinds = unsafe bytes.loadLittle(UInt8.self, at: 23) == 1
    timeBase = unsafe bytes.loadLittle(Int64.self, at: 24)
    entryCount = unsafe bytes.loadLittle(UInt64.self, at: 32)
    pageUnits = unsafe bytes.loadLittle(UInt64.self, at: 40)
    rangeLow = unsafe bytes.loadLittle(UInt64.self, at: 48)
    rangeHigh = unsafe bytes.loadLittle(UInt64.self, at: 56)
    smallestHigh = unsafe bytes.loadLittle(UInt64.self, at: 64)
    largestHigh = unsafe bytes.loadLittle(UInt64.self, at: 72)
    smallestTime = unsafe bytes.loadLittle(Int64.self, at: 80)
    largestTime = unsafe bytes.loadLittle(Int64.self, at: 88)
    filterOffset = unsafe bytes.loadLittle(UInt64.self, at: 96)
    filterBytes = unsafe bytes.loadLittle(UInt64.self, at: 104)
    indexOffset = unsafe bytes.loadLittle(UInt64.self, at: 112)
    indexBytes = unsafe bytes.loadLittle(UInt64.self, at: 120)
    indexChecksum = unsafe bytes.loadLittle(UInt64.self, at: 128)
  }

  init(
    isExact: Bool, valueWidth: UInt8, timeWidth: UInt8, hasKinds: Bool, timeBase: Int64,
    entryCount: UInt64, pageUnits: UInt64, rangeLow: UInt64, rangeHigh: UInt64,
    smallestHigh: UInt64, largestHigh: UInt64, smallestTime: Int64, largestTime: Int64,
    filterOffset: UInt64, filterBytes: UInt64, indexOffset: UInt64, indexBytes: UInt64,
    indexChecksum: UInt64
  ) {
    self.isExact = isExact
    self.valueWidth = valueWidth
    self.timeWidth = timeWidth
    self.hasKinds = hasKinds
    self.timeBase = timeBase
    self.entryCount = entryCount
    self.pageUnits = pageUnits
    self.rangeLow = rangeLow
    self.rangeHigh = rangeHigh
    self.smallestHigh = smallestHigh
    self.largestHigh = largestHigh
    self.smallestTime = smallestTime
    self.largestTime = largestTime
    self.filterOffset = filterOffset
    self.filterBytes = filterBytes
    self.indexOffset = indexOffset
    self.indexBytes = indexBytes
    self.indexChecksum = indexChecksum
  }
}
