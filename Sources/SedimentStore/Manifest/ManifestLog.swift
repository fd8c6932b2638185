// The manifest on disk: `CURRENT` names `MANIFEST-<12 digits>`, a record log whose first record is
// a snapshot of the state and whose others are edits, one an epoch.
//
// CURRENT is one line: the manifest's name, its file id, the length it surely has, and a checksum
// of these, numbers in hexadecimal. It is replaced by rename, after the manifest it will name is
// durable; an orderly close replaces it once more with the final length, so that a manifest cut
// short later is noticed.

package import SedimentIO

/// Names of the manifest's files.
package enum ManifestFiles {
  /// The file that names the manifest in force.
  package static let current = "CURRENT"
  /// What `CURRENT` is written as before it is renamed.
  package static let currentTemporary = ".CURRENT.new"
  static let prefix = "MANIFEST-"

  /// The name of the manifest of a number.
  package static func name(_ number: FileNumber) -> String { prefix + number.digits }

  /// A manifest log is replaced by a fresh snapshot when its edits have grown past this.
  package static let editBytesMax: UInt64 = 4 << 20

  /// The line `CURRENT` holds.
  static func line(name: String, fileID: UInt64, length: UInt64) -> String {
    let words = "\(name) \(StoreIdentity.digits(fileID)) \(StoreIdentity.digits(length))"
    let checksum = Checksum.of(Array(words.utf8), seed: fileID)
    return "\(words) \(StoreIdentity.digits(checksum))\n"
  }
}

/// Reads the state that a store's manifest holds.
package enum ManifestReader {
  /// The state of the last durable epoch and the manifest it stands in.
  package struct Answer {
    /// The snapshot with all edits applied.
    package var state: StoreState
    /// The file that `CURRENT` names.
    package var manifestName: String
  }

  /// - Parameter onEpoch: called with the state of every epoch that the manifest holds, oldest
  ///   first; of those before the last one it is not checked whether they are consistent.
  /// - Returns: `nil` when there is no store.
  /// - Throws: `FileError`, `Corruption` or `UnsupportedFormat`.
  package static func read(
    _ directory: any Directory, onEpoch: (StoreState) -> Void = { _ in }
  ) throws -> Answer? {
    guard let (name, fileID, length) = try readCurrent(directory) else { return nil }
    var reader = try RecordLogReader(
      directory: directory, name: name, kind: .manifest, fileID: fileID)
    guard let first = try reader.next(committedLength: length),
      first.type == StateCoding.snapshotType
    else {
      throw Corruption(
        file: name, offset: UInt64(RecordLogFormat.headerBytes), what: "first record",
        expected: "a snapshot", found: "none")
    }
    var state = try decoding(name, first) { payload throws(CodingError) in
      try StateCoding.decodeState(payload)
    }
    while let record = try reader.next(committedLength: length) {
      guard record.type == StateCoding.editType else {
        throw Corruption(
          file: name, offset: record.offset, what: "record type",
          expected: UInt64(StateCoding.editType), found: UInt64(record.type))
      }
      let edit = try decoding(name, record) { payload throws(CodingError) in
        try StateCoding.decodeEdit(payload)
      }
      if edit.epoch > state.epoch { onEpoch(state) }
      do {
        try state.apply(edit)
      } catch {
        throw Corruption(
          file: name, offset: record.offset, what: "edit", expected: "one that fits",
          found: error.reason)
      }
    }
    try check(state, from: name)
    onEpoch(state)
    return Answer(state: state, manifestName: name)
  }

  /// Throws unless a state that a manifest holds is consistent.
  static func check(_ state: StoreState, from name: String) throws(Corruption) {
    guard let complaint = state.complaint else { return }
    throw Corruption(
      file: name, offset: 0, what: "state", expected: "a consistent one", found: complaint)
  }

  static func decoding<Value>(
    _ name: String, _ record: RecordLogReader.Record,
    _ decode: ([UInt8]) throws(CodingError) -> Value
  ) throws -> Value {
    do {
      return try decode(record.payload)
    } catch .unknownVersion(let version, let supported) {
      throw UnsupportedFormat(file: name, version: version, supported: supported)
    } catch {
      throw Corruption(
        file: name, offset: record.offset, what: "record", undecodable: error)
    }
  }

  private static func readCurrent(
    _ directory: any Directory
  ) throws -> (name: String, fileID: UInt64, length: UInt64)? {
    let found = try directory.metadata(of: ManifestFiles.current)
    guard found != nil else { return nil }
    let file = try directory.openFile(ManifestFiles.current, .read)
    defer { file.close() }
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = try file.read(into: &bytes, at: 0)
    bytes.removeLast(bytes.count - count)
    let line = String(decoding: bytes, as: UTF8.self)
    let words = line.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 4,
      let number = UInt64(words[0].dropFirst(ManifestFiles.prefix.count)),
      // Written anew from its number, the name cannot lead out of the directory.
      words[0] == ManifestFiles.name(FileNumber(number)),
      let fileID = UInt64(words[1], radix: 16), let length = UInt64(words[2], radix: 16),
      line == ManifestFiles.line(name: String(words[0]), fileID: fileID, length: length)
    else {
      throw Corruption(
        file: ManifestFiles.current, offset: 0, what: "content",
        expected: "a manifest's name with its checksum", found: "something else")
    }
    return (String(words[0]), fileID, length)
  }
}

