import SedimentStore

/// Runs written as text, one a line, newest first: `id level window [largest time] [k]`, where k
/// says that the run holds puts or removes.
struct RunTable {
  var runs: [RunState]

  init(_ lines: [String]) throws {
    runs = try lines.map(Self.run)
  }

  /// `count` runs of level 0 in one window, newest first, with ids from `count` down to 1.
  static func lines(_ count: Int, window: Int64) -> [String] {
    (1...count).reversed().map { "\($0) 0 \(window)" }
  }

  /// A run's sequence number is ten times its id, so that one is not taken for the other.
  private static func run(_ line: String) throws -> RunState {
    let words = line.split(separator: " ")
    guard words.count >= 3, let id = UInt64(words[0]), let level = UInt8(words[1]),
      let window = Int64(words[2])
    else { throw ScriptError("not a run: \(line)") }
    let time = words.count > 3 ? Int64(words[3]) : nil
    return RunState(
      id: id, sequence: 10 * id, level: level, window: window,
      tables: [
        TableSlice(
          table: table(id, largestTime: time ?? 0, hasKinds: words.last == "k"),
          clip: 0...UInt64.max)
      ])
  }

  private static func table(_ id: UInt64, largestTime: Int64, hasKinds: Bool) -> TableMetadata {
    TableMetadata(
      number: FileNumber(id), fileID: id, fileBytes: 8192, entryCount: 1, smallestHigh: 0,
      largestHigh: .max, smallestTime: min(largestTime, 0), largestTime: largestTime,
      layout: EntryLayout(isExact: false, valueWidth: 0), hasKinds: hasKinds, filterKind: .none)
  }
}

extension CompactionChoice {
  /// `tier 4,3,2,1 -> level 1, window 5, sequence 40, bottom`; the ids of long choices as a range.
  var text: String {
    let ids =
      inputs.count > 40
      ? "\(inputs[0])...\(inputs[inputs.count - 1])"
      : inputs.map(String.init).joined(separator: ",")
    return "\(reason) \(ids) -> level \(level), window \(window), sequence \(sequence)"
      + (isBottommost ? ", bottom" : "")
  }
}

extension [RunState] {
  /// The runs after a merge that keeps something.
  func merged(by choice: CompactionChoice, id: UInt64) -> [RunState] {
    guard let newest = first(where: { $0.id == choice.inputs[0] }) else { return self }
    var output = newest
    output.id = id
    output.level = choice.level
    output.window = choice.window
    output.sequence = choice.sequence
    let kept = filter { !choice.inputs.contains($0.id) }
    return (kept + [output]).sorted { $0.sequence > $1.sequence }
  }
}
