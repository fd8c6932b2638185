import Foundation
import SedimentIO
import Testing

/// Every way to rename without replacing, on a file system that has all of them.
@Suite final class ExclusiveRenameTests {
  private let scratch: Scratch
  private let descriptor: Int32

  init() throws {
    scratch = try Scratch(.posix)
    descriptor = unsafe open(scratch.path, O_RDONLY | O_DIRECTORY)
    try #require(descriptor >= 0)
  }

  deinit {
    close(descriptor)
    scratch.remove()
  }

  private func rename(_ name: String, to newName: String, _ way: ExclusiveRename) throws {
    try way.perform(in: descriptor, from: name, to: newName, operation: "rename", path: newName)
  }

  @Test(arguments: ExclusiveRename.allCases)
  func aFreeNameIsTakenAndATakenOneIsLeftAlone(way: ExclusiveRename) throws {
    try scratch.directory.make("a", [1])
    try scratch.directory.make("b", [2])
    try rename("a", to: "c", way)
    #expect(try scratch.directory.entries().map(\.name) == ["b", "c"])
    for (name, newName, code) in [
      ("c", "b", FileError.Code.exists), ("a", "d", .notFound),
    ] {
      let error = #expect(throws: FileError.self) { try rename(name, to: newName, way) }
      #expect(error?.code == code, "\(way)")
    }
    try FileManager.default.createSymbolicLink(
      atPath: scratch.path + "/link", withDestinationPath: "nowhere")
    let error = #expect(throws: FileError.self) { try rename("c", to: "link", way) }
    #expect(error?.code == .exists)
    #expect(try scratch.directory.entries().map(\.name) == ["b", "c", "link"])
    #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/b")) == Data([2]))
  }
}
