// Where checkpoints are in object storage, read from one word: `s3://bucket/prefix`.

/// A bucket and the beginning of keys in it.
public struct S3Address: Sendable, Equatable {
  /// The bucket's name.
  public var bucket: String
  /// What all keys begin with: empty, or with a slash at its end.
  public var prefix: String

  private static let scheme = "s3://"
  private static let prefixBytesMax = 512

  /// Whether a word is meant as such an address.
  public static func isOne(_ word: String) -> Bool { word.hasPrefix(scheme) }

  /// Reads an address.
  ///
  /// - Throws: `S3AddressError`, which says what is wrong with it.
  public init(_ word: String) throws(S3AddressError) {
    guard Self.isOne(word) else { throw S3AddressError("it does not begin with s3://") }
    let parts = word.dropFirst(Self.scheme.count).split(separator: "/")
    guard let bucket = parts.first, Self.isBucket(bucket) else {
      throw S3AddressError("the bucket is missing, or its name is none: s3://bucket/prefix")
    }
    self.bucket = String(bucket)
    for part in parts.dropFirst()
    where part == "." || part == ".." || !part.utf8.allSatisfy(Self.isPlain) {
      throw S3AddressError("'\(part)' is not of letters, digits and -._~")
    }
    prefix = parts.dropFirst().map { $0 + "/" }.joined()
    guard prefix.utf8.count <= Self.prefixBytesMax else {
      throw S3AddressError("the prefix is longer than \(Self.prefixBytesMax) bytes")
    }
  }

  /// The address in one form.
  public var location: String {
    Self.scheme + bucket + (prefix.isEmpty ? "" : "/" + prefix.dropLast())
  }

  private static func isBucket(_ name: Substring) -> Bool {
    (3...63).contains(name.utf8.count) && name.utf8.allSatisfy(isPlain) && !name.contains("~")
      && !name.hasPrefix(".") && !name.hasPrefix("-")
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "_"), UInt8(ascii: "~"):
      true
    default: false
    }
  }
}

/// Why a word is no address in object storage.
public struct S3AddressError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, without the word itself.
  public var description: String

  init(_ description: String) { self.description = description }
}
