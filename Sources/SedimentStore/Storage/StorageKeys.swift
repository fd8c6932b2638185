// The names of what checkpoint storage holds; ARCHITECTURE.md §3.5 says what each is for.
//
//   stores/<identity>                                       which stores there are
//   <identity>/log/<sequence, 12 digits>                    what was published, one record a key
//   <identity>/intents/<upload>                             an upload that goes on
//   <identity>/leases/<upload>                              what somebody needs meanwhile
//   <identity>/uploads/<upload>/<number>-<file id>.sst      a table
//   <identity>/uploads/<upload>/<number>-<file id>-<length>.log
//   <identity>/uploads/<upload>/<checkpoint id>.checkpoint  the manifest of a checkpoint
//
// An upload's id, `<millis, 13 digits>-<16 hex digits>`, is drawn when it begins and never again,
// so no key below `uploads/` is ever put by two, or again once it was deleted.

/// What names an upload, or whoever else holds a lease.
package struct UploadID: Hashable, Sendable, CustomStringConvertible {
  /// When it began, in milliseconds since 1970, by the clock of its machine.
  package var millis: Int64
  package var random: UInt64

  package init(millis: Int64, random: UInt64 = .random(in: .min ... .max)) {
    // Times of 13 digits reach to the year 2286.
    self.millis = min(max(millis, 0), 9_999_999_999_999)
    self.random = random
  }

  /// Reads an id; `nil` for anything that `description` does not write.
  package init?(_ text: Substring) {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let millis = Int64(parts[0]), let random = UInt64(parts[1], radix: 16)
    else { return nil }
    self.init(millis: millis, random: random)
    guard description == text else { return nil }
  }

  package var description: String {
    let digits = "\(millis)"
    return String(repeating: "0", count: max(0, 13 - digits.utf8.count)) + digits + "-"
      + StoreIdentity.digits(random)
  }
}

/// The keys of one store.
package struct StorageKeys: Sendable, Equatable {
  package let identity: StoreIdentity

  package init(identity: StoreIdentity) { self.identity = identity }

  /// Below which the ids of all stores are.
  package static let stores = "stores/"

  package var store: String { Self.stores + "\(identity)" }
  package var log: String { "\(identity)/log/" }
  package var intents: String { "\(identity)/intents/" }
  package var leases: String { "\(identity)/leases/" }
  package var uploads: String { "\(identity)/uploads/" }

  package func entry(_ sequence: UInt64) -> String { log + FileNumber(sequence).digits }
  package func intent(_ upload: UploadID) -> String { intents + "\(upload)" }
  package func lease(_ id: UploadID) -> String { leases + "\(id)" }
  package func uploads(of upload: UploadID) -> String { uploads + "\(upload)/" }
  package func object(_ name: String, of upload: UploadID) -> String { uploads(of: upload) + name }

  package func manifest(_ checkpoint: CheckpointID, of upload: UploadID) -> String {
    object(checkpoint.fileName, of: upload)
  }

  /// The sequence number of a key of the log; `nil` for any other.
  package func sequence(ofEntry key: String) -> UInt64? {
    guard let sequence = UInt64(key.dropFirst(log.count)), entry(sequence) == key else {
      return nil
    }
    return sequence
  }

  /// The upload and the name of a key of an object; `nil` for any other.
  package func object(of key: String) -> (upload: UploadID, name: String)? {
    guard key.hasPrefix(uploads) else { return nil }
    let parts = key.dropFirst(uploads.count).split(
      separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let upload = UploadID(parts[0]) else { return nil }
    let name = String(parts[1])
    guard FileNaming.isObject(name) || CheckpointID(fileName: name) != nil else { return nil }
    return (upload, name)
  }

  /// The id at the end of a key of an intent or a lease; `nil` for any other.
  package static func id(of key: String, below prefix: String) -> UploadID? {
    guard key.hasPrefix(prefix) else { return nil }
    return UploadID(key.dropFirst(prefix.count))
  }
}

extension StoreIdentity {
  /// Reads what `description` writes; `nil` for anything else.
  package init?(_ text: some StringProtocol) {
    let digits = String(text)
    guard digits.utf8.count == 32, let high = UInt64(digits.prefix(16), radix: 16),
      let low = UInt64(digits.suffix(16), radix: 16)
    else { return nil }
    self.init(high: high, low: low)
    guard description == digits else { return nil }
  }
}