/// Writes a store's manifest. One at a time, by the holder of the store's lock.
package final class ManifestWriter {
  private let log: RecordLogWriter
  /// The manifest's file name.
  package let name: String
  private let snapshotLength: UInt64
  private let directory: any Directory

  /// Writes a new manifest with a snapshot of `state`, makes it durable, and makes it current.
  package init(
    directory: any Directory, number: FileNumber, state: StoreState
  ) throws(FileError) {
    self.directory = directory
    name = ManifestFiles.name(number)
    let fileID = UInt64.random(in: .min ... .max)
    log = try RecordLogWriter(directory: directory, name: name, kind: .manifest, fileID: fileID)
    try log.append(type: StateCoding.snapshotType, unbounded: StateCoding.encode(state))
    try log.synchronize()
    snapshotLength = log.length
    // CURRENT must not count on the acknowledgement, which is durable later.
    try publish()
    log.acknowledge()
  }

  private func publish() throws(FileError) {
    let temporary = ManifestFiles.currentTemporary
    if try directory.metadata(of: temporary) != nil { try directory.remove(temporary) }
    let file = try directory.openFile(temporary, .create)
    defer { file.close() }
    let line = Array(ManifestFiles.line(name: name, fileID: log.fileID, length: log.length).utf8)
    try unsafe line.span.bytes.withUnsafeBytes { bytes throws(FileError) in
      try unsafe file.write(bytes, at: 0)
    }
    try file.synchronize()
    // The manifest's own entry must be durable before anything names it.
    try directory.synchronize()
    try directory.rename(temporary, to: ManifestFiles.current, replacing: true)
    try directory.synchronize()
  }

  /// Whether it is time for a fresh snapshot.
  package var isLong: Bool {
    log.length - snapshotLength > max(ManifestFiles.editBytesMax, snapshotLength)
  }

  /// Appends an epoch's edit and makes it durable.
  package func append(_ edit: StateEdit) throws(FileError) {
    try log.append(type: StateCoding.editType, unbounded: StateCoding.encode(edit))
    try log.synchronize()
    log.acknowledge()
  }

  /// Makes the last acknowledgement durable, notes the final length, and closes the file.
  package func close() throws(FileError) {
    try log.synchronize()
    try publish()
    log.close()
  }

  /// Closes the file of a manifest that is current no more.
  package func abandon() {
    log.close()
  }
}
