// What dedup-ttl is about: whether a store that forgets keeps its speed and its size.

/// The steady state of a run of dedup-ttl, from its course.
package struct ExpiryFigures {
  /// Events a second in the last time to live as a share of those in the third.
  package let lastToThird: Double
  /// Bytes on disk for every byte of entries that have not expired: from the third time to live on,
  /// the median and the largest.
  package let diskMedian: Double?
  package let diskPeak: Double?

  package init?(_ record: RunRecord) {
    let windows = record.request.windows
    let course = record.details.course
    guard record.request.timeToLive != nil, windows >= 4, course.count >= 2,
      let end = course.last
    else { return nil }
    let window = Double(record.request.events) / Double(windows)
    let all = Double(end.events)
    guard let third = course.speed(from: 2 * window, to: 3 * window),
      let last = course.speed(from: all - window, to: all)
    else { return nil }
    lastToThird = last / third

    // An entry expires an eighth, the allowed lateness, after its time to live.
    let kept = window * 9 / 8
    let entryBytes =
      Double(record.details.flushedBytes ?? 0) / Double(max(record.figures.accepted, 1))
    let ratios = course.filter { Double($0.events) >= 3 * window }.compactMap { point -> Double? in
      let expired = course.accepted(at: Double(point.events) - kept)
      let live = (Double(point.accepted) - expired) * entryBytes
      return live > 0 ? Double(point.diskBytes) / live : nil
    }
    diskMedian = middle(of: ratios)
    diskPeak = ratios.max()
  }
}
