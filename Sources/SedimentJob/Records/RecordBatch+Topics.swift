// Records of topics as records of a batch.
//
// Files have a record a line, so a value gets a newline behind it and must have none within: in
// NDJSON, where it is white space, a space takes its place; as a line the record is a reject. So is
// what no line stands for. Where records only go to topics newlines stay.

import SedimentStore

/// How the records of a topic become those of a batch.
package struct TopicRecordRules: Sendable {
  /// NDJSON or lines.
  package let kind: RecordFormat.Kind
  /// Keys come with the records.
  package let hasBesideKeys: Bool
  /// Times are those of the records.
  package let usesRecordTime: Bool
  /// Whether records go to topics, with all that they carry.
  package let passesOn: Bool
  /// Whether records go to files, too; else values stay as they are.
  package let writesLines: Bool
  /// The longest value.
  package let valueBytesMax: Int

  /// The rules of a format.
  package init(_ format: RecordFormat, passesOn: Bool = false, writesLines: Bool = true) {
    self.passesOn = passesOn
    self.writesLines = writesLines
    kind = format.kind
    hasBesideKeys = format.keySource != .value
    usesRecordTime = format.usesRecordTime
    valueBytesMax = format.recordBytesMax
  }
}

extension RecordBatch {
  /// Adds a record to the last stretch.
  ///
  /// - Parameters:
  ///   - value: `nil` for a tombstone.
  ///   - besideKey: the key that comes with the record, if the rules have such keys, or `nil`.
  ///   - time: in ms since 1970; negative when the record has none. Used if the rules say so.
  ///   - offset: from the stretch's first record.
  /// - Throws: when the keys of the batch take too much memory.
  package func addTopicRecord(
    _ value: UnsafeRawBufferPointer?, besideKey: UnsafeRawBufferPointer?, time: Int64,
    offset: UInt32, rules: TopicRecordRules
  ) throws(FormatError) {
    let start = byteCount
    let whole = unsafe UnsafeBufferPointer(
      start: value?.baseAddress?.assumingMemoryBound(to: UInt8.self), count: value?.count ?? 0)
    let isOverlong = whole.count > rules.valueBytesMax
    let kept = isOverlong ? min(whole.count, SourceReader.overlongBytesKept) : whole.count
    unsafe appendBytes(UnsafeBufferPointer(rebasing: whole[..<kept]))
    appendNewline()
    endOffset += UInt64(whole.count + 1)
    var status = unsafe value == nil ? RecordStatus.tombstone : .ok
    if isOverlong { status = .lineTooLong }
    if status == .ok { status = closeLines(from: start, rules) }
    if rules.hasBesideKeys {
      // Every record has one, also those that are not ok.
      var key = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
      if let besideKey = unsafe besideKey {
        if besideKey.count <= KeyBatch.keyBytesMax {
          unsafe key = besideKey
        } else if status == .ok {
          status = .keyTooLong
        }
      } else if status == .ok {
        status = .missingKey
      }
      do throws(KeyBatch.LimitError) {
        try unsafe besideKeys.append(key)
      } catch {
        throw .batchTooLarge
      }
    }
    if rules.usesRecordTime, status == .ok, time < 0 { status = .timeMissing }
    addRecord(
      start: start, length: kept, extent: kept + 1, line: Int(offset), status: status)
    // SAFETY: the record was just added.
    if rules.usesRecordTime { unsafe columns.times[count - 1] = max(time, 0) }
  }

  /// Looks for newlines in the value from `start` to the last byte but one, which is our own.
  private func closeLines(from start: Int, _ rules: TopicRecordRules) -> RecordStatus {
    let end = byteCount - 1
    let kind = rules.kind
    if kind == .ndjson, start == end { return .emptyValue }
    guard rules.writesLines else { return .ok }
    var from = start
    while let newline = unsafe ByteSearch.newline(in: input, from: from), newline < end {
      if kind != .ndjson { return .newlineInRecord }
      replaceByte(at: newline, by: UInt8(ascii: " "))
      from = newline + 1
    }
    return .ok
  }
}

// MARK: - Copies

extension RecordBatch {
  /// Appends copies of some records of another batch, with their places, what they carry and where
  /// they go. Either both are of topics or neither is.
  ///
  /// - Parameter indices: of records of the other, rising.
  package func append(_ indices: UnsafeBufferPointer<UInt32>, of other: RecordBatch) {
    let fields = other.carried.map { _ in beginCarrying() }
    var stretch = -1
    if count == 0 { (firstOffset, firstLine) = (other.firstOffset, other.firstLine) }
    for place in 0..<indices.count {
      let index = unsafe Int(indices[place])
      while stretch + 1 < other.stretches.count,
        other.stretches[stretch + 1].firstRecord <= index
      {
        stretch += 1
        let next = other.stretches[stretch]
        beginStretch(of: next.partition, at: next.firstOffset)
      }
      let record = unsafe other.record(index)
      let start = byteCount
      unsafe appendBytes(record)
      addRecord(
        start: start, length: record.count, extent: record.count,
        line: unsafe Int(other.columns.lines[index]), status: other.status(index))
      if !other.destinations.isEmpty { destinations.append(other.destinations[index]) }
      if let fields, let carried = other.carried { fields.append(index, of: carried) }
    }
  }
}
