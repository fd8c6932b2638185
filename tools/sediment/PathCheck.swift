// Refuses paths that lie in each other: a state among outputs would be read as data, an output
// among inputs would be read again.

import ArgumentParser
import Foundation
import SedimentIO
import SedimentJob

/// Compares the paths of a job.
struct PathCheck {
  private struct Place {
    var name: String
    /// Absolute, without links and dots.
    var path: String
    /// Whether other things may not lie in it.
    var isDirectory: Bool
  }

  private let places: [Place]
  private let inputs: [Place]

  /// - Parameters:
  ///   - summary: the file of `--summary`.
  ///   - arguments: the inputs as they were given; directories among them, and those that patterns
  ///     match, are read whole.
  init(
    _ options: JobOptions, summary: String?, arguments: [String],
    readingInputs files: InputFileSystem
  ) throws {
    var places = [Place(name: "--state", path: Self.real(options.statePath), isDirectory: true)]
    for role in OutputRole.allCases {
      switch options.targets[role] {
      case .directory(let path):
        places.append(Place(name: role.option, path: Self.real(path), isDirectory: true))
      case .file(let path):
        places.append(Place(name: role.option, path: Self.real(path), isDirectory: false))
      case .standardOutput, .topic, nil: break
      }
    }
    if let summary {
      places.append(Place(name: "--summary", path: Self.real(summary), isDirectory: false))
    }
    self.places = places
    var directories: [String] = []
    for argument in arguments where argument != "-" {
      if Self.isDirectory(argument) {
        directories.append(argument)
      } else if !FileManager.default.fileExists(atPath: argument) {
        directories += try Self.directories(matching: argument, files)
      }
    }
    var inputs = directories.map {
      Place(name: "input \($0)", path: Self.real($0), isDirectory: true)
    }
    for case .file(let path) in options.sources {
      inputs.append(Place(name: "input \(path)", path: Self.real(path), isDirectory: false))
    }
    self.inputs = inputs
  }

  func run() throws {
    for (index, place) in places.enumerated() {
      for other in places[(index + 1)...] + inputs {
        if place.path == other.path {
          throw ValidationError("\(place.name) and \(other.name) are the same: \(place.path).")
        }
        if place.isDirectory, Self.lies(other.path, in: place.path) {
          throw ValidationError("\(other.name) lies in \(place.name): \(other.path).")
        }
        if other.isDirectory, Self.lies(place.path, in: other.path) {
          throw ValidationError("\(place.name) lies in \(other.name): \(place.path).")
        }
      }
    }
  }

  /// The directories that a pattern matches, known by the files in them: their paths have more
  /// components than the pattern.
  private static func directories(
    matching pattern: String, _ files: InputFileSystem
  ) throws -> Set<String> {
    func components(_ path: String) -> [Substring] {
      path.split(separator: "/").filter { $0 != "." }
    }
    let count = components(pattern).count
    var found: Set<String> = []
    for case .file(let path) in try InputList(files).expand([pattern]) {
      let parts = components(path)
      guard parts.count > count else { continue }
      found.insert((path.hasPrefix("/") ? "/" : "") + parts[..<count].joined(separator: "/"))
    }
    return found
  }

  private static func lies(_ path: String, in directory: String) -> Bool {
    path.hasPrefix(directory.hasSuffix("/") ? directory : directory + "/")
  }

  private static func isDirectory(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
      && isDirectory.boolValue
  }

  /// The path with links resolved as far as it exists.
  private static func real(_ path: String) -> String {
    if let location = RemoteOutputs.location(of: path) { return location }
    var url = URL(fileURLWithPath: path).standardizedFileURL
    var missing: [String] = []
    while !FileManager.default.fileExists(atPath: url.path), url.path != "/" {
      missing.append(url.lastPathComponent)
      url.deleteLastPathComponent()
    }
    url = url.resolvingSymlinksInPath()
    for name in missing.reversed() { url.appendPathComponent(name) }
    var real = url.path
    while real.utf8.count > 1, real.hasSuffix("/") { real.removeLast() }
    return real
  }
}
