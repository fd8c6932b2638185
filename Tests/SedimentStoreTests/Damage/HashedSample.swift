import SedimentStore

/// What the places of a sample with hashed keyspaces must hold.
struct HashedSample: SampleContents {
  private let size: Int
  private let places: [Place: SampleExpectation]
  /// What every epoch held.
  private let epochs: [SampleExpectation]
  /// What the logged keyspace held after every batch.
  private let batches: [KeyspaceExpectation]
  /// How many batches each epoch holds.
  private let batchCounts: [Int]

  /// Of a script that was run.
  init(_ script: SampleScript, size: Int) {
    self.size = size
    let keys = script.keys
    places = script.contents.mapValues { SampleExpectation($0, keys: keys) }
    epochs = script.epochs.map { SampleExpectation($0, keys: keys) }
    batches = script.batches.map { KeyspaceExpectation($0, keys: keys) }
    batchCounts = script.batchCounts
  }

  var options: StoreOptions { SampleScript.options(size: size) }
  var lastEpoch: Int { epochs.count - 1 }
  var holdsVerification: Bool { false }

  func verdict(
    on store: StateStore, _ place: Place, allowingLoss isTail: Bool
  ) throws -> (DamageSample.Verdict, problem: String?) {
    guard let content = places[place] else { return (.refused, "the script was not there") }
    guard let problem = try content.difference(from: store) else {
      return (.whole, nil)
    }
    guard isTail, place == .state,
      let epoch = epochs.firstIndex(where: { $0.metadata == store.lastEpoch.metadata })
    else { return (.refused, problem) }
    var earlier = epochs[epoch]
    for count in batchCounts[epoch]...batches.count {
      if count > 0 { earlier.keyspaces["logged"] = batches[count - 1] }
      if try earlier.difference(from: store) == nil {
        return (.earlier(epoch: epoch, batches: count), nil)
      }
    }
    return (.refused, problem)
  }
}
