/// What all tables have in common, of either layout: enough to find, copy or count the file.
package struct TableReference: Hashable, Sendable {
  package var number: FileNumber
  /// Random, drawn when the file was made.
  package var fileID: UInt64
  package var fileBytes: UInt64

  package init(_ table: TableMetadata) {
    number = table.number
    fileID = table.fileID
    fileBytes = table.fileBytes
  }

  package init(_ table: OrderedTableMetadata) {
    number = table.number
    fileID = table.fileID
    fileBytes = table.fileBytes
  }
}

extension StoreState {
  /// Every table that the state names, of both layouts, by number.
  package var tableReferences: [TableReference] {
    (tables.values.map { TableReference($0) } + orderedTables.map { TableReference($0) })
      .sorted { $0.number < $1.number }
  }
}
