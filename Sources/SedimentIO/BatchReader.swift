// Many small parts of files, read at once.
//
// How it works: a device serves a hundred random reads in little more than the time of one, if it
// knows of them all. So the requests go to an io_uring, as many at a time as it is deep, and the
// next ones follow as soon as a quarter of them has completed. Where there is no ring (another
// system, an old kernel, a container that forbids it) the same is had by advice: each read is
// begun `depth` requests before it is waited for.
//
// What the ring reads short, or not at all, is read once more the plain way, which tells the end of
// the file from a failure; so a ring that fails costs time, and never an answer.
//
// Invariants
// 1. `read` returns when no request is under way: the memory is then the caller's alone.
// 2. No descriptor that the reader uses is given back to the system before the batch has ended.
// 3. A batch allocates nothing.
//
// Concurrency: one thread at a time, and not always the same. Other threads may close the files.

import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Reads parts of files, many at a time.
///
///     let reader = BatchReader()
///     reader.read(requests, of: tables) { index in look(at: requests[index]) }
@safe
package final class BatchReader {
  /// How many reads may be under way at once.
  package let depth: Int
  private let ring: OpaquePointer?

  /// A reader that keeps up to `depth` reads under way, 1 to 32,768.
  ///
  /// - Parameter usesRing: whether to use the system's ring where there is one. Without it the
  ///   answers are the same.
  package init(depth: Int = 128, usesRing: Bool = true) {
    precondition((1...32_768).contains(depth), "a depth of \(depth) is not 1 to 32,768")
    self.depth = depth
    unsafe ring = usesRing ? sediment_ring_open(UInt32(depth)) : nil
  }

  deinit {
    if let ring = unsafe ring { unsafe sediment_ring_close(ring) }
  }

  /// Whether the system gave a ring.
  package var hasRing: Bool { unsafe ring != nil }

  /// Reads all requests, and leaves in each its outcome.
  ///
  /// It costs least when requests of one file stand together, in the order of their offsets. Files
  /// that are not the system's own, as in tests, are read one request after the other.
  ///
  /// - Parameters:
  ///   - requests: their destinations must not overlap.
  ///   - files: what the requests name by its place.
  ///   - completed: called once for each request with its place, in any order, when its outcome is
  ///     known and others may still be under way. It must not change requests or use this reader.
  package func read(
    _ requests: UnsafeMutableBufferPointer<ReadRequest>, of files: [any File],
    completed: (Int) -> Void = { _ in }
  ) {
    unsafe beginUse(requests, of: files, completed)
    if let ring = unsafe ring {
      unsafe read(requests, through: ring, completed)
    } else {
      unsafe readInOrder(requests, completed)
    }
    unsafe endUse(requests, of: files)
  }

  // MARK: - Files

  /// Takes hold of the files' numbers; answers at once what the system is not to be asked.
  private func beginUse(
    _ requests: UnsafeMutableBufferPointer<ReadRequest>, of files: [any File],
    _ completed: (Int) -> Void
  ) {
    var start = 0
    while start < requests.count {
      let end = unsafe Self.endOfFile(requests, from: start)
      let file = unsafe files[requests[start].file]
      let system = file as? PosixFile
      // The first request of those of a file holds its number for all of them.
      let number = system?.descriptor.begin()
      for index in start..<end {
        unsafe requests[index].descriptor = number ?? -1
        unsafe requests[index].outcome =
          system == nil
          ? Self.read(requests[index], of: file)
          : Self.check(requests[index])
        if unsafe requests[index].outcome != .pending { completed(index) }
      }
      start = end
    }
  }

  /// Lets go of what `beginUse` took.
  private func endUse(
    _ requests: UnsafeMutableBufferPointer<ReadRequest>, of files: [any File]
  ) {
    var start = 0
    while start < requests.count {
      if unsafe requests[start].descriptor >= 0 {
        unsafe (files[requests[start].file] as? PosixFile)?.descriptor.end()
      }
      start = unsafe Self.endOfFile(requests, from: start)
    }
  }

  /// The end of the requests from `start` on that are of one file.
  private static func endOfFile(
    _ requests: UnsafeMutableBufferPointer<ReadRequest>, from start: Int
  ) -> Int {
    var end = start + 1
    while end < requests.count, unsafe requests[end].file == requests[start].file { end += 1 }
    return end
  }

  /// Whether the system is to be asked for a request: `.pending`, or the answer without asking.
  private static func check(_ request: ReadRequest) -> ReadRequest.Outcome {
    if request.descriptor < 0 { return .failed(.closed, systemError: 0) }
    if unsafe PosixFile.isInRange(request.offset, count: request.destination.count) {
      return .pending
    }
    return .failed(FileError.Code(systemError: EFBIG), systemError: EFBIG)
  }

  /// Reads a request of a file that the system does not know.
  private static func read(_ request: ReadRequest, of file: any File) -> ReadRequest.Outcome {
    do throws(FileError) {
      return .read(try unsafe file.read(into: request.destination, at: request.offset))
    } catch {
      return .failed(error.code, systemError: error.systemError)
    }
  }

  // MARK: - The ring

  private func read(
    _ requests: UnsafeMutableBufferPointer<ReadRequest>, through ring: OpaquePointer,
    _ completed: (Int) -> Void
  ) {
    let refill = max(1, depth / 4)
    var next = 0
    var underWay = 0
    while true {
      while next < requests.count, underWay < depth {
        if unsafe requests[next].outcome == .pending {
          unsafe Self.queue(requests[next], tag: next, on: ring)
          underWay += 1
        }
        next += 1
      }
      if underWay == 0 { return }
      let systemError = unsafe sediment_ring_submit(ring, UInt32(min(underWay, refill)))
      var tag: UInt64 = 0
      if systemError != 0 && systemError != EINTR {
        // The system is short of memory or of places: what it did not take is read the plain way.
        while unsafe sediment_ring_withdraw(ring, &tag) != 0 {
          underWay -= 1
          unsafe finish(requests, Int(tag), done: 0, completed)
        }
      }
      var result: Int32 = 0
      while unsafe sediment_ring_take(ring, &tag, &result) != 0 {
        underWay -= 1
        unsafe finish(requests, Int(tag), done: max(0, Int(result)), completed)
      }
    }
  }

  private static func queue(_ request: ReadRequest, tag: Int, on ring: OpaquePointer) {
    // The ring counts in 32 bits; what is left of a larger part is read when that much was.
    let count = unsafe UInt32(min(request.destination.count, 1 << 30))
    unsafe sediment_ring_queue(
      ring, request.descriptor, request.offset, request.destination.baseAddress, count,
      UInt64(tag))
  }

  // MARK: - Without a ring

  private func readInOrder(
    _ requests: UnsafeMutableBufferPointer<ReadRequest>, _ completed: (Int) -> Void
  ) {
    var begun = 0
    for index in requests.indices {
      while begun < requests.count, begun - index < depth {
        if unsafe requests[begun].outcome == .pending {
          unsafe begin(requests, begun, completed)
        }
        begun += 1
      }
      if unsafe requests[index].outcome == .pending {
        unsafe finish(requests, index, done: 0, completed)
      }
    }
  }

  /// Reads a request that is in the page cache; has the device begin with any other.
  private func begin(
    _ requests: UnsafeMutableBufferPointer<ReadRequest>, _ index: Int, _ completed: (Int) -> Void
  ) {
    let request = unsafe requests[index]
    let destination = unsafe request.destination
    let count = unsafe sediment_read_or_begin(
      request.descriptor, destination.baseAddress, Int64(destination.count),
      Int64(request.offset))
    if count == destination.count {
      unsafe finish(requests, index, done: destination.count, completed)
    }
  }

  // MARK: - Both ways

  /// Reads what is missing behind the first `done` bytes of a request, if any is, and settles it.
  private func finish(
    _ requests: UnsafeMutableBufferPointer<ReadRequest>, _ index: Int, done: Int,
    _ completed: (Int) -> Void
  ) {
    let request = unsafe requests[index]
    let (count, systemError) = unsafe PosixFile.read(
      request.descriptor, into: request.destination, at: request.offset, done: done)
    unsafe requests[index].outcome =
      systemError == 0
      ? .read(count)
      : .failed(FileError.Code(systemError: systemError), systemError: systemError)
    completed(index)
  }
}
