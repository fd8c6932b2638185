/// What the manifest knows of a table, and what opening the table is checked against.
package struct TableMetadata: Sendable, Equatable {
  package var number: FileNumber
  /// Random, drawn when the file was made; seeds its checksums.
  package var fileID: UInt64
  package var fileBytes: UInt64
  package var entryCount: UInt64
  package var smallestHigh: UInt64
  package var largestHigh: UInt64
  package var smallestTime: Int64
  package var largestTime: Int64
  package var layout: EntryLayout
  /// Whether the table stores kinds; without them every entry is an insert.
  package var hasKinds: Bool

  package init(
    number: FileNumber, fileID: UInt64, fileBytes: UInt64, entryCount: UInt64,
    smallestHigh: UInt64, largestHigh: UInt64, smallestTime: Int64, largestTime: Int64,
    layout: EntryLayout, hasKinds: Bool
  ) {
    self.number = number
    self.fileID = fileID
    self.fileBytes = fileBytes
    self.entryCount = entryCount
    self.smallestHigh = smallestHigh
    self.largestHigh = largestHigh
    self.smallestTime = smallestTime
    self.largestTime = largestTime
    self.layout = layout
    self.hasKinds = hasKinds
  }
}
