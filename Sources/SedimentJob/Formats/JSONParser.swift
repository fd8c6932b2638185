// Keys of NDJSON records. One call into `CSimdJSON` finds all fields of a batch; this file encodes
// them. What is checked of a record is said in `CSimdJSON.h`.

import CSimdJSON
import SedimentDedup
import SedimentStore

/// Parses batches of NDJSON records.
@safe
final class JSONParser: RecordParser {
  private let parser: OpaquePointer
  /// Slots of the key fields, in order; two fields may be one slot.
  private let keySlots: [Int]
  private let timeSlot: Int?
  private let timeUnit: TimeUnit
  private let slotCount: Int
  /// The key comes beside the record.
  private let hasBesideKey: Bool
  /// Records that came with another status than ok, and theirs.
  private var skipped: [(index: Int, status: UInt8)] = []
  private var tokens: UnsafeMutablePointer<sediment_json_token>
  private var tokenCapacity = 1024

  init(_ format: RecordFormat) throws(FormatError) {
    hasBesideKey = format.keySource != .value
    guard hasBesideKey || !format.keyFields.isEmpty else { throw .noKeyFields }
    guard let parser = unsafe sediment_json_create() else { throw .outOfMemory }
    do throws(FormatError) {
      var slots: [Int] = []
      for field in format.keyFields {
        slots.append(try unsafe Self.slot(of: JSONPath(field), in: parser))
      }
      keySlots = slots
      var timeSlot: Int?
      if let field = format.timeField {
        timeSlot = try unsafe Self.slot(of: JSONPath(field), in: parser)
      }
      self.timeSlot = timeSlot
      slotCount = (slots + [timeSlot ?? 0]).reduce(0) { max($0, $1 + 1) }
    } catch {
      unsafe sediment_json_destroy(parser)
      throw error
    }
    unsafe self.parser = parser
    timeUnit = format.timeUnit
    unsafe tokens = .allocate(capacity: tokenCapacity)
  }

  deinit {
    unsafe sediment_json_destroy(parser)
    unsafe tokens.deallocate()
  }

  private static func slot(
    of path: JSONPath, in parser: OpaquePointer
  ) throws(FormatError) -> Int {
    var node: Int32 = 0
    for step in path.steps {
      switch step {
      case .member(let name):
        node = unsafe name.withUnsafeBufferPointer {
          unsafe sediment_json_member(parser, node, $0.baseAddress, $0.count)
        }
      case .element(let index): node = unsafe sediment_json_element(parser, node, index)
      }
      guard node > 0 else { throw .outOfMemory }
    }
    return unsafe Int(sediment_json_slot(parser, node))
  }

  func parse(_ batch: RecordBatch) throws(FormatError) {
    let columns = unsafe batch.columns
    let count = batch.count
    reserveTokens(count * slotCount)
    skipped.removeAll(keepingCapacity: true)
    for index in 0..<count where unsafe columns.statuses[index] != RecordStatus.ok.rawValue {
      unsafe skipped.append((index, columns.statuses[index]))
      unsafe columns.statuses[index] = UInt8(SEDIMENT_JSON_SKIPPED)
    }
    let marked = hideByteOrderMark(of: batch)
    defer { if marked { showByteOrderMark(of: batch) } }
    let input = unsafe batch.input
    // SAFETY: the columns have `count` elements, the tokens as many times the slots; record ranges
    // lie in the input (invariants of `RecordBatch`, checked again by the callee).
    let done = unsafe sediment_json_extract(
      parser, input.baseAddress, input.count, columns.starts, columns.lengths, count, tokens,
      columns.statuses)
    guard done != 0 else { throw .outOfMemory }
    let texts = unsafe JSONTexts(
      input: input.baseAddress, arena: sediment_json_arena(parser))
    for index in 0..<count {
      switch unsafe Int(columns.statuses[index]) {
      case SEDIMENT_JSON_OK:
        let fields = unsafe UnsafePointer(tokens) + index * slotCount
        let status = try unsafe encode(
          fields, texts, batch, index, columns.times + index)
        unsafe columns.statuses[index] = status.rawValue
      case SEDIMENT_JSON_SKIPPED: break
      case SEDIMENT_JSON_NOT_AN_OBJECT:
        unsafe columns.statuses[index] = RecordStatus.notAnObject.rawValue
      case SEDIMENT_JSON_INVALID_UTF8:
        unsafe columns.statuses[index] = RecordStatus.invalidUTF8.rawValue
      case SEDIMENT_JSON_NUL_BYTE:
        unsafe columns.statuses[index] = RecordStatus.nulByte.rawValue
      default: unsafe columns.statuses[index] = RecordStatus.invalidJSON.rawValue
      }
    }
    for (index, status) in skipped { unsafe columns.statuses[index] = status }
  }

