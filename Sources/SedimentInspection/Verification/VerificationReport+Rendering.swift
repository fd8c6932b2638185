internal import SedimentStore

extension VerificationReport {
  /// The report for people: what was checked, then every damage.
  public var text: String {
    let checked = [
      Figure.count(manifestCount, of: "manifest"), Figure.count(tableCount, of: "table"),
      Figure.count(logCount, of: "log"),
    ].joined(separator: ", ")
    var text = "\(subject)\n"
    text += "  checked: \(checked), \(Figure.bytes(bytes))\n"
    if droppedFiles > 0 {
      text += "  dropped by a later epoch meanwhile: \(Figure.count(droppedFiles, of: "file"))\n"
    }
    guard !isSound else { return text + "  no damage\n" }
    for damage in damages { text += "  damaged: \(damage.description)\n" }
    let files = Set(damages.map(\.file)).count
    return text + "  \(Figure.count(files, of: "file")) damaged\n"
  }

  /// The report for programs.
  public var json: JSONValue {
    .object([
      .init("subject", .string(subject)), .init("sound", .bool(isSound)),
      .init("manifests", .count(manifestCount)), .init("tables", .count(tableCount)),
      .init("logs", .count(logCount)), .init("bytes", .unsigned(bytes)),
      .init("dropped_files", .count(droppedFiles)),
      .init(
        "damages",
        .array(
          damages.map {
            .object([
              .init("file", .string($0.file)), .init("description", .string($0.description)),
            ])
          })),
    ])
  }
}
