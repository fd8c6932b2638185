/// Where reading of files stopped, the one that moved last at the end.
package struct PositionTable {
  private var byPath: [String: (position: FilePosition, age: UInt64)] = [:]
  private var nextAge: UInt64 = 0

  /// The positions of an epoch, the oldest first.
  package init(_ positions: [FilePosition]) {
    for position in positions { set(position) }
  }

  /// Replaces the position of the file at a path.
  package mutating func set(_ position: FilePosition) {
    // A file that goes on keeps its age, so that the order is that of the beginnings.
    let age = byPath[position.path]?.age ?? nextAge
    if age == nextAge { nextAge += 1 }
    byPath[position.path] = (position, age)
    guard byPath.count > JobMetadata.positionsMax else { return }
    // A quarter at once, so that the search costs little a file.
    for old in sorted().prefix(JobMetadata.positionsMax / 4) { byPath[old.path] = nil }
  }

  /// Forgets a path.
  package mutating func remove(_ path: String) {
    byPath[path] = nil
  }

  /// All positions, the oldest first.
  package var all: [FilePosition] { sorted() }

  private func sorted() -> [FilePosition] {
    byPath.values.sorted { $0.age < $1.age }.map(\.position)
  }
}
