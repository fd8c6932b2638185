import Foundation
import SedimentIO
import SedimentTestKit
import Synchronization
import Testing

#if canImport(Glibc)
  import Glibc
#endif

// One after the other, because some of them count the rings of the process.
@Suite(.serialized) final class BatchReaderTests {
  private let scratch: Scratch
  private var directory: any Directory { scratch.directory }

  init() throws {
    scratch = try Scratch(.posix)
  }

  deinit { scratch.remove() }

  private func makeFile(
    _ name: String, in directory: any Directory, size: Int, seed: UInt64
  ) throws -> any File {
    var generator = SeededGenerator(seed: seed)
    var content: [UInt8] = []
    while content.count < size {
      unsafe withUnsafeBytes(of: generator.next()) { unsafe content.append(contentsOf: $0) }
    }
    try directory.make(name, Array(content[..<size])).close()
    return try directory.openFile(name, .read)
  }

  private func makeFiles(sizes: [Int]) throws -> [any File] {
    try sizes.enumerated().map { number, size in
      try makeFile("file\(number)", in: directory, size: size, seed: UInt64(number))
    }
  }

  /// What the open descriptors of this process are, by number.
  private func descriptors() throws -> [Int32: String] {
    var found: [Int32: String] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
      // Other tests close theirs meanwhile.
      let target = try? FileManager.default.destinationOfSymbolicLink(
        atPath: "/proc/self/fd/" + name)
      if let number = Int32(name), let target { found[number] = target }
    }
    return found
  }

  private func rings() throws -> Set<Int32> {
    Set(try descriptors().filter { $0.value.contains("[io_uring]") }.keys)
  }

  @Test(arguments: [true, false], [1, 3, 64, 256])
  func randomBatchesAreReadAsTheirRequestsAlone(usesRing: Bool, depth: Int) throws {
    let sizes = [0, 1, 4096, 4097, 40_960, 1_000_003]
    let files = try makeFiles(sizes: sizes)
    let reader = BatchReader(depth: depth, usesRing: usesRing)
    var generator = SeededGenerator(seed: UInt64(depth))
    for round in 0..<40 {
      var parts = (0..<[0, 1, depth, depth + 1, 700][round % 5]).map { _ in
        let file = Int.random(in: 0..<files.count, using: &generator)
        // Some begin behind the end, many reach beyond it; most have several units.
        let offset = UInt64.random(in: 0...UInt64(sizes[file] + 100), using: &generator)
        let count = [0, 1, 4096, 8192, 20_480].randomElement(using: &generator) ?? 0
        return (file: file, offset: offset, count: count)
      }
      if round % 2 == 0 { parts.sort { ($0.file, $0.offset) < ($1.file, $1.offset) } }
      let batch = Batch(parts)
      let order = batch.read(by: reader, of: files)
      #expect(order.sorted() == Array(parts.indices), "\(generator)")
      for (index, part) in parts.enumerated() {
        let expected = try files[part.file].read(part.count, at: part.offset)
        #expect(try batch.bytes(index, of: files) == expected, "\(generator) \(part)")
      }
    }
  }

  @Test func aReaderWithoutRingSaysSo() {
    #expect(!BatchReader(usesRing: false).hasRing)
    #expect(BatchReader(depth: 7).depth == 7)
  }

  @Test(arguments: [true, false])
  func atDepthOneRequestsAreCompletedInOrder(usesRing: Bool) throws {
    let files = try makeFiles(sizes: [100_000])
    let batch = Batch((0..<20).map { (file: 0, offset: UInt64($0) * 4096, count: 4096) })
    let order = batch.read(by: BatchReader(depth: 1, usesRing: usesRing), of: files)
    #expect(order == Array(0..<20))
  }

  @Test(arguments: [true, false])
  func aRequestIsWholeWhenItIsToldComplete(usesRing: Bool) throws {
    let files = try makeFiles(sizes: [1 << 20])
    let content = try files[0].contents()
    let batch = Batch((0..<256).map { (file: 0, offset: UInt64($0) * 4096, count: 4096) })
    var complete = 0
    unsafe BatchReader(depth: 16, usesRing: usesRing).read(batch.requests, of: files) { index in
      let bytes = try? batch.bytes(index, of: files)
      if bytes == Array(content[(index * 4096)..<((index + 1) * 4096)]) { complete += 1 }
    }
    #expect(complete == 256)
  }

  @Test(arguments: [true, false])
  func whatFailsFailsAlone(usesRing: Bool) throws {
    let files = try makeFiles(sizes: [8192, 8192, 8192])
    files[1].close()
    let batch = Batch(
      [(0, 0, 4096), (1, 0, 4096), (1, 1, 10), (2, .max - 10, 4096), (2, 1 << 63, 1), (0, 0, 10)]
        + [(2, 4096, 4096)])
    // An address at which there is never memory.
    unsafe batch.requests[5].destination = UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(bitPattern: 4096), count: 4096)
    let order = batch.read(by: BatchReader(usesRing: usesRing), of: files)
    #expect(order.count == 7)
    let codes = (0..<7).map { index in code { try batch.bytes(index, of: files) } }
    #expect(codes == [nil, .closed, .closed, .inputOutput, .inputOutput, .inputOutput, nil])
    for (index, offset) in [(3, UInt64.max - 10), (1, 0)] {
      let file = index == 3 ? files[2] : files[1]
      let alone = try #require(throws: FileError.self) { try file.read(4096, at: offset) }
      #expect(throws: alone) { try batch.bytes(index, of: files) }
    }
    #expect(try batch.bytes(6, of: files) == files[2].read(4096, at: 4096))
  }

  @Test func faultsMeetRequestsOneByOne() throws {
    let faulty = FaultInjectingFileSystem(PosixFileSystem())
    let wrapped = try faulty.openDirectory(at: scratch.path, creating: false)
    let files = [
      try makeFile("faulty", in: wrapped, size: 40_960, seed: 1),
      try makeFile("sound", in: directory, size: 40_960, seed: 2),
    ]
    faulty.arm([.inputOutput(.read, number: 3)])
    let batch = Batch((0..<10).map { (file: $0 / 5, offset: UInt64($0) * 4096, count: 4096) })
    batch.read(by: BatchReader(), of: files)
    #expect(faulty.firedCount == 1)
    for index in 0..<10 where index != 2 {
      let expected = try files[index / 5].read(4096, at: UInt64(index) * 4096)
      #expect(try batch.bytes(index, of: files) == expected)
    }
    faulty.arm([.inputOutput(.read, number: 1)])
    let alone = try #require(throws: FileError.self) { try files[0].read(1, at: 0) }
    #expect(throws: alone) { try batch.bytes(2, of: files) }
  }

  @Test func recordedAndRememberedFilesAreReadInOrder() throws {
    let recording = RecordingFileSystem(MemoryFileSystem(), recordsReads: true)
    let recorded = try recording.openDirectory(at: "/db", creating: true)
    let files = [
      try makeFile("a", in: recorded, size: 5000, seed: 1),
      try makeFile("b", in: directory, size: 5000, seed: 2),
    ]
    _ = recording.takeLines()
    let batch = Batch([(0, 4096, 4096), (1, 0, 4096), (0, 0, 4096)])
    batch.read(by: BatchReader(), of: files)
    #expect(recording.takeLines() == ["read a 4096+904", "read a 0+4096"])
    #expect(try batch.bytes(0, of: files) == files[0].read(4096, at: 4096))
    #expect(try batch.bytes(1, of: files) == files[1].read(4096, at: 0))
  }

  @Test func aReaderMayBeUsedByOneThreadAfterTheOther() throws {
    let files = try makeFiles(sizes: [1 << 20])
    let reader = BatchReader(depth: 8)
    let wrong = Atomic<Int>(0)
    for _ in 0..<8 {
      // Joined before the next one begins.
      nonisolated(unsafe) let one = reader
      try JoinedThread {
        let batch = Batch((0..<64).map { (file: 0, offset: UInt64($0) * 4096, count: 4096) })
        unsafe batch.read(by: one, of: files)
        for index in 0..<64 {
          let expected = try? files[0].read(4096, at: UInt64(index) * 4096)
          if (try? batch.bytes(index, of: files)) != expected { wrong.add(1, ordering: .relaxed) }
        }
      }.join()
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }

  @Test(arguments: [true, false])
  func closingUnderABatchNeverReachesAnotherFile(usesRing: Bool) throws {
    try directory.make("mine", bytes(1, 4096))
    try directory.make("other", bytes(2, 4096))
    let directory = directory
    let wrong = Atomic<Int>(0)
    for _ in 0..<30 {
      let file = try directory.openFile("mine", .read)
      let thread = try JoinedThread {
        let reader = BatchReader(depth: 4, usesRing: usesRing)
        let batch = Batch((0..<32).map { _ in (file: 0, offset: 0, count: 4096) })
        while true {
          batch.read(by: reader, of: [file])
          guard let read = try? batch.bytes(31, of: [file]) else { break }
          if read != bytes(1, 4096) { wrong.add(1, ordering: .relaxed) }
        }
      }
      file.close()
      let other = try directory.openFile("other", .read)
      thread.join()
      other.close()
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }
}

#if os(Linux)
  extension BatchReaderTests {
    @Test func nothingIsLeftOpen() throws {
      let ringsBefore = try rings()
      let files = try makeFiles(sizes: [50_000, 50_000])
      for round in 0..<50 {
        let reader = BatchReader(depth: 16, usesRing: round % 2 == 0)
        let batch = Batch((0..<40).map { (file: $0 % 2, offset: UInt64($0) * 1000, count: 4096) })
        batch.read(by: reader, of: files)
        if round % 2 == 0 {
          #expect(try rings().count == ringsBefore.count + (reader.hasRing ? 1 : 0))
        }
      }
      #expect(try rings() == ringsBefore)
      for file in files { file.close() }
      let path = scratch.path
      #expect(try descriptors().values.allSatisfy { !$0.hasPrefix(path + "/") })
    }

    @Test func aRingThatFailsCostsNoAnswer() throws {
      let files = try makeFiles(sizes: [1 << 20])
      let before = try rings()
      let reader = BatchReader(depth: 16)
      guard let ring = try rings().subtracting(before).first else {
        // Not a system with rings: there is none to fail.
        #expect(!reader.hasRing)
        return
      }
      let batch = Batch((0..<100).map { (file: 0, offset: UInt64($0) * 4096, count: 8192) })
      // From here on the number stands for a file that no ring can be had of.
      let null = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
      #expect(dup2(null, ring) == ring)
      close(null)
      #expect(batch.read(by: reader, of: files).sorted() == Array(0..<100))
      for index in 0..<100 {
        #expect(
          try batch.bytes(index, of: files) == files[0].read(8192, at: UInt64(index) * 4096))
      }
    }
  }
#endif
