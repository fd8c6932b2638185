// Where the libraries of peers lie.

import Foundation

/// The shared library of a peer.
enum PeerLibrary {
  case rocksdb, lmdb

  /// The directory that `tools/setup --benchmarks` fills, in that of this package.
  private static let directoryName = ".peers"

  private var fileNames: [String] {
    switch self {
    case .rocksdb: ["librocksdbjni-linux64.so", "librocksdb.dylib"]
    case .lmdb: ["liblmdb.so.0", "liblmdb.dylib"]
    }
  }

  private var variable: String {
    switch self {
    case .rocksdb: "SEDIMENT_BENCH_ROCKSDB"
    case .lmdb: "SEDIMENT_BENCH_LMDB"
    }
  }

  /// Its path.
  func path() throws -> String {
    if let path = ProcessInfo.processInfo.environment[variable], !path.isEmpty { return path }
    for directory in Locations.ancestorsOfExecutable {
      for name in fileNames {
        let path = directory + "/" + Self.directoryName + "/" + name
        if FileManager.default.fileExists(atPath: path) { return path }
      }
    }
    throw BenchError(
      "\(self) is not here. Get it with: tools/setup --benchmarks"
        + " (or name a release build of it in \(variable))")
  }
}

/// Places near this program.
enum Locations {
  /// The path of this program.
  static var executable: String {
    get throws {
      if let path = Bundle.main.executablePath { return path }
      throw BenchError("the path of this program is not known")
    }
  }

  /// The directories above this program, nearest first.
  static var ancestorsOfExecutable: [String] {
    guard let executable = try? executable else { return [] }
    var url = URL(fileURLWithPath: executable).resolvingSymlinksInPath()
    var directories: [String] = []
    while url.pathComponents.count > 1 {
      url.deleteLastPathComponent()
      directories.append(url.path)
    }
    return directories
  }

  /// The release build of the sediment executable in the package above this one.
  static func sedimentTool() throws -> String {
    for directory in ancestorsOfExecutable {
      let path = directory + "/.build/release/sediment"
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    throw BenchError(
      "the sediment executable is not built. Build it with: swift build -c release"
        + " --product sediment (or name one with --tool)")
  }
}
