package import SedimentIO

/// Reaches inputs by their paths. The file system below follows no links; inputs are the user's own
/// names, so a link is resolved once, by a function that the composition root gives. So are things
/// that are no files, such as the pipes of process substitution, which are read once and have no
/// positions.
package struct InputFileSystem: Sendable {
  /// What a path leads to.
  package enum Kind: Sendable { case file, directory, stream }

  /// How things that are no files are reached.
  package struct Streams: Sendable {
    /// Whether something that can be read from first to last stands at a path.
    package var exists: @Sendable (String) -> Bool
    /// Opens it.
    package var open: @Sendable (String) throws(FileError) -> any ByteStream

    /// A way to reach them.
    package init(
      exists: @escaping @Sendable (String) -> Bool,
      open: @escaping @Sendable (String) throws(FileError) -> any ByteStream
    ) {
      self.exists = exists
      self.open = open
    }

    /// There are none.
    package static let none = Streams(
      exists: { _ in false },
      open: { path throws(FileError) in
        throw FileError(code: .notFound, operation: "open", path: path)
      })
  }

  package let fileSystem: any FileSystem
  private let resolveLink: @Sendable (String) -> String
  private let streams: Streams

  /// `resolveLink` turns a path into one without symbolic links; as it is, when it cannot.
  package init(
    _ fileSystem: any FileSystem, streams: Streams = .none,
    resolveLink: @escaping @Sendable (String) -> String = { $0 }
  ) {
    self.streams = streams
    self.fileSystem = fileSystem
    self.resolveLink = resolveLink
  }

  /// What stands at `path`, links followed; `nil` when there is nothing that can be read.
  package func kind(of path: String) throws(SourceError) -> Kind? {
    do throws(FileError) {
      _ = try fileSystem.openDirectory(at: path, creating: false)
      return .directory
    } catch {
      switch error.code {
      case .notDirectory: break
      case .notFound: return nil
      default: throw .unreadable(error)
      }
    }
    if try metadata(of: path)?.kind == .file { return .file }
    return streams.exists(path) ? .stream : nil
  }

  /// What is known of the file at `path`, links followed; `nil` when there is none.
  package func metadata(of path: String) throws(SourceError) -> FileMetadata? {
    do throws(FileError) {
      let found = try directMetadata(of: path)
      return found?.kind == .symbolicLink ? try directMetadata(of: resolveLink(path)) : found
    } catch {
      if error.code == .notFound || error.code == .notDirectory { return nil }
      throw .unreadable(error)
    }
  }

  /// Opens what is no file.
  package func openStream(_ path: String) throws(SourceError) -> any ByteStream {
    do {
      return try streams.open(path)
    } catch {
      throw .unreadable(error)
    }
  }

  /// Opens a file for reading, links followed.
  package func open(_ path: String) throws(SourceError) -> any File {
    do throws(FileError) {
      do throws(FileError) {
        return try openDirectly(path)
      } catch  where error.code == .symbolicLink {
        return try openDirectly(resolveLink(path))
      }
    } catch {
      throw error.code == .notFound ? .noSuchFile(path) : .unreadable(error)
    }
  }

  private func openDirectly(_ path: String) throws(FileError) -> any File {
    let (parent, name) = Self.split(path)
    return try fileSystem.openDirectoryForLookup(at: parent).openFile(name, .read)
  }

  private func directMetadata(of path: String) throws(FileError) -> FileMetadata? {
    let (parent, name) = Self.split(path)
    return try fileSystem.openDirectoryForLookup(at: parent).metadata(of: name)
  }

  /// The directory of a path, and the last component.
  static func split(_ path: String) -> (parent: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let name = String(path[path.index(after: slash)...])
    return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
  }
}
