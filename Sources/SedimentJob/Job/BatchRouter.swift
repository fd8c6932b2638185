// What becomes of every record of a batch: which goes to which output, and the counts.
//
// Invariants
// 1. Records keep their order in every output.
// 2. Every record is counted once; see `JobCounters`.
//
// Concurrency: one thread at a time; see `OutputStage`.

internal import SedimentDedup
internal import SedimentIO

/// What is done with records whose time is behind the watermark.
package enum LateHandling: String, Sendable, CaseIterable {
  /// They are emitted.
  case keep
  /// They are dropped.
  case drop
  /// They are rejects.
  case reject

  /// The same for the operator.
  var option: Deduplicator.Options.Late {
    switch self {
    case .keep: .keep
    case .drop: .drop
    case .reject: .reject
    }
  }
}

/// What is done with sound records that lack a key field.
package enum MissingKeyHandling: String, Sendable, CaseIterable {
  /// They are rejects.
  case reject
  /// They are emitted.
  case keep
  /// They end the job.
  case fail
}

/// Routes the records of one batch at a time; keeps its memory.
@safe
final class BatchRouter {
  private let missingKey: MissingKeyHandling
  private let learns: Bool
  private let writesRejects: Bool

  private var capacity = 0
  private var emitted: UnsafeMutablePointer<RecordRange>
  private var duplicates: UnsafeMutablePointer<RecordRange>
  /// The same records by their number.
  private var emittedIndices: UnsafeMutablePointer<UInt32>
  private var duplicateIndices: UnsafeMutablePointer<UInt32>
  private var emittedCount = 0
  private var duplicateCount = 0
  private var rejects = RejectFormatter()
  private var rejectRanges: [RecordRange] = []

  /// Counters since they were last taken.
  private(set) var counters = JobCounters()
  /// How many records were rejected for each reason.
  private(set) var rejectReasons: [String: UInt64] = [:]

  init(missingKey: MissingKeyHandling, learns: Bool, writesRejects: Bool) {
    self.missingKey = missingKey
    self.learns = learns
    self.writesRejects = writesRejects
    unsafe emitted = .allocate(capacity: 1)
    unsafe duplicates = .allocate(capacity: 1)
    unsafe emittedIndices = .allocate(capacity: 1)
    unsafe duplicateIndices = .allocate(capacity: 1)
  }

  deinit {
    unsafe emitted.deallocate()
    unsafe duplicates.deallocate()
    unsafe emittedIndices.deallocate()
    unsafe duplicateIndices.deallocate()
  }

  /// Routes `batch` by the decisions about its `ok` records, in order.
  ///
  /// - Parameter path: the source's name, for rejects.
  func route(
    _ batch: RecordBatch, decisions: UnsafePointer<UInt8>, path: String
  ) throws(JobError) {
    reserve(batch.count)
    rejects.removeAll()
    rejectRanges.removeAll(keepingCapacity: true)
    let columns = unsafe batch.columns
    let (emitted, duplicates) = unsafe (emitted, duplicates)
    let (emittedIndices, duplicateIndices) = unsafe (emittedIndices, duplicateIndices)
    var (emittedCount, duplicateCount, key) = (0, 0, 0)
    var bytesOut = 0
    for index in 0..<batch.count {
      // SAFETY: the columns have `batch.count` elements, our ranges as many (`reserve`), the
      // decisions one for each record with status ok.
      let range = unsafe RecordRange(
        offset: Int(columns.starts[index]), length: Int(columns.extents[index]))
      if unsafe columns.statuses[index] == RecordStatus.ok.rawValue {
        let decision = unsafe decisions[key]
        key &+= 1
        if decision == DedupDecision.duplicate.rawValue {
          unsafe duplicates[duplicateCount] = range
          unsafe duplicateIndices[duplicateCount] = UInt32(truncatingIfNeeded: index)
          duplicateCount &+= 1
        } else {
          if decision != DedupDecision.new.rawValue, !takeRare(decision, batch, index, path) {
            continue
          }
          unsafe emitted[emittedCount] = range
          unsafe emittedIndices[emittedCount] = UInt32(truncatingIfNeeded: index)
          emittedCount &+= 1
          bytesOut &+= range.length
        }
      } else if try takeUnusable(batch, index, path) {
        unsafe emitted[emittedCount] = range
        unsafe emittedIndices[emittedCount] = UInt32(truncatingIfNeeded: index)
        emittedCount &+= 1
        bytesOut &+= range.length
      }
    }
    (self.emittedCount, self.duplicateCount) = (emittedCount, duplicateCount)
    count(
      batch.count, emittedCount, duplicateCount, bytesIn: batch.endOffset - batch.firstOffset,
      bytesOut: bytesOut)
  }

