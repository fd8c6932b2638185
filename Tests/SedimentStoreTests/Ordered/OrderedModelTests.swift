import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Random runs against a dictionary. A failure names its seed.
@Suite("Ordered keyspaces against a model")
struct OrderedModelTests {
  @Test("random operations answer as the model", arguments: 0..<24)
  func randomRuns(number: Int) throws {
    let seed = UInt64(11_000 + number)
    let script = OrderedScript(seed: seed, fileSystem: MemoryFileSystem())
    try script.open()
    var snapshots: [(Snapshot, OrderedScript.Contents)] = []
    for step in 0..<400 {
      let what = "seed \(seed), step \(step)"
      switch script.draw(0...40) {
      case 0: try script.commit()
      case 1: try script.store?.compact()
      case 2: try script.store?.waitUntilIdle()
      case 13: try script.store?.flush()
      case 3 where snapshots.count < 4:
        if let store = script.store { snapshots.append((store.snapshot(), script.contents)) }
      case 4 where !snapshots.isEmpty:
        let (snapshot, contents) = snapshots.remove(at: script.draw(0...snapshots.count - 1))
        for (keyspace, model) in zip(script.keyspaces, contents.logged + [contents.unlogged]) {
          let difference = try OrderedScript.difference(keyspace, model, at: snapshot)
          #expect(difference == nil, "\(what), at a snapshot")
        }
      case 5:
        // What no epoch took in goes with the store.
        try script.commit()
        snapshots.removeAll()
        try script.close()
        try script.open()
      case 6:
        let difference = try script.difference()
        #expect(difference == nil, "\(what)")
      case 7...9: try script.insertIfAbsent()
      case 10...12: try checkBounds(script, what)
      default: try script.write()
      }
    }
    try script.store?.waitUntilIdle()
    let difference = try script.difference()
    #expect(difference == nil, "seed \(seed), at the end")
    let damage = try ReadOnlyStore.open(at: "/state", fileSystem: script.fileSystem).verify()
    #expect(damage.isEmpty)
    try script.close()
  }

  /// A cursor between two bounds, moved at random, is where the model says.
  private func checkBounds(_ script: OrderedScript, _ what: String) throws {
    let place = script.draw(0...2)
    let model = (script.contents.logged + [script.contents.unlogged])[place]
    let bounds = [script.key(), script.key()].sorted { $0.lexicographicallyPrecedes($1) }
    let keys = model.keys.filter {
      !$0.lexicographicallyPrecedes(bounds[0]) && $0.lexicographicallyPrecedes(bounds[1])
    }.sorted { $0.lexicographicallyPrecedes($1) }
    var cursor = script.keyspaces[place].cursor(from: bounds[0], to: bounds[1])
    var index: Int?
    for _ in 0..<20 {
      switch script.draw(0...5) {
      case 0:
        try cursor.seekToFirst()
        index = keys.isEmpty ? nil : 0
      case 1:
        try cursor.seekToLast()
        index = keys.indices.last
      case 2:
        let key = script.key()
        try cursor.seek(to: key)
        index = keys.firstIndex { !$0.lexicographicallyPrecedes(key) }
      case 3:
        let key = script.key()
        try cursor.seek(notBehind: key)
        index = keys.lastIndex { !key.lexicographicallyPrecedes($0) }
      case 4:
        guard let at = index else { continue }
        try cursor.moveNext()
        index = at + 1 < keys.count ? at + 1 : nil
      default:
        guard let at = index else { continue }
        try cursor.movePrevious()
        index = at > 0 ? at - 1 : nil
      }
      let isValid = cursor.isValid
      try #require(isValid == (index != nil), "\(what), bounds \(bounds)")
      if let index {
        let (key, value) = (cursor.keyBytes, cursor.valueBytes)
        #expect(key == keys[index] && value == model[key], "\(what), bounds \(bounds)")
      }
    }
  }
}
