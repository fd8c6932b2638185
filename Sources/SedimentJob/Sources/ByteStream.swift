package import SedimentIO

/// Bytes that are read once, from first to last.
package protocol ByteStream: AnyObject {
  /// Reads at least one byte into `buffer`, which is not empty; 0 when there are none (any more, or
  /// yet: a growing file may have more at the next call).
  func read(into buffer: UnsafeMutableRawBufferPointer) throws(SourceError) -> Int
  /// Passes over `count` bytes; false when there are not as many.
  func skip(_ count: UInt64) throws(SourceError) -> Bool
}

extension ByteStream {
  /// Reads and drops: for streams that cannot seek.
  package func skip(_ count: UInt64) throws(SourceError) -> Bool {
    var left = count
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { unsafe scratch.deallocate() }
    while left > 0 {
      let wanted = Int(min(left, UInt64(scratch.count)))
      let read = try unsafe read(into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<wanted]))
      if read == 0 { return false }
      left -= UInt64(read)
    }
    return true
  }
}

/// A file from an offset on.
package final class FileStream: ByteStream {
  private let file: any File
  private var offset: UInt64 = 0

  package init(_ file: any File) {
    self.file = file
  }

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SourceError) -> Int {
    do {
      let read = try unsafe file.read(into: buffer, at: offset)
      offset += UInt64(read)
      return read
    } catch {
      throw .unreadable(error)
    }
  }

  package func skip(_ count: UInt64) throws(SourceError) -> Bool {
    do {
      guard try file.size() >= offset + count else { return false }
      offset += count
      return true
    } catch {
      throw .unreadable(error)
    }
  }
}

/// A stream whose bytes a function gives: standard input, or a test.
@safe
package final class FunctionStream: ByteStream {
  private let body: (UnsafeMutableRawBufferPointer) throws(FileError) -> Int

  package init(_ body: @escaping (UnsafeMutableRawBufferPointer) throws(FileError) -> Int) {
    unsafe self.body = unsafe body
  }

  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SourceError) -> Int {
    do {
      return try unsafe body(buffer)
    } catch {
      throw .unreadable(error)
    }
  }
}
