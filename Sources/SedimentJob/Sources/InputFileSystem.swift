package import SedimentIO

/// Reaches inputs by their paths. The file system below follows no links; inputs are the user's own
/// names, so a link is resolved once, by a function that the composition root gives.
package struct InputFileSystem: Sendable {
  /// What a path leads to.
  package enum Kind: Sendable { case file, directory }

  package let fileSystem: any FileSystem
  private let resolveLink: @Sendable (String) -> String

  /// `resolveLink` turns a path into one without symbolic links; as it is, when it cannot.
  package init(
    _ fileSystem: any FileSystem, resolveLink: @escaping @Sendable (String) -> String = { $0 }
  ) {
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
    return try metadata(of: path)?.kind == .file ? .file : nil
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
    return try fileSystem.openDirectory(at: parent, creating: false).openFile(name, .read)
  }

  private func directMetadata(of path: String) throws(FileError) -> FileMetadata? {
    let (parent, name) = Self.split(path)
    return try fileSystem.openDirectory(at: parent, creating: false).metadata(of: name)
  }

  /// The directory of a path, and the last component.
  static func split(_ path: String) -> (parent: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let name = String(path[path.index(after: slash)...])
    return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
  }
}
