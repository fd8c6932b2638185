internal import SedimentIO

extension PageCache {
  /// Calls `body` with a page: from the cache, else from the file, and then cached.
  ///
  /// - Parameter scratch: one unit of memory, aligned to 8; used when the page is not cached.
  func withPage(
    of table: TableReader, first: UInt32, count: UInt32, scratch: UnsafeMutableRawPointer,
    _ body: (PageView) -> Void
  ) throws {
    guard count == 1 else {
      let memory = try AlignedBuffer(byteCount: Int(count) * TableFormat.unitBytes)
      guard let base = unsafe memory.bytes.baseAddress else {
        throw AllocationError(byteCount: Int(count) * TableFormat.unitBytes)
      }
      return body(try unsafe table.readPage(first: first, count: count, into: base))
    }
    let fileID = table.metadata.fileID
    if let page = lookup(fileID: fileID, unit: first) {
      defer { unpin(page) }
      return body(unsafe table.probe.shape.view(checked: page.address))
    }
    let view = try unsafe table.readPage(first: first, count: 1, into: scratch)
    unsafe insert(fileID: fileID, unit: first, copying: UnsafeRawPointer(scratch))
    body(view)
  }
}
