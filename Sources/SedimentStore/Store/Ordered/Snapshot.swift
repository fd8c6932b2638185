internal import SedimentIO
internal import Synchronization

/// The sequence numbers at which snapshots of a store are open, and when they and its cursors were
/// opened: both are pins, which keep what they read on disk.
final class SnapshotRegister: Sendable {
  private struct Entry {
    /// `nil` for a cursor, whose view keeps what it reads.
    var sequence: UInt64?
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

  /// Notes a cursor.
  func openCursor(nowNanos: UInt64) -> UInt64 {
    state.withLock { state in
      let id = state.nextID
      state.nextID += 1
      state.entries[id] = Entry(sequence: nil, openedNanos: nowNanos)
      return id
    }
  }

  func close(_ id: UInt64) { state.withLock { state in state.entries[id] = nil } }

  /// The numbers of open snapshots, rising, each once.
  var sequences: [UInt64] {
    state.withLock { Set($0.entries.values.compactMap(\.sequence)).sorted() }
  }

  /// Whether any snapshot is older than a write.
  func isAnyOpen(before sequence: UInt64) -> Bool {
    state.withLock { state in
      state.entries.values.contains { $0.sequence.map { $0 < sequence } ?? false }
    }
  }

  /// When the oldest snapshot was opened.
  var oldestNanos: UInt64? {
    state.withLock { state in
      state.entries.values.lazy.filter { $0.sequence != nil }.map(\.openedNanos).min()
    }
  }

  /// How many snapshots and cursors there are, and when the oldest of them was opened.
  var pins: (count: Int, oldestNanos: UInt64?) {
    state.withLock { ($0.entries.count, $0.entries.values.lazy.map(\.openedNanos).min()) }
  }
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

/// The view that a cursor reads, noted as a pin for as long as the cursor lives.
final class PinnedView: Sendable {
  let view: OrderedView
  private let store: StoreCore
  private let id: UInt64

  init(_ view: OrderedView, of store: StoreCore) {
    self.view = view
    self.store = store
    id = store.snapshots.openCursor(nowNanos: store.options.clock.monotonicNanos())
  }

  deinit { store.snapshots.close(id) }
}
