// The dot file that says whose an output directory is.
//
// Two lines of text: `sediment output 1` and `<job id> <output id>`. It is written under a
// temporary name, synchronised and renamed before the first part is, so that a directory with parts
// and without it is someone else's. Instances may do so at once, each under a name of its own: the
// first rename counts, for it replaces nothing (but on a mount of HDFS: `ExclusiveRename`).

internal import SedimentIO

/// Whose a directory is: the job, and a random number that tells it from the job's other outputs.
struct OutputOwner: Equatable {
  static let fileName = ".sediment"
  private static let firstLine = "sediment output 1"
  private static let bytesMax = 512

  var jobID: String
  var outputID: UInt64

  private var temporaryName: String { "\(Self.fileName)-\(String(outputID, radix: 16)).tmp" }

  /// Whether a crash while an owner was written may have left this name: by its own or by an older
  /// version, and with the number of the try of a file system that writes a file under several.
  static func isTemporary(_ name: String) -> Bool {
    guard name.hasPrefix(fileName), name.hasSuffix(".tmp") else { return false }
    let words = name.dropFirst(fileName.utf8.count).dropLast(".tmp".utf8.count)
      .split(separator: ".", omittingEmptySubsequences: false)
    let (id, numberOfTry) = (words[0], words.dropFirst().first ?? "a0")
    return words.count <= 2
      && (id.isEmpty || id.hasPrefix("-") && UInt64(id.dropFirst(), radix: 16) != nil)
      && numberOfTry.hasPrefix("a") && UInt64(numberOfTry.dropFirst()) != nil
  }

  /// Reads the owner of `directory`; `nil` when nothing says.
  static func read(in directory: any Directory) throws(SinkError) -> OutputOwner? {
    let name = fileName
    guard
      let metadata = try reachingFiles({ () throws(FileError) in
        try directory.metadata(of: name)
      })
    else { return nil }
    let damaged = SinkError.damagedOwner(path: directory.path + "/" + name)
    guard metadata.kind == .file, metadata.size <= UInt64(bytesMax) else { throw damaged }
    let bytes = try reachingFiles { () throws(FileError) in
      try directory.openFile(name, .read).contents(bytesMax: bytesMax)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw damaged }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count == 3, lines[0] == firstLine, lines[2].isEmpty else { throw damaged }
    let words = lines[1].split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 2, !words[0].isEmpty, let outputID = UInt64(words[1], radix: 16) else {
      throw damaged
    }
    return OutputOwner(jobID: String(words[0]), outputID: outputID)
  }

  /// Makes `directory` this owner's, durably, unless it has become another one's meanwhile.
  ///
  /// - Returns: whose it is now.
  func claim(_ directory: any Directory) throws(SinkError) -> OutputOwner {
    do throws(FileError) {
      try write(in: directory)
      return self
    } catch {
      // Was another instance faster? It may have removed our temporary, too.
      guard error.code == .exists || error.code == .notFound,
        let owner = try Self.read(in: directory)
      else { throw .file(error) }
      try reachingFiles { () throws(FileError) in
        _ = try directory.removeIfThere(temporaryName)
        try directory.synchronize()
      }
      return owner
    }
  }

  private func write(in directory: any Directory) throws(FileError) {
    let text = "\(Self.firstLine)\n\(jobID) \(String(outputID, radix: 16))\n"
    let file = try directory.openFile(temporaryName, .create)
    try file.write(Array(text.utf8))
    try file.synchronize()
    file.close()
    try directory.rename(temporaryName, to: Self.fileName, replacing: false)
    try directory.synchronize()
  }
}

extension Directory {
  /// Removes a file that another instance may remove at the same time.
  ///
  /// - Returns: whether it was there.
  func removeIfThere(_ name: String) throws(FileError) -> Bool {
    do throws(FileError) {
      try remove(name)
      return true
    } catch {
      guard error.code == .notFound else { throw error }
      return false
    }
  }
}

extension File {
  /// The first `bytesMax` bytes.
  fileprivate func contents(bytesMax: Int) throws(FileError) -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytesMax, alignment: 16)
    defer { unsafe buffer.deallocate() }
    let count = try unsafe read(into: buffer, at: 0)
    return unsafe Array(buffer[..<count])
  }

  /// Writes `bytes` at the beginning.
  fileprivate func write(_ bytes: [UInt8]) throws(FileError) {
    try unsafe bytes.span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe write(bytes, at: 0)
    }
  }
}
