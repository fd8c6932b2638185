// Checkpoint storage as it is named among the arguments, and who asks for it.

import ArgumentParser
import Foundation
import SedimentIO
import SedimentJob
import SedimentS3
import SedimentStore

/// Reads addresses of checkpoint storage.
enum StorageArgument {
  private static let directoryScheme = "file://"

  /// For the help of subcommands.
  static let help = """
    Who asks for s3:// is told by AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, \
    where by AWS_REGION, and another server than Amazon's by AWS_ENDPOINT_URL.
    """

  /// Whether a word is meant as a storage rather than a path.
  static func isOne(_ word: String) -> Bool {
    S3Address.isOne(word) || word.hasPrefix(directoryScheme)
  }

  /// An address of a checkpoint in a storage, or of a storage: the latter, and the id.
  static func checkpoint(_ word: String) -> (address: String, id: String?) {
    guard let slash = word.lastIndex(of: "/"), let id = CheckpointReference(path: word).id else {
      return (word, nil)
    }
    return (String(word[..<slash]), id)
  }

  /// Opens a storage.
  ///
  /// - Parameter creating: whether a directory is made when it is missing.
  /// - Throws: `ValidationError` for what is no address, and when it is not said who asks.
  static func storage(_ word: String, creating: Bool = false) throws -> any CheckpointStorage {
    guard S3Address.isOne(word) else {
      let path = String(word.dropFirst(directoryScheme.count))
      guard path.hasPrefix("/") else {
        throw ValidationError("\(word): a directory is named as file:///path.")
      }
      return try DirectoryStorage(at: path, creating: creating)
    }
    let options = try options()
    do {
      return try S3Storage(try S3Address(word), options)
    } catch let error as S3AddressError {
      throw ValidationError("\(word): \(error).")
    }
  }

  /// Opens the place where states of partitions are handed over: a storage, or a directory's path.
  static func handover(_ word: String, creating: Bool) throws -> any CheckpointStorage {
    do {
      return isOne(word)
        ? try storage(word, creating: creating)
        : try DirectoryStorage(at: word, creating: creating)
    } catch let error as StoreError {
      throw JobError(.failed, "--handover \(word): \(error.message)")
    }
  }

  private static func options() throws -> S3Options {
    guard let key = variable("AWS_ACCESS_KEY_ID"), let secret = variable("AWS_SECRET_ACCESS_KEY")
    else {
      throw ValidationError(
        "who asks for s3:// is told by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    }
    var options = S3Options(
      credentials: S3Credentials(
        accessKeyID: key, secretAccessKey: secret, sessionToken: variable("AWS_SESSION_TOKEN")))
    options.endpoint = variable("AWS_ENDPOINT_URL_S3") ?? variable("AWS_ENDPOINT_URL")
    options.region =
      variable("AWS_REGION") ?? variable("AWS_DEFAULT_REGION") ?? options.region
    options.authoritiesPath = variable("AWS_CA_BUNDLE") ?? variable("SSL_CERT_FILE")
    options.report = { message in
      do throws(FileError) {
        try StandardStream.error.write("sediment: \(message)\n")
      } catch {
        // Nobody is left to be told.
      }
    }
    return options
  }

  private static func variable(_ name: String) -> String? {
    ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
  }
}

/// Whose checkpoints, where a storage has those of several states.
struct StoreChoice: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Whose checkpoints, in a storage that has those of several states.", valueName: "id"))
  var stateId: String?

  var identity: StoreIdentity? {
    get throws {
      guard let stateId else { return nil }
      guard let identity = StoreIdentity(stateId) else {
        throw ValidationError("'\(stateId)' is not the id of a state, of 32 hexadecimal digits.")
      }
      return identity
    }
  }

  /// Refuses the option where it says nothing.
  func refuse(for path: String) throws {
    guard stateId == nil else {
      throw ValidationError("--state-id is for storages (s3:// and file://), not for \(path).")
    }
  }
}
