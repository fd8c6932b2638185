package import SedimentIO

/// A table of an ordered keyspace whose file is open and of which nothing is in memory.
///
/// It can be read for as long as this lives, whatever becomes of the file's name. Whoever reads
/// opens it, which costs a read of footer and index, and lets go of the reader afterwards: so a
/// reader of many tables needs memory for the indexes of a few.
package final class HeldOrderedTable: Sendable {
  /// What the manifest says of the table.
  package let metadata: OrderedTableMetadata
  let file: any File

  /// Opens the file, and reads nothing of it. Throws `FileError`.
  ///
  /// - Parameter fileName: where the file is not named by its number.
  package init(
    directory: any Directory, metadata: OrderedTableMetadata, fileName: String? = nil
  ) throws(FileError) {
    self.metadata = metadata
    file = try directory.openFile(fileName ?? metadata.number.tableName, .read)
  }

  deinit { file.close() }

  /// The table, open: with its index, and as much of its filter as `filterByteBudget` allows.
  ///
  /// Throws as `OrderedTableReader.init(directory:metadata:)`.
  package func open(filterByteBudget: Int = 0) throws -> OrderedTableReader {
    try OrderedTableReader(held: self, filterByteBudget: filterByteBudget)
  }
}
