/// A file of a format version that this build does not know.
package struct UnsupportedFormat: Error, Hashable, Sendable {
  /// Name of the file, as people see it in the directory.
  package var file: String
  /// The version that the file says it has.
  package var version: UInt64
  /// The newest version that this build reads.
  package var supported: UInt64

  /// All fields.
  package init(file: String, version: UInt64, supported: UInt64) {
    self.file = file
    self.version = version
    self.supported = supported
  }
}
