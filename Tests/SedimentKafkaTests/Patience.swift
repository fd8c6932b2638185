import Foundation
import Testing

// What never comes fails the test that waits for it, and must not hold up all the others: a thread
// that waits is not ended by a test's limit of time.

/// Much longer than anything takes, on a machine that does much else.
private let patience = Duration.seconds(1200)

/// Waits until something is so; fails when a job ends before.
func wait(for job: Process? = nil, until isSo: () throws -> Bool) throws {
  let end = ContinuousClock.now + patience
  while try !isSo() {
    try #require(job?.isRunning != false, "the job has ended")
    try #require(ContinuousClock.now < end, "waited in vain for \(patience)")
    usleep(1000)
  }
}

extension Process {
  /// Waits until the process has ended; kills it when it does not.
  func waitForEnd() throws {
    do {
      try wait { !isRunning }
    } catch {
      kill(processIdentifier, SIGKILL)
      throw error
    }
  }
}

extension FileHandle {
  /// What there is to read, once there is anything; empty at the end.
  func readSome() throws -> Data {
    var descriptor = pollfd(fd: fileDescriptor, events: Int16(POLLIN), revents: 0)
    let ready = unsafe poll(&descriptor, 1, Int32(patience.components.seconds) * 1000)
    try #require(ready > 0, "nothing to read came for \(patience)")
    return availableData
  }
}
