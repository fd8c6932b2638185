// The epochs that a store can be opened at.
//
// The manifest holds a snapshot and edits: the states of many epochs. One before the last can be
// opened when its files are all still there and nothing it holds went on without an epoch: a log of
// batches, or of ordered keyspaces, does not say where an epoch ended in it.
//
// The newest few are looked at: no more can be held (`HeldEpochs.countMax`), and of other stores
// earlier epochs are there by chance only.

public import SedimentIO

/// An epoch that a store can be opened at.
public struct StoredEpoch: Hashable, Sendable {
  /// Counts up by 1 with every epoch; 0 is the store before its first.
  public var number: UInt64
  /// What the caller gave with the epoch.
  public var metadata: [UInt8]

  /// An epoch of these parts.
  public init(number: UInt64, metadata: [UInt8]) {
    self.number = number
    self.metadata = metadata
  }
}

extension StateStore {
  /// The epochs that the store in a directory can be opened at, oldest first, 16 at the most; the
  /// last is the newest one. Empty when there is no store.
  ///
  /// Reads the manifest and the directory's entries, without a lock, beside a writer too: an epoch
  /// that this may drop soon is among them. Metadata is up to 16 MiB an epoch.
  ///
  /// ```swift
  /// for epoch in try StateStore.epochs(at: "state") { print(epoch.number, epoch.metadata.count) }
  /// ```
  ///
  /// - Throws: `notFound` when the directory is missing; `corrupted`, `unsupportedFormat`,
  ///   `inputOutput`.
  public static func epochs(
    at path: String, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) -> [StoredEpoch] {
    try wrapping {
      let directory = try fileSystem.openNamed(path, creating: false)
      let history = try ReadOnlyStore.followingWriter { try EpochHistory(directory, at: path) }
      return history.openable.map { StoredEpoch(number: $0.epoch, metadata: $0.metadata) }
    }
  }

  /// Whose state a directory holds; `nil` when there is no store. As `epochs`.
  package static func identity(
    at path: String, fileSystem: any FileSystem
  ) throws(StoreError) -> StoreIdentity? {
    try wrapping {
      let directory = try fileSystem.openNamed(path, creating: false)
      return try ReadOnlyStore.followingWriter {
        try ManifestReader.read(directory)?.state.identity
      }
    }
  }
}

/// The newest states that a manifest holds.
struct EpochHistory {
  /// The directory, for messages.
  let path: String
  /// Oldest first.
  private var states: [StoreState] = []
  private var manifestName = ""
  /// Names of the files in the directory.
  private var present: Set<String> = []

  init(_ directory: any Directory, at path: String) throws {
    self.path = path
    var states: [StoreState] = []
    let answer = try ManifestReader.read(directory) { state in
      if states.count == HeldEpochs.countMax { states.removeFirst() }
      states.append(state)
    }
    guard let answer else { return }
    self.states = states
    manifestName = answer.manifestName
    present = Set(try directory.entries().map(\.name))
  }

  /// The states that can be opened. The newest is among them whatever is there of its files: what
  /// is missing of it is damage.
  var openable: [StoreState] {
    guard let newest = states.last else { return [] }
    guard newest.complaintOfGoingBack == nil else { return [newest] }
    return states.dropLast().filter { missingFile(of: $0) == nil } + [newest]
  }

  private func missingFile(of state: StoreState) -> String? {
    state.fileNames.first { !present.contains($0) }
  }

  /// The state of an epoch, under whose counters no number is given out a second time.
  ///
  /// - Returns: `nil` when there is no store, which is as good as one at epoch 0.
  func state(at epoch: UInt64) throws -> StoreState? {
    guard let newest = states.last else {
      guard epoch > 0 else { return nil }
      throw StoreError(.notFound, "\(path) holds no state, and so no epoch \(epoch)")
    }
    guard epoch != newest.epoch else { return newest }
    if let complaint = newest.complaintOfGoingBack {
      throw StoreError(
        .invalidArgument,
        "\(path) cannot go back from epoch \(newest.epoch) to epoch \(epoch): \(complaint)")
    }
    guard var state = states.first(where: { $0.epoch == epoch }) else {
      throw StoreError(.notFound, "\(path) holds no epoch \(epoch): \(list)")
    }
    if let name = missingFile(of: state) {
      throw StoreError(
        .notFound,
        "\(path) cannot be opened at epoch \(epoch), for a later one was confirmed, and \(name) is "
          + "gone: \(list)")
    }
    try ManifestReader.check(state, from: manifestName)
    state.nextFileNumber = max(state.nextFileNumber, newest.nextFileNumber)
    state.writerEpoch = max(state.writerEpoch, newest.writerEpoch)
    return state
  }

  private var list: String {
    "it can be opened at " + openable.map { "\($0.epoch)" }.joined(separator: ", ")
  }
}

extension StoreState {
  /// Why an earlier epoch of the store cannot be had; `nil` when it can.
  var complaintOfGoingBack: String? {
    if let keyspace = keyspaces.first(where: { $0.options.log != .epochs }) {
      return "keyspace \(keyspace.name) logs every batch, and its log goes on"
    }
    if let keyspace = orderedKeyspaces.first(where: \.options.isLogged) {
      return "keyspace \(keyspace.name) has a log, which goes on"
    }
    return writeLogs.isEmpty ? nil : "its log of writes goes on"
  }
}
