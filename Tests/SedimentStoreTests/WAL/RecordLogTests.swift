import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Record log")
struct RecordLogTests {
  // MARK: - Whole logs

  @Test func recordsComeBackAsTheyWere() throws {
    for seed in UInt64(0)..<50 {
      var generator = SeededGenerator(seed: seed)
      let lengths = (0..<Int.random(in: 0...40, using: &generator)).map { _ -> Int? in
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: nil
        case 1: Int.random(in: 0...5_000, using: &generator)
        default: Int.random(in: 0...24, using: &generator)
        }
      }
      let log = try LogFixture(lengths, seed: seed)
      for committed in [0, UInt64(log.bytes.count)] {
        let reading = try log.read(committedLength: committed)
        #expect(reading.corruption == nil, "seed \(seed)")
        #expect(reading.records == log.payloads, "seed \(seed)")
        #expect(reading.offset == UInt64(log.bytes.count), "seed \(seed)")
      }
    }
  }

  @Test func bytesAreGolden() throws {
    let directory = try MemoryFileSystem().openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(
      directory: directory, name: "g.log", kind: .manifest, fileID: 0x0102_0304_0506_0708)
    var payload = ByteWriter()
    payload.writeBytes([0xaa, 0xbb, 0xcc])
    log.append(type: 7, payload)
    try log.synchronize()
    log.acknowledge()
    log.close()
    let bytes = try readAll("g.log", in: directory)
    #expect(bytes == Self.golden)
  }

  /// Header, a record of three bytes, an acknowledgement.
  private static let golden: [UInt8] = [
    1, 0, 83, 69, 68, 76, 79, 71, 1, 0, 0, 0, 1, 0, 0, 0,
    8, 7, 6, 5, 4, 3, 2, 1, 55, 151, 109, 105, 38, 136, 14, 102,
    193, 49, 69, 91, 46, 83, 20, 28, 3, 0, 0, 0, 7, 0, 0, 0,
    170, 187, 204, 0, 0, 0, 0, 0, 141, 66, 244, 124, 78, 62, 130, 143,
    0, 0, 0, 0, 255, 0, 0, 0,
  ]

  @Test func recordsBeginAtMultiplesOfEight() throws {
    let log = try LogFixture((0...17).map { $0 })
    #expect(log.records.allSatisfy { $0.offset % 8 == 0 })
    #expect(log.bytes.count % 8 == 0)
  }

  /// Zeros ahead of the records are the end of the log, and no loss.
  @Test func whatIsReservedIsTakenForTheEnd() throws {
    let fileSystem = MemoryFileSystem()
    let directory = try fileSystem.openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(directory: directory, name: "r.log", kind: .writes, fileID: 9)
    var payload = ByteWriter()
    payload.writeBytes([1, 2, 3])
    func read() throws -> (count: Int, skipped: UInt64) {
      var reader = try RecordLogReader(
        directory: directory, name: "r.log", kind: .writes, fileID: 9)
      var count = 0
      while try reader.next(committedLength: log.writtenLength) != nil { count += 1 }
      #expect(reader.offset == log.writtenLength)
      var salvage = try RecordLogReader(
        directory: directory, name: "r.log", kind: .writes, fileID: 9)
      var skipped: UInt64 = 0
      while try salvage.nextWhole(passingOver: &skipped) != nil { count -= 1 }
      return (count, skipped)
    }
    for number in 1...3_000 {
      log.append(type: 3, payload)
      try log.synchronize()
      log.acknowledge()
      log.reserve()
      guard number % 500 == 1 else { continue }
      #expect(try read() == (0, 0))
      #expect(UInt64(try readAll("r.log", in: directory).count) > log.writtenLength + 4_000)
    }
    log.trim()
    #expect(UInt64(try readAll("r.log", in: directory).count) == log.writtenLength)
    #expect(try read() == (0, 0))
    // What cannot be reserved is no failure, and may be later.
    let full = FaultInjectingFileSystem(fileSystem)
    let other = try RecordLogWriter(
      directory: try full.openDirectory(at: "/logs", creating: false), name: "s.log",
      kind: .writes, fileID: 9)
    other.append(type: 3, payload)
    try other.synchronize()
    full.arm([Fault(number: 1, code: .noSpace, isSticky: false)])
    other.reserve()
    #expect(full.firedCount == 1)
    #expect(UInt64(try readAll("s.log", in: directory).count) == other.writtenLength)
    // Not with every record, on a disk that is full.
    for number in 1...3_000 {
      other.append(type: 3, payload)
      try other.synchronize()
      other.reserve()
      let isReserved = UInt64(try readAll("s.log", in: directory).count) > other.writtenLength
      #expect(isReserved == (number * 24 >= 65_536), "\(number)")
    }
    other.close()
    log.close()
  }

  /// Records come to lie behind where the reader found the end, with room ahead of them: what was
  /// bad before an acknowledgement is looked at again.
  @Test func aReaderBesideAWriterFindsNoDamage() throws {
    let directory = try MemoryFileSystem().openDirectory(at: "/logs", creating: true)
    let isDone = Atomic(false)
    let progress = Atomic(0)
    let writer = try JoinedThread {
      var number = 0
      while !isDone.load(ordering: .acquiring) {
        guard
          let log = try? RecordLogWriter(
            directory: directory, name: "\(number).log", kind: .writes, fileID: 9)
        else { return }
        progress.store(number + 1, ordering: .releasing)
        for _ in 0..<200 {
          log.append(type: 3, ByteWriter())
          try? log.synchronize()
          log.acknowledge()
          log.reserve()
        }
        log.close()
        number += 1
        if number > 2 { try? directory.remove("\(number - 3).log") }
      }
    }
    defer {
      isDone.store(true, ordering: .releasing)
      writer.join()
    }
    var readings = 0
    while readings < 3_000 {
      let newest = progress.load(ordering: .acquiring) - 1
      guard newest >= 0 else { continue }
      readings += 1
      do {
        var reader = try RecordLogReader(
          directory: directory, name: "\(newest).log", kind: .writes, fileID: 9)
        while try reader.next(committedLength: 0) != nil {}
      } catch let error as Corruption where error.what != "record" {
        // The header is not there yet.
      } catch let error as FileError where error.code == .notFound {
        // It is gone by now.
      }
    }
  }

  @Test func aRecordThatNoReaderWouldTakeIsRefused() throws {
    let fileSystem = MemoryFileSystem()
    let directory = try fileSystem.openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(directory: directory, name: "1.log", kind: .manifest, fileID: 1)
    var payload = ByteWriter()
    payload.writeZeros(RecordLogFormat.payloadBytesMax + 1)
    let error = #expect(throws: FileError.self) { try log.append(type: 1, unbounded: payload) }
    #expect(error?.code == .inputOutput && error?.path == "1.log")
    #expect(log.length == UInt64(RecordLogFormat.headerBytes))
    payload.truncate(to: RecordLogFormat.payloadBytesMax)
    try log.append(type: 1, unbounded: payload)
    try log.synchronize()
    log.close()
    var reader = try RecordLogReader(
      directory: directory, name: "1.log", kind: .manifest, fileID: 1)
    #expect(try reader.next(committedLength: log.length)?.payload.count == payload.count)
  }

  @Test func theLengthCountsWhatIsInTheBuffer() throws {
    let fileSystem = MemoryFileSystem()
    let directory = try fileSystem.openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(
      directory: directory, name: "1.log", kind: .entries, fileID: 1)
    #expect(log.length == UInt64(RecordLogFormat.headerBytes))
    log.append(type: 1, ByteWriter())
    #expect(log.length == 48)
    #expect(try fileSystem.contents(of: LogFixture.path).isEmpty)
    try log.write()
    #expect(log.length == 48)
    #expect(try fileSystem.contents(of: LogFixture.path).count == 48)
    log.acknowledge()
    #expect(log.length == 64)
    log.close()
  }

  @Test func synchronizedRecordsSurvivePowerLossAndAnAcknowledgementNeedNot() throws {
    let fileSystem = MemoryFileSystem()
    let directory = try fileSystem.openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(
      directory: directory, name: "1.log", kind: .entries, fileID: 1)
    log.append(type: 1, ByteWriter())
    try log.synchronize()
    try directory.synchronize()
    try fileSystem.openDirectory(at: "/", creating: false).synchronize()
    let length = log.length
    log.acknowledge()
    let survivor = fileSystem.crashed(.nothing)
    #expect(try survivor.contents(of: LogFixture.path).count == Int(length))
    var reader = try RecordLogReader(
      directory: survivor.openDirectory(at: "/logs", creating: false), name: "1.log",
      kind: .entries, fileID: 1)
    #expect(try reader.next(committedLength: length)?.type == 1)
    #expect(try reader.next(committedLength: length) == nil)
  }

  // MARK: - How far a log counts

  @Test func whatLiesBehindTheCommittedLengthMayBeLeftAlone() throws {
    let log = try LogFixture([5, 9, nil, 16, 3, nil])
    for (index, record) in log.records.enumerated() {
      let reading = try log.read(committedLength: record.offset, stopsThere: true)
      #expect(reading.corruption == nil)
      let before = log.records[..<index]
        .filter { $0.type != RecordLogFormat.acknowledgementType }
      #expect(reading.records == before)
    }
    var damaged = log
    damaged.bytes[Int(log.records[3].offset) + 20] ^= 1
    let length = log.records[3].offset
    #expect(try damaged.read(committedLength: length, stopsThere: true).corruption == nil)
    #expect(try damaged.read(committedLength: length).corruption != nil)
  }

  // MARK: - Damage

  /// Records of all paddings, with and without acknowledgement.
  private static let lengths: [Int?] = [3, 8, nil, 0, 41, 16, nil, 7, 30]

  @Test func aTruncationIsATornTailUnlessTheLogIsCommittedFurther() throws {
    let log = try LogFixture(Self.lengths)
    let whole = UInt64(log.bytes.count)
    let last = try #require(log.records.last)
    for length in 0..<log.bytes.count {
      var cut = log
      cut.bytes.removeLast(log.bytes.count - length)
      let torn = try cut.read()
      guard length >= RecordLogFormat.headerBytes else {
        #expect(torn.corruption?.what == "length", "cut to \(length)")
        continue
      }
      let expected = log.payloads.filter { $0.end <= UInt64(length) }
      #expect(torn.corruption == nil, "cut to \(length)")
      #expect(torn.records == expected, "cut to \(length)")
      let committed = try cut.read(committedLength: whole)
      #expect(committed.records == expected, "cut to \(length)")
      // Padding says nothing.
      #expect((committed.corruption != nil) == (UInt64(length) < last.end), "cut to \(length)")
      let stopping = try cut.read(committedLength: whole, stopsThere: true)
      #expect((stopping.corruption != nil) == (UInt64(length) < last.end), "cut to \(length)")
    }
  }

  @Test func everyFlippedBitIsNoticedOrTearsTheTail() throws {
    let log = try LogFixture(Self.lengths)
    let whole = UInt64(log.bytes.count)
    for bit in 0..<(8 * log.bytes.count) {
      var flipped = log
      flipped.bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      let place = UInt64(bit / 8)
      if place < UInt64(RecordLogFormat.headerBytes) {
        #expect(try flipped.read().corruption != nil, "bit \(bit) of the header")
        continue
      }
      let hit = log.records.first { $0.offset <= place && place < $0.end }
      let expected = log.payloads.filter { $0.offset < hit?.offset ?? .max }
      for committed in [0, whole] {
        let reading = try flipped.read(committedLength: committed)
        #expect(reading.records == expected, "bit \(bit), committed \(committed)")
        // Where no acknowledgement vouches for it, it may be a torn tail.
        let isDamage = hit.map { committed > 0 || log.isAcknowledged(behind: $0.offset) } ?? false
        #expect(
          (reading.corruption != nil) == isDamage, "bit \(bit), committed \(committed)")
        if isDamage { #expect(reading.corruption?.offset == hit?.offset) }
      }
    }
  }

  @Test func aRecordThatWasAcknowledgedIsNeverTakenForATornTail() throws {
    for lengths: [Int?] in [[12], [12, nil]] {
      var log = try LogFixture(lengths)
      log.bytes[Int(log.records[0].offset) + 20] ^= 0x10
      let reading = try log.read()
      #expect(reading.records.isEmpty)
      #expect((reading.corruption != nil) == (lengths.count == 2))
    }
  }

  @Test func zeroedRecordsAreAHoleWhereAnAcknowledgementFollows() throws {
    let log = try LogFixture([12, 100, 60, nil, 9])
    for first in log.records.indices {
      for last in first..<log.records.count {
        var holed = log
        let end = last + 1 < log.records.count ? Int(log.records[last + 1].offset) : log.bytes.count
        for place in Int(log.records[first].offset)..<end { holed.bytes[place] = 0 }
        let reading = try holed.read()
        #expect(
          reading.records == log.payloads.filter { $0.offset < log.records[first].offset })
        let isDamage = log.isAcknowledged(behind: log.records[last].offset)
        #expect((reading.corruption != nil) == isDamage)
      }
    }
  }

  @Test func trailingGarbageIsATornTail() throws {
    let log = try LogFixture([5, nil, 40])
    for seed in UInt64(0)..<200 {
      var generator = SeededGenerator(seed: seed)
      var longer = log
      for _ in 0..<Int.random(in: 1...200, using: &generator) {
        let isZero = seed % 4 == 0
        longer.bytes.append(isZero ? 0 : UInt8.random(in: 0...255, using: &generator))
      }
      for committed in [0, UInt64(log.bytes.count)] {
        let reading = try longer.read(committedLength: committed)
        #expect(reading.corruption == nil, "seed \(seed)")
        #expect(reading.records == log.payloads, "seed \(seed)")
        #expect(reading.offset == UInt64(log.bytes.count), "seed \(seed)")
      }
    }
  }

  @Test func aLengthBeyondTheFileOrTheLimitTakesNoMemory() throws {
    for length: UInt32 in [40, 1 << 26, 1 << 26 + 1, 1 << 31, .max] {
      var log = try LogFixture([8])
      var frame = ByteWriter()
      frame.writeUInt64(1)
      frame.writeUInt32(length)
      frame.writeUInt32(1)
      log.bytes += frame.bytes + [UInt8](repeating: 0, count: 16)
      let reading = try log.read()
      #expect(reading.records.count == 1 && reading.corruption == nil)
    }
  }

  @Test func aGoodRecordCountsOnlyInItsPlaceAndFile() throws {
    let log = try LogFixture([24, 24, nil])
    var swapped = log
    let first = Int(log.records[0].offset)
    for place in 0..<40 { swapped.bytes.swapAt(first + place, first + 40 + place) }
    #expect(try swapped.read().corruption != nil)
    let other = try LogFixture([24, 24, nil], fileID: 99)
    var mixed = log
    mixed.bytes.replaceSubrange(first..<(first + 40), with: other.bytes[first..<(first + 40)])
    #expect(try mixed.read().corruption?.offset == UInt64(first))
  }

  // MARK: - Headers

  @Test func aLogOfAnotherKindOrFileIsRefused() throws {
    let log = try LogFixture([1])
    #expect(try log.read(kind: .manifest).corruption?.what == "kind of log")
    #expect(try log.read(fileID: 5).corruption?.what == "file id")
    #expect(try log.read(fileID: nil).corruption == nil)
  }

  @Test func aNewerVersionIsNoDamage() throws {
    var log = try LogFixture([1])
    log.bytes[8] = 2
    let checksum = Checksum.of(
      Array(log.bytes.prefix(24)), seed: Checksum.seed(fileID: LogFixture.fileID, place: 0))
    for index in 0..<8 {
      log.bytes[24 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * index))
    }
    #expect {
      try log.read()
    } throws: { error in
      (error as? UnsupportedFormat)?.version == 2
    }
  }
}
