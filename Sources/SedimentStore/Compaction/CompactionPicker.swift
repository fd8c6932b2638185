// What to merge and what to unlink next: a pure function of a shard's runs and the watermark.
//
// Runs are in order of age, newest first, and a choice never reaches across a run it leaves out, so
// age stays an order. In order of urgency:
//
//   1. expire   runs whose youngest entry has expired. A run with puts or removes hides older runs
//               and goes only together with all of them.
//   2. seal     a window that is closed (the largest time seen lies in a later one) and has several
//               runs is merged into one.
//   3. tier     `fanout` runs of one level in the open window are merged into one of the next
//      level.
//
// With `forever` there is one window, always open, and nothing expires.

/// A merge of neighbouring runs of one shard.
package struct CompactionChoice: Hashable, Sendable {
  /// Why these runs; see the file's header.
  package enum Reason: Hashable, Sendable {
    case seal
    case tier
    case manual
  }

  package var reason: Reason
  /// Ids of the runs to merge, newest first; neighbours in age.
  package var inputs: [UInt64]
  /// Level, window and sequence number of the output.
  package var level: UInt8
  package var window: Int64
  package var sequence: UInt64
  /// Whether no run is older than the inputs.
  package var isBottommost: Bool
}

/// Decides about one shard.
package struct CompactionPicker: Sendable {
  package var options: KeyspaceOptions
  package var watermark: Int64
  /// The window of the largest time seen.
  package var openWindow: Int64

  package init(options: KeyspaceOptions, largestTime: Int64?) {
    self.options = options
    watermark = StoreState.watermark(largestTime: largestTime, options: options)
    openWindow = options.window(of: largestTime ?? 0)
  }

  package static let levelMax: UInt8 = 62

  /// Ids of runs that no record can match any more.
  package func expired(_ runs: [RunState]) -> [UInt64] {
    guard case .milliseconds(let ttl) = options.timeToLive else { return [] }
    var expired: [UInt64] = []
    var everythingOlderExpires = true
    for run in runs.reversed() {
      let isOver = run.largestTime + ttl <= watermark
      if isOver && (!run.hasKinds || everythingOlderExpires) {
        expired.append(run.id)
      } else {
        everythingOlderExpires = false
      }
    }
    return expired
  }

  /// The most urgent merge; `nil` when there is nothing to do.
  ///
  /// - Parameter busy: runs that take part in a merge already.
  package func pick(_ runs: [RunState], busy: Set<UInt64> = []) -> CompactionChoice? {
    seal(runs, busy) ?? tier(runs, busy)
  }

  /// The merge of everything that may be merged: all runs of the oldest window that has several.
  package func pickManual(_ runs: [RunState]) -> CompactionChoice? {
    for group in windows(of: runs).reversed() where group.count > 1 {
      return choice(.manual, group, runs, level: group.map(\.level).max() ?? 0)
    }
    return nil
  }

  private func seal(_ runs: [RunState], _ busy: Set<UInt64>) -> CompactionChoice? {
    guard options.windowLength != nil else { return nil }
    // The oldest first: it is closed for the longest.
    for group in windows(of: runs).reversed()
    where group[0].window < openWindow && group.count > 1
      && group.allSatisfy({ !busy.contains($0.id) })
    {
      return choice(.seal, group, runs, level: group.map(\.level).max() ?? 0)
    }
    return nil
  }

  private func tier(_ runs: [RunState], _ busy: Set<UInt64>) -> CompactionChoice? {
    guard case .tiered(let fanout) = options.compaction else { return nil }
    for group in windows(of: runs) {
      // Lower levels first: they keep the number of runs, and so the cost of a lookup, down.
      var start = 0
      while start < group.count {
        var end = start
        while end < group.count, group[end].level == group[start].level { end += 1 }
        let oldest = group[max(start, end - Int(fanout))..<end]
        if end - start >= Int(fanout), oldest.allSatisfy({ !busy.contains($0.id) }) {
          // A level from disk may be any number.
          return choice(
            .tier, Array(oldest), runs, level: min(group[start].level, Self.levelMax - 1) + 1)
        }
        start = end
      }
    }
    return nil
  }

  /// Neighbouring runs of the same window, newest first.
  private func windows(of runs: [RunState]) -> [[RunState]] {
    var groups: [[RunState]] = []
    for run in runs {
      if let last = groups.last?.last, last.window == run.window {
        groups[groups.count - 1].append(run)
      } else {
        groups.append([run])
      }
    }
    return groups
  }

  /// Of more runs than one merge takes, the oldest come first; the rest follow with the next
  /// choice.
  private func choice(
    _ reason: CompactionChoice.Reason, _ group: [RunState], _ runs: [RunState], level: UInt8
  ) -> CompactionChoice {
    let inputs = group.suffix(MergeCursor.sourcesMax)
    let newest = inputs.first ?? group[0]
    return CompactionChoice(
      reason: reason, inputs: inputs.map(\.id), level: level, window: newest.window,
      sequence: newest.sequence, isBottommost: runs.last?.id == inputs.last?.id)
  }
}
