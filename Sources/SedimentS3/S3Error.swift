package import SedimentIO
internal import SedimentStore

/// A request to object storage that failed; says how to go on.
package struct S3Error: Error, Sendable, Equatable, CustomStringConvertible {
  /// What a caller can branch on.
  package enum Code: Sendable, Equatable {
    /// There is no such bucket.
    case notFound
    /// An upload in parts that was ended or given up.
    case noSuchUpload
    /// A part that lies behind the end was asked for.
    case rangeNotSatisfiable
    case permissionDenied
    case noSpace
    /// Nobody answered, or only with a request to come again.
    case unanswered
    /// The server refuses for another reason.
    case refused
    /// What came is no answer of object storage.
    case invalidAnswer
    /// The file that is sent could not be read.
    case file(FileError.Code)
  }

  package var code: Code
  /// In words: "list", "put".
  package var operation: String
  /// The address in full, without query.
  package var url: String
  /// What the server said and what can be done; one line.
  package var reason: String

  package var description: String { "cannot \(operation) \(url): \(reason)" }

  var storeError: StoreError {
    switch code {
    case .notFound: StoreError(.notFound, description, cause: self)
    case .noSpace: StoreError(.noSpace, description, cause: self)
    default: StoreError(.inputOutput, description, cause: self)
    }
  }
}

/// Runs requests, turning their errors into those of a store.
func reachingStorage<Value>(
  _ body: () throws(S3Error) -> Value
) throws(StoreError) -> Value {
  do throws(S3Error) {
    return try body()
  } catch {
    throw error.storeError
  }
}
