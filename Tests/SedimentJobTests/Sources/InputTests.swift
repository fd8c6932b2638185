import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

/// Files in memory, by path.
private struct Inputs {
  let memory = MemoryFileSystem()

  var files: InputFileSystem { InputFileSystem(memory) }

  func write(_ path: String, _ text: String) throws {
    let slash = path.lastIndex(of: "/") ?? path.startIndex
    let directory = try memory.openDirectory(at: String(path[..<slash]), creating: true)
    let name = String(path[path.index(after: slash)...])
    if try directory.metadata(of: name) != nil { try directory.remove(name) }
    let file = try directory.openFile(name, .create)
    try append(to: file, text)
  }

  func append(_ path: String, _ text: String) throws {
    let slash = path.lastIndex(of: "/") ?? path.startIndex
    let directory = try memory.openDirectory(at: String(path[..<slash]), creating: false)
    try append(to: directory.openFile(String(path[path.index(after: slash)...]), .readWrite), text)
  }

  private func append(to file: any File, _ text: String) throws {
    var text = text
    let size = try file.size()
    try text.withUTF8 { try unsafe file.write(UnsafeRawBufferPointer($0), at: size) }
  }

  func rename(_ directory: String, _ name: String, to newName: String) throws {
    try memory.openDirectory(at: directory, creating: false)
      .rename(name, to: newName, replacing: true)
  }

  func position(_ path: String, offset: UInt64) throws -> FilePosition {
    let metadata = try #require(try files.metadata(of: path))
    return try FilePosition.take(
      path: path, file: files.open(path), metadata: metadata, isCompressed: false, offset: offset,
      line: 3)
  }
}

@Suite struct InputListTests {
  private func expand(_ arguments: String...) throws -> [String] {
    let inputs = Inputs()
    for path in [
      "/d/b", "/d/a/x", "/d/a.txt", "/d/.hidden", "/d/a/.dot/y", "/d/[z]", "/e/c.log", "/e/d.log",
    ] {
      try inputs.write(path, "x\n")
    }
    return try InputList(inputs.files).expand(arguments).map(\.path)
  }

  @Test func directoriesAreReadInByteOrderOfPathWithoutDotFiles() throws {
    #expect(try expand("/d") == ["/d/[z]", "/d/a.txt", "/d/a/x", "/d/b"])
    #expect(try expand("/e/d.log", "-", "/e/c.log") == ["/e/d.log", "-", "/e/c.log"])
  }

  @Test func patternsCountOnlyWhereNothingHasTheName() throws {
    #expect(try expand("/d/[z]") == ["/d/[z]"])
    #expect(try expand("/e/*.log") == ["/e/c.log", "/e/d.log"])
    #expect(try expand("/e/[!c].log") == ["/e/d.log"])
    #expect(try expand("/?/a*") == ["/d/a/x", "/d/a.txt"])
    #expect(try expand("/d/.h*") == ["/d/.hidden"])
  }

  @Test func whatNamesNothingIsAnErrorWithItsPath() {
    for path in ["/none", "/e/*.csv", "/d/b/c", "/none/*"] {
      #expect(throws: SourceError.noSuchFile(path)) { try expand("/d", path) }
    }
  }
}

@Suite struct FilePositionTests {
  @Test func aFileIsFoundAgain() throws {
    let inputs = Inputs()
    try inputs.write("/d/log", "one\ntwo\n")
    try inputs.write("/d/other", "one\nTWO\n")
    let position = try inputs.position("/d/log", offset: 8)
    let names = ["/d/log", "/d/log.1", "/d/other"]
    #expect(try position.match(names, in: inputs.files) == .same)
    try inputs.append("/d/log", "three\n")
    #expect(try position.match(names, in: inputs.files) == .same)
    try inputs.rename("/d", "log", to: "log.1")
    #expect(try position.match(names, in: inputs.files) == .moved(to: "/d/log.1"))
    try inputs.write("/d/log", "new file\n")
    #expect(try position.match(names, in: inputs.files) == .moved(to: "/d/log.1"))
    #expect(try position.match(["/d/log"], in: inputs.files) == .replaced)
    try inputs.write("/d/log", "one\n")
    #expect(try position.match(["/d/log"], in: inputs.files) == .replaced)
    #expect(try position.match(["/d/gone"], in: inputs.files) == .missing)
  }

  @Test func aShorterFileIsTruncated() throws {
    let inputs = Inputs()
    try inputs.write("/d/log", "one\ntwo\n")
    let position = try inputs.position("/d/log", offset: 8)
    try inputs.memory.truncate("/d/log", to: 4)
    #expect(try position.match(["/d/log"], in: inputs.files) == .truncated(size: 4))
  }

  @Test func anotherMachineHasOtherInodes() throws {
    let (here, there) = (Inputs(), Inputs())
    try here.write("/d/log", String(repeating: "line\n", count: 2000))
    var position = try here.position("/d/log", offset: 9000)
    position.identity.inode += 1000
    try there.write("/d/log", String(repeating: "line\n", count: 2000))
    #expect(try position.match(["/d/log"], in: there.files) == .same)
    try there.write("/d/log", String(repeating: "line\n", count: 1799) + "LINE\n")
    #expect(try position.match(["/d/log"], in: there.files) == .replaced)
  }

  @Test func theEncodingIsReadBackAndEveryTruncationRefused() throws {
    let inputs = Inputs()
    try inputs.write("/d/lög", "one\ntwo\n")
    let position = try inputs.position("/d/lög", offset: 4)
    var writer = ByteWriter()
    position.encode(to: &writer)
    let bytes = writer.bytes
    let read = try ByteReader.reading(bytes) { (reader) throws(CodingError) in
      try FilePosition(from: &reader)
    }
    #expect(read == position)
    for length in 0..<bytes.count {
      #expect(throws: CodingError.self) {
        try ByteReader.reading(Array(bytes[..<length])) { (reader) throws(CodingError) in
          try FilePosition(from: &reader)
        }
      }
    }
  }
}

