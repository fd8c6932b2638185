internal import SedimentStore

/// Where reading of files stopped, the one that moved last at the end.
///
/// It is bounded by what an epoch can keep. Beyond that the oldest files are forgotten, but none
/// that is an input of this run; should a forgotten one come again, the state drops its records as
/// long as it holds their keys.
package struct PositionTable {
  private var byPath: [String: (position: FilePosition, age: UInt64)] = [:]
  private var nextAge: UInt64 = 0
  private var bytes = 0
  private let inputs: Set<String>

  /// The positions of an epoch, the oldest first; `inputs` are the files of this run.
  ///
  /// - Throws: `JobError` when the inputs alone are more than an epoch can keep.
  package init(_ positions: [FilePosition], inputs: [String]) throws(JobError) {
    self.inputs = Set(inputs)
    let needed = self.inputs.reduce(0) { $0 + Self.bytes(ofPath: $1) }
    guard needed <= JobMetadata.positionBytesMax else {
      throw JobError(
        .failed,
        "\(self.inputs.count) files are more than one state can remember: their positions take "
          + "\(Figure.bytes(UInt64(needed))), and there is room for "
          + "\(Figure.bytes(UInt64(JobMetadata.positionBytesMax))); give the files in "
          + "parts, or as one stream on standard input")
    }
    for position in positions { set(position) }
  }

  /// Replaces the position of the file at a path.
  package mutating func set(_ position: FilePosition) {
    // A file that goes on keeps its age, so that the order is that of the beginnings.
    let age = byPath[position.path]?.age ?? nextAge
    if age == nextAge {
      nextAge += 1
      bytes += Self.bytes(ofPath: position.path)
    }
    byPath[position.path] = (position, age)
    if bytes > JobMetadata.positionBytesMax { forgetOldest() }
  }

  /// Forgets a path.
  package mutating func remove(_ path: String) {
    if byPath.removeValue(forKey: path) != nil { bytes -= Self.bytes(ofPath: path) }
  }

  /// All positions, the oldest first.
  package var all: [FilePosition] { sorted() }

  /// A quarter at once, so that the search costs little a file. The inputs fit, so it ends.
  private mutating func forgetOldest() {
    for old in sorted() where !inputs.contains(old.path) {
      guard bytes > JobMetadata.positionBytesMax / 4 * 3 else { return }
      remove(old.path)
    }
  }

  private func sorted() -> [FilePosition] {
    byPath.values.sorted { $0.age < $1.age }.map(\.position)
  }

  private static func bytes(ofPath path: String) -> Int {
    path.utf8.count + FilePosition.encodedBytesMax
  }
}
