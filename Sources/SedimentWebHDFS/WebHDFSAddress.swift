// Where on HDFS, read from one word of the command line:
//
//     webhdfs://host:port[,host:port]/path[?user.name=NAME][&auth=kerberos]
//
// `webhdfss` is the same over TLS. The path is taken as it is written, without percent-encoding;
// what follows the first question mark are the options.

/// A directory on HDFS and who asks for it.
package struct WebHDFSAddress: Sendable, Equatable {
  /// Whether everything goes over TLS.
  package var isSecure: Bool
  /// `host:port` of each NameNode that may be the active one.
  package var nameNodes: [String]
  /// Absolute, without a slash at its end.
  package var path: String
  /// Who asks, where security is off.
  package var userName: String?
  /// Whether Kerberos says who asks.
  package var usesKerberos = false

  /// NameNodes of one address.
  package static let nameNodesMax = 8

  /// Whether a word is meant as an address on HDFS.
  package static func isOne(_ word: String) -> Bool {
    word.hasPrefix(plainScheme) || word.hasPrefix(secureScheme)
  }

  private static let plainScheme = "webhdfs://"
  private static let secureScheme = "webhdfss://"

  /// Reads an address.
  ///
  /// - Throws: `WebHDFSAddressError`, which says what is wrong with it.
  package init(_ word: String) throws(WebHDFSAddressError) {
    isSecure = word.hasPrefix(Self.secureScheme)
    guard Self.isOne(word) else { throw .init("it does not begin with webhdfs:// or webhdfss://") }
    let rest = word.dropFirst((isSecure ? Self.secureScheme : Self.plainScheme).count)
    let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    guard let slash = parts[0].firstIndex(of: "/") else {
      throw .init("the directory is missing: webhdfs://host:port/path")
    }
    nameNodes = try Self.nameNodes(parts[0][..<slash], isSecure: isSecure)
    path = try Self.path(parts[0][slash...])
    if parts.count > 1 { try readOptions(parts[1]) }
  }

  /// The address without its options, the same for one directory however it is asked for.
  package var location: String {
    (isSecure ? Self.secureScheme : Self.plainScheme) + nameNodes.joined(separator: ",") + path
  }

  private static func nameNodes(
    _ text: Substring, isSecure: Bool
  ) throws(WebHDFSAddressError) -> [String] {
    let words = text.split(separator: ",", omittingEmptySubsequences: false)
    guard words.count <= nameNodesMax else { throw .init("it names more than 8 NameNodes") }
    var nodes: [String] = []
    for word in words {
      let node = try nameNode(word, defaultPort: isSecure ? 9871 : 9870)
      guard !nodes.contains(node) else { throw .init("\(node) is named twice") }
      nodes.append(node)
    }
    return nodes
  }

  private static func nameNode(
    _ word: Substring, defaultPort: UInt16
  ) throws(WebHDFSAddressError) -> String {
    guard !word.contains("@") else {
      throw .init("a user or a password has no place before the host")
    }
    // An address of IPv6 stands in brackets, for its colons.
    let hostEnd = word.lastIndex(of: "]").map { word.index(after: $0) } ?? word.startIndex
    let colon = word[hostEnd...].firstIndex(of: ":")
    let host = word[..<(colon ?? word.endIndex)]
    let isHost = host.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
        UInt8(ascii: "_"):
        true
      case UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: ":"): hostEnd != word.startIndex
      default: false
      }
    }
    guard !host.isEmpty, isHost else {
      throw .init("'\(word)' is not host:port")
    }
    guard let colon else { return "\(host):\(defaultPort)" }
    guard let port = UInt16(word[word.index(after: colon)...]), port > 0 else {
      throw .init("'\(word)' has no port from 1 to 65535")
    }
    return "\(host):\(port)"
  }

  private static func path(_ text: Substring) throws(WebHDFSAddressError) -> String {
    let names = text.split(separator: "/")
    guard !names.isEmpty else { throw .init("it names the root: give a directory in it") }
    for name in names where name == "." || name == ".." || name.utf8.contains(where: { $0 < 0x20 })
    {
      throw .init("'\(name)' is no name of a directory on HDFS")
    }
    return "/" + names.joined(separator: "/")
  }

  private mutating func readOptions(_ text: Substring) throws(WebHDFSAddressError) {
    for option in text.split(separator: "&", omittingEmptySubsequences: false) {
      let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let value = parts.count > 1 ? String(parts[1]) : ""
      switch parts[0] {
      case "user.name" where !value.isEmpty: userName = value
      case "auth" where value == "kerberos": usesKerberos = true
      case "auth" where value == "simple": usesKerberos = false
      case "delegation":
        throw .init("a token in an address shows in `ps`: put it into SEDIMENT_WEBHDFS_TOKEN")
      default:
        throw .init("'\(parts[0])' is not user.name=NAME or auth=kerberos")
      }
    }
    guard userName == nil || !usesKerberos else {
      throw .init("user.name and auth=kerberos exclude each other: the ticket says who asks")
    }
  }
}

/// Why a word is no address on HDFS.
package struct WebHDFSAddressError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, without the word itself.
  package var description: String

  init(_ description: String) {
    self.description = description
  }
}
