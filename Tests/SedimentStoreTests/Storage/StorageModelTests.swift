import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Uploaders, restorers, collectors and who lets checkpoints go, in every order that seeds draw,
/// killed at any request, with days that pass between two requests.
///
/// Invariants checked after every request
/// 1. The newest published checkpoint has all its objects; so has every other whose uploader has
///    ended.
/// 2. While no actor sleeps for longer than the grace period, what is being restored is whole.
/// 3. What an upload reports as published was.
@Suite struct StorageModelTests {
  @Test(arguments: [false, true])
  func nothingThatSomebodyNeedsEverGoes(withSleepers: Bool) throws {
    for seed in 0..<UInt64(120) {
      let model = try StorageModel(seed: seed, withSleepers: withSleepers)
      for _ in 0..<6 { try model.playRound() }
      #expect(model.problems == [], "seed \(seed)")
      guard model.problems.isEmpty else { return }
      try model.checkEnd()
      #expect(model.problems == [], "seed \(seed)")
    }
  }

  @Test func theModelComesToWhatItIsAbout() throws {
    var counts: [String: Int] = [:]
    for seed in 0..<UInt64(60) {
      let model = try StorageModel(seed: seed, withSleepers: true)
      for _ in 0..<6 { try model.playRound() }
      counts.merge(model.counts) { $0 + $1 }
    }
    for event in [
      "published", "superseded", "upload killed", "restored", "restore killed", "collected",
      "removed", "fenced", "used again",
    ] {
      #expect(counts[event, default: 0] > 0, "\(event)")
    }
  }
}

/// One play.
private final class StorageModel: Sendable {
  private struct State {
    var generator: SeededGenerator
    var problems: [String] = []
    var counts: [String: Int] = [:]
    /// What stands in a file, by its number.
    var epoch: UInt64 = 0
    var writerEpoch: UInt64 = 1
    var nextFile: UInt64 = 1
    var files: [UInt64] = []
    /// Actors that upload and have not ended, with when they began.
    var uploaders: Set<Int> = []
  }

  private let withSleepers: Bool
  private let storage = MemoryStorage()
  private let clock = ManualClock(millis: 1_700_000_000_000)
  private let disk = MemoryFileSystem()
  private let identity = StoreIdentity(high: 7, low: 7)
  private let state: Mutex<State>
  private let writers = (0..<40).map {
    StorageWriter(
      directory: StoreIdentity(high: 2, low: 2), opening: StoreIdentity(high: 1, low: UInt64($0)),
      base: 0)
  }
  private let hour = StorageHarness.hour

  private var area: CheckpointArea { CheckpointArea(storage, of: identity) }

  init(seed: UInt64, withSleepers: Bool) throws {
    self.withSleepers = withSleepers
    state = Mutex(State(generator: SeededGenerator(seed: seed)))
    _ = try disk.openDirectory(at: "/state", creating: true)
  }

  var problems: [String] { state.withLock { $0.problems } }
  var counts: [String: Int] { state.withLock { $0.counts } }

  private func note(_ event: String) { state.withLock { $0.counts[event, default: 0] += 1 } }
  private func complain(_ problem: String) { state.withLock { $0.problems.append(problem) } }
  private func draw(_ range: Range<Int>) -> Int {
    state.withLock { Int.random(in: range, using: &$0.generator) }
  }

  // MARK: - The store

  private static func content(_ file: UInt64) -> [UInt8] {
    (0..<100).map { UInt8(truncatingIfNeeded: Int(file) * 31 + $0) }
  }

  /// The next state: some files less, some more.
  private func nextState(isZombie: Bool) throws -> StoreState {
    let directory = try disk.openDirectory(at: "/state", creating: false)
    let (epoch, writerEpoch, files) = try state.withLock { state in
      state.files.removeAll { _ in Int.random(in: 0..<4, using: &state.generator) == 0 }
      for _ in 0..<Int.random(in: 0..<3, using: &state.generator) {
        let number = state.nextFile
        state.nextFile += 1
        let file = try directory.openFile(FileNumber(number).logName, .create)
        try file.write(Self.content(number), at: 0)
        state.files.append(number)
      }
      state.epoch += 1
      if Int.random(in: 0..<5, using: &state.generator) == 0 { state.writerEpoch += 1 }
      let writerEpoch =
        isZombie && state.writerEpoch > 1 ? state.writerEpoch - 1 : state.writerEpoch
      return (state.epoch, writerEpoch, state.files)
    }
    var state = StoreState(
      identity: identity, seed: HashSeed(first: 1, second: 2), nextFileNumber: 10_000)
    state.epoch = epoch
    state.writerEpoch = writerEpoch
    state.nextKeyspaceID = 2
    state.keyspaces = [
      KeyspaceState(
        id: 1, name: "seen", options: KeyspaceOptions(timeToLive: .forever),
        shards: KeyGroupRange.split(into: 1).map { ShardState(groups: $0) },
        logs: files.map {
          LogReference(number: FileNumber($0), fileID: $0 &* 77, committedLength: 100)
        })
    ]
    return state
  }

  // MARK: - Actors

  private func startUploader(on stage: Stage, isZombie: Bool) throws -> Int {
    let state = try nextState(isZombie: isZombie)
    let directory = try disk.openDirectory(at: "/state", creating: false)
    let writer = writers[Int(state.writerEpoch)]
    let isSmall = draw(0..<2) == 0
    return try stage.start(on: storage) { [self] storage in
      do {
        let info = try CheckpointUpload(
          area: CheckpointArea(storage, of: identity), source: directory, state: state,
          writer: writer, supersedes: false, clock: clock, transfers: 1,
          smallBytesMax: isSmall ? .max : 0
        ).run().info
        note("published")
        if info.newFiles < info.logCount { note("used again") }
      } catch let error as StoreError where error.code == .superseded {
        note("superseded")
      } catch {
        note("upload killed")
      }
    }
  }

