internal import SedimentDedup
internal import SedimentStore

extension KeyReport {
  /// The report for people: a line for each entry, or one that says there is none.
  public var text: String {
    let head = "Key \(KeyDescription.describe(key)) in keyspace \(keyspace)\n"
    guard !entries.isEmpty else { return head + "  not found\n" }
    var table = TextTable([
      (timeHeading, .left), ("expires", .left), ("phase", .left), ("in", .left),
    ])
    for entry in entries {
      table.append([
        Figure.time(entry.time), entry.expiry.map(Figure.time) ?? "never", entry.phase, entry.file,
      ])
    }
    var text = head + table.text()
    for entry in entries where !entry.value.isEmpty {
      text += "  value of \(Figure.time(entry.time)): \(ByteText.hexadecimal(entry.value))\n"
    }
    return text
  }

  private var timeHeading: String {
    entries.allSatisfy { $0.kind == .insert } ? "first seen" : "time"
  }

  /// The report for programs. Times are ms since 1970, values hexadecimal.
  public var json: JSONValue {
    .object([
      .init("key", .string(KeyDescription.describe(key))), .init("keyspace", .string(keyspace)),
      .init("found", .bool(!entries.isEmpty)),
      .init(
        "entries",
        .array(
          entries.map { entry in
            .object([
              .init("first_seen", .integer(entry.time)),
              .init("kind", .string("\(entry.kind)")),
              .init("expires", .optional(entry.expiry)),
              .init("expired", .bool(entry.isExpired)),
              .init("value", .string(ByteText.hexadecimal(entry.value))),
              .init("file", .string(entry.file)),
            ])
          })),
    ])
  }
}

extension KeyReport.Entry {
  fileprivate var phase: String {
    switch kind {
    case .insert: isExpired ? "expired" : "live"
    case .put: "put"
    case .remove: "removed"
    }
  }
}
