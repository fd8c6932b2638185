// The dot file that says whose an output directory is.
//
// Two lines of text: `sediment output 1` and `<job id> <output id>`. It is written under a
// temporary name, synchronised and renamed before the first part is, so that a directory with parts
// and without it is someone else's.

internal import SedimentIO

/// Whose a directory is: the job, and a random number that tells it from the job's other outputs.
struct OutputOwner: Equatable {
  static let fileName = ".sediment"
  private static let temporaryName = ".sediment.tmp"
  private static let firstLine = "sediment output 1"
  private static let bytesMax = 512

  var jobID: String
  var outputID: UInt64

  /// Whether a crash while an owner was written may have left this name.
  static func isTemporary(_ name: String) -> Bool {
    name == temporaryName
      || (name.hasPrefix(fileName + ".a") && name.hasSuffix(".tmp")
        && UInt64(name.dropFirst(fileName.utf8.count + 2).dropLast(4)) != nil)
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

  /// Makes `directory` this owner's, durably.
  func write(in directory: any Directory) throws(SinkError) {
    let text = "\(Self.firstLine)\n\(jobID) \(String(outputID, radix: 16))\n"
    try reachingFiles { () throws(FileError) in
      if try directory.metadata(of: Self.temporaryName) != nil {
        try directory.remove(Self.temporaryName)
      }
      let file = try directory.openFile(Self.temporaryName, .create)
      try file.write(Array(text.utf8))
      try file.synchronize()
      file.close()
      try directory.rename(Self.temporaryName, to: Self.fileName, replacing: false)
      try directory.synchronize()
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
