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
    sources = [SIGINT, SIGTERM].map { number in
      // The default would end the process before anyone is asked.
      _ = signal(number, SIG_IGN)
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
}

/// Counts signals. @unchecked because only the queue of the signals touches it.
private final class SignalCounter: @unchecked Sendable {
  private var count = 0

  func isFirst() -> Bool {
    count += 1
    return count == 1
  }
}
