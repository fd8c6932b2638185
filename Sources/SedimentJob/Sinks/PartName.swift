// The names of parts: `part-<12-digit sequence>-<writer epoch>.<extension>`, and with a dot in
// front and `.tmp` behind until they are published.

/// A part's name, read and written.
package struct PartName: Sendable, Equatable {
  /// Its place in the output; names in byte order are in this order.
  package var sequence: UInt64
  /// Which opening of the state wrote it.
  package var writerEpoch: UInt64
  /// Without its dot.
  package var fileExtension: String

  /// Beyond it names would not sort as numbers do.
  package static let sequenceMax: UInt64 = 999_999_999_999

  /// The name of a part.
  package init(sequence: UInt64, writerEpoch: UInt64, fileExtension: String) {
    self.sequence = sequence
    self.writerEpoch = writerEpoch
    self.fileExtension = fileExtension
  }

  /// The name that readers see.
  package var final: String {
    let digits = String(sequence)
    let zeros = String(repeating: "0", count: max(0, 12 - digits.utf8.count))
    return "part-\(zeros)\(digits)-\(writerEpoch).\(fileExtension)"
  }

  /// The name until the epoch is durable.
  package var temporary: String { ".\(final).tmp" }

  /// Reads a final name; `nil` for anything that `final` does not give.
  package init?(final name: String) {
    guard name.hasPrefix("part-"), let dot = name.firstIndex(of: ".") else { return nil }
    let numbers = name[..<dot].dropFirst("part-".count).split(
      separator: "-", omittingEmptySubsequences: false)
    guard numbers.count == 2, let sequence = UInt64(numbers[0]),
      let writerEpoch = UInt64(numbers[1])
    else { return nil }
    self.init(
      sequence: sequence, writerEpoch: writerEpoch,
      fileExtension: String(name[name.index(after: dot)...]))
    guard Self.isValid(fileExtension: fileExtension), name == final else { return nil }
  }

  /// Reads a temporary name.
  package init?(temporary name: String) {
    guard name.hasPrefix("."), name.hasSuffix(".tmp") else { return nil }
    self.init(final: String(name.dropFirst().dropLast(".tmp".count)))
  }

  /// Letters, digits and dots inside, at most 32.
  static func isValid(fileExtension text: String) -> Bool {
    !text.isEmpty && text.utf8.count <= 32 && text.first != "." && text.last != "."
      && text.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."):
          true
        default: false
        }
      }
  }
}
