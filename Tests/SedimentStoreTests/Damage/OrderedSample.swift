import SedimentIO
import SedimentStore
import SedimentTestKit

/// What the places of a sample with ordered keyspaces must hold: two that share the log, and one
/// without.
struct OrderedSample: SampleContents {
  private let epochs: [OrderedScript.Epoch]
  /// What the keyspaces with a log held after every batch.
  private let history: [[OrderedScript.Model]]
  /// The last epoch of each place.
  private let placeEpochs: [Place: Int]

  static var options: StoreOptions {
    var options = OrderedScript.options(ManualClock())
    options.memoryBudget = StoreOptions.memoryBudgetMin
    options.backgroundThreads = 1
    return options
  }

  /// Runs the script: tables of two levels and removed keys in them, a log that goes on behind the
  /// last epoch, and a checkpoint and a savepoint of earlier ones.
  ///
  /// - Parameter onEpoch: called after every epoch.
  init(
    size: Int, _ store: StateStore, _ fileSystem: MemoryFileSystem, onEpoch: () throws -> Void
  ) throws {
    // With a larger size, tables of several blocks.
    let repeats = size == 1 ? 1 : 2 * size * size
    let script = OrderedScript(
      seed: 51, fileSystem: fileSystem, keyCount: 16 * repeats, isSmall: true)
    try script.adopt(store)
    var places: [Place: Int] = [:]
    func run(_ operations: [OrderedOperation]) throws {
      for operation in operations {
        let isRepeated = operation == .batch || operation == .put
        for _ in 0..<(isRepeated ? repeats : 1) { try script.perform(operation) }
      }
      try script.commit()
      // With no merge due, what is on disk is always the same.
      try store.waitUntilIdle()
      try onEpoch()
    }
    try run([.batch, .put, .batch, .flush, .compact])
    try run([.batch, .put, .remove, .flush])
    places[.checkpoint] = script.epochs.count - 1
    try store.checkpoint(to: "/backups", committing: false)
    try run([.batch, .remove, .put])
    places[.savepoint] = script.epochs.count - 1
    try store.savepoint(to: "/saved", committing: false)
    try run([.synchronized, .batch, .put])
    for operation in [.batch, .synchronized, .batch] as [OrderedOperation] {
      try script.perform(operation)
    }
    places[.state] = script.epochs.count - 1
    epochs = script.epochs
    history = script.history
    placeEpochs = places
    script.drop()
  }

  var options: StoreOptions { Self.options }
  var lastEpoch: Int { epochs.count - 1 }
  var holdsVerification: Bool { true }

  func verdict(
    on store: StateStore, _ place: Place, allowingLoss: Bool
  ) throws -> (DamageSample.Verdict, problem: String?) {
    if store.keyspaceNames != OrderedScript.names {
      return (.refused, "keyspaces \(store.keyspaceNames)")
    }
    let keyspaces = try OrderedScript.open(store)
    let found = try OrderedScript.contents(of: keyspaces)
    if let problem = try OrderedScript.difference(keyspaces, found) { return (.refused, problem) }
    let number = Int(store.lastEpoch.metadata.first ?? 0)
    guard number < epochs.count, let expected = placeEpochs[place] else {
      return (.refused, "epoch \(number)")
    }
    let epoch = epochs[number]
    if found.unlogged != epoch.unlogged { return (.refused, "not as of epoch \(number)") }
    let lastBatch = place == .state ? history.count - 1 : epochs[expected].historyIndex
    if number == expected && found.logged == history[lastBatch] { return (.whole, nil) }
    guard allowingLoss, place == .state,
      let batch = history[epoch.historyIndex...].lastIndex(of: found.logged)
    else { return (.refused, "epoch \(number), and other batches than it has") }
    return (.earlier(epoch: number, batches: batch), nil)
  }
}
