package import SedimentIO

/// An input that cannot be read as a whole; bad records are `RecordStatus`.
package enum SourceError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Neither a file, nor a directory, nor a pattern that matches one.
  case noSuchFile(String)
  case unreadable(FileError)
  /// The path with the bytes that are not UTF-8 escaped.
  case nameNotUTF8(String)
  /// Directories lie in each other deeper than the limit.
  case tooDeep(String, levels: Int)
  /// A `.gz` file ends before its data does.
  case truncatedGzip(path: String)
  /// A `.gz` file holds something else; the place counts compressed bytes.
  case damagedGzip(path: String, offset: UInt64, reason: String)
  /// The source is shorter than the position at which reading should go on.
  case shorterThanPosition(path: String, offset: UInt64)
  /// The bytes before the position are others than were read.
  case otherThanBeforePosition(path: String, offset: UInt64)
  case format(path: String, FormatError)
  case outOfMemory(path: String)

  package var description: String {
    switch self {
    case .noSuchFile(let path): "\(path): no such file, directory or matching pattern"
    case .unreadable(let error): "\(error)"
    case .nameNotUTF8(let path):
      "\(path): the name is not UTF-8, and is shown with its other bytes escaped; rename the file, "
        + "or send it to standard input"
    case .tooDeep(let path, let levels): "\(path): directories lie more than \(levels) levels deep"
    case .truncatedGzip(let path): "\(path): the gzip data is cut off; the file is not complete"
    case .damagedGzip(let path, let offset, let reason):
      "\(path): the gzip data is damaged before byte \(offset): \(reason)"
    case .shorterThanPosition(let path, let offset):
      "\(path): it ends before byte \(offset), where reading stopped the last time"
    case .otherThanBeforePosition(let path, let offset):
      "\(path): what is before byte \(offset) is not what was read the last time"
    case .format(let path, let error): "\(path): \(error)"
    case .outOfMemory(let path): "\(path): out of memory"
    }
  }
}
