import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Files whose checksums hold, but whose numbers were made up to hurt the reader.
@Suite("Crafted tables")
struct CraftedTableTests {
  private static let footerPlace: UInt64 = 1 << 32
  private static let indexPlace: UInt64 = 2 << 32
  private static let filterPlace: UInt64 = 3 << 32

  private static let hostile: [UInt64] = [
    0, 1, 3, 4095, 4096, 1 << 31, 1 << 32, 1 << 40, 1 << 62, 1 << 63, .max - 4, .max,
  ]

  /// Makes the footer's checksum hold again.
  private func sealFooter(_ bytes: inout [UInt8], fileID: UInt64) {
    let footer = bytes.count - 4096
    let sum = Checksum.of(
      Array(bytes[(footer + 8)...]), seed: Checksum.seed(fileID: fileID, place: Self.footerPlace))
    bytes.put(sum, bytes: 8, at: footer)
  }

  /// Makes the checksum of the page at `unit` hold again.
  private func sealPage(_ unit: Int, _ bytes: inout [UInt8], fileID: UInt64) {
    let page = unit * 4096
    let sum = Checksum.of(
      Array(bytes[(page + 8)..<(page + 4096)]),
      seed: Checksum.seed(fileID: fileID, place: UInt64(unit)))
    bytes.put(sum, bytes: 8, at: page)
  }

  /// Opens and reads in every way; `Corruption`, or the refusal of a version that is not known, and
  /// nothing else may come of it.
  private func exercise(_ bytes: [UInt8], of table: TestTable) throws {
    do {
      let directory = try table.replaced(by: bytes)
      let reader = try TableReader(directory: directory, metadata: table.metadata)
      for entry in table.entries where entry.hash.low % 16 == 0 {
        do { _ = try table.lookup(entry.hash, in: reader) } catch is Corruption {}
      }
      do {
        _ = try drain(TableCursor(table: reader), valueWidth: table.valueWidth)
      } catch is Corruption {}
      try reader.verify()
    } catch is Corruption {
    } catch let error as UnsupportedFormat {
      #expect(error.version != 1 && error.supported == 1)
    }
  }

  @Test("hostile numbers in any field of the footer are refused or harmless")
  func hostileFooter() throws {
    let table = try TestTable(TableShape(count: 500, valueWidth: 3, hasKinds: true))
    let whole = try table.bytes()
    let footer = whole.count - 4096
    for field in stride(from: 8, to: 144, by: 8) {
      let original = whole.word(at: footer + field)
      for value in Self.hostile + [original &+ 1, original &- 1, original &+ 4096] {
        var bytes = whole
        bytes.put(value, bytes: 8, at: footer + field)
        sealFooter(&bytes, fileID: table.metadata.fileID)
        try exercise(bytes, of: table)
      }
    }
  }

  @Test("counts, places and lengths beyond the file are refused on opening")
  func lengthsBeyondTheFile() throws {
    let table = try TestTable(TableShape(count: 500))
    let whole = try table.bytes()
    let footer = whole.count - 4096
    for field in [32, 40, 96, 104, 112, 120] {
      for value in Self.hostile where value > 1 << 30 {
        var bytes = whole
        bytes.put(value, bytes: 8, at: footer + field)
        sealFooter(&bytes, fileID: table.metadata.fileID)
        let directory = try table.replaced(by: bytes)
        #expect(throws: Corruption.self, "field \(field), \(value)") {
          try TableReader(directory: directory, metadata: table.metadata)
        }
      }
    }
  }

  @Test("hostile numbers in a page's header and key ends stay inside the page")
  func hostilePage() throws {
    for isExact in [false, true] {
      let table = try TestTable(
        TableShape(count: 150, isExact: isExact, hasKinds: true, keyLengths: [4, 9]))
      let whole = try table.bytes()
      let count = Int(whole.word(at: 8) & 0xFFFF_FFFF)
      let keyEnds = 24 + count * (16 + 3 + 1)
      for offset in [8, 12, 16, 20] + Array(stride(from: keyEnds, to: keyEnds + 16, by: 4)) {
        for value in Self.hostile + [UInt64(count) + 1, UInt64(count) - 1, 70_000, 4072] {
          var bytes = whole
          bytes.put(value, bytes: 4, at: offset)
          sealPage(0, &bytes, fileID: table.metadata.fileID)
          try exercise(bytes, of: table)
        }
      }
    }
  }

  @Test("any bytes in a page whose checksum holds stay inside the page")
  func randomPages() throws {
    var generator = SeededGenerator(seed: 6)
    for isExact in [false, true] {
      let table = try TestTable(
        TableShape(count: 150, isExact: isExact, valueWidth: 2, hasKinds: true, keyLengths: [4, 9]))
      let whole = try table.bytes()
      for _ in 0..<150 {
        var bytes = whole
        for _ in 0..<Int.random(in: 1...40, using: &generator) {
          bytes[Int.random(in: 24..<4096, using: &generator)] = UInt8.random(
            in: 0...255, using: &generator)
        }
        sealPage(0, &bytes, fileID: table.metadata.fileID)
        try exercise(bytes, of: table)
      }
    }
  }

  @Test("entries out of order are found by a scan and by verify")
  func disorderIsFound() throws {
    let table = try TestTable(TableShape(count: 500, repeats: 1_000_000))
    var bytes = try table.bytes()
    let second = Array(bytes[32..<40])
    bytes.replaceSubrange(32..<40, with: bytes[40..<48])
    bytes.replaceSubrange(40..<48, with: second)
    sealPage(0, &bytes, fileID: table.metadata.fileID)
    let directory = try table.replaced(by: bytes)
    let reader = try TableReader(directory: directory, metadata: table.metadata)
    #expect(throws: Corruption.self) { try reader.verify() }
    #expect(throws: Corruption.self) { try drain(TableCursor(table: reader), valueWidth: 0) }
  }

  @Test("an index that decreases, or begins elsewhere, is refused")
  func hostileIndex() throws {
    let table = try TestTable(TableShape(count: 2_000))
    let whole = try table.bytes()
    let footer = whole.count - 4096
    let index = Int(whole.word(at: footer + 112))
    let length = Int(whole.word(at: footer + 120))
    for entry in 0..<min(6, length / 4) {
      for value in Self.hostile {
        var bytes = whole
        bytes.put(value, bytes: 4, at: index + entry * 4)
        let sum = Checksum.of(
          Array(bytes[index..<(index + length)]),
          seed: Checksum.seed(fileID: table.metadata.fileID, place: Self.indexPlace))
        bytes.put(sum, bytes: 8, at: footer + 128)
        sealFooter(&bytes, fileID: table.metadata.fileID)
        try exercise(bytes, of: table)
      }
    }
  }

  @Test("hostile numbers in the filter's geometry are refused or harmless")
  func hostileFilterGeometry() throws {
    let table = try TestTable(TableShape(count: 500))
    let whole = try table.bytes()
    let filter = Int(whole.word(at: whole.count - 4096 + 96))
    for field in stride(from: 8, to: 56, by: 4) {
      for value in Self.hostile {
        var bytes = whole
        bytes.put(value, bytes: field < 52 ? 8 : 4, at: filter + field)
        let sum = Checksum.of(
          Array(bytes[(filter + 8)..<(filter + 56)]),
          seed: Checksum.seed(fileID: table.metadata.fileID, place: Self.filterPlace))
        bytes.put(sum, bytes: 8, at: filter)
        try exercise(bytes, of: table)
      }
    }
  }
}
