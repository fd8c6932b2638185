/// Rows of text in aligned columns.
struct TextTable {
  /// To which side the cells of a column lean.
  enum Alignment { case left, right }

  private let alignments: [Alignment]
  private var rows: [[String]]

  /// A table with its heading; numbers lean right.
  init(_ columns: [(heading: String, alignment: Alignment)]) {
    alignments = columns.map(\.alignment)
    rows = [columns.map(\.heading)]
  }

  /// Adds a row of as many cells as there are columns.
  mutating func append(_ cells: [String]) {
    precondition(cells.count == alignments.count, "a row of \(cells.count) cells")
    rows.append(cells)
  }

  /// The lines, each behind `indent` spaces and without spaces at its end.
  func text(indent: Int = 2) -> String {
    let widths = alignments.indices.map { column in
      rows.lazy.map { $0[column].count }.max() ?? 0
    }
    return rows.map { row in
      let cells = alignments.indices.map { column -> String in
        let space = String(repeating: " ", count: widths[column] - row[column].count)
        return alignments[column] == .left ? row[column] + space : space + row[column]
      }
      let line = String(repeating: " ", count: indent) + cells.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed()) + "\n"
    }.joined()
  }
}

/// Lines of a name and what belongs to it.
struct TextFields {
  private var fields: [(name: String, value: String)] = []

  /// Adds a line.
  mutating func append(_ name: String, _ value: String) { fields.append((name, value)) }

  /// The lines, their values one under the other, each behind `indent` spaces.
  func text(indent: Int = 2) -> String {
    let width = fields.map(\.name.count).max() ?? 0
    return fields.map { name, value in
      String(repeating: " ", count: indent) + name
        + String(repeating: " ", count: width - name.count + 2) + value + "\n"
    }.joined()
  }
}
