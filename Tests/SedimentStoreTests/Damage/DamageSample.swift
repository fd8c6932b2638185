// A small store whose copies are damaged, one after the other, and judged.
//
// The judge opens a copy (a checkpoint or savepoint by restoring it) and asks for everything. It
// must hold what the model holds, or be refused with a typed error, by opening or by a lookup.

import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// What the places of a sample must hold.
protocol SampleContents: Sendable {
  typealias Place = SampleScript.Place

  /// Options to open its stores with.
  var options: StoreOptions { get }
  /// The number of the last epoch.
  var lastEpoch: Int { get }
  /// Whether a place that is refused must also fail to verify.
  var holdsVerification: Bool { get }
  /// What an open store of a place answers, and what is wrong with that.
  ///
  /// - Parameter allowingLoss: whether it may be as of earlier.
  func verdict(
    on store: StateStore, _ place: Place, allowingLoss: Bool
  ) throws -> (DamageSample.Verdict, problem: String?)
}

/// See the file's header.
struct DamageSample: Sendable {
  typealias Place = SampleScript.Place

  /// What kinds of keyspaces it has.
  enum Kind: CaseIterable { case hashed, ordered }

  /// How the life of the store ended.
  enum Ending {
    /// By a kill: the last acknowledgements and the final length of the manifest are not written.
    case killed
    /// In good order.
    case closed
    /// In good order, and it was opened and closed once more.
    case reopened
  }

  /// What became of a damaged copy.
  enum Verdict: Equatable {
    /// It answers as if nothing had happened.
    case whole
    /// It answers as of an earlier epoch, or lacks batches behind the last one.
    case earlier(epoch: Int, batches: Int)
    /// A typed error says what is wrong.
    case refused
  }

  /// Where the three places lie.
  static let paths: [Place: String] = [
    .state: "state", .checkpoint: "backups", .savepoint: "saved",
  ]

  /// The files, undamaged; never opened.
  let disk: MemoryFileSystem
  /// Earlier contents of files of the state, by path.
  let versions: [String: [[UInt8]]]
  private let contents: any SampleContents

  /// Runs a script on a store in memory.
  init(_ ending: Ending, _ kind: Kind = .hashed, size: Int = 1) throws {
    let memory = MemoryFileSystem()
    let versions = FileVersions()
    let options = kind == .hashed ? SampleScript.options(size: size) : OrderedSample.options
    let store = try StateStore.open(at: "/state", options: options, fileSystem: memory)
    switch kind {
    case .hashed:
      let script = SampleScript(size: size, store: store)
      script.onEpoch = { try versions.note(memory) }
      try script.run()
      contents = HashedSample(script, size: size)
    case .ordered:
      contents = try OrderedSample(size: size, store, memory) { try versions.note(memory) }
    }
    let killed = memory.clone()
    try store.close()
    if ending == .reopened {
      try versions.note(memory)
      let again = try StateStore.open(at: "/state", options: options, fileSystem: memory)
      try again.commitEpoch(metadata: again.lastEpoch.metadata)
      try again.close()
    }
    disk = ending == .killed ? killed : memory.clone()
    try versions.note(disk)
    self.versions = versions.byPath
  }

  /// The number of the last epoch.
  var lastEpoch: Int { contents.lastEpoch }

  /// Paths of the files of a place.
  func files(of place: Place) -> [String] {
    let prefix = (Self.paths[place] ?? "") + "/"
    return disk.files().filter { $0.hasPrefix(prefix) && !$0.hasSuffix("/LOCK") }
  }

  /// Every file once, with all names it has.
  func distinctFiles() throws -> [[(place: Place, path: String)]] {
    var byInode: [UInt64: [(place: Place, path: String)]] = [:]
    for place in Place.allCases {
      for path in files(of: place) {
        let parts = path.split(separator: "/").map(String.init)
        let directory = try disk.openDirectory(
          at: "/" + parts.dropLast().joined(separator: "/"), creating: false)
        guard let name = parts.last, let metadata = try directory.metadata(of: name) else {
          continue
        }
        byInode[metadata.inode, default: []].append((place, path))
      }
    }
    return byInode.sorted { $0.key < $1.key }.map(\.value)
  }

  /// Damages a copy and judges it; an answer that is wrong, or an error that says nothing, is
  /// recorded as an issue.
  ///
  /// - Parameter isTail: whether the state may lack its end. It must then be exactly as of an
  ///   epoch, but for the logged keyspace, which may have any number of the batches behind it.
  @discardableResult
  func judge(
    _ place: Place, _ what: @autoclosure () -> String, allowingLoss isTail: Bool = false,
    _ damage: (MemoryFileSystem) throws -> Void
  ) throws -> Verdict {
    let copy = disk.clone()
    try damage(copy)
    // What pads the last record of a checkpoint's log counts for nothing, but for its size.
    let untouched = contents.holdsVerification && place != .checkpoint ? copy.clone() : nil
    let code: StoreError.Code
    let message: String
    do {
      let store = try open(place, on: copy)
      let (verdict, problem) = try contents.verdict(on: store, place, allowingLoss: isTail)
      if let problem { Issue.record("\(what()): \(problem)") }
      try store.close()
      return verdict
    } catch let error as StoreError {
      code = error.code
      message = error.message
    }
    if code != .corrupted && code != .unsupportedFormat {
      Issue.record("\(what()): \(code): \(message)")
    }
    if let untouched {
      let path = "/" + (Self.paths[place] ?? "")
      let damage = try ReadOnlyStore.verify(at: path, fileSystem: untouched)
      if damage.isEmpty { Issue.record("\(what()): refused, and verified: \(message)") }
    }
    return .refused
  }

  private func open(_ place: Place, on disk: MemoryFileSystem) throws -> StateStore {
    var path = "/state"
    if place != .state {
      path = "/restored"
      try StateStore.restore(
        checkpoint: CheckpointReference(path: "/" + (Self.paths[place] ?? "")), to: path,
        fileSystem: disk)
    }
    return try StateStore.open(at: path, options: contents.options, fileSystem: disk)
  }
}

/// Collects every content that files had.
private final class FileVersions {
  private(set) var byPath: [String: [[UInt8]]] = [:]

  func note(_ disk: MemoryFileSystem) throws {
    for path in disk.files() where !path.hasSuffix("/LOCK") {
      let content = try disk.contents(of: path)
      if byPath[path]?.last != content { byPath[path, default: []].append(content) }
    }
  }
}
