/// Consecutive entries of one page that a source gives out.
package struct PageSlice {
  /// The page.
  package var view: PageView
  /// The first entry of the page that belongs to the source.
  package var lower: Int
  /// One past the last; above `lower`.
  package var upper: Int

  /// Entries `lower ..< upper` of `view`.
  package init(view: PageView, lower: Int, upper: Int) {
    self.view = view
    self.lower = lower
    self.upper = upper
  }
}

/// Sorted entries, a page at a time: what merges are made of.
///
/// One call gives out some hundred entries, so it may be dynamic; what is done per entry is not.
package protocol PageSource: AnyObject {
  /// The next entries in order, `nil` after the last. They are valid until the next call.
  ///
  /// Throws `FileError` or `Corruption`; after that the source is only to be dropped.
  func nextPage() throws -> PageSlice?
}
