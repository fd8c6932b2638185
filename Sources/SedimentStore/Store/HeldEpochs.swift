// Epochs that somebody else confirms.
//
// A program whose output is made visible by another party's transaction makes an epoch durable
// first, and then lets the transaction that names it commit, or learns that it did not. Until that
// is known the store must be able to open at this epoch and at the one before.
//
// How it works: with `StoreOptions.confirmsEpochs` the files of each durable epoch are pinned, and
// the manifest is not replaced, so that it holds the last confirmed state and an edit for each
// epoch after it. A confirmation unpins what earlier epochs had, which the next epoch unlinks, and
// replaces the manifest when that has grown long. Opening counts as confirming what was opened: its
// new manifest holds no other epoch.
//
// Invariants
// 1. The first of `HeldEpochs` is the last confirmed epoch, the others are those after it, oldest
//    first; the manifest holds each, and their files are pinned.
//
// Concurrency: guarded by the store's monitor; changed by who holds `commitLock`, or opens.

internal import SedimentIO

/// See the file's header.
struct HeldEpochs {
  /// The most that are held, the confirmed one included: each keeps files, and a record of the
  /// manifest with up to 16 MiB of metadata, while a program waits for one or two.
  static let countMax = 16

  /// One of them.
  struct Held {
    var number: UInt64
    var fileNames: [String]
  }

  private(set) var all: [Held] = []

  mutating func append(_ held: Held) { all.append(held) }

  /// Lets go of those before the one of a number, and returns them; `nil` when that is not held.
  mutating func confirm(_ number: UInt64) -> [Held]? {
    guard let index = all.firstIndex(where: { $0.number == number }) else { return nil }
    let released = Array(all[..<index])
    all.removeFirst(index)
    return released
  }
}

extension StoreCore {
  /// Keeps the files of an epoch that has become durable, or was opened, until a later one is
  /// confirmed. The caller holds `commitLock`, or nobody else knows the store yet.
  func hold(_ state: StoreState) {
    guard options.confirmsEpochs else { return }
    // A store that cannot go back keeps nothing for it.
    let held = HeldEpochs.Held(
      number: state.epoch, fileNames: state.complaintOfGoingBack == nil ? state.fileNames : [])
    pin(held.fileNames)
    monitor.withLock { heldEpochs.append(held) }
  }

  /// Throws when another epoch would be one too many.
  func checkEpochsHeld() throws(StoreError) {
    let count = monitor.withLock { heldEpochs.all.count }
    guard count >= HeldEpochs.countMax else { return }
    throw StoreError(
      .invalidArgument,
      "\(count - 1) epochs are not confirmed, and no more are kept: confirm one of them first")
  }

  /// See `StateStore.confirmEpoch`. The caller holds `commitLock`.
  func confirmEpoch(_ number: UInt64?) throws {
    let number = number ?? manifest.state.epoch
    guard let released = monitor.withLock({ heldEpochs.confirm(number) }) else {
      let held = monitor.withLock { heldEpochs.all.map { "\($0.number)" } }
      throw StoreError(
        .invalidArgument,
        "there is no epoch \(number) to confirm: there are \(held.joined(separator: ", "))")
    }
    for held in released { unpin(held.fileNames) }
    manifest.confirm(number)
    do {
      try manifest.shorten { allocateFileNumber() }
    } catch {
      poison(error)
      throw error
    }
  }
}

extension StateStore {
  /// Says that an epoch stands: those before it may go, and the store can no longer be opened at
  /// them.
  ///
  /// Without `StoreOptions.confirmsEpochs` it does nothing. Files that only earlier epochs need go
  /// with the next epoch. Waits for an epoch that is being committed; writes nothing, but now and
  /// then a new manifest.
  ///
  /// ```swift
  /// let epoch = try store.commitEpoch(metadata: positions)
  /// try commitTransaction(naming: epoch.epoch)
  /// try store.confirmEpoch()
  /// ```
  ///
  /// - Parameter number: the epoch's; `nil` for the last durable one, which is for programs that
  ///   commit and confirm in turn.
  /// - Throws: `invalidArgument` when no epoch of that number waits to be confirmed and it is not
  ///   the last confirmed one; `poisoned`, `closed`. An error of writing the manifest poisons the
  ///   store; the confirmation stands.
  public func confirmEpoch(_ number: UInt64? = nil) throws(StoreError) {
    guard core.options.confirmsEpochs else { return }
    commitLock.lock()
    defer { commitLock.unlock() }
    try core.checkWritable()
    try wrapping { try core.confirmEpoch(number) }
  }
}
