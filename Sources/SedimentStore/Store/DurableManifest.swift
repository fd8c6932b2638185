internal import SedimentIO
internal import Synchronization

/// The manifest of an open store and the state it holds, behind one lock.
final class DurableManifest: Sendable {
  private struct Content {
    var state: StoreState
    var writer: ManifestWriter
    /// What a write failed with. Another thread may come before the one that was told has stopped
    /// the store, and what it wrote behind would make the manifest unreadable.
    var failure: ManifestFailure?

    mutating func writing<Answer>(_ body: (inout Content) throws -> Answer) throws -> Answer {
      do {
        return try body(&self)
      } catch {
        let failure = ManifestFailure(cause: error)
        self.failure = failure
        throw failure
      }
    }
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
  /// - Throws: after which nothing is appended any more.
  @discardableResult
  func append(_ makeEdit: (StoreState) -> StateEdit) throws -> StoreState {
    try content.withLock { content in
      if let failure = content.failure { throw failure }
      let edit = makeEdit(content.state)
      var next = content.state
      try next.apply(edit)
      try content.writing { try $0.writer.append(edit) }
      content.state = next
      return next
    }
  }

  /// Replaces the manifest by a fresh one that holds `change(state)`; removes the old one.
  func replace(
    number: FileNumber, _ change: (inout StoreState) throws -> Void
  ) throws {
    try content.withLock { content in
      if let failure = content.failure { throw failure }
      var state = content.state
      try change(&state)
      state.nextFileNumber = max(state.nextFileNumber, number.rawValue + 1)
      let old = content.writer
      try content.writing { content in
        content.writer = try ManifestWriter(directory: directory, number: number, state: state)
        content.state = state
        old.abandon()
        try directory.remove(old.name)
      }
    }
  }

  var isLong: Bool { content.withLock { $0.writer.isLong } }

  func close() throws {
    try content.withLock { content in
      if let failure = content.failure { throw failure }
      try content.writer.close()
    }
  }
}

/// A write of the manifest that failed: what is on disk of it is not known, even when the disk was
/// only full, so nothing may be appended any more.
struct ManifestFailure: Error, CustomStringConvertible {
  let cause: any Error

  var description: String { "the manifest could not be written: \(cause)" }
}
