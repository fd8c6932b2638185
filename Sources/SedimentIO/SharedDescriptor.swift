import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A descriptor that any thread may use while another closes it.
///
/// The number must not go back to the system under a running call, or that call would reach
/// whatever file gets the number next. So calls are counted, and the last one out closes.
final class SharedDescriptor: Sendable {
  private let number: Int32
  /// Bit 0: closing. Bit 1: the number was given back. From bit 2 on: calls under way.
  private let state = Atomic<Int>(0)

  private static let closing = 1
  private static let released = 2
  private static let oneCall = 4

  /// Takes over `descriptor`.
  init(_ descriptor: consuming Descriptor) {
    number = descriptor.take()
  }

  deinit { close() }

  /// Runs `body` with the number, which stays open until it returns.
  ///
  /// - Throws: `FileError.Code.closed` after `close()`, and what `body` throws.
  @discardableResult
  func use<Value>(
    _ operation: String, _ path: String, _ body: (Int32) throws(FileError) -> Value
  ) throws(FileError) -> Value {
    guard let number = begin() else {
      throw FileError(code: .closed, operation: operation, path: path)
    }
    defer { end() }
    return try body(number)
  }

  /// The number, which stays open until `end()`; `nil` after `close()`.
  func begin() -> Int32? {
    let before = state.add(Self.oneCall, ordering: .acquiringAndReleasing).oldValue
    if before & Self.closing == 0 { return number }
    end()
    return nil
  }

  /// Ends what a `begin()` began that gave the number.
  func end() {
    state.subtract(Self.oneCall, ordering: .acquiringAndReleasing)
    releaseWhenUnused()
  }

  /// Lets no call in any more, and closes when the last one under way has returned.
  func close() {
    state.bitwiseOr(Self.closing, ordering: .acquiringAndReleasing)
    releaseWhenUnused()
  }

  private func releaseWhenUnused() {
    // Of all that find no call under way, the exchange lets one through.
    let (exchanged, _) = state.compareExchange(
      expected: Self.closing, desired: Self.closing | Self.released,
      ordering: .acquiringAndReleasing)
    if exchanged { _ = Descriptor(number) }
  }
}
