// The manifest of an open store.
//
// Invariants
// 1. `state` is that of the last record that was synchronised.
// 2. The file holds the state of the last confirmed epoch and of every epoch after it: it is
//    replaced, by a snapshot of the last epoch, only when that is confirmed. Where epochs are not
//    confirmed one by one, each is as soon as it is durable.
// 3. Nothing is appended behind a write that failed.
//
// Concurrency: any thread may call anything; one lock, under which the file is written. Closures
// that it calls may take the store's monitor, never the other way round.

internal import SedimentIO
internal import Synchronization

/// The manifest of an open store and the state it holds, behind one lock.
final class DurableManifest: Sendable {
  private struct Content {
    var state: StoreState
    var writer: ManifestWriter
    /// The last confirmed epoch; `nil` where each one counts as confirmed.
    var confirmedEpoch: UInt64?
    /// What a write failed with. Another thread may come before the one that was told has stopped
    /// the store, and what it wrote behind would make the manifest unreadable.
    var failure: ManifestFailure?

    var isConfirmed: Bool { confirmedEpoch.map { $0 == state.epoch } ?? true }

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
  ///
  /// - Parameter confirmsEpochs: whether epochs count as confirmed only when `confirm` says so;
  ///   that of `state` does.
  init(
    directory: any Directory, number: FileNumber, state: StoreState, confirmsEpochs: Bool
  ) throws {
    self.directory = directory
    let writer = try ManifestWriter(directory: directory, number: number, state: state)
    content = Mutex(
      Content(
        state: state, writer: writer, confirmedEpoch: confirmsEpochs ? state.epoch : nil))
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
  ///
  /// - Throws: `StoreError` with code `invalidArgument` while the last epoch is not confirmed.
  func replace(
    number: FileNumber, _ change: (inout StoreState) throws -> Void
  ) throws {
    try replace(onlyWhenDue: false, number: { number }, change)
  }

  /// Replaces the manifest by a fresh one of the same state, when its edits have grown long and the
  /// last epoch is confirmed.
  func shorten(number makeNumber: () -> FileNumber) throws {
    try replace(onlyWhenDue: true, number: makeNumber) { _ in }
  }

  private func replace(
    onlyWhenDue: Bool, number makeNumber: () -> FileNumber,
    _ change: (inout StoreState) throws -> Void
  ) throws {
    try content.withLock { content in
      if let failure = content.failure { throw failure }
      if onlyWhenDue && !(content.isConfirmed && content.writer.isLong) { return }
      guard content.isConfirmed else {
        throw StoreError(
          .invalidArgument,
          "epoch \(content.state.epoch) is not confirmed, and what keyspaces are cannot change "
            + "before: confirm it, or open the store at an earlier one")
      }
      var state = content.state
      try change(&state)
      let number = makeNumber()
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

  /// The epoch of this number, which the manifest holds, is confirmed.
  func confirm(_ epoch: UInt64) {
    content.withLock { content in
      content.confirmedEpoch = content.confirmedEpoch.map { max($0, epoch) }
    }
  }

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
