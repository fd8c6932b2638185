// Reading a state directory beside its writer.
//
// A reader takes no lock. The manifest's records are whole or absent, so what it reads is the state
// of a durable epoch; but the writer unlinks files that a later epoch dropped. So a body that
// failed is run again on the state that then stands, when another one does.

internal import SedimentIO
internal import SedimentStore

/// A durable state and where its files lie.
struct StoredState {
  /// The path it was asked for at.
  let path: String
  let directory: any Directory
  let manifestName: String
  let state: StoreState

  /// Bytes of a log of ordered keyspaces, which its writer makes longer than the manifest says;
  /// what the manifest says of one that is gone.
  func size(of log: LogReference) throws -> UInt64 {
    try directory.metadata(of: FileNaming.state.name(of: log))?.size ?? log.committedLength
  }
}

/// Opens states for reports.
struct StateReader {
  /// The state directory.
  let path: String
  let fileSystem: any FileSystem

  /// How many epochs may overtake a report before it gives up.
  private static let attemptsMax = 16

  /// Calls `body` with the state of the last durable epoch, again when it was overtaken.
  func read<Answer>(_ body: (StoredState) throws -> Answer) throws(StoreError) -> Answer {
    try wrapping {
      let directory = try fileSystem.openNamed(path, creating: false)
      var stored = try open(directory)
      for _ in 1..<Self.attemptsMax {
        do {
          return try body(stored)
        } catch {
          let now = try open(directory)
          guard now.state != stored.state || now.manifestName != stored.manifestName else {
            throw error
          }
          stored = now
        }
      }
      return try body(stored)
    }
  }

  private func open(_ directory: any Directory) throws -> StoredState {
    for attempt in 1...Self.attemptsMax {
      do {
        guard let found = try ManifestReader.read(directory) else { throw missing(directory) }
        return StoredState(
          path: path, directory: directory, manifestName: found.manifestName, state: found.state)
      } catch let error as FileError where error.code == .notFound && attempt < Self.attemptsMax {
        continue  // The manifest was replaced between reading its name and opening it.
      }
    }
    throw missing(directory)
  }

  private func missing(_ directory: any Directory) -> StoreError {
    let isCheckpoints = (try? directory.metadata(of: "objects")) != nil
    return StoreError(
      .notFound,
      isCheckpoints
        ? "\(path) is a directory of checkpoints, not a state: see sediment checkpoint list"
        : "\(path) holds no state: there is no CURRENT in it")
  }
}
