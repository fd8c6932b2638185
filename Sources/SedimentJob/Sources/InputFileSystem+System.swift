import Foundation
import SedimentIO

extension InputFileSystem {
  /// The inputs of this machine.
  package static var system: InputFileSystem {
    let streams = Streams(
      exists: { SequentialFile.exists(at: $0) },
      open: { path throws(FileError) in
        let file = try SequentialFile(opening: path)
        return unsafe FunctionStream { (buffer) throws(FileError) in
          try unsafe file.read(into: buffer)
        }
      })
    return InputFileSystem(PosixFileSystem(), streams: streams) { path in
      URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    }
  }
}
