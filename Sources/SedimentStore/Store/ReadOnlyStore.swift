// A state seen from outside: inspection beside a running job, and checkpoints as they are.
//
// How it works: the manifest says which files make up the state of the last epoch, and no lock is
// taken. A writer that goes on may unlink a file before it is opened here. It does so only after a
// newer manifest record is in its file; so when a file is missing the manifest is read again, and
// a lookup starts over, while a verification goes on with the next file. A file that is missing
// although the manifest still names it is damage.
//
// Nothing is kept open between operations, and one table at a time during them, without its filter;
// but a `ReadOnlyKeyspace` is a moment that is kept.
//
// Concurrency: any thread may call anything; each call sees one epoch.

public import SedimentIO
internal import Synchronization

/// A store, checkpoint or savepoint opened for reading only, beside whoever writes it.
///
/// ```swift
/// let store = try ReadOnlyStore.open(at: "state")
/// print(store.epoch, store.keyspaceNames)
/// for entry in try store.lookup(Array("user-17".utf8), in: "seen") { print(entry) }
/// ```
public final class ReadOnlyStore: Sendable {
  /// Where the state was found.
  public enum Origin: Sendable, Equatable {
    /// In a state directory, whose writer may go on.
    case state
    /// In a checkpoint, which never changes. Also a savepoint's.
    case checkpoint(id: String)
  }

  /// The path it was opened at.
  public let path: String
  /// What was found there.
  public let origin: Origin
  private let place: Place
  private let current: Mutex<StoreState>

  private enum Place: Sendable {
    case state(any Directory)
    case checkpoint(CheckpointDirectory, CheckpointID)
  }

  /// How often an operation starts over because the writer moved on.
  static let attemptsMax = 64

  private init(path: String, origin: Origin, place: Place, state: StoreState) {
    self.path = path
    self.origin = origin
    self.place = place
    current = Mutex(state)
  }

  /// Opens a state directory, a directory of checkpoints (its newest), a checkpoint or a savepoint.
  ///
  /// - Throws: `notFound`, `corrupted`, `unsupportedFormat`, `inputOutput`.
  public static func open(
    at path: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) -> ReadOnlyStore {
    try wrapping {
      let reference = CheckpointReference(path: path)
      if reference.id == nil {
        let directory = try fileSystem.openNamed(path, creating: false)
        if try directory.metadata(of: CheckpointDirectory.objectsName) == nil {
          return ReadOnlyStore(
            path: path, origin: .state, place: .state(directory), state: try readState(directory))
        }
      }
      let checkpoints = try CheckpointDirectory(
        path: reference.directory, creating: false, fileSystem: fileSystem)
      let found = try checkpoints.find(reference.id)
      return ReadOnlyStore(
        path: path, origin: .checkpoint(id: found.id.description),
        place: .checkpoint(checkpoints, found.id), state: found.manifest.state)
    }
  }

  private static func readState(_ directory: any Directory) throws -> StoreState {
    try followingWriter {
      if let answer = try ManifestReader.read(directory) { return answer.state }
      throw StoreError(.notFound, "\(directory.path) holds no state")
    }
  }

  /// Runs `body`, which reads the manifest; again when that is replaced meanwhile.
  static func followingWriter<Answer>(_ body: () throws -> Answer) throws -> Answer {
    var attempt = 1
    while true {
      do {
        return try body()
      } catch let error as FileError where error.code == .notFound {
        // The manifest was replaced between reading CURRENT and opening what it named.
        if attempt == attemptsMax { throw Corruption.missing(error) }
        attempt += 1
      }
    }
  }

  // MARK: - Summary

  /// The whole state as of the last time the manifest was read.
  package var state: StoreState { current.withLock { $0 } }

  /// The store or job that the state is of.
  public var identity: StoreIdentity { state.identity }

  /// The epoch the state is as of.
  public var epoch: EpochID {
    let state = state
    return EpochID(epoch: state.epoch, writerEpoch: state.writerEpoch)
  }

  /// What the caller gave with the epoch.
  public var metadata: [UInt8] { state.metadata }

  /// Names of the keyspaces of both kinds, in the order they were made.
  public var keyspaceNames: [String] { state.keyspaceNames }

  /// Reads the manifest again.
  ///
  /// - Returns: whether the state is another one now.
  /// - Throws: `notFound` when it is gone, `corrupted`, `unsupportedFormat`, `inputOutput`.
  @discardableResult
  public func refresh() throws(StoreError) -> Bool {
    try wrapping {
      let state: StoreState
      switch place {
      case .state(let directory): state = try Self.readState(directory)
      case .checkpoint(let checkpoints, let id): state = try checkpoints.read(id).state
      }
      return current.withLock { current in
        defer { current = state }
        return current != state
      }
    }
  }

  var files: StateFiles {
    switch place {
    case .state(let directory): .inState(directory)
    case .checkpoint(let checkpoints, _): .inCheckpoint(checkpoints)
    }
  }

  /// Runs `body` on the state; again, on a newer one, when a file is gone because the writer went
  /// on.
  func reading<Answer>(_ body: (StoreState) throws -> Answer) throws(StoreError) -> Answer {
    try wrapping {
      for _ in 0..<Self.attemptsMax {
        let given = state
        do {
          return try body(given)
        } catch let error as FileError where error.code == .notFound {
          // Whoever noticed first, here or in `body`, on this thread or another: what counts is
          // whether the state that `body` worked on is still the one in force.
          try refresh()
          guard state != given else { throw Corruption.missing(error) }
        }
      }
      throw changesTooFast
    }
  }

  /// What is told when no attempt found the files as they were a moment before.
  var changesTooFast: StoreError {
    StoreError(.inputOutput, "\(path) changes faster than it can be read: try again")
  }

  /// Whether a file that is missing should be there: not when the writer dropped it. A file that is
  /// not named any more is never named again.
  private func shouldBeThere(_ file: StateFile) throws(StoreError) -> Bool {
    try refresh()
    let name = files.shownName(of: file)
    return state.files.contains { files.shownName(of: $0) == name }
  }

  // MARK: - Verification

  /// Reads everything, every page of every table, and says what is damaged.
  ///
  /// Of a state that goes on being written, each file that is still named when it is its turn;
  /// what the writer makes meanwhile is not looked at.
  ///
  /// - Returns: nothing when all is whole.
  /// - Throws: what keeps it from reading at all, as `refresh` does; damage is returned.
  public func verify() throws(StoreError) -> [Damage] {
    try refresh()
    let files = self.files
    return try wrapping {
      var damage: [Damage] = []
      for file in state.files {
        let name = files.shownName(of: file)
        do {
          try files.verify(file)
        } catch let error as FileError where error.code == .notFound {
          guard try shouldBeThere(file) else { continue }
          damage.append(Damage(file: name, message: "\(name) is missing"))
        } catch {
          guard let found = Damage(error, file: name) else { throw error }
          damage.append(found)
        }
      }
      return damage
    }
  }

  /// Verifies what is at a path, the manifest included.
  public static func verify(
    at path: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) -> [Damage] {
    let reference = CheckpointReference(path: path)
    do throws(StoreError) {
      let store = try open(at: path, fileSystem: fileSystem)
      guard case .checkpoint(let id) = store.origin else { return try store.verify() }
      return try Checkpoints(at: reference.directory, fileSystem: fileSystem).verify(id)
    } catch {
      guard error.code == .corrupted || error.code == .unsupportedFormat else { throw error }
      if let cause = error.cause as? Corruption { return [Damage(cause)] }
      return [Damage(file: path, message: error.message)]
    }
  }
}
