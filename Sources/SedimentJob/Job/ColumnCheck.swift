// Whether CSV input has the columns that a job asks for, before any state is touched: a state keeps
// what it was made with, and a typing error should not be what it keeps.

internal import SedimentIO

/// Looks at the first CSV header of a job's input.
struct ColumnCheck {
  private let options: JobOptions
  private let files: InputFileSystem

  private static let chunkBytes = 1 << 16

  init(_ options: JobOptions, _ files: InputFileSystem) {
    self.options = options
    self.files = files
  }

  /// Throws `SourceError` when a column is missing. Standard input and pipes are not looked at:
  /// what is read from them is gone.
  func run() throws(SourceError) {
    let format = options.description.format
    guard format.kind == .csv else { return }
    let batch = RecordBatch()
    for case .file(let path) in options.sources {
      guard try files.metadata(of: path)?.kind == .file else { continue }
      var stream: any ByteStream = FileStream(try files.open(path))
      if InputFileSystem.isCompressed(path) { stream = try GzipStream(stream, path: path) }
      let reader = SourceReader(
        stream, path: path, format: format, chunkBytes: Self.chunkBytes, recordsMax: 1)
      batch.removeAll()
      _ = try reader.next(into: batch)
      guard let header = reader.header else { continue }
      do throws(FormatError) {
        for field in format.keyFields { _ = try header.column(field) }
        if let field = format.timeField { _ = try header.column(field) }
      } catch {
        throw .format(path: path, error)
      }
      return
    }
  }
}
