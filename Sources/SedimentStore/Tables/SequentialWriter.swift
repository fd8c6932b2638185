internal import SedimentIO

/// A file written from its beginning in large pieces, through one buffer allocated up front.
@safe
struct SequentialWriter: ~Copyable {
  /// One write's worth: large enough that the cost of a call vanishes beside the transfer.
  static let bufferBytes = 1 << 20
  /// A column's last store may reach this far past its page.
  private static let slackBytes = 64

  let file: any File
  /// Bytes appended so far, written or not.
  private(set) var offset: UInt64 = 0
  private var buffer: UnsafeMutableRawPointer
  private var capacity: Int
  private var fill = 0

  init(_ file: any File) {
    self.file = file
    capacity = Self.bufferBytes
    unsafe buffer = Self.allocate(capacity)
  }

  deinit { unsafe buffer.deallocate() }

  private static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
    .allocate(byteCount: bytes + slackBytes, alignment: TableFormat.unitBytes)
  }

  /// Room for the next `bytes` bytes, to be filled in full before `commit(bytes)`.
  ///
  /// The room may be written `slackBytes` past its end; what follows overwrites it. It holds
  /// arbitrary bytes at first.
  mutating func reserve(_ bytes: Int) throws(FileError) -> UnsafeMutableRawPointer {
    if fill + bytes > capacity {
      try flush()
      if bytes > capacity {
        unsafe buffer.deallocate()
        capacity = bytes
        unsafe buffer = Self.allocate(capacity)
      }
    }
    return unsafe buffer + fill
  }

  /// Appends what was put into the room last reserved.
  mutating func commit(_ bytes: Int) {
    fill += bytes
    offset += UInt64(bytes)
  }

  /// Appends a copy of `bytes`.
  mutating func append(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    let room = try unsafe UnsafeMutableRawBufferPointer(
      start: reserve(bytes.count), count: bytes.count)
    unsafe room.copyMemory(from: bytes)
    commit(bytes.count)
  }

  /// Appends zeros up to the next multiple of `alignment`.
  mutating func pad(to alignment: UInt64) throws(FileError) {
    let bytes = Int((alignment - offset % alignment) % alignment)
    if bytes == 0 { return }
    unsafe try reserve(bytes).initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    commit(bytes)
  }

  /// Hands everything appended to the file.
  mutating func flush() throws(FileError) {
    if fill == 0 { return }
    try unsafe file.write(
      UnsafeRawBufferPointer(start: buffer, count: fill), at: offset - UInt64(fill))
    // The disk works along, instead of all at once when the file is synchronised.
    file.startWriteback(at: offset - UInt64(fill), count: fill)
    fill = 0
  }
}
