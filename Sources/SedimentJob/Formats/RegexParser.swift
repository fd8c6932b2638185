// Lines whose key is the groups of a regular expression (PCRE2, compiled to machine code where it
// can be). The expression is the user's, the lines are anybody's: the search is bounded, and a line
// on which it runs out of its bounds is rejected for that.
//
// Patterns and lines are UTF-8; bytes of a line that are not never match anything.

import CPCRE2
import SedimentDedup

/// Parses batches of lines with a regular expression.
@safe
final class RegexParser: RecordParser {
  private let code: OpaquePointer
  private let matchData: OpaquePointer
  private let matchContext: OpaquePointer
  private let stack: OpaquePointer
  private let groupCount: Int
  private let timeGroup: Int?
  private let timeUnit: TimeUnit

  /// Steps of a search; PCRE2's own default is ten times as many.
  private static let matchLimit: UInt32 = 1_000_000
  /// KiB of heap for one search without machine code.
  private static let heapLimit: UInt32 = 16_384
  /// Bytes of stack for one search in machine code, which takes them as it needs them; its own
  /// 32 KiB do not suffice for a long line in a repeated group.
  private static let stackBytes = (first: 32 << 10, most: 16 << 20)

  init(_ format: RecordFormat) throws(FormatError) {
    let regex = format.keyRegex ?? ""
    let code = try unsafe Self.compile(regex)
    do throws(FormatError) {
      var groups: UInt32 = 0
      _ = unsafe pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_CAPTURECOUNT), &groups)
      guard groups > 0 else { throw .regexWithoutGroups(regex) }
      groupCount = Int(groups)
      var timeGroup: Int?
      if let field = format.timeField {
        timeGroup = try unsafe Self.group(field, of: code, count: Int(groups))
      }
      self.timeGroup = timeGroup
      guard let data = unsafe pcre2_match_data_create_from_pattern_8(code, nil) else {
        throw .outOfMemory
      }
      guard let context = unsafe pcre2_match_context_create_8(nil) else {
        unsafe pcre2_match_data_free_8(data)
        throw .outOfMemory
      }
      guard
        let stack = unsafe pcre2_jit_stack_create_8(
          Self.stackBytes.first, Self.stackBytes.most, nil)
      else {
        unsafe pcre2_match_context_free_8(context)
        unsafe pcre2_match_data_free_8(data)
        throw .outOfMemory
      }
      unsafe matchData = data
      unsafe matchContext = context
      unsafe self.stack = stack
    } catch {
      unsafe pcre2_code_free_8(code)
      throw error
    }
    unsafe self.code = code
    timeUnit = format.timeUnit
    unsafe pcre2_set_match_limit_8(matchContext, Self.matchLimit)
    unsafe pcre2_set_heap_limit_8(matchContext, Self.heapLimit)
    unsafe pcre2_jit_stack_assign_8(matchContext, nil, UnsafeMutableRawPointer(stack))
    // Without machine code (not every processor has it) the search is slower and the same.
    _ = unsafe pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))
  }

  deinit {
    unsafe pcre2_match_context_free_8(matchContext)
    unsafe pcre2_jit_stack_free_8(stack)
    unsafe pcre2_match_data_free_8(matchData)
    unsafe pcre2_code_free_8(code)
  }

  private static func compile(_ regex: String) throws(FormatError) -> OpaquePointer {
    var number: Int32 = 0
    var offset = 0
    let options = UInt32(PCRE2_UTF) | UInt32(PCRE2_MATCH_INVALID_UTF)
    let pattern = Array(regex.utf8)
    let code = unsafe pattern.withUnsafeBufferPointer {
      unsafe pcre2_compile_8($0.baseAddress, $0.count, options, &number, &offset, nil)
    }
    if let code = unsafe code { return unsafe code }
    var message = [UInt8](repeating: 0, count: 256)
    let length = unsafe message.withUnsafeMutableBufferPointer {
      unsafe pcre2_get_error_message_8(number, $0.baseAddress, $0.count)
    }
    let reason = String(decoding: message.prefix(max(0, Int(length))), as: UTF8.self)
    throw .invalidRegex(regex, offset: offset, reason: reason)
  }

  private static func group(
    _ name: String, of code: OpaquePointer, count: Int
  ) throws(FormatError) -> Int {
    if let number = Int(name), number >= 1, number <= count { return number }
    let found = unsafe (Array(name.utf8) + [0]).withUnsafeBufferPointer {
      unsafe pcre2_substring_number_from_name_8(code, $0.baseAddress)
    }
    guard found > 0 else { throw .unknownGroup(name) }
    return Int(found)
  }

  func parse(_ batch: RecordBatch) throws(FormatError) {
    let columns = unsafe batch.columns
    for index in 0..<batch.count where unsafe columns.statuses[index] == RecordStatus.ok.rawValue {
      let isFirst = index == 0 && batch.beginsFile
      let line = unsafe withoutByteOrderMark(batch.record(index), isFirst: isFirst)
      let status = try unsafe parse(line, batch, index)
      unsafe columns.statuses[index] = status.rawValue
    }
  }

  private func parse(
    _ line: UnsafeBufferPointer<UInt8>, _ batch: RecordBatch, _ index: Int
  ) throws(FormatError) -> RecordStatus {
    let found = unsafe pcre2_match_8(
      code, line.baseAddress, line.count, 0, 0, matchData, matchContext)
    // Whatever else ends a search without an answer is one of its bounds.
    guard found > 0 else { return found == PCRE2_ERROR_NOMATCH ? .noMatch : .matchLimit }
    var sink = try KeySink(batch.keys)
    for group in 1...groupCount {
      guard let text = unsafe text(of: group, in: line) else { return .missingKey }
      unsafe sink.writer.appendString(text)
    }
    if let timeGroup {
      guard let text = unsafe text(of: timeGroup, in: line), !text.isEmpty else {
        return .timeMissing
      }
      // SAFETY: the span lives in this expression only, the batch longer.
      guard let millis = unsafe EventTime.millis(Span(_unsafeElements: text), unit: timeUnit) else {
        return .timeInvalid
      }
      unsafe batch.columns.times[index] = millis
    }
    return try sink.commit() ? .ok : .keyTooLong
  }

  /// What a group of the last search took; `nil` when it took no part.
  private func text(
    of group: Int, in line: UnsafeBufferPointer<UInt8>
  ) -> UnsafeBufferPointer<UInt8>? {
    // SAFETY: the match data was made for the groups of this expression: two offsets for each.
    guard let offsets = unsafe pcre2_get_ovector_pointer_8(matchData) else { return nil }
    let (start, end) = unsafe (offsets[2 * group], offsets[2 * group + 1])
    // A group that took no part has offsets of all ones, which is -1 here; `\K` can put an end
    // before a start.
    guard start >= 0, start <= end, end <= line.count else { return nil }
    return unsafe UnsafeBufferPointer(rebasing: line[Int(start)..<Int(end)])
  }
}
