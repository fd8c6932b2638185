internal import SedimentIO
internal import Synchronization

/// The manifest of an open store and the state it holds, behind one lock.
final class DurableManifest: Sendable {
  private struct Content {
    var state: StoreState
    var writer: ManifestWriter
  }

  private let content: Mutex<Content>
  private let directory: any Directory

  /// Writes a new manifest that holds `state`.
  init(directory: any Directory, number: FileNumber, state: StoreState) throws {
    self.directory = directory
    let writer = try ManifestWriter(directory: directory, number: number, state: state)
    content = Mutex(Content(state: state, writer: writer))
  }

  /// The state of the last durable record.
  var state: StoreState { content.withLock { $0.state } }

  var name: String { content.withLock { $0.writer.name } }

  /// Derives an edit from the state, makes it durable, and applies it; returns the new state.
  ///
  /// - Throws: after which nothing must be appended any more.
  @discardableResult
  func append(_ makeEdit: (StoreState) -> StateEdit) throws -> StoreState {
    try content.withLock { content in
      let edit = makeEdit(content.state)
      var next = content.state
      try next.apply(edit)
      do {
        try content.writer.append(edit)
      } catch {
        throw ManifestFailure(cause: error)
      }
      content.state = next
      return next
    }
  }

  /// Replaces the manifest by a fresh one that holds `change(state)`; removes the old one.
  func replace(
    number: FileNumber, _ change: (inout StoreState) throws -> Void
  ) throws {
    try content.withLock { content in
      var state = content.state
      try change(&state)
      state.nextFileNumber = max(state.nextFileNumber, number.rawValue + 1)
      let old = content.writer
      do {
        content.writer = try ManifestWriter(directory: directory, number: number, state: state)
        content.state = state
        old.abandon()
        try directory.remove(old.name)
      } catch {
        throw ManifestFailure(cause: error)
      }
    }
  }

  var isLong: Bool { content.withLock { $0.writer.isLong } }

  func close() throws {
    try content.withLock { try $0.writer.close() }
  }
}

/// A write of the manifest that failed: what is on disk of it is not known, even when the disk was
/// only full, so nothing may be appended any more.
struct ManifestFailure: Error, CustomStringConvertible {
  let cause: any Error

  var description: String { "the manifest could not be written: \(cause)" }
}
