/// The rules for names and paths, one for every file system.
public enum PathName {
  /// The longest name in bytes that common file systems take.
  public static let bytesMax = 255

  /// Checks that `name` is one path component: not empty, `.` or `..`, without `/` and NUL, and not
  /// longer than `bytesMax`.
  ///
  /// - Throws: `FileError.Code.invalidName`.
  public static func validate(
    _ name: String, in directory: String, operation: String
  ) throws(FileError) {
    let bytes = name.utf8
    let isValid =
      !bytes.isEmpty && bytes.count <= bytesMax && name != "." && name != ".."
      && !bytes.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
    if !isValid {
      throw FileError(
        code: .invalidName, operation: operation, path: join(directory, name))
    }
  }

  /// `directory/name`, for messages.
  public static func join(_ directory: String, _ name: String) -> String {
    directory.utf8.last == UInt8(ascii: "/") ? directory + name : directory + "/" + name
  }

  /// The last component of a path; the path itself when it has none.
  public static func last(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
  }

  /// A name that is not UTF-8 as a text: ASCII as it is, other bytes as `\xE9`.
  static func escaped(_ name: [UInt8]) -> String {
    var text = ""
    for byte in name {
      if byte >= 0x20, byte < 0x7F {
        text.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
    return text
  }

  /// Whether `left` comes before `right` in byte order, which is not the order of `String`.
  public static func precedes(_ left: String, _ right: String) -> Bool {
    left.utf8.lexicographicallyPrecedes(right.utf8)
  }
}
