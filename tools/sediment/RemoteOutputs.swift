// Outputs that are not on this machine: their addresses, and who asks for them.

import ArgumentParser
import Foundation
import SedimentIO
import SedimentJob
import SedimentWebHDFS

/// What the words and the environment say about outputs on HDFS.
enum RemoteOutputs {
  /// A secret does not stand among the arguments, which every user of the machine can list.
  private static let tokenVariable = "SEDIMENT_WEBHDFS_TOKEN"
  private static let authoritiesVariable = "SSL_CERT_FILE"

  /// Refuses an address that is none, naming the option.
  static func check(_ word: String, of role: OutputRole) throws {
    guard let scheme = scheme(of: word) else { return }
    guard OutputTarget.isRemote(word) else {
      throw ValidationError(
        "\(role.option) \(word): there is no output \(scheme)://; webhdfs://, webhdfss:// and "
          + "kafka:// are.")
    }
    let address: WebHDFSAddress
    do throws(WebHDFSAddressError) {
      address = try WebHDFSAddress(word)
    } catch {
      // The word may hold a token: its options are not repeated.
      throw ValidationError("\(role.option) \(word.prefix { $0 != "?" }): \(error).")
    }
    if address.usesKerberos, token != nil {
      throw ValidationError(
        "\(role.option) \(word): auth=kerberos and \(tokenVariable) exclude each other.")
    }
  }

  /// The address without options, for comparing; `nil` for paths of this machine.
  static func location(of word: String) -> String? {
    guard WebHDFSAddress.isOne(word) else { return nil }
    do throws(WebHDFSAddressError) {
      return try WebHDFSAddress(word).location
    } catch {
      return word
    }
  }

  /// The files of this machine, and those on HDFS where outputs are there.
  ///
  /// - Parameter report: told what is waited for.
  static func fileSystem(
    for options: JobOptions, report: @escaping @Sendable (JobMessage) -> Void
  ) -> any FileSystem {
    let local = PosixFileSystem()
    let isRemote = options.targets.values.contains {
      if case .directory(let path) = $0 { OutputTarget.isRemote(path) } else { false }
    }
    guard isRemote else { return local }
    var remote = WebHDFSOptions()
    remote.token = token
    remote.authoritiesPath = variable(authoritiesVariable)
    remote.report = { report(JobMessage(.warning, $0)) }
    return WebHDFSFileSystem(
      over: local, spool: Spool(in: local, at: options.statePath, name: StateNames.spool),
      options: remote)
  }

  private static var token: String? { variable(tokenVariable) }

  private static func variable(_ name: String) -> String? {
    ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
  }

  /// What stands before `://`.
  private static func scheme(of word: String) -> Substring? {
    guard let range = word.range(of: "://") else { return nil }
    let scheme = word[..<range.lowerBound]
    let isScheme =
      scheme.first?.isLetter == true
      && scheme.utf8.allSatisfy {
        UnicodeScalar($0).properties.isAlphabetic || "0123456789+-.".utf8.contains($0)
      }
    return isScheme ? scheme : nil
  }
}
