import SedimentIO
import SedimentStore
import SedimentTestKit

/// Draws configurations and operations: one seed replays all of it.
struct RandomWorkload {
  var generator: SeededGenerator
  let options: KeyspaceOptions
  let slotsMax: Int
  /// How many different keys there are; low numbers come most often.
  let keyCount: Int
  let batchMax: Int
  private var clock: Int64

  init(seed: UInt64, isSmall: Bool = false, log: LogPolicy? = nil) {
    var generator = SeededGenerator(seed: seed)
    let ttls: [TimeToLive] = [
      .forever, .milliseconds(1), .milliseconds(7), .milliseconds(100), .milliseconds(5_000),
    ]
    let ttl = ttls[Int.random(in: 0..<ttls.count, using: &generator)]
    let logs: [LogPolicy] = [
      .epochs, .epochs, .everyBatch(synchronized: true), .everyBatch(synchronized: false),
    ]
    let drawnLog = logs[Int.random(in: 0..<logs.count, using: &generator)]
    options = KeyspaceOptions(
      keyMode: Bool.random(using: &generator) ? .exact : .fingerprint,
      valueWidth: [0, 0, 1, 8, 64][Int.random(in: 0..<5, using: &generator)], timeToLive: ttl,
      allowedLateness: [nil, 0, 3, 200][Int.random(in: 0..<4, using: &generator)],
      compaction: .tiered(fanout: UInt8.random(in: 2...5, using: &generator)),
      log: log ?? drawnLog)
    slotsMax = [128, 128, 300, 1_000, 8_000][Int.random(in: 0..<5, using: &generator)]
    keyCount = isSmall ? 60 : [5, 100, 1_000, 20_000][Int.random(in: 0..<4, using: &generator)]
    batchMax = isSmall ? 60 : [1, 20, 400, 5_000][Int.random(in: 0..<4, using: &generator)]
    clock =
      [0, -300, 1_700_000_000_000, -(1 << 61) + 1_000][
        Int.random(in: 0..<4, using: &generator)]
    self.generator = generator
  }

  mutating func storeOptions() -> StoreOptions {
    var options = StoreOptions(
      memoryBudget: StoreOptions.memoryBudgetMin,
      shards: Int.random(in: 1...4, using: &generator),
      backgroundThreads: Int.random(in: 1...2, using: &generator), fullDiskPatience: .zero,
      clock: ManualClock())
    options.memtableSlotsMax = slotsMax
    options.mergeLookInterval = 16
    return options
  }

  /// A key of 0 to 40 bytes; mostly one of a few.
  func key(_ number: Int) -> [UInt8] {
    var bytes = Array("\(number)".utf8)
    bytes.append(contentsOf: repeatElement(UInt8(number % 251), count: number % 37))
    return number == 0 ? [] : bytes
  }

  mutating func drawKeys(_ count: Int) -> [[UInt8]] {
    (0..<count).map { _ in
      let bound = Int.random(in: 1...keyCount, using: &generator)
      return key(Int.random(in: 0..<bound, using: &generator))
    }
  }

  mutating func drawBatchSize() -> Int {
    Int.random(in: 1...Int.random(in: 1...batchMax, using: &generator), using: &generator)
  }

  /// Times that mostly rise, lie at the borders of the TTL and the lateness, and jump now and then.
  mutating func drawTimes(_ count: Int) -> [Int64] {
    var ttl: Int64 = 50
    if case .milliseconds(let milliseconds) = options.timeToLive { ttl = milliseconds }
    return (0..<count).map { _ in
      let border = Int64.random(in: -1...1, using: &generator)
      switch Int.random(in: 0..<400, using: &generator) {
      case 0: clock += ttl + border
      case 1: clock += options.allowedLateness + ttl + border
      case 2..<60: return bounded(clock - ttl + border)
      case 60..<120: return bounded(clock - options.allowedLateness + border)
      case 120..<160: return bounded(clock - options.allowedLateness - ttl + border)
      case 160..<220:
        return bounded(clock - Int64.random(in: 0...(2 * ttl), using: &generator))
      default: clock += Int64.random(in: 0...2, using: &generator) / 2
      }
      return clock
    }
  }

  /// Lets so much time pass that everything expires.
  mutating func jump() {
    if case .milliseconds(let ttl) = options.timeToLive { clock += ttl + options.allowedLateness }
  }

  private func bounded(_ time: Int64) -> Int64 { max(time, -(1 << 61)) }

  mutating func drawValues(_ count: Int) -> [[UInt8]]? {
    let width = Int(options.valueWidth)
    if width == 0 || Int.random(in: 0..<4, using: &generator) == 0 { return nil }
    return (0..<count).map { _ in
      [UInt8](repeating: UInt8.random(in: 0...255, using: &generator), count: width)
    }
  }
}
