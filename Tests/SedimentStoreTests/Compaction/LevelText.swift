import SedimentStore

/// Levels and choices as people write them.
enum LevelText {
  /// Levels as people write them: `0: 5 a-c 10, 6 b-z 20` is level 0 with tables 5 and 6, of 10 and
  /// 20 bytes.
  static func levels(_ text: String) -> OrderedLevels {
    var levels = OrderedLevels()
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":")
      guard let level = Int(parts[0]) else { continue }
      levels.tables[level] = parts[1].split(separator: ",").compactMap { table in
        let fields = table.split(whereSeparator: { $0 == " " || $0 == "-" })
        guard let number = UInt64(fields[0]), let bytes = UInt64(fields[3]) else { return nil }
        return OrderedTableMetadata(
          number: FileNumber(number), fileID: number, fileBytes: bytes, entryCount: 1,
          otherCount: 0, smallestSequence: 1, largestSequence: 1,
          smallestKey: Array(fields[1].utf8), largestKey: Array(fields[2].utf8),
          filterKind: .none)
      }
    }
    return levels
  }

  /// A choice in words: from which level to which, of which tables onto which.
  static func describe(_ choice: OrderedCompactionChoice?) -> String {
    guard let choice else { return "nothing" }
    func list(_ numbers: [FileNumber]) -> String {
      numbers.map { "\($0.rawValue)" }.joined(separator: " ")
    }
    return "\(choice.level)→\(choice.outputLevel) [\(list(choice.inputs))] onto "
      + "[\(list(choice.overlapped))]" + (choice.isMove ? " moves" : "")
      + (choice.isBottommost ? " at the bottom" : "")
  }
}