  private func startRestorer(on stage: Stage) throws -> Int {
    let path = "/restored-\(draw(0..<1 << 40))"
    return try stage.start(on: storage) { [self] storage in
      do {
        try StateStore.restore(
          from: storage, of: identity, to: path, transfers: 1, fileSystem: disk, clock: clock)
        note("restored")
        let directory = try disk.openDirectory(at: path, creating: false)
        for entry in try directory.entries() where entry.name.hasSuffix(".log") {
          let number = try #require(UInt64(entry.name.dropLast(4)))
          var bytes = [UInt8](repeating: 0, count: 200)
          let count = try directory.openFile(entry.name, .read).read(into: &bytes, at: 0)
          if Array(bytes.prefix(count)) != Self.content(number) { complain("restored \(entry)") }
        }
      } catch let error as StoreError where error.code == .notFound {
        note("nothing to restore")
      } catch let error as StoreError where error.code == .inputOutput {
        note("restore killed")
      } catch {
        if !withSleepers { complain("restoring: \(error)") }
      }
    }
  }

  private func startCollector(on stage: Stage) throws -> Int {
    try stage.start(on: storage) { [self] storage in
      do {
        let report = try StoredCheckpoints(in: storage, of: identity, clock: clock)
          .collectGarbage(dryRun: false)
        note("collected")
        if !report.files.isEmpty { note("removed") }
      } catch let error as StoreError where error.code == .corrupted {
        complain("collecting: \(error)")
      } catch {
        note("collecting was cut short")
      }
    }
  }

  private func startRetainer(on stage: Stage) throws -> Int {
    let count = draw(1..<4)
    let deletes = draw(0..<3) == 0
    return try stage.start(on: storage) { [self] storage in
      do {
        let checkpoints = try StoredCheckpoints(in: storage, of: identity, clock: clock)
        if deletes, let last = try checkpoints.list().dropFirst().first {
          try checkpoints.delete(last.id)
        } else {
          try checkpoints.retain(count)
        }
      } catch let error as StoreError where error.code == .corrupted {
        complain("retaining: \(error)")
      } catch {
        note("retaining was cut short")
      }
    }
  }

  // MARK: - A round

  /// Lets some actors play to their ends.
  func playRound() throws {
    let stage = Stage()
    var uploaders: Set<Int> = []
    var actors: [Int] = []
    for _ in 0..<draw(1..<3) {
      let number = try startUploader(on: stage, isZombie: draw(0..<4) == 0)
      uploaders.insert(number)
      actors.append(number)
    }
    if draw(0..<2) == 0 { actors.append(try startRestorer(on: stage)) }
    for _ in 0..<draw(0..<3) { actors.append(try startCollector(on: stage)) }
    for _ in 0..<draw(0..<2) { actors.append(try startRetainer(on: stage)) }
    let killing = draw(0..<3) > 0 ? draw(0..<120) : nil
    var generator = SeededGenerator(seed: UInt64(draw(0..<1 << 40)))
    var step = 0
    while stage.step(using: &generator) {
      stage.settle()
      step += 1
      if step == killing { stage.kill(actors[draw(0..<actors.count)]) }
      if withSleepers, draw(0..<40) == 0 { clock.advance(byMillis: Int64(draw(1..<60)) * hour) }
      let areWorking = uploaders.contains { !stage.isFinished($0) }
      try check(onlyNewest: areWorking, "step \(step)")
      guard problems.isEmpty else { break }
    }
    while stage.step(using: &generator) { stage.settle() }
    stage.join()
    clock.advance(byMillis: Int64([0, 1, 25, 49][draw(0..<4)]) * hour)
  }

  /// Checks that checkpoints have their objects.
  private func check(onlyNewest: Bool, _ comment: String) throws {
    var sequences = try area.sequences()
    if onlyNewest { sequences = try area.newest(of: sequences).map { [$0.sequence] } ?? [] }
    for sequence in sequences {
      guard let entry = try area.entry(sequence) else { continue }
      guard let checkpoint = entry.published else {
        note("fenced")
        continue
      }
      for object in try area.manifest(of: checkpoint).objects {
        let key = area.keys.object(object.name, of: object.upload)
        guard let content = storage.content(key), SHA256.digest(of: content) == object.digest else {
          return complain("\(comment): \(checkpoint.id) lacks \(key)")
        }
      }
    }
  }

  /// Checks that in the end nothing is left but what is needed.
  func checkEnd() throws {
    clock.advance(byMillis: 49 * hour)
    guard try !CheckpointArea.identities(in: storage).isEmpty else { return }
    let checkpoints = try StoredCheckpoints(in: storage, of: identity, clock: clock)
    try checkpoints.collectGarbage(dryRun: false)
    try check(onlyNewest: false, "at the end")
    var live: Set<String> = []
    for sequence in try area.sequences() {
      guard let checkpoint = try area.entry(sequence)?.published else { continue }
      live.insert(area.keys.manifest(checkpoint.id, of: checkpoint.upload))
      for object in try area.manifest(of: checkpoint).objects {
        live.insert(area.keys.object(object.name, of: object.upload))
      }
    }
    let left = storage.keys.filter {
      !$0.contains("/log/") && !$0.hasPrefix("stores/") && !live.contains($0)
    }
    if !left.isEmpty { complain("left: \(left)") }
  }
}