  /// Encodes the key of one record and reads its time.
  @inline(__always)
  private func encode(
    _ fields: UnsafePointer<sediment_json_token>, _ texts: JSONTexts, _ batch: RecordBatch,
    _ index: Int, _ time: UnsafeMutablePointer<Int64>
  ) throws(FormatError) -> RecordStatus {
    var sink = try KeySink(batch.keys)
    if hasBesideKey { sink.appendBesideKey(of: index, in: batch) }
    for slot in keySlots {
      let status = unsafe texts.append(fields[slot], to: &sink.writer)
      if status != .ok { return status }
    }
    if let timeSlot {
      let token = unsafe fields[timeSlot]
      switch Int(token.kind) {
      case SEDIMENT_JSON_MISSING, SEDIMENT_JSON_NULL: return .timeMissing
      case SEDIMENT_JSON_NUMBER, SEDIMENT_JSON_STRING, SEDIMENT_JSON_ARENA_STRING:
        // SAFETY: the span lives in this expression only, the batch longer.
        let text = unsafe Span(_unsafeElements: texts.text(of: token))
        guard let millis = EventTime.millis(text, unit: timeUnit) else { return .timeInvalid }
        unsafe time.pointee = millis
      default: return .timeInvalid
      }
    }
    return try sink.commit() ? .ok : .keyTooLong
  }

  private func reserveTokens(_ needed: Int) {
    guard needed > tokenCapacity else { return }
    unsafe tokens.deallocate()
    tokenCapacity = max(needed, tokenCapacity * 2)
    unsafe tokens = .allocate(capacity: tokenCapacity)
  }

  /// Moves the start of a source's first record behind its byte order mark.
  private func hideByteOrderMark(of batch: RecordBatch) -> Bool {
    guard batch.count > 0, batch.beginsFile else { return false }
    let record = unsafe batch.record(0)
    let length = unsafe withoutByteOrderMark(record, isFirst: true).count
    guard length < record.count else { return false }
    unsafe batch.columns.starts[0] += 3
    unsafe batch.columns.lengths[0] -= 3
    return true
  }

  private func showByteOrderMark(of batch: RecordBatch) {
    unsafe batch.columns.starts[0] -= 3
    unsafe batch.columns.lengths[0] += 3
  }
}

/// Where the texts of tokens are.
// @safe because only the range of a token of the same call is ever read.
@safe
private struct JSONTexts {
  let input: UnsafePointer<UInt8>?
  let arena: UnsafePointer<UInt8>?

  @inline(__always)
  func text(of token: sediment_json_token) -> UnsafeBufferPointer<UInt8> {
    let base = unsafe Int(token.kind) == SEDIMENT_JSON_ARENA_STRING ? arena : input
    guard token.length > 0, let base = unsafe base else {
      return unsafe UnsafeBufferPointer(start: nil, count: 0)
    }
    // SAFETY: the tokens of `sediment_json_extract` lie in its input and its arena.
    return unsafe UnsafeBufferPointer(start: base + Int(token.offset), count: Int(token.length))
  }

  /// Appends a field, or says why it is no key.
  @inline(__always)
  func append(_ token: sediment_json_token, to writer: inout KeyWriter) -> RecordStatus {
    switch Int(token.kind) {
    case SEDIMENT_JSON_NUMBER:
      if unsafe !writer.appendNumber(text(of: token)) { return .invalidJSON }
    case SEDIMENT_JSON_STRING, SEDIMENT_JSON_ARENA_STRING:
      unsafe writer.appendString(text(of: token))
    case SEDIMENT_JSON_TRUE: writer.append(true)
    case SEDIMENT_JSON_FALSE: writer.append(false)
    case SEDIMENT_JSON_COMPOUND: return .wrongType
    default: return .missingKey
    }
    return .ok
  }
}
