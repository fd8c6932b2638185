public import SedimentStore

extension RepairReport {
  /// The report for people: what was saved, and a line for each loss.
  public var text: String {
    var fields = TextFields()
    fields.append("epoch", "\(epoch)")
    fields.append(
      "tables", "\(Figure.count(copiedTables)) whole, \(Figure.count(rewrittenTables)) in part")
    fields.append("entries", "\(Figure.count(savedEntries)) in tables")
    if savedWrites > 0 { fields.append("log", "\(Figure.count(savedWrites)) writes") }
    var text = "Saved\n" + fields.text()
    guard !losses.isEmpty else { return text + "Nothing is lost.\n" }
    text += "Lost\n"
    for loss in losses { text += "  \(loss.message)\(loss.extent)\n" }
    return text
      + "Keys of lost entries may have an older value again, or one that was removed.\n"
  }

  /// The report for programs.
  public var json: JSONValue {
    .object([
      .init("epoch", .string("\(epoch)")), .init("complete", .bool(losses.isEmpty)),
      .init("whole_tables", .count(copiedTables)), .init("partial_tables", .count(rewrittenTables)),
      .init("entries", .unsigned(savedEntries)), .init("writes", .unsigned(savedWrites)),
      .init("losses", .array(losses.map(\.json))),
    ])
  }
}

extension RepairReport.Loss {
  /// How much it is, as far as that is known.
  fileprivate var extent: String {
    var parts: [String] = []
    if let entries { parts.append("\(Figure.count(entries)) entries") }
    if let bytes { parts.append(Figure.bytes(bytes)) }
    return parts.isEmpty ? "" : " (lost: \(parts.joined(separator: ", ")))"
  }

  fileprivate var json: JSONValue {
    .object([
      .init("file", .string(file)), .init("message", .string(message)),
      .init("entries", entries.map { .unsigned($0) } ?? .null),
      .init("bytes", bytes.map { .unsigned($0) } ?? .null),
    ])
  }
}
