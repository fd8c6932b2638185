// Events as text, straight into a caller's memory.
//
// Every line is put together with whole-word stores and no allocation; the longest possible line is
// a constant, so that one comparison a line keeps the writer inside the buffer.

/// The shapes an event can be written in.
public enum WorkloadFormat: String, Sendable, CaseIterable {
  /// `{"adserver_id":4711,"event_timestamp":1700000000123,"request_id":"…","payload":"…"}`
  case ndjson
  /// A header, then the four fields separated by commas; none of them needs quotes.
  case csv
  /// The four fields separated by spaces.
  case lines

  /// What stands before the first event.
  public var header: StaticString {
    switch self {
    case .csv: "adserver_id,event_timestamp,request_id,payload\n"
    case .ndjson, .lines: ""
    }
  }

  /// What stands before each of the four fields, and after the last one.
  fileprivate var frame: WorkloadFrame {
    switch self {
    case .ndjson:
      WorkloadFrame(
        "{\"adserver_id\":", ",\"event_timestamp\":", ",\"request_id\":\"", "\",\"payload\":\"",
        "\"}\n")
    case .csv: WorkloadFrame("", ",", ",", ",", "\n")
    case .lines: WorkloadFrame("", " ", " ", " ", "\n")
    }
  }
}

/// The constant text around the fields of a line.
private struct WorkloadFrame {
  let beforeAdserver: StaticString
  let beforeTimestamp: StaticString
  let beforeRequest: StaticString
  let beforePayload: StaticString
  let end: StaticString

  init(
    _ beforeAdserver: StaticString, _ beforeTimestamp: StaticString, _ beforeRequest: StaticString,
    _ beforePayload: StaticString, _ end: StaticString
  ) {
    self.beforeAdserver = beforeAdserver
    self.beforeTimestamp = beforeTimestamp
    self.beforeRequest = beforeRequest
    self.beforePayload = beforePayload
    self.end = end
  }
}

/// Writes the events of a workload in order, a buffer at a time, and counts distinct ids.
///
/// Memory: up to two bits an event, taken as the run goes on. Not thread-safe.
public struct WorkloadGenerator {
  /// No line, header included, is longer: 64 bytes of frame, two decimal numbers of up to 20
  /// digits, 16 digits and the payload make 207.
  public static let lineBytesMax = 256
  /// The words a payload is made of, eight bytes each with the space that follows.
  ///
  /// A payload is eleven words chosen by the lowest 44 bits of its field, four bits a word from the
  /// lowest up, without the last space: 87 characters, so that a line has about 185 bytes.
  public static let payloadWords: StaticString = """
    account auction bidding browser channel clicked content display \
    firefox keyword landing network premium revenue segment traffic\u{20}
    """
  fileprivate static let payloadWordCount = 11

  /// Which id each event has.
  public let workload: Workload
  /// How lines look.
  public let format: WorkloadFormat
  /// How many events there are in all.
  public let events: UInt64
  /// How many of them have been written.
  public private(set) var eventsWritten: UInt64 = 0
  /// How many different ids they had.
  public private(set) var distinctIDs: UInt64 = 0
  private var isHeaderWritten = false
  private var seen = SeenIDs()

  /// A generator of `events` events.
  public init(events: UInt64, workload: Workload = Workload(), format: WorkloadFormat = .ndjson) {
    self.events = events
    self.workload = workload
    self.format = format
  }

  /// Fills `buffer` with as many whole lines as fit and returns their bytes; 0 at the end.
  ///
  /// The buffer holds at least `lineBytesMax` bytes.
  public mutating func write(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    precondition(buffer.count >= Self.lineBytesMax, "the buffer cannot hold a line")
    guard let start = buffer.baseAddress else { return 0 }
    // SAFETY: a line begins only where lineBytesMax bytes are left, and none is longer.
    var cursor = unsafe LineCursor(at: start)
    let lastStart = unsafe start + (buffer.count - Self.lineBytesMax)
    if !isHeaderWritten {
      isHeaderWritten = true
      cursor.put(format.header)
    }
    let frame = format.frame
    let workload = workload
    let events = events
    var index = eventsWritten
    var distinct = distinctIDs
    while index < events, unsafe cursor.next <= lastStart {
      let id = workload.id(ofEvent: index)
      distinct &+= seen.insert(id)
      cursor.put(Workload.Fields(id: id), in: frame)
      index &+= 1
    }
    eventsWritten = index
    distinctIDs = distinct
    return unsafe cursor.next - start
  }
}

