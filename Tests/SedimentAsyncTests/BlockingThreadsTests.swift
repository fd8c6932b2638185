import SedimentAsync
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Threads that wait for tasks", .timeLimit(.minutes(30)))
struct BlockingThreadsTests {
  private static func code<Answer>(_ result: Result<Answer, any Error>) -> StoreError.Code? {
    guard case .failure(let error) = result else { return nil }
    return (error as? StoreError)?.code
  }

  @Test func answersAndErrorsComeBack() async throws {
    let threads = BlockingThreads(name: "test", count: 2)
    #expect(try await threads.run { () throws(StoreError) in 7 } == 7)
    let failed = await Task {
      try await threads.run { () throws(StoreError) -> Int in throw StoreError(.noSpace, "full") }
    }.result
    #expect(Self.code(failed) == .noSpace)
  }

  @Test func callsOfOneThreadAreMadeInOrder() async throws {
    let threads = BlockingThreads(name: "test", count: 1)
    let made = Mutex<[Int]>([])
    // Starts the thread: nothing is posted before there is one.
    try await threads.run { () throws(StoreError) in }
    let record = { @Sendable (number: Int) in made.withLock { $0.append(number) } }
    for number in 0..<100 { threads.post { record(number) } }
    try await threads.run { () throws(StoreError) in }
    #expect(made.withLock { $0 } == Array(0..<100))
  }

  @Test func asManyCallsAreMadeSideBySideAsThereAreThreads() async throws {
    let threads = BlockingThreads(name: "test", count: 3)
    let gate = Gate()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<5 {
        group.addTask { try await threads.run { () throws(StoreError) in gate.pass() } }
      }
      await gate.waitForArrivals(3)
      gate.open()
      try await group.waitForAll()
    }
  }

  @Test func aCallThatWaitsIsCancelledAndNotMade() async throws {
    let threads = BlockingThreads(name: "test", count: 1)
    let gate = Gate()
    let isMade = Atomic(false)
    async let held: Void = threads.run { () throws(StoreError) in gate.pass() }
    await gate.waitForArrivals()
    let task = Task {
      try await threads.run { () throws(StoreError) in isMade.store(true, ordering: .relaxed) }
    }
    task.cancel()
    // It ends while the only thread is still held.
    #expect(Self.code(await task.result) == .cancelled)
    gate.open()
    try await held
    try await threads.run { () throws(StoreError) in }
    let wasMade = isMade.load(ordering: .relaxed)
    #expect(!wasMade)
  }

  @Test func aCallThatWasBegunIsMadeToItsEnd() async throws {
    let threads = BlockingThreads(name: "test", count: 1)
    let gate = Gate()
    let task = Task {
      try await threads.run { () throws(StoreError) in
        gate.pass()
        return 7
      }
    }
    await gate.waitForArrivals()
    task.cancel()
    gate.open()
    #expect(try await task.value == 7)
  }

  @Test func whatIsNotCancellableIsMadeInATaskThatWasCancelled() async throws {
    let threads = BlockingThreads(name: "test", count: 1)
    let task = Task {
      cancelCurrentTask()
      let made = try await threads.run(isCancellable: false) { () throws(StoreError) in 7 }
      let refused = await Result {
        try await threads.run { () throws(StoreError) in 8 }
      }
      return (made, Self.code(refused))
    }
    let (made, refused) = try await task.value
    #expect(made == 7)
    #expect(refused == .cancelled)
  }

  @Test("a call is made or cancelled, never both, whenever it is cancelled")
  func madeOrCancelled() async throws {
    let threads = BlockingThreads(name: "test", count: 3)
    let made = Tally()
    var generator = SeededGenerator(seed: 11)
    var tasks: [Task<Void, any Error>] = []
    for _ in 0..<3000 {
      let task = Task {
        try await threads.run { () throws(StoreError) in made.add() }
      }
      tasks.append(task)
      if Bool.random(using: &generator), let other = tasks.randomElement(using: &generator) {
        other.cancel()
      }
    }
    var answered = 0
    for task in tasks {
      switch await task.result {
      case .success: answered += 1
      case .failure(let error): #expect((error as? StoreError)?.code == .cancelled)
      }
    }
    #expect(answered == made.count)
    #expect(answered > 0)
  }
}

/// Counts from any thread.
private final class Tally: Sendable {
  private let value = Atomic(0)

  var count: Int { value.load(ordering: .relaxed) }

  func add() { value.add(1, ordering: .relaxed) }
}

extension Result where Failure == any Error {
  /// What an asynchronous body returns or throws.
  init(catching body: () async throws -> Success) async {
    do {
      self = .success(try await body())
    } catch {
      self = .failure(error)
    }
  }
}
