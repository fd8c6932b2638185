// Files and directories as HDFS has them: a file is written once, has an id that stays its own
// under every name, and a rename to the name of a directory goes into it.

/// The tree of a NameNode, in memory.
struct HDFSNamespace: Sendable {
  enum Node: Sendable, Equatable {
    case directory
    case file([UInt8])
  }

  private struct Entry {
    var id: UInt64
    var node: Node
  }

  private var entries: [String: Entry] = ["/": Entry(id: 16_385, node: .directory)]
  private var lastID: UInt64 = 16_385

  subscript(path: String) -> Node? { entries[path]?.node }

  func id(of path: String) -> UInt64? { entries[path]?.id }

  /// Names in a directory, in byte order.
  func names(in path: String) -> [String] {
    let prefix = path == "/" ? "/" : path + "/"
    return entries.keys
      .filter { $0 != "/" && $0.hasPrefix(prefix) && !$0.dropFirst(prefix.count).contains("/") }
      .map { String($0.dropFirst(prefix.count)) }
      .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Makes a directory and those above it; the exception when a file is in the way.
  mutating func makeDirectory(_ path: String) -> HDFSException? {
    for parent in Self.ancestors(of: path) + [path] {
      switch entries[parent]?.node {
      case .directory?: continue
      case .file?: return .parentNotDirectory(parent)
      case nil: add(.directory, at: parent)
      }
    }
    return nil
  }

  /// Begins a file, empty; its id.
  mutating func create(_ path: String, overwrite: Bool) -> Result<UInt64, HDFSException> {
    switch entries[path]?.node {
    case .directory?: return .failure(.alreadyExists(path, "as a directory"))
    case .file? where !overwrite: return .failure(.alreadyExists(path, "for client 127.0.0.1"))
    default: break
    }
    if let parent = Self.ancestors(of: path).last, let failure = makeDirectory(parent) {
      return .failure(failure)
    }
    return .success(add(.file([]), at: path))
  }

  /// Closes the file that has the id, with what it holds; an exception when it is no longer there.
  mutating func close(_ path: String, id: UInt64, with bytes: [UInt8]) -> HDFSException? {
    guard entries[path]?.id == id else { return .fileNotFound("\(path) (inode \(id))") }
    entries[path]?.node = .file(bytes)
    return nil
  }

  /// What RENAME answers.
  mutating func rename(_ path: String, to newPath: String) -> Bool {
    guard entries[path] != nil, path != "/" else { return false }
    var target = newPath
    if case .directory? = entries[target]?.node {
      target += "/" + (path.split(separator: "/").last.map(String.init) ?? "")
    }
    guard entries[target] == nil, let parent = Self.ancestors(of: target).last,
      entries[parent]?.node == .directory
    else { return false }
    for (name, entry) in entries where name == path || name.hasPrefix(path + "/") {
      entries[name] = nil
      entries[target + name.dropFirst(path.count)] = entry
    }
    return true
  }

  /// What DELETE answers.
  mutating func delete(_ path: String, recursive: Bool) -> Result<Bool, HDFSException> {
    guard entries[path] != nil, path != "/" else { return .success(false) }
    guard recursive || names(in: path).isEmpty else { return .failure(.notEmpty(path)) }
    for name in entries.keys where name == path || name.hasPrefix(path + "/") {
      entries[name] = nil
    }
    return .success(true)
  }

  @discardableResult
  private mutating func add(_ node: Node, at path: String) -> UInt64 {
    lastID += 1
    entries[path] = Entry(id: lastID, node: node)
    return lastID
  }

  /// The directories above a path, the root first.
  private static func ancestors(of path: String) -> [String] {
    guard path != "/" else { return [] }
    var ancestors = ["/"]
    for name in path.split(separator: "/").dropLast() {
      ancestors.append((ancestors.last == "/" ? "" : ancestors.last ?? "") + "/" + name)
    }
    return ancestors
  }
}

/// An exception of the server, as it stands in an answer.
public struct HDFSException: Error, Sendable, Equatable {
  /// Of the answer.
  public var status: Int
  /// With its package.
  public var className: String
  public var message: String

  public init(status: Int, className: String, message: String) {
    self.status = status
    self.className = className
    self.message = message
  }

  static func fileNotFound(_ path: String) -> HDFSException {
    HDFSException(
      status: 404, className: "java.io.FileNotFoundException",
      message: "File does not exist: \(path)")
  }

  static func alreadyExists(_ path: String, _ how: String) -> HDFSException {
    HDFSException(
      status: 403, className: "org.apache.hadoop.fs.FileAlreadyExistsException",
      message: "\(path) \(how) already exists")
  }

  static func parentNotDirectory(_ path: String) -> HDFSException {
    HDFSException(
      status: 403, className: "org.apache.hadoop.fs.ParentNotDirectoryException",
      message: "\(path) (is not a directory)")
  }

  static func notEmpty(_ path: String) -> HDFSException {
    HDFSException(
      status: 403, className: "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException",
      message: "`\(path) is non empty': Directory is not empty")
  }

  static func illegalArgument(_ message: String) -> HDFSException {
    HDFSException(
      status: 400, className: "java.lang.IllegalArgumentException", message: message)
  }

  /// Of a NameNode that is not the active one.
  public static let standby = HDFSException(
    status: 403, className: "org.apache.hadoop.ipc.StandbyException",
    message: "Operation category READ is not supported in state standby. Visit "
      + "https://s.apache.org/sbnn-error")

  /// Of a NameNode that has just begun.
  public static let safeMode = HDFSException(
    status: 403, className: "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
    message: "Cannot create file. Name node is in safe mode.\nThe reported blocks 0 needs more")

  /// Of a server that wants to be asked again.
  public static let retriable = HDFSException(
    status: 403, className: "org.apache.hadoop.ipc.RetriableException",
    message: "NameNode still not started")

  /// Of a directory whose quota is used up.
  public static let quota = HDFSException(
    status: 403, className: "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException",
    message: "The DiskSpace quota of /out is exceeded: quota = 1 B = 1 B but diskspace consumed")

  /// Of a user without the right.
  public static let accessControl = HDFSException(
    status: 403, className: "org.apache.hadoop.security.AccessControlException",
    message: "Permission denied: user=dr.who, access=WRITE, inode=\"/\":hdfs:supergroup:drwxr-xr-x")

  /// The body of the answer, as the documentation draws it.
  var json: String {
    let name = className.split(whereSeparator: { $0 == "." || $0 == "$" }).last ?? ""
    return """
      {
        "RemoteException":
        {
          "exception"    : \(JSONText.quoted(String(name))),
          "javaClassName": \(JSONText.quoted(className)),
          "message"      : \(JSONText.quoted(message))
        }
      }
      """
  }
}

/// Texts in JSON.
enum JSONText {
  static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
