/// The times of the records that have keys; its memory is kept from batch to batch.
@safe
final class KeyTimes {
  private var times: UnsafeMutablePointer<Int64>
  private var capacity = 1

  init() {
    unsafe times = .allocate(capacity: 1)
  }

  deinit {
    unsafe times.deallocate()
  }

  /// Gathers the times of the batch's records with keys; good until the next call.
  func gather(_ batch: RecordBatch) -> UnsafePointer<Int64> {
    let count = batch.count
    if count > capacity {
      capacity = max(count, capacity * 2)
      unsafe times.deallocate()
      unsafe times = .allocate(capacity: capacity)
    }
    let columns = unsafe batch.columns
    let times = unsafe times
    var key = 0
    for index in 0..<count {
      // SAFETY: the columns have `count` elements, `times` as many or more, and `key <= index`.
      unsafe times[key] = unsafe columns.times[index]
      key &+= unsafe columns.statuses[index] == RecordStatus.ok.rawValue ? 1 : 0
    }
    return unsafe UnsafePointer(times)
  }
}
