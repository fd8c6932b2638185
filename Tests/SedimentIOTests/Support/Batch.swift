import SedimentIO

/// Requests and the memory they read into, one part behind the other.
@safe final class Batch {
  let requests: UnsafeMutableBufferPointer<ReadRequest>
  private let memory: UnsafeMutableRawBufferPointer

  /// Requests of these files, offsets and sizes.
  init(_ parts: [(file: Int, offset: UInt64, count: Int)]) {
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: parts.reduce(0) { $0 + $1.count }, alignment: 4096)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0xEE)
    unsafe self.memory = memory
    unsafe requests = .allocate(capacity: parts.count)
    var start = 0
    for (index, part) in parts.enumerated() {
      let destination = unsafe UnsafeMutableRawBufferPointer(
        rebasing: memory[start..<(start + part.count)])
      unsafe requests.initializeElement(
        at: index,
        to: ReadRequest(file: part.file, offset: part.offset, destination: destination))
      start += part.count
    }
  }

  deinit {
    unsafe requests.deallocate()
    unsafe memory.deallocate()
  }

  /// Reads all and returns the places of requests in the order in which they were completed.
  @discardableResult
  func read(by reader: BatchReader, of files: [any File]) -> [Int] {
    var order: [Int] = []
    unsafe reader.read(requests, of: files) { order.append($0) }
    return order
  }

  /// The bytes that a request read, or its error.
  func bytes(_ index: Int, of files: [any File]) throws(FileError) -> [UInt8] {
    let count = try unsafe requests[index].byteCount(of: files)
    return unsafe Array(requests[index].destination[..<count])
  }
}
