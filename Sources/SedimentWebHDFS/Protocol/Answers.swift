// The JSON that WebHDFS answers with, as its documentation draws it; members that are not named
// here are left alone.

internal import Foundation

/// What is known of a file or directory.
struct FileStatus: Decodable, Sendable, Equatable {
  enum Kind: String, Decodable, Sendable {
    case file = "FILE"
    case directory = "DIRECTORY"
    case symbolicLink = "SYMLINK"
  }

  /// In a listing the name; empty for what was asked for itself.
  var pathSuffix: String
  var type: Kind
  /// In bytes.
  var length: UInt64
  /// The same under all names that a file ever has; old servers and some gateways do not say.
  var fileId: UInt64?

  /// Whether both may be one file, before and after it was renamed.
  func isSameFile(as other: FileStatus) -> Bool {
    type == other.type && length == other.length && fileId == other.fileId
  }
}

/// The bodies that hold something else.
enum AnswerBody {
  struct Status: Decodable {
    var status: FileStatus

    enum CodingKeys: String, CodingKey { case status = "FileStatus" }
  }

  struct Listing: Decodable {
    struct Statuses: Decodable {
      var list: [FileStatus]

      enum CodingKeys: String, CodingKey { case list = "FileStatus" }
    }

    var statuses: Statuses

    enum CodingKeys: String, CodingKey { case statuses = "FileStatuses" }
  }

  struct Success: Decodable {
    var boolean: Bool
  }

  struct Failure: Decodable {
    var exception: RemoteException

    enum CodingKeys: String, CodingKey { case exception = "RemoteException" }
  }

  /// Reads a body; `nil` when it is none of that type.
  static func read<Body: Decodable>(_: Body.Type, from bytes: [UInt8]) -> Body? {
    do {
      return try JSONDecoder().decode(Body.self, from: Data(bytes))
    } catch {
      // What is wrong with it helps nobody: it is no answer of WebHDFS.
      return nil
    }
  }
}

/// An exception of the server.
struct RemoteException: Decodable, Sendable, Equatable {
  /// The class without its package.
  var exception: String
  var message: String?
}
