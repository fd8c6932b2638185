internal import SedimentIO

/// A flaw that a verification found.
public struct Damage: Error, Sendable, Hashable, CustomStringConvertible {
  /// The file, relative to the directory that was verified.
  public var file: String
  /// What is wrong, with the place in the file.
  public var message: String

  public var description: String { message }

  init(file: String, message: String) {
    self.file = file
    self.message = message
  }

  init(_ corruption: Corruption) {
    self.init(file: corruption.file, message: corruption.description)
  }

  /// `nil` for errors that say nothing about the file's content.
  init?(_ error: any Error, file: String) {
    switch error {
    case var corruption as Corruption:
      corruption.file = file
      self.init(corruption)
    case let error as UnsupportedFormat:
      self.init(file: file, message: StoreError(wrapping: error).message)
    case let error as FileError where Self.isOfContent(error.code):
      self.init(file: file, message: error.description)
    default: return nil
    }
  }

  /// Whether a failure is about a file as it lies there, or a name that a damaged file gives it.
  private static func isOfContent(_ code: FileError.Code) -> Bool {
    switch code {
    case .inputOutput, .notFound, .symbolicLink, .isDirectory, .notDirectory, .invalidName: true
    default: false
    }
  }
}
