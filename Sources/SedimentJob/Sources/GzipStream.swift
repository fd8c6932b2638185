// Gzip data as it is decompressed. A file may be several members one behind the other, and may be
// padded with zeros. What comes out is bounded by the buffer it goes into, whatever the data claim.

import CZlib

/// Decompresses another stream.
@safe
package final class GzipStream: ByteStream {
  private enum Phase {
    /// Before a member, or behind the last.
    case between
    case inMember
    /// Zeros behind the last member.
    case inPadding
  }

  private let source: any ByteStream
  private let path: String
  private var state: UnsafeMutablePointer<z_stream>
  private let input: UnsafeMutableRawBufferPointer
  private var phase = Phase.between
  private var members = 0
  /// Compressed bytes taken from the source.
  private var taken: UInt64 = 0

  /// `path` is for messages.
  package init(_ source: any ByteStream, path: String) throws(SourceError) {
    self.source = source
    self.path = path
    unsafe input = .allocate(byteCount: 131_072, alignment: 16)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: z_stream())
    // 15 bits of window, and 16 for a gzip header.
    let code = unsafe inflateInit2_(
      state, 15 + 16, zlibVersion(), Int32(MemoryLayout<z_stream>.size))
    guard code == Z_OK else {
      unsafe state.deallocate()
      unsafe input.deallocate()
      throw .outOfMemory(path: path)
    }
  }

  deinit {
    unsafe inflateEnd(state)
    unsafe state.deallocate()
    unsafe input.deallocate()
  }

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SourceError) -> Int {
    let room = min(buffer.count, 1 << 30)
    unsafe state.pointee.next_out = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe state.pointee.avail_out = UInt32(room)
    while unsafe state.pointee.avail_out == UInt32(room) {
      if unsafe state.pointee.avail_in == 0, try !refill() {
        if phase == .inMember || members == 0 { throw .truncatedGzip(path: path) }
        return 0
      }
      try advance()
    }
    return unsafe room - Int(state.pointee.avail_out)
  }

  /// Takes more compressed bytes; false at the end.
  private func refill() throws(SourceError) -> Bool {
    let count = try unsafe source.read(into: input)
    unsafe state.pointee.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe state.pointee.avail_in = UInt32(count)
    taken += UInt64(count)
    return count > 0
  }

  /// One step with compressed bytes at hand.
  private func advance() throws(SourceError) {
    switch phase {
    case .between:
      if unsafe members > 0 && state.pointee.next_in.pointee == 0 {
        phase = .inPadding
      } else {
        guard unsafe inflateReset(state) == Z_OK else { throw .outOfMemory(path: path) }
        phase = .inMember
      }
    case .inPadding:
      while unsafe state.pointee.avail_in > 0 {
        guard unsafe state.pointee.next_in.pointee == 0 else {
          throw damage("something follows the padding")
        }
        unsafe state.pointee.next_in += 1
        unsafe state.pointee.avail_in -= 1
      }
    case .inMember:
      switch unsafe inflate(state, Z_NO_FLUSH) {
      case Z_OK, Z_BUF_ERROR: break
      case Z_STREAM_END:
        members += 1
        phase = .between
      case Z_MEM_ERROR: throw .outOfMemory(path: path)
      default: throw unsafe damage(state.pointee.msg.map { unsafe String(cString: $0) })
      }
    }
  }

  private func damage(_ reason: String?) -> SourceError {
    let offset = unsafe taken - UInt64(state.pointee.avail_in)
    return .damagedGzip(path: path, offset: offset, reason: reason ?? "it is no gzip data")
  }
}
