// The filter section of a table.
//
//      0  u64  checksum of the geometry         (place: filter)
//      8  48 bytes of geometry, as drawn in `FilterGeometry.swift`
//     56  for each 64 KiB of the image: u64 checksum │ bytes     (place: filter + 1 + its number)
//
// The last chunk may be shorter. Chunks are checked one by one, so a part of the image can be
// loaded. A table without a filter has the geometry of kind none, and no chunks.

internal import SedimentIO

/// Writes and loads the filter section.
enum TableFilterSection {
  static let headerBytes = 8 + FilterGeometry.encodedBytes
  /// On disk: never change.
  static let chunkBytes = 64 << 10
  private static let framedChunkBytes = chunkBytes + 8

  /// Bytes of the section of an image of `imageBytes`.
  static func bytes(imageBytes: Int) -> Int {
    headerBytes + imageBytes + (imageBytes + chunkBytes - 1) / chunkBytes * 8
  }

  /// Appends the section to `output`.
  static func write(
    _ image: FilterImage, to output: inout SequentialWriter, fileID: UInt64
  ) throws(FileError) {
    var header = ByteWriter(capacity: headerBytes)
    image.geometry.encode(to: &header)
    let sum = Checksum.of(
      header.bytes, seed: Checksum.seed(fileID: fileID, place: TableFormat.Place.filter))
    try append(sum, to: &output)
    try unsafe header.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe output.append(bytes)
    }
    let bytes = unsafe image.bytes
    var place = TableFormat.Place.filter
    for begin in stride(from: 0, to: bytes.count, by: chunkBytes) {
      let end = min(bytes.count, begin + chunkBytes)
      let chunk = unsafe UnsafeRawBufferPointer(rebasing: bytes[begin..<end])
      place += 1
      let sum = unsafe Checksum.of(chunk, seed: Checksum.seed(fileID: fileID, place: place))
      try append(sum, to: &output)
      try unsafe output.append(chunk)
    }
  }

  private static func append(
    _ word: UInt64, to output: inout SequentialWriter
  ) throws(FileError) {
    try unsafe output.reserve(8).storeLittle(word, at: 0)
    output.commit(8)
  }

  /// Loads the part of a table's filter that `plan` says; checks all that it loads.
  ///
  /// The footer was checked against the file's size, so the section lies inside the file, and the
  /// image, in memory too, is no larger than the section.
  static func load(_ plan: FilterLoadPlan, of section: FilterSection) throws -> LoadedFilter {
    var loader = FilterLoader(plan: plan)
    let staging = UnsafeMutableRawBufferPointer.allocate(byteCount: framedChunkBytes, alignment: 8)
    defer { unsafe staging.deallocate() }
    var offset = section.offset + UInt64(headerBytes)
    var place = TableFormat.Place.filter
    for begin in stride(from: 0, to: plan.imageBytes, by: chunkBytes) {
      // A chunk is read whole even where its last part is not wanted: its checksum covers it all.
      let count = min(plan.geometry.imageBytes - begin, chunkBytes)
      place += 1
      try unsafe loadChunk(
        count, at: offset, place: place, of: section.table, into: &loader, staging: staging)
      offset += UInt64(count + 8)
    }
    do {
      return try loader.finish()
    } catch {
      throw Corruption(
        file: section.table.number.tableName, offset: section.offset, what: "filter",
        undecodable: error)
    }
  }

  /// Loads a chunk of `count` bytes: straight to where it belongs, when it belongs there as it is.
  private static func loadChunk(
    _ count: Int, at offset: UInt64, place: UInt64, of table: TableFile,
    into loader: inout FilterLoader, staging: UnsafeMutableRawBufferPointer
  ) throws {
    let sum = unsafe UnsafeMutableRawBufferPointer(rebasing: staging[..<8])
    if let target = unsafe loader.nextBytes(count) {
      try unsafe table.readFully(sum, at: offset, "filter")
      try unsafe table.readFully(target, at: offset + 8, "filter")
      try unsafe check(target, against: sum, place: place, at: offset, table)
      loader.takeNextBytes(count)
    } else {
      let framed = unsafe UnsafeMutableRawBufferPointer(rebasing: staging[..<(count + 8)])
      try unsafe table.readFully(framed, at: offset, "filter")
      let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: framed[8...])
      try unsafe check(bytes, against: sum, place: place, at: offset, table)
      unsafe loader.append(UnsafeRawBufferPointer(bytes))
    }
  }

  /// Reads what the filter is, and checks that it is as long as its section.
  static func readGeometry(of section: FilterSection) throws -> FilterGeometry {
    let table = section.table
    guard section.byteCount >= UInt64(headerBytes) else {
      throw table.flaw(
        "filter section", "\(section.byteCount) bytes", offset: section.offset)
    }
    let body = section.byteCount - UInt64(headerBytes)
    let framed = UInt64(framedChunkBytes)
    let chunks = body / framed + (body % framed == 0 ? 0 : 1)
    // A last chunk of no bytes, or less than its checksum, makes lengths that decoding refuses.
    let imageBytes = body &- chunks * 8
    let header = UnsafeMutableRawBufferPointer.allocate(byteCount: headerBytes, alignment: 8)
    defer { unsafe header.deallocate() }
    try unsafe table.readFully(header, at: section.offset, "filter")
    let fields = unsafe UnsafeMutableRawBufferPointer(rebasing: header[8...])
    try unsafe check(
      fields, against: UnsafeMutableRawBufferPointer(rebasing: header[..<8]),
      place: TableFormat.Place.filter, at: section.offset, table)
    var reader = unsafe ByteReader(UnsafeRawBufferPointer(fields))
    do throws(CodingError) {
      let geometry = try FilterGeometry.decode(from: &reader, imageBytes: imageBytes)
      guard UInt64(bytes(imageBytes: geometry.imageBytes)) == section.byteCount else {
        throw CodingError.invalid("section of \(section.byteCount) bytes")
      }
      guard geometry.kind == section.kind else {
        throw CodingError.invalid("filter of kind \(geometry.kind)")
      }
      return geometry
    } catch {
      throw Corruption(
        file: table.number.tableName, offset: section.offset, what: "filter geometry",
        undecodable: error)
    }
  }

  /// Checks bytes against the checksum that stands in front of them.
  private static func check(
    _ bytes: UnsafeMutableRawBufferPointer, against sum: UnsafeMutableRawBufferPointer,
    place: UInt64, at offset: UInt64, _ table: TableFile
  ) throws(Corruption) {
    let expected = unsafe UInt64(littleEndian: sum.loadUnaligned(as: UInt64.self))
    let found = unsafe Checksum.of(
      UnsafeRawBufferPointer(bytes), seed: Checksum.seed(fileID: table.fileID, place: place))
    guard expected == found else {
      throw Corruption(
        file: table.number.tableName, offset: offset, what: "filter checksum",
        expected: expected, found: found)
    }
  }
}
