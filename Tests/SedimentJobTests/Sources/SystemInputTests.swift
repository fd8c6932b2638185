import Foundation
import SedimentJob
import Testing

@Suite struct SystemInputTests {
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
