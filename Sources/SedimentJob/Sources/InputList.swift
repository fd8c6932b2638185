// INPUT arguments made into the list of sources to read.
//
// In the order given. A path that exists is taken as it is; a directory gives all its files, also
// those of its subdirectories, in byte order of their paths, without dot files. Only when nothing
// has the literal name, `*`, `?` and `[...]` in it are a pattern, whose matches are in byte order.

import SedimentIO

/// One thing to read.
package enum InputSource: Sendable, Equatable {
  case standardInput
  case file(String)
  /// What is no file, such as a FIFO: read once, without positions.
  case stream(String)

  /// For messages and rejects.
  package var path: String {
    switch self {
    case .standardInput: "-"
    case .file(let path), .stream(let path): path
    }
  }

  /// Whether it can be read only once.
  package var isStream: Bool {
    switch self {
    case .standardInput, .stream: true
    case .file: false
    }
  }
}

/// Expands INPUT arguments.
package struct InputList {
  /// Levels of directories below an argument.
  package static let levelsMax = 64

  private let files: InputFileSystem

  /// Expands arguments against `files`.
  package init(_ files: InputFileSystem) {
    self.files = files
  }

  /// The sources that `arguments` name; throws for the first that names nothing.
  package func expand(_ arguments: [String]) throws(SourceError) -> [InputSource] {
    var sources: [InputSource] = []
    for argument in arguments {
      if argument == "-" {
        sources.append(.standardInput)
        continue
      }
      switch try files.kind(of: argument) {
      case .file: sources.append(.file(argument))
      case .directory: sources += try filesBelow(argument)
      case .stream: sources.append(.stream(argument))
      case nil:
        let matches = try matches(of: argument)
        guard !matches.isEmpty else { throw .noSuchFile(argument) }
        for match in matches {
          if try files.kind(of: match) == .directory {
            sources += try filesBelow(match)
          } else {
            sources.append(.file(match))
          }
        }
      }
    }
    return sources
  }

  private func filesBelow(_ path: String) throws(SourceError) -> [InputSource] {
    var found: [String] = []
    try collect(path, level: 0, into: &found)
    return Self.inByteOrder(found).map { .file($0) }
  }

  private func collect(
    _ path: String, level: Int, into found: inout [String]
  ) throws(SourceError) {
    guard level < Self.levelsMax else { throw .tooDeep(path, levels: Self.levelsMax) }
    for entry in try entries(of: path) where !entry.name.hasPrefix(".") {
      let below = Self.join(path, entry.name)
      guard entry.isUTF8 else { throw .nameNotUTF8(below) }
      switch entry.kind {
      case .directory: try collect(below, level: level + 1, into: &found)
      case .file: found.append(below)
      case .symbolicLink:
        // Links to directories could form a circle.
        if try files.kind(of: below) == .file { found.append(below) }
      case .other: break
      }
    }
  }

  private func entries(of path: String) throws(SourceError) -> [DirectoryEntry] {
    do {
      return try files.fileSystem.openDirectory(at: path, creating: false).entries()
    } catch {
      throw .unreadable(error)
    }
  }

  /// Paths that match a pattern, component by component.
  private func matches(of pattern: String) throws(SourceError) -> [String] {
    guard GlobPattern.isPattern(pattern) else { return [] }
    let components = pattern.split(separator: "/").map(String.init)
    var paths = [pattern.hasPrefix("/") ? "/" : ""]
    for (index, component) in components.enumerated() {
      var next: [String] = []
      for path in paths {
        guard GlobPattern.isPattern(component) else {
          let below = Self.join(path, component)
          if try files.kind(of: below) != nil { next.append(below) }
          continue
        }
        let directory = path.isEmpty ? "." : path
        guard try files.kind(of: directory) == .directory else { continue }
        let glob = GlobPattern(component)
        for entry in try entries(of: directory) where glob.matches(entry.name) {
          let below = Self.join(path, entry.name)
          guard entry.isUTF8 else { throw .nameNotUTF8(below) }
          let isLast = index + 1 == components.count
          let kind = try files.kind(of: below)
          if kind == .directory || (isLast && kind == .file) { next.append(below) }
        }
      }
      paths = next
    }
    return Self.inByteOrder(paths)
  }

  private static func join(_ path: String, _ name: String) -> String {
    path.isEmpty || path.hasSuffix("/") ? path + name : path + "/" + name
  }

  private static func inByteOrder(_ paths: [String]) -> [String] {
    paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}

/// A pattern for one path component: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`. A leading dot is matched
/// by a dot only.
struct GlobPattern {
  private let pattern: [Unicode.Scalar]

  init(_ pattern: String) {
    self.pattern = Array(pattern.unicodeScalars)
  }

  static func isPattern(_ text: String) -> Bool {
    text.utf8.contains {
      $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "[")
    }
  }

  /// Linear but for stars: the last star alone is taken back, so the cost is length × length.
  func matches(_ name: String) -> Bool {
    let name = Array(name.unicodeScalars)
    if name.first == ".", pattern.first != "." { return false }
    var (at, place) = (0, 0)
    var star: (at: Int, place: Int)?
    while place < name.count {
      if at < pattern.count, pattern[at] == "*" {
        star = (at, place)
        at += 1
      } else if let next = step(at, name[place]) {
        at = next
        place += 1
      } else if let (starAt, starPlace) = star {
        star = (starAt, starPlace + 1)
        (at, place) = (starAt + 1, starPlace + 1)
      } else {
        return false
      }
    }
    return pattern[at...].allSatisfy { $0 == "*" }
  }

  /// Where the pattern goes on when the element at `at` takes `scalar`.
  private func step(_ at: Int, _ scalar: Unicode.Scalar) -> Int? {
    guard at < pattern.count else { return nil }
    switch pattern[at] {
    case "?": return at + 1
    case "[":
      guard let close = pattern[min(at + 2, pattern.count)...].firstIndex(of: "]") else {
        return scalar == "[" ? at + 1 : nil
      }
      return isIn(pattern[at + 1..<close], scalar) ? close + 1 : nil
    case let literal: return literal == scalar ? at + 1 : nil
    }
  }

  private func isIn(_ set: ArraySlice<Unicode.Scalar>, _ scalar: Unicode.Scalar) -> Bool {
    let isNegated = set.first == "!" || set.first == "^"
    var rest = isNegated ? set.dropFirst() : set
    while let first = rest.popFirst() {
      if rest.count >= 2, rest.first == "-" {
        let last = rest[rest.startIndex + 1]
        rest = rest.dropFirst(2)
        if first.value <= scalar.value, scalar.value <= last.value { return !isNegated }
      } else if first == scalar {
        return !isNegated
      }
    }
    return isNegated
  }
}
