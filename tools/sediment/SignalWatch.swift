// SIGINT and SIGTERM: the first asks the job to stop, the second ends the process at once. The
// state is good in either case.

import Dispatch
import SedimentJob

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Watches for signals until it is cancelled.
final class SignalWatch {
  private let sources: [any DispatchSourceSignal]

  init(_ control: JobControl, _ messages: MessagePrinter) {
    let queue = DispatchQueue(label: "sediment.signals")
    let counter = SignalCounter()
    let numbers = [SIGINT, SIGTERM]
    Self.hold(numbers)
    sources = numbers.map { number in
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler {
        guard counter.isFirst() else { _exit(128 + number) }
        messages.show(
          JobMessage(.information, "stopping after this batch; again to stop at once"))
        control.stop()
      }
      source.resume()
      return source
    }
  }

  func cancel() {
    for source in sources { source.cancel() }
  }

  /// Keeps signals from ending the process. One that comes before its source is there, which
  /// another thread makes, must not be lost.
  private static func hold(_ numbers: [Int32]) {
    #if canImport(Darwin)
      // Sources hear of signals that are ignored.
      for number in numbers { _ = signal(number, SIG_IGN) }
    #else
      // They wait for the source, also in the threads to come.
      var set = sigset_t()
      unsafe sigemptyset(&set)
      for number in numbers { unsafe sigaddset(&set, number) }
      unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    #endif
  }
}

/// Counts signals. @unchecked because only the queue of the signals touches it.
private final class SignalCounter: @unchecked Sendable {
  private var count = 0

  func isFirst() -> Bool {
    count += 1
    return count == 1
  }
}
