internal import SedimentIO

/// A page that may answer a record.
struct PageRead {
  /// The page, and where in it the record's entry would be.
  var place: PagePlace
  /// The record's position in the chunk.
  var position: UInt32
}

/// Arrays that deciding or looking up a chunk of a batch takes: taken once, reused for ever.
///
/// A *position* is a record's place in the chunk, 0 to `chunkRecords` − 1; records are in the order
/// of their hashes.
@safe
struct ShardScratch {
  /// Records decided together: enough to hide memory latency, few enough for the L2 cache.
  static let chunkRecords = 2048

  let hashes: UnsafeMutablePointer<KeyHash>
  /// The record's index in the batch.
  let records: UnsafeMutablePointer<UInt32>
  let slots: UnsafeMutablePointer<UInt32>
  let expired: UnsafeMutablePointer<UInt32>
  /// Times of entries found.
  let found: UnsafeMutablePointer<Int64>
  /// `Outcome` of each position.
  let outcomes: UnsafeMutablePointer<UInt8>
  /// Positions that no memtable answered, and those still open.
  let pending: UnsafeMutablePointer<UInt32>
  let open: UnsafeMutablePointer<UInt32>
  let survivors: UnsafeMutablePointer<UInt32>
  /// Pages to read, and for whom.
  let reads: UnsafeMutablePointer<PageRead>
  let followers: UnsafeMutablePointer<UInt32>
  /// Positions for which there was no room.
  let left: UnsafeMutablePointer<UInt32>

  enum Outcome {
    static let open: UInt8 = 0
    static let duplicate: UInt8 = 1
    /// Something hides all that is older, or nothing older was found.
    static let new: UInt8 = 2
  }

  static var byteCount: Int {
    chunkRecords * (16 + 4 + 4 + 4 + 8 + 1 + 4 + 4 + 4 + 16 + 4 + 4)
  }

  /// - Parameter base: `byteCount` bytes at a page boundary.
  init(base: UnsafeMutableRawPointer) {
    let count = Self.chunkRecords
    var next = unsafe base
    func take<Element>(_ type: Element.Type) -> UnsafeMutablePointer<Element> {
      let array = unsafe next.bindMemory(to: type, capacity: count)
      unsafe next += count * MemoryLayout<Element>.stride
      return unsafe array
    }
    unsafe hashes = take(KeyHash.self)
    unsafe found = take(Int64.self)
    unsafe reads = take(PageRead.self)
    unsafe records = take(UInt32.self)
    unsafe slots = take(UInt32.self)
    unsafe expired = take(UInt32.self)
    unsafe pending = take(UInt32.self)
    unsafe open = take(UInt32.self)
    unsafe survivors = take(UInt32.self)
    unsafe followers = take(UInt32.self)
    unsafe left = take(UInt32.self)
    unsafe outcomes = take(UInt8.self)
  }
}
