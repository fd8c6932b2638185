/// An entry that a table cannot take. It comes from damaged input of a merge or a caller's mistake;
/// the table being written is given up either way.
package enum TableWriteError: Error, Equatable {
  /// The entry stands before the one appended last.
  case outOfOrder
  /// The hash is outside the range the table was made for.
  case hashOutOfRange
  /// The time is outside the bounds the table was made for.
  case timeOutOfBounds
  /// The key is longer than `EntryLayout.keyBytesMax`.
  case keyTooLong
  /// The value is longer than 64 MiB.
  case valueTooLong
  /// The table has no column of kinds, and the entry is no insert.
  case kindNotStored
  /// More entries of one quantum than the largest page holds.
  case pageTooLarge
  /// The file would be larger than `TableFormat.fileBytesMax`.
  case tableTooLarge
}