  private func count(
    _ events: Int, _ emitted: Int, _ duplicates: Int, bytesIn: UInt64, bytesOut: Int
  ) {
    counters.events += UInt64(events)
    counters.duplicates += UInt64(duplicates)
    counters.bytesIn += bytesIn
    if learns {
      counters.learned += UInt64(emitted)
    } else {
      counters.emitted += UInt64(emitted)
      counters.bytesOut += UInt64(bytesOut)
    }
  }

  /// Writes what `route` found.
  ///
  /// - Parameter path: as of `route`.
  func write(_ batch: RecordBatch, to outputs: OutputSet, path: String) throws(SinkError) {
    if !learns, emittedCount > 0, let sink = outputs[.output] {
      try unsafe sink.write(
        batch, records: UnsafeBufferPointer(start: emitted, count: emittedCount),
        indices: UnsafeBufferPointer(start: emittedIndices, count: emittedCount), path: path)
    }
    if duplicateCount > 0, let sink = outputs[.duplicates] {
      try unsafe sink.write(
        batch, records: UnsafeBufferPointer(start: duplicates, count: duplicateCount),
        indices: UnsafeBufferPointer(start: duplicateIndices, count: duplicateCount), path: path)
    }
    if !rejectRanges.isEmpty, let sink = outputs[.rejects] {
      let (lines, ranges) = (rejects.bytes, rejectRanges)
      let failure = unsafe lines.withUnsafeBytes { bytes in
        unsafe ranges.withUnsafeBufferPointer { ranges -> SinkError? in
          do throws(SinkError) {
            try unsafe sink.write(bytes, records: ranges)
            return nil
          } catch {
            return error
          }
        }
      }
      if let failure { throw failure }
    }
  }

  // MARK: - The rare ones

  /// Counts a record that is neither new nor a duplicate; whether it is emitted.
  @inline(never)
  private func takeRare(
    _ decision: UInt8, _ batch: RecordBatch, _ index: Int, _ path: String
  ) -> Bool {
    switch DedupDecision(rawValue: decision) {
    case .lateNew, .new, .duplicate: counters.late += 1
    case .lateUnprotected:
      counters.late += 1
      counters.lateUnprotected += 1
    case .lateDropped:
      counters.late += 1
      counters.lateDropped += 1
      return false
    case .lateRejected:
      counters.late += 1
      reject(batch, index, path, reason: "late")
      return false
    case .tooFarAhead:
      reject(batch, index, path, reason: RecordStatus.timeTooFarAhead.name)
      return false
    case .timeOutOfRange, nil:
      reject(batch, index, path, reason: RecordStatus.timeInvalid.name)
      return false
    }
    return true
  }

  /// Takes a record without a key; whether it is emitted.
  @inline(never)
  private func takeUnusable(
    _ batch: RecordBatch, _ index: Int, _ path: String
  ) throws(JobError) -> Bool {
    let status = batch.status(index)
    if status.isMissingKey {
      switch missingKey {
      case .reject: break
      case .keep: return true
      case .fail:
        throw JobError(
          .failed,
          "\(batch.place(of: index, path: path)): the record has no key (\(status.name)); "
            + "--on-missing-key reject or keep goes on")
      }
    }
    reject(batch, index, path, reason: status.name)
    return false
  }

  private func reject(_ batch: RecordBatch, _ index: Int, _ path: String, reason: String) {
    counters.rejected += 1
    rejectReasons[reason, default: 0] += 1
    guard writesRejects else { return }
    let start = rejects.bytes.count
    unsafe rejects.append(
      batch.place(of: index, path: path), reason: reason,
      record: UnsafeRawBufferPointer(batch.record(index)),
      isOverlong: batch.status(index) == .lineTooLong)
    rejectRanges.append(RecordRange(offset: start, length: rejects.bytes.count - start))
  }

  private func reserve(_ count: Int) {
    guard count > capacity else { return }
    capacity = max(count, capacity * 2)
    unsafe emitted.deallocate()
    unsafe duplicates.deallocate()
    unsafe emittedIndices.deallocate()
    unsafe duplicateIndices.deallocate()
    unsafe emitted = .allocate(capacity: capacity)
    unsafe duplicates = .allocate(capacity: capacity)
    unsafe emittedIndices = .allocate(capacity: capacity)
    unsafe duplicateIndices = .allocate(capacity: capacity)
  }
}
