extension TableFooter {
  /// Says where the footer contradicts itself, the file's size or the manifest; `nil` when nowhere.
  ///
  /// `metadata.fileBytes` is the file's true size. After this, every section lies inside the file.
  func flaw(against metadata: TableMetadata) -> String? {
    contradiction(of: metadata) ?? misplacedSection(fileBytes: metadata.fileBytes) ?? wrongBounds()
  }

  private func contradiction(of metadata: TableMetadata) -> String? {
    if isExact != metadata.layout.isExact || valueWidth != metadata.layout.valueWidth
      || hasKinds != metadata.hasKinds
    {
      return "another layout than the manifest's"
    }
    if entryCount != metadata.entryCount { return "\(entryCount) entries" }
    if smallestHigh != metadata.smallestHigh || largestHigh != metadata.largestHigh {
      return "another hash range than the manifest's"
    }
    if smallestTime != metadata.smallestTime || largestTime != metadata.largestTime {
      return "another time range than the manifest's"
    }
    return nil
  }

  private func misplacedSection(fileBytes: UInt64) -> String? {
    let unit = UInt64(TableFormat.unitBytes)
    // Each comparison is by subtraction from what is known to be in the file: no sum can wrap.
    let body = fileBytes - UInt64(TableFormat.footerBytes)
    guard pageUnits >= 1, pageUnits <= body / unit else { return "\(pageUnits) units of pages" }
    guard filterOffset == pageUnits * unit, filterBytes <= body - filterOffset else {
      return "filter section at \(filterOffset), \(filterBytes) bytes"
    }
    guard
      indexOffset >= filterOffset + filterBytes, indexOffset <= body,
      indexBytes == pageUnits * 4, indexBytes <= body - indexOffset
    else { return "index section at \(indexOffset), \(indexBytes) bytes" }
    guard entryCount >= 1, entryCount <= pageUnits * (unit / 16) else {
      return "\(entryCount) entries in \(pageUnits) units"
    }
    return nil
  }

  private func wrongBounds() -> String? {
    guard rangeLow <= smallestHigh, smallestHigh <= largestHigh, largestHigh <= rangeHigh else {
      return "hashes outside their range"
    }
    guard valueWidth <= EntryLayout.valueWidthMax, timeWidth <= 8 else {
      return "values of \(valueWidth) and times of \(timeWidth) bytes"
    }
    guard timeBase <= smallestTime, smallestTime <= largestTime else {
      return "times outside their range"
    }
    let width = PageShape.timeWidth(for: timeBase...largestTime)
    return width > Int(timeWidth) ? "times of \(timeWidth) bytes that need \(width)" : nil
  }
}
