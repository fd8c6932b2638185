// Writes encoded fields into memory that the caller has reserved.
//
// A trivially copyable struct over raw memory, so that a batch of records is encoded without
// allocation, reference counting or exclusivity checks. See `KeyFormat.swift` for the bytes.
//
// Invariants
// 1. Nothing is written at or beyond `capacity`: a field that does not fit sets `isOverflowed`,
//    and the bytes so far are no key.

/// Appends fields of one key to reserved memory.
// @safe because no method touches memory beyond what the initialiser was given.
@safe
package struct KeyWriter {
  private let base: UnsafeMutablePointer<UInt8>
  private let capacity: Int
  /// Bytes written.
  package private(set) var count = 0
  /// True once a field did not fit; `count` is then meaningless.
  package private(set) var isOverflowed = false

  /// Writes to the `capacity` bytes at `base`, and no more than `KeyFormat.keyBytesMax` of them.
  ///
  /// The memory must stay valid as long as the writer is used.
  @inline(__always)
  package init(_ base: UnsafeMutablePointer<UInt8>, capacity: Int) {
    unsafe self.base = base
    self.capacity = min(capacity, KeyFormat.keyBytesMax)
  }

  /// Begins another key in the same memory.
  package mutating func reset() {
    count = 0
    isOverflowed = false
  }

  /// Appends a field that is null.
  package mutating func appendNull() { append(tag: .null) }

  /// Appends a boolean field.
  package mutating func append(_ value: Bool) { append(tag: value ? .true : .false) }

  /// Appends an integer field.
  @inline(__always)
  package mutating func append(_ value: Int64) {
    append(.int64, UInt64(bitPattern: value))
  }

  /// Appends an integer under the tag that is canonical for its size.
  package mutating func append(_ value: UInt64) {
    append(value <= UInt64(Int64.max) ? .int64 : .uint64, value)
  }

  /// Appends the exact value of a double: as an integer where it is one of 64 bits. What is not
  /// finite is kept as the texts `nan`, `inf` and `-inf`.
  package mutating func append(_ value: Double) {
    if let integer = Int64(exactly: value) {
      append(integer)
    } else if let integer = UInt64(exactly: value) {
      append(integer)
    } else if value.isFinite {
      append(.double, value.bitPattern)
    } else {
      let text: StaticString = value.isNaN ? "nan" : value < 0 ? "-inf" : "inf"
      // SAFETY: the literals are ASCII, so they have a pointer, valid for ever.
      unsafe append(
        .numberText, UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
  }

  /// Appends a string of bytes; they are not checked to be UTF-8.
  @inline(__always)
  package mutating func appendString(_ bytes: UnsafeBufferPointer<UInt8>) {
    unsafe append(.string, bytes)
  }

  /// Appends a CSV field's content, in which each quote stands twice, as a string.
  package mutating func appendString(
    halvingQuotesOf bytes: UnsafeBufferPointer<UInt8>
  ) {
    let quote = UInt8(ascii: "\"")
    var quotes = 0
    for place in 0..<bytes.count where unsafe bytes[place] == quote { quotes += 1 }
    let length = bytes.count - quotes / 2
    guard appendHead(.string, length) else { return }
    var index = 0
    while index < bytes.count {
      let byte = unsafe bytes[index]
      // SAFETY: `length` bytes were found to fit; the input yields exactly that many.
      unsafe base[count] = byte
      count += 1
      index += byte == quote ? 2 : 1
    }
  }

  /// Appends a number by its JSON text; false, with nothing written, when it is no JSON number.
  @inline(__always)
  package mutating func appendNumber(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    // SAFETY: the span does not outlive this call, and the caller's buffer does.
    let span = unsafe Span(_unsafeElements: text)
    if let integer = DecimalNumber.shortInteger(span) {
      append(integer)
      return true
    }
    return appendLongNumber(span)
  }

  @inline(never)
  private mutating func appendLongNumber(_ text: Span<UInt8>) -> Bool {
    guard let number = DecimalNumber(text) else { return false }
    switch number.canonical(text) {
    case .integer(let value): append(value)
    case .unsigned(let value): append(value)
    case .double(let value): append(.double, value.bitPattern)
    case .digits: appendDigits(of: number, text)
    case .text: unsafe text.withUnsafeBufferPointer { unsafe append(.numberText, $0) }
    }
    return true
  }

  /// Writes an integer beyond 64 bits: sign, digits without trailing zeros, `e` and their count.
  private mutating func appendDigits(of number: DecimalNumber, _ text: Span<UInt8>) {
    let exponent = number.exponent > 0 ? "e\(number.exponent)" : ""
    let sign = number.isNegative ? 1 : 0
    guard appendHead(.numberText, sign + number.digitCount + exponent.utf8.count) else { return }
    // SAFETY: the head's length was found to fit, and it is the sum of what is written here.
    if number.isNegative { unsafe put(UInt8(ascii: "-")) }
    for index in number.significant where text[index] != UInt8(ascii: ".") {
      unsafe put(text[index])
    }
    for byte in exponent.utf8 { unsafe put(byte) }
  }

  /// Appends a byte within a length already checked.
  @unsafe
  private mutating func put(_ byte: UInt8) {
    unsafe base[count] = byte
    count += 1
  }

  private mutating func append(tag: KeyTag) {
    guard capacity - count >= 1, !isOverflowed else {
      isOverflowed = true
      return
    }
    // SAFETY: one byte fits.
    unsafe base[count] = tag.rawValue
    count += 1
  }

  @inline(__always)
  private mutating func append(_ tag: KeyTag, _ payload: UInt64) {
    guard capacity - count >= 9, !isOverflowed else {
      isOverflowed = true
      return
    }
    // SAFETY: nine bytes fit.
    unsafe base[count] = tag.rawValue
    unsafe UnsafeMutableRawPointer(base + count + 1)
      .storeBytes(of: payload.bigEndian, as: UInt64.self)
    count += 9
  }

  @inline(__always)
  private mutating func append(_ tag: KeyTag, _ bytes: UnsafeBufferPointer<UInt8>) {
    guard appendHead(tag, bytes.count), let source = bytes.baseAddress else { return }
    // SAFETY: `appendHead` found that the bytes fit.
    unsafe (base + count).update(from: source, count: bytes.count)
    count += bytes.count
  }

  /// Writes tag and length when these and `length` bytes after them fit.
  @inline(__always)
  private mutating func appendHead(_ tag: KeyTag, _ length: Int) -> Bool {
    guard !isOverflowed, capacity - count >= KeyFormat.fieldOverheadBytes,
      capacity - count - KeyFormat.fieldOverheadBytes >= length
    else { return appendTightHead(tag, length) }
    return unsafe putHead(tag, length)
  }

  /// The same near the end of the memory, where the exact size of the varint matters.
  @inline(never)
  private mutating func appendTightHead(_ tag: KeyTag, _ length: Int) -> Bool {
    var head = 2
    var rest = length >> 7
    while rest > 0 {
      head += 1
      rest >>= 7
    }
    guard !isOverflowed, capacity - count >= head, capacity - count - head >= length else {
      isOverflowed = true
      return false
    }
    return unsafe putHead(tag, length)
  }

  @unsafe @inline(__always)
  private mutating func putHead(_ tag: KeyTag, _ length: Int) -> Bool {
    unsafe put(tag.rawValue)
    var rest = UInt(bitPattern: length)
    while rest >= 0x80 {
      unsafe put(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    unsafe put(UInt8(truncatingIfNeeded: rest))
    return true
  }
}
