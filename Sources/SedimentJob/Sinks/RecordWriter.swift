// A file that grows at its end, one gathered write after another.
//
// Records that lie side by side in the batch are one range; long ranges go to the file from where
// they are, short ones through a buffer. Nothing is allocated per record or per batch.
//
// Output is not read again by the job, and there may be more of it than memory. What was written
// goes to the disk at once, and some way behind the end the system is told to drop it: the pages it
// frees take what follows, synchronising finds little left to do, and the system's memory stays
// with those who read. ARCHITECTURE.md §4.1 has the figures.

internal import SedimentIO

/// Appends to one file at a time through a buffer that outlives the files. Not thread-safe.
@safe final class RecordWriter {
  /// Short ranges are gathered into writes of this many bytes.
  static let bufferBytes = 1 << 20
  /// From here on a copy costs more than a system call.
  static let directBytesMin = 1 << 17

  private static let pageBytes: UInt64 = 4096
  /// How far behind the end of the file its pages are dropped: enough for the disk to be busy.
  private static let keptBytes: UInt64 = 16 << 20
  /// Bytes between two times of telling.
  private static let dropStep: UInt64 = 4 << 20
  /// Bytes that are named each time: what the disk had not written yet at one is gone at a later.
  private static let dropBytes: UInt64 = 64 << 20

  private let buffer: UnsafeMutableRawBufferPointer
  private var buffered = 0
  private var file: (any File)?
  private var fileBytes: UInt64 = 0
  /// Where the part begins that the system has not been told to drop.
  private var keptFrom: UInt64 = 0
  /// Where the file was opened at.
  private var start: UInt64 = 0

  init() {
    unsafe buffer = .allocate(byteCount: Self.bufferBytes, alignment: 4096)
  }

  deinit {
    unsafe buffer.deallocate()
  }

  /// Whether a file is being written.
  var isOpen: Bool { file != nil }
  /// How long the file is, with what is still in the buffer.
  var bytes: UInt64 { fileBytes + UInt64(buffered) }

  /// Goes on with `file` from `bytes`; what was in the buffer is dropped.
  func open(_ file: any File, at bytes: UInt64) {
    self.file = file
    fileBytes = bytes
    (keptFrom, start) = (bytes, bytes)
    buffered = 0
  }

  /// Forgets the file and what has not reached it.
  func discard() {
    file = nil
    buffered = 0
    fileBytes = 0
    (keptFrom, start) = (0, 0)
  }

  /// Writes out the buffer and hands the file over; `nil` when there is none.
  func finish() throws(FileError) -> (file: any File, bytes: UInt64)? {
    try flush()
    guard let file else { return nil }
    let bytes = fileBytes
    discard()
    return (file, bytes)
  }

  /// Writes out the buffer.
  func flush() throws(FileError) {
    try writeBuffered(buffered)
  }

  /// Writes out the buffer but for what would share a page with bytes to come: a page that is on
  /// its way to the disk would make whoever appends to it wait until it is there.
  private func flushPages() throws(FileError) {
    let beyond = Int(truncatingIfNeeded: bytes % Self.pageBytes)
    try writeBuffered(max(buffered - beyond, 0))
  }

  /// Writes out the first bytes of the buffer; the others become its first.
  private func writeBuffered(_ count: Int) throws(FileError) {
    guard let file, count > 0, let start = unsafe buffer.baseAddress else { return }
    // SAFETY: `count` is at most `buffered`, which never exceeds the buffer.
    try unsafe write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), to: file)
    unsafe start.copyMemory(from: start + count, byteCount: buffered - count)
    buffered -= count
  }

  private func write(_ bytes: UnsafeRawBufferPointer, to file: any File) throws(FileError) {
    try unsafe file.write(bytes, at: fileBytes)
    file.startWriteback(at: fileBytes, count: bytes.count)
    fileBytes += UInt64(bytes.count)
    guard fileBytes - keptFrom >= Self.keptBytes + Self.dropStep else { return }
    keptFrom = fileBytes - Self.keptBytes
    let from = max(start, keptFrom - min(keptFrom, Self.dropBytes))
    file.dropCached(at: from, count: Int(keptFrom - from))
  }

  /// The open file, for its metadata and synchronisation.
  var current: (any File)? { file }

  /// Appends a few bytes of our own.
  func append(_ bytes: [UInt8]) throws(FileError) {
    try unsafe bytes.span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe append(bytes)
    }
  }

  /// Appends `bytes`.
  func append(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    var rest = unsafe bytes
    if rest.count >= Self.directBytesMin {
      // The pages that it fills go to the file from where they are.
      let head = Int(truncatingIfNeeded: self.bytes % Self.pageBytes)
      unsafe rest = try copy(rest, count: head == 0 ? 0 : Int(Self.pageBytes) - head)
      try flush()
      guard let file else { return }
      let whole = rest.count / Int(Self.pageBytes) * Int(Self.pageBytes)
      try unsafe write(UnsafeRawBufferPointer(rebasing: rest[..<whole]), to: file)
      unsafe rest = UnsafeRawBufferPointer(rebasing: rest[whole...])
    }
    while rest.count > 0 {
      if buffered == Self.bufferBytes { try flushPages() }
      unsafe rest = try copy(rest, count: min(rest.count, Self.bufferBytes - buffered))
    }
  }

  /// Copies the first bytes of `bytes` into the buffer; returns the others.
  private func copy(
    _ bytes: UnsafeRawBufferPointer, count: Int
  ) throws(FileError) -> UnsafeRawBufferPointer {
    if count > Self.bufferBytes - buffered { try flushPages() }
    // SAFETY: slices are checked, and less than a page is left in the buffer by `flushPages`.
    let room = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[buffered...])
    unsafe room.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    buffered += count
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[count...])
  }
}

/// Walks the records of a batch as runs that lie side by side.
@safe struct RecordRuns {
  private let buffer: UnsafeRawBufferPointer
  private let records: UnsafeBufferPointer<RecordRange>
  private(set) var index = 0

  init(_ buffer: UnsafeRawBufferPointer, _ records: UnsafeBufferPointer<RecordRange>) {
    unsafe self.buffer = buffer
    unsafe self.records = records
  }

  /// The next run of whole records, `nil` at the end. It is no longer than `room` unless its first
  /// record alone is; empty when that does not fit and `isFirstForced` is false.
  mutating func next(room: UInt64, isFirstForced: Bool) -> UnsafeRawBufferPointer? {
    guard unsafe index < records.count else { return nil }
    let first = unsafe records[index]
    let start = first.offset
    var end = start
    while unsafe index < records.count {
      let record = unsafe records[index]
      let length = record.offset &- start &+ record.length
      let fits = UInt64(truncatingIfNeeded: length) <= room
      guard record.offset == end, fits || (isFirstForced && end == start) else { break }
      end = record.offset &+ record.length
      index &+= 1
    }
    // SAFETY: `rebasing` of a checked slice: a range outside the batch's buffer is a caller's bug
    // and stops here.
    return unsafe UnsafeRawBufferPointer(rebasing: buffer[start..<end])
  }
}
