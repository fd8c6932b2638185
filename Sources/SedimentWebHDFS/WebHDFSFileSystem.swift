// A file system whose paths `webhdfs://…` are directories on HDFS; all others are another's.

package import SedimentIO

/// The files of this machine and those on HDFS.
package struct WebHDFSFileSystem: FileSystem {
  private let local: any FileSystem
  private let spool: Spool
  private let options: WebHDFSOptions

  /// A file system.
  ///
  /// - Parameters:
  ///   - local: has all paths that are not on HDFS.
  ///   - spool: where files wait until they are on HDFS.
  package init(over local: any FileSystem, spool: Spool, options: WebHDFSOptions) {
    self.local = local
    self.spool = spool
    self.options = options
  }

  package func openDirectory(
    at path: String, creating: Bool
  ) throws(FileError) -> any Directory {
    guard WebHDFSAddress.isOne(path) else {
      return try local.openDirectory(at: path, creating: creating)
    }
    let operation = "open"
    let address: WebHDFSAddress
    do throws(WebHDFSAddressError) {
      address = try WebHDFSAddress(path)
    } catch {
      throw FileError(
        code: .invalidName, operation: operation, path: path, detail: error.description)
    }
    let client = WebHDFSClient(address, options)
    try reachingHDFS { () throws(WebHDFSError) in
      var found = try client.status(of: address.path)
      if found == nil, creating {
        try client.makeDirectory(address.path)
        found = try client.status(of: address.path)
      }
      guard let kind = found?.type else {
        throw WebHDFSError(
          code: .notFound, operation: operation, url: address.location,
          reason: "the directory does not exist")
      }
      guard kind == .directory else {
        throw WebHDFSError(
          code: .notDirectory, operation: operation, url: address.location,
          reason: "it is not a directory")
      }
    }
    return WebHDFSDirectory(client, spool: spool)
  }

  package func openDirectoryForLookup(at path: String) throws(FileError) -> any Directory {
    guard WebHDFSAddress.isOne(path) else { return try local.openDirectoryForLookup(at: path) }
    return try openDirectory(at: path, creating: false)
  }
}

/// Runs operations on HDFS, turning their errors into those of a file system.
func reachingHDFS<Value>(
  _ body: () throws(WebHDFSError) -> Value
) throws(FileError) -> Value {
  do throws(WebHDFSError) {
    return try body()
  } catch {
    throw error.fileError
  }
}
