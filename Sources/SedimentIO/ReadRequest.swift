/// A part of a file to be read together with others, and what came of it. Nothing in it is counted,
/// so that a batch of them is copied and overwritten as bytes are.
@safe
package struct ReadRequest {
  /// What came of a read.
  package enum Outcome: Sendable, Equatable {
    /// Not read yet.
    case pending
    /// The bytes read: fewer than asked only at the end of the file.
    case read(Int)
    /// Failed; the destination may hold anything.
    case failed(FileError.Code, systemError: Int32)
  }

  /// The file's place among the files of the batch.
  package var file: Int
  /// Where the part begins in the file.
  package var offset: UInt64
  /// Where the bytes go, as many as fit. Nobody else may touch it until the batch has been read, or
  /// until it was told that this request is.
  package var destination: UnsafeMutableRawBufferPointer
  /// What came of it.
  package internal(set) var outcome: Outcome = .pending
  /// The file's number while the batch is read; -1 when the system does not know the file.
  var descriptor: Int32 = -1

  /// A part that is not read yet.
  package init(file: Int, offset: UInt64, destination: UnsafeMutableRawBufferPointer) {
    self.file = file
    self.offset = offset
    unsafe self.destination = destination
  }

  /// The bytes read, fewer than asked only at the end of the file.
  ///
  /// - Parameter files: those of the batch, for the error's path.
  /// - Throws: the error that reading this part alone would have thrown.
  package func byteCount(of files: [any File]) throws(FileError) -> Int {
    switch outcome {
    case .pending: preconditionFailure("a request's outcome is known when its batch was read")
    case .read(let count): return count
    case .failed(let code, let systemError):
      throw FileError(
        code: code, operation: "read", path: files[file].path, systemError: systemError)
    }
  }
}
