/// What became of a record: its key was found, or why not. The names are part of the rejects
/// output.
package enum RecordStatus: UInt8, Sendable, CaseIterable {
  case ok = 0
  case invalidJSON = 1
  case notAnObject = 2
  case invalidUTF8 = 3
  case nulByte = 4
  case missingKey = 5
  case wrongType = 6
  case lineTooLong = 7
  case timeMissing = 8
  case timeInvalid = 9
  /// Set by the stage that knows the arrival clock, not by a parser.
  case timeTooFarAhead = 10
  case malformedCSV = 11
  case keyTooLong = 12
  /// The line does not match `--key-regex`.
  case noMatch = 13
  /// Whether the line matches could not be found out within the bounds of a search.
  case matchLimit = 14
  /// A record of a topic without a value.
  case tombstone = 15
  /// A record of a topic with an empty value, which no line of the format stands for.
  case emptyValue = 16
  /// A record of a topic that would be several lines.
  case newlineInRecord = 17

  /// Whether the record is sound but has no key, so that `--on-missing-key` decides.
  package var isMissingKey: Bool { self == .missingKey || self == .noMatch }

  /// The reason as it is written for people and programs.
  package var name: String {
    switch self {
    case .ok: "ok"
    case .invalidJSON: "invalidJSON"
    case .notAnObject: "notAnObject"
    case .invalidUTF8: "invalidUTF8"
    case .nulByte: "nulByte"
    case .missingKey: "missingKey"
    case .wrongType: "wrongType"
    case .lineTooLong: "lineTooLong"
    case .timeMissing: "timeMissing"
    case .timeInvalid: "timeInvalid"
    case .timeTooFarAhead: "timeTooFarAhead"
    case .malformedCSV: "malformedCSV"
    case .keyTooLong: "keyTooLong"
    case .noMatch: "noMatch"
    case .matchLimit: "matchLimit"
    case .tombstone: "tombstone"
    case .emptyValue: "emptyValue"
    case .newlineInRecord: "newlineInRecord"
    }
  }
}
