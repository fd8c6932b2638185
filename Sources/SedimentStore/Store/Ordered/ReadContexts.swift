internal import SedimentIO
internal import Synchronization

/// What a read of an ordered keyspace works with; one read has it at a time.
final class ReadContext: @unchecked Sendable {
  // @unchecked because it is of one thread, or lies behind a lock.
  let scratch = LookupScratch()
  /// The view that the last read had, and which it was; `nil` once there is a newer one.
  fileprivate(set) var lent: LentView?
}

/// A view as a context holds it. Its references are counted here and not at the view, which all
/// threads share.
final class LentView: Sendable {
  let view: OrderedView
  /// Which of the keyspace's views it is.
  let number: UInt64

  init(_ view: OrderedView, number: UInt64) {
    self.view = view
    self.number = number
  }
}

/// The contexts that nobody uses at the moment, and the view that reads have.
///
/// A read takes a context and gives it back: two locks that no other thread asks for, because each
/// has its own stack of contexts, as far as there are enough. The view comes with the context, and
/// is looked for only where there is a newer one.
final class ReadContexts: Sendable {
  /// A stack of contexts, far from others in memory.
  private final class Stack: Sendable {
    let contexts = Mutex<[ReadContext]>([])
    // The lines that a processor fetches together.
    private let padding = InlineArray<16, UInt64>(repeating: 0)
  }

  private let stacks: [Stack]
  private let published: Mutex<LentView>
  private let number: Atomic<UInt64>
  private static let stackCount = 16
  /// More than so many of one stack are not kept.
  private static let contextsMax = 8

  init(_ view: OrderedView) {
    stacks = (0..<Self.stackCount).map { _ in Stack() }
    published = Mutex(LentView(view, number: 0))
    number = Atomic(0)
  }

  /// The view as it is now.
  var view: OrderedView { published.withLock { $0.view } }

  /// Has reads that begin from now on see another view, and lets go of the one before as far as no
  /// read has it. The caller holds the store's monitor.
  func publish(_ view: OrderedView) {
    let next = number.load(ordering: .relaxed) + 1
    published.withLock { $0 = LentView(view, number: next) }
    number.store(next, ordering: .releasing)
    for stack in stacks {
      // With the last view that has a table goes its file; not under this lock.
      let stale = stack.contexts.withLock { $0.compactMap { $0.lent.take() } }
      withExtendedLifetime(stale) {}
    }
  }

  /// Runs `body` with a context and the view of now.
  @inline(__always)
  func reading<Answer, Failure: Error>(
    _ body: (ReadContext, LentView) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    // Threads lie a page or more apart.
    let stack = stacks[Int((SystemThread.current &* 0x9E37_79B9_7F4A_7C15) &>> 60)]
    let context = stack.contexts.withLock { $0.popLast() } ?? ReadContext()
    defer { giveBack(context, to: stack) }
    return try body(context, lend(to: context))
  }

  @inline(__always)
  private func lend(to context: ReadContext) -> LentView {
    if let lent = context.lent, lent.number == number.load(ordering: .acquiring) { return lent }
    let lent = published.withLock { LentView($0.view, number: $0.number) }
    context.lent = lent
    return lent
  }

  @inline(__always)
  private func giveBack(_ context: ReadContext, to stack: Stack) {
    let stale = stack.contexts.withLock { contexts -> LentView? in
      // Under the lock, so that whoever publishes another view meets it here or comes first.
      let isStale = context.lent?.number != number.load(ordering: .acquiring)
      if contexts.count < Self.contextsMax { contexts.append(context) }
      return isStale ? context.lent.take() : nil
    }
    withExtendedLifetime(stale) {}
  }
}
