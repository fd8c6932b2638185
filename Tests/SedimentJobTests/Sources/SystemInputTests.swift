import Foundation
import SedimentJob
import Testing

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct SystemInputTests {
  @Test func whatIsNoFileIsReadOnceFromFirstToLast() throws {
    let ends = Pipe()
    let path = "/dev/fd/\(ends.fileHandleForReading.fileDescriptor)"
    try ends.fileHandleForWriting.write(contentsOf: Data("one\ntwo\n".utf8))
    try ends.fileHandleForWriting.close()
    let files = InputFileSystem.system
    let sources = try InputList(files).expand([path])
    #expect(sources == [.stream(path)])
    let reader = try files.reader(of: sources[0], format: RecordFormat(kind: .lines))
    let batch = RecordBatch()
    #expect(try reader.next(into: batch) && batch.count == 2)
  }

  @Test(.enabled(if: geteuid() != 0)) func aFileInADirectoryThatCannotBeListedIsRead() throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "sediment-\(UUID())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let file = directory.appending(path: "a.csv")
    try Data("one\n".utf8).write(to: file)
    let manager = FileManager.default
    try manager.setAttributes([.posixPermissions: 0o311], ofItemAtPath: directory.path)
    defer {
      try? manager.setAttributes([.posixPermissions: 0o700], ofItemAtPath: directory.path)
      try? manager.removeItem(at: directory)
    }
    #expect(try InputList(.system).expand([file.path]) == [.file(file.path)])
    _ = try InputFileSystem.system.open(file.path)
  }

  #if canImport(Glibc)
    @Test func aNameThatIsNotUTF8IsAnErrorThatShowsIt() throws {
      let directory = FileManager.default.temporaryDirectory.appending(path: "sediment-\(UUID())")
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: directory) }
      let path = Array("\(directory.path)/caf".utf8) + [0xE9] + Array(".log".utf8)
      let descriptor = unsafe (path.map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer {
        unsafe creat($0.baseAddress!, 0o600)
      }
      #expect(descriptor >= 0 && close(descriptor) == 0)
      let files = InputFileSystem.system
      let error = SourceError.nameNotUTF8("\(directory.path)/caf\\xE9.log")
      for argument in [directory.path, "\(directory.path)/*.log"] {
        #expect(throws: error) { try InputList(files).expand([argument]) }
      }
      #expect("\(error)".contains("caf\\xE9.log"))
    }
  #endif

  @Test func linksToFilesAreFollowed() throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "sediment-\(UUID())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let (file, link) = (directory.appending(path: "a.csv"), directory.appending(path: "link"))
    try Data("one\n".utf8).write(to: file)
    try FileManager.default.createSymbolicLink(at: link, withDestinationURL: file)
    let files = InputFileSystem.system
    let sources = try InputList(files).expand([link.path, directory.path])
    #expect(sources == [.file(link.path), .file(file.path), .file(link.path)])
    let reader = try files.reader(of: link.path, format: RecordFormat(kind: .lines))
    let batch = RecordBatch()
    #expect(try reader.next(into: batch) && batch.count == 1)
    #expect(try files.metadata(of: link.path) == files.metadata(of: file.path))
  }
}
