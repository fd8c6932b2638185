// Where the user wants records to go, read from one word of the command line.

internal import SedimentIO

/// The kinds of output.
package enum OutputTarget: Sendable, Equatable {
  /// A directory of parts.
  case directory(String)
  /// One file that grows by every epoch.
  case file(String)
  /// Records on standard output.
  case standardOutput
  /// A topic of `JobOptions.topicOutput`.
  case topic(String)

  /// Reads `-`, `X/`, an existing directory, a name without extension or an address on HDFS (all
  /// directories), or a file name. `nil` for an empty word.
  ///
  /// An extension is what follows the last dot of the last component, unless that dot begins the
  /// name or nothing follows it.
  package init?(_ word: String, isDirectory: (String) -> Bool) {
    guard !word.isEmpty else { return nil }
    if word == "-" {
      self = .standardOutput
    } else if Self.isRemote(word) || word.hasSuffix("/") || isDirectory(word)
      || !Self.hasExtension(word)
    {
      self = .directory(word)
    } else {
      self = .file(word)
    }
  }

  /// A directory below another one: what comes behind `?` in an address stays behind.
  package static func directory(below word: String, _ names: [String]) -> String {
    guard isRemote(word), let question = word.firstIndex(of: "?") else {
      return names.reduce(word) { PathName.join($0, $1) }
    }
    return names.reduce(String(word[..<question])) { PathName.join($0, $1) } + word[question...]
  }

  /// Whether a word is an address: no path of this machine, and for the file system to take apart.
  package static func isRemote(_ word: String) -> Bool {
    word.hasPrefix("webhdfs://") || word.hasPrefix("webhdfss://")
  }

  private static func hasExtension(_ path: String) -> Bool {
    let name = path.utf8.suffix(while: { $0 != UInt8(ascii: "/") })
    guard let dot = name.lastIndex(of: UInt8(ascii: ".")) else { return false }
    return dot != name.startIndex && name.index(after: dot) != name.endIndex
  }

  /// Splits a file's path into the directory that holds it and its name.
  package static func split(_ path: String) -> (directory: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let name = String(path[path.utf8.index(after: slash)...])
    let directory = slash == path.startIndex ? "/" : String(path[..<slash])
    return (directory, name)
  }
}

extension BidirectionalCollection {
  /// The longest ending whose elements all satisfy `predicate`.
  fileprivate func suffix(while predicate: (Element) -> Bool) -> SubSequence {
    var start = endIndex
    while start != startIndex, predicate(self[index(before: start)]) {
      start = index(before: start)
    }
    return self[start...]
  }
}
