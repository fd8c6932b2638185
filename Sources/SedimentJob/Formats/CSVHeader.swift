/// The first record of a CSV source: its bytes, for the head of every part, and its columns.
package final class CSVHeader: Sendable {
  /// The record with its line end, without a byte order mark.
  package let line: [UInt8]
  /// The columns' names, unquoted; invalid UTF-8 is repaired.
  package let names: [String]

  /// Reads the header from a well-formed record that ends in a newline.
  package init(line: [UInt8]) {
    let start = line.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    self.line = Array(line[start...])
    var end = self.line.count
    if end > 0, self.line[end - 1] == UInt8(ascii: "\n") { end -= 1 }
    if end > 0, self.line[end - 1] == UInt8(ascii: "\r") { end -= 1 }
    let record = Array(self.line[..<end])
    names = unsafe record.withUnsafeBufferPointer { record in
      var names: [String] = []
      var index = 0
      while index <= record.count {
        let (content, hasDoubledQuotes) = unsafe CSVScanner.takeField(of: record, at: &index)
        let text = unsafe String(decoding: record[content], as: UTF8.self)
        names.append(hasDoubledQuotes ? Self.halvingQuotes(of: text) : text)
      }
      return names
    }
  }

  private static func halvingQuotes(of text: String) -> String {
    var result = ""
    var isSecond = false
    for scalar in text.unicodeScalars {
      isSecond = scalar == "\"" && !isSecond
      if scalar != "\"" || isSecond { result.unicodeScalars.append(scalar) }
    }
    return result
  }

  /// Throws when this header names other columns than the first file's, which heads the output.
  package func requireColumns(of first: CSVHeader) throws(FormatError) {
    guard names == first.names else {
      throw .headerMismatch(expected: first.names, found: names)
    }
  }

  /// The place, from 0, of a column by its name, else by its 1-based number.
  package func column(_ field: String) throws(FormatError) -> Int {
    if let index = names.firstIndex(of: field) { return index }
    if let number = Int(field), number >= 1, number <= names.count { return number - 1 }
    throw .unknownColumn(field, columns: names)
  }
}
