import Foundation
import SedimentIO

extension InputFileSystem {
  /// The inputs of this machine.
  package static var system: InputFileSystem {
    InputFileSystem(PosixFileSystem()) { path in
      URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    }
  }
}
