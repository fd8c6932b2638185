internal import SedimentIO
internal import Synchronization

/// The sequence numbers at which snapshots of a store are open.
final class SnapshotRegister: Sendable {
  private struct Entry {
    var sequence: UInt64
    var openedNanos: UInt64
  }

  private struct State {
    var entries: [UInt64: Entry] = [:]
    var nextID: UInt64 = 1
  }

  private let state = Mutex(State())

  /// Opens a snapshot at the number that `sequence` gives under the register's lock: whoever
  /// decides what may be dropped either knows of it or decides about writes that it sees.
  func open(at sequence: () -> UInt64, nowNanos: UInt64) -> (id: UInt64, sequence: UInt64) {
    state.withLock { state in
      let id = state.nextID
      state.nextID += 1
      let sequence = sequence()
      state.entries[id] = Entry(sequence: sequence, openedNanos: nowNanos)
      return (id, sequence)
    }
  }

  func close(_ id: UInt64) { state.withLock { state in state.entries[id] = nil } }

  /// The numbers of open snapshots, rising, each once.
  var sequences: [UInt64] { state.withLock { Set($0.entries.values.map(\.sequence)).sorted() } }

  /// Whether any snapshot is older than a write.
  func isAnyOpen(before sequence: UInt64) -> Bool {
    state.withLock { $0.entries.values.contains { $0.sequence < sequence } }
  }

  /// When the oldest was opened.
  var oldestNanos: UInt64? { state.withLock { $0.entries.values.map(\.openedNanos).min() } }
}

/// A moment of a store's ordered keyspaces, to be read for as long as this lives.
///
/// It sees each batch whole or not at all, in all keyspaces. What it sees is kept on disk, so one
/// that lives long costs room: `StateStore.oldestSnapshotAge` tells.
public final class Snapshot: Sendable {
  let store: StoreCore
  let sequence: UInt64
  private let id: UInt64

  init(_ store: StoreCore) {
    self.store = store
    (id, sequence) = store.snapshots.open(
      at: { store.writes.publishedSequence }, nowNanos: store.options.clock.monotonicNanos())
  }

  deinit { store.snapshots.close(id) }
}