@Suite struct FollowingSourceTests {
  private let inputs = Inputs()
  private let format = RecordFormat(kind: .lines)

  private func step(_ source: FollowingSource) throws -> String? {
    let batch = RecordBatch()
    guard try source.next(into: batch) else { return nil }
    return unsafe String(decoding: batch.input, as: UTF8.self)
  }

  @Test func growthIsReadLineByLine() throws {
    let source = FollowingSource(path: "/d/log", in: inputs.files, format: format)
    try inputs.write("/d/other", "")
    #expect(try step(source) == nil)
    try inputs.write("/d/log", "one\ntw")
    #expect(try step(source) == "one\n")
    #expect(try step(source) == nil)
    try inputs.append("/d/log", "o\n")
    #expect(try step(source) == "two\n")
    #expect(try source.position()?.offset == 8)
    #expect(try step(source) == nil)
  }

  @Test func aWriterMayGoOnWithARotatedFile() throws {
    let clock = ManualClock()
    let source = FollowingSource(path: "/d/log", in: inputs.files, format: format, clock: clock)
    try inputs.write("/d/log", "one\nha")
    #expect(try step(source) == "one\n")
    try inputs.rename("/d", "log", to: "log.1")
    try inputs.write("/d/log", "new\n")
    #expect(try step(source) == nil)
    clock.advance(byMillis: 1_900)
    try inputs.append("/d/log.1", "lf\nmo")
    #expect(try step(source) == "half\n")
    #expect(try step(source) == nil)
    clock.advance(byMillis: 1_900)
    #expect(try step(source) == nil)
    try inputs.append("/d/log.1", "re")
    clock.advance(byMillis: 100)
    // What came after the last look is read, and only then the line ends.
    #expect(try step(source) == "more\n")
    #expect(try step(source) == "new\n")
  }

  @Test func aFileThatWasRotatedMeanwhileIsFinishedUnderItsNewName() throws {
    try inputs.write("/d/log", "one\n")
    let position = try inputs.position("/d/log", offset: 4)
    try inputs.append("/d/log", "two\nthree\n")
    try inputs.rename("/d", "log", to: "log.1")
    try inputs.write("/d/log", "new\n")
    let plan = try InputPlan(
      [.file("/d/log")], positions: [position], follows: true, in: inputs.files)
    #expect(plan.inputs[0].predecessor == "/d/log.1" && plan.inputs[0].offset == 4)
    let source = FollowingSource(
      path: "/d/log", in: inputs.files, format: format, fromOffset: 4, line: 2,
      predecessor: "/d/log.1", graceNanos: 0)
    #expect(try step(source) == "two\nthree\n")
    // Stopped here, it is found again in the same way.
    let next = try #require(try source.position())
    let again = try InputPlan([.file("/d/log")], positions: [next], follows: true, in: inputs.files)
    #expect(again.inputs[0].predecessor == "/d/log.1" && again.inputs[0].offset == 14)
    #expect(try step(source) == "new\n")
  }

  @Test func aRotatedFileThatIsGoneIsSaid() throws {
    try inputs.write("/d/log", "one\n")
    let position = try inputs.position("/d/log", offset: 4)
    try inputs.memory.openDirectory(at: "/d", creating: false).remove("log")
    try inputs.write("/d/log", "new\n")
    let plan = try InputPlan(
      [.file("/d/log")], positions: [position], follows: true, in: inputs.files)
    #expect(plan.inputs[0].predecessor == nil && plan.inputs[0].offset == 0)
    #expect(plan.notices.contains { $0.contains("behind byte 4 is not read") })
  }

  @Test func aRotatedFileIsFinishedBeforeTheNewOne() throws {
    let source = FollowingSource(
      path: "/d/log", in: inputs.files, format: format, graceNanos: 0)
    var events: [FollowingSource.Event] = []
    source.onEvent = { events.append($0) }
    try inputs.write("/d/log", "one\n")
    #expect(try step(source) == "one\n")
    try inputs.append("/d/log", "two\nhalf")
    try inputs.rename("/d", "log", to: "log.1")
    #expect(try step(source) == "two\n")
    #expect(try step(source) == nil)
    try inputs.write("/d/log", "new\n")
    #expect(try step(source) == "half\n")
    #expect(try step(source) == "new\n")
    #expect(try step(source) == nil)
    #expect(events == [.rotated])
  }

  @Test func aTruncatedFileIsReadFromItsBeginning() throws {
    let source = FollowingSource(path: "/d/log", in: inputs.files, format: format)
    var events: [FollowingSource.Event] = []
    source.onEvent = { events.append($0) }
    try inputs.write("/d/log", "one\ntwo\nhal")
    #expect(try step(source) == "one\ntwo\n")
    #expect(try step(source) == nil)
    try inputs.memory.truncate("/d/log", to: 0)
    try inputs.append("/d/log", "1\n")
    #expect(try step(source) == "1\n")
    #expect(events == [.truncated])
  }

  @Test func waitingEndsWhenTheCallerSaysSo() throws {
    let source = FollowingSource(path: "/d/log", in: inputs.files, format: format)
    var waits = 0
    let found = try source.next(into: RecordBatch()) {
      waits += 1
      if waits == 2 { try? inputs.write("/d/log", "x\n") }
      return true
    }
    #expect(found && waits == 2)
    #expect(try !source.next(into: RecordBatch()) { false })
  }
}
