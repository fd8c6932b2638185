package import SedimentIO

extension File {
  /// Fills `bytes` from `offset`; returns fewer than asked only at the end of the file.
  package func read(into bytes: inout [UInt8], at offset: UInt64) throws(FileError) -> Int {
    let answer = unsafe bytes.withUnsafeMutableBytes { buffer -> Result<Int, FileError> in
      do throws(FileError) {
        return .success(try unsafe read(into: buffer, at: offset))
      } catch {
        return .failure(error)
      }
    }
    return try answer.get()
  }

  /// Writes all of `bytes` at `offset`, or throws.
  package func write(_ bytes: [UInt8], at offset: UInt64) throws(FileError) {
    let answer = unsafe bytes.withUnsafeBytes { buffer -> Result<Void, FileError> in
      do throws(FileError) {
        return .success(try unsafe write(buffer, at: offset))
      } catch {
        return .failure(error)
      }
    }
    try answer.get()
  }
}