/// The next free byte of a line that is being written. Safe where a whole line fits, which the
/// generator checks before each one.
@safe private struct LineCursor {
  var next: UnsafeMutableRawPointer

  init(at start: UnsafeMutableRawPointer) {
    unsafe next = start
  }

  @inline(__always)
  mutating func put(_ text: StaticString) {
    // SAFETY: the caller has left room for a whole line, the frame included.
    unsafe next.copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
    unsafe next += text.utf8CodeUnitCount
  }

  @inline(__always)
  mutating func put(_ fields: Workload.Fields, in frame: WorkloadFrame) {
    put(frame.beforeAdserver)
    putDecimal(fields.adserverID)
    put(frame.beforeTimestamp)
    putDecimal(fields.eventTimestamp)
    put(frame.beforeRequest)
    putHexadecimal(UInt32(truncatingIfNeeded: fields.requestID &>> 32))
    putHexadecimal(UInt32(truncatingIfNeeded: fields.requestID))
    put(frame.beforePayload)
    putWords(fields.payload)
    put(frame.end)
  }

  /// `value` without leading zeros.
  @inline(__always)
  private mutating func putDecimal(_ value: UInt64) {
    var digits = 1
    var bound: UInt64 = 10
    while digits < 20, value >= bound {
      digits &+= 1
      bound = bound &* 10
    }
    var rest = value
    var place = digits
    while place > 0 {
      place &-= 1
      let digit = UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
      // SAFETY: at most 20 digits, inside the line the caller has left room for.
      unsafe next.storeBytes(of: UInt8(ascii: "0") &+ digit, toByteOffset: place, as: UInt8.self)
    }
    unsafe next += digits
  }

  /// Eight lower-case digits at once: nibbles are spread to bytes, then turned into characters.
  @inline(__always)
  private mutating func putHexadecimal(_ value: UInt32) {
    var spread = UInt64(value)
    spread = (spread | (spread &<< 16)) & 0x0000_FFFF_0000_FFFF
    spread = (spread | (spread &<< 8)) & 0x00FF_00FF_00FF_00FF
    spread = (spread | (spread &<< 4)) & 0x0F0F_0F0F_0F0F_0F0F
    // A nibble above 9 has bit 4 set once 6 is added; it gets 39 more to reach 'a'.
    let letters = ((spread &+ 0x0606_0606_0606_0606) &>> 4) & 0x0101_0101_0101_0101
    let text = spread &+ 0x3030_3030_3030_3030 &+ (letters &* 39)
    unsafe next.storeBytes(of: text.bigEndian, as: UInt64.self)
    unsafe next += 8
  }

  @inline(__always)
  private mutating func putWords(_ choice: UInt64) {
    let words = WorkloadGenerator.payloadWords
    let source = unsafe UnsafeRawPointer(words.utf8Start)
    var choice = choice
    for place in 0..<WorkloadGenerator.payloadWordCount {
      let word = Int(truncatingIfNeeded: choice & 15)
      choice &>>= 4
      // SAFETY: sixteen words of eight bytes; `word` is below 16.
      let text = unsafe source.loadUnaligned(fromByteOffset: word &* 8, as: UInt64.self)
      unsafe next.storeBytes(of: text, toByteOffset: place &* 8, as: UInt64.self)
    }
    // The last word's space is written over by what follows.
    unsafe next += WorkloadGenerator.payloadWordCount * 8 - 1
  }
}

/// One bit for each id up to the largest seen; grows with it.
private struct SeenIDs {
  private var words: [UInt64] = [0]

  /// 1 when `id` was not there.
  @inline(__always)
  mutating func insert(_ id: UInt64) -> UInt64 {
    let word = Int(truncatingIfNeeded: id &>> 6)
    if word >= words.count { grow(toHold: word) }
    let bit: UInt64 = 1 &<< (id & 63)
    let isNew: UInt64 = words[word] & bit == 0 ? 1 : 0
    words[word] |= bit
    return isNew
  }

  @inline(never)
  private mutating func grow(toHold word: Int) {
    let count = max(word + 1, words.count * 2)
    words.reserveCapacity(count)
    words.append(contentsOf: repeatElement(0, count: count - words.count))
  }
}
