// A rename that replaces nothing, by the best way that a file system has.
//
//     atOnce     one step of the system
//     byLink     a second name, then the first one goes; a crash between the two leaves both
//     byLooking  is the new name free? then a rename; who takes the name between the two loses it
//
// The last is for file systems that have neither of the others, such as HDFS when it is mounted; a
// name that only one program uses, as those of parts in a job's own directory, cannot be lost.

import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The ways to rename a file without replacing another, the best first.
package enum ExclusiveRename: CaseIterable, Sendable {
  case atOnce
  case byLink
  case byLooking

  /// Renames within an open directory by the first way that its file system has.
  static func perform(
    in directory: Int32, from name: String, to newName: String, operation: String, path: String
  ) throws(FileError) {
    for way in allCases {
      do throws(FileError) {
        return try way.perform(
          in: directory, from: name, to: newName, operation: operation, path: path)
      } catch  where way.missing.contains(error.systemError) {
        continue
      }
    }
  }

  /// Renames within an open directory in this way.
  ///
  /// - Parameters:
  ///   - operation: what an error says.
  ///   - path: what it is about.
  /// - Throws: `.exists` when the new name is taken; what the system says otherwise.
  package func perform(
    in directory: Int32, from name: String, to newName: String, operation: String, path: String
  ) throws(FileError) {
    switch self {
    case .atOnce:
      try retryingInterrupts(operation, path) {
        unsafe sediment_rename_exclusive(directory, name, newName)
      }
    case .byLink:
      try retryingInterrupts(operation, path) {
        unsafe linkat(directory, name, directory, newName, 0)
      }
      try retryingInterrupts(operation, path) { unsafe unlinkat(directory, name, 0) }
    case .byLooking:
      var status = stat()
      do throws(FileError) {
        try retryingInterrupts(operation, path) {
          unsafe fstatat(directory, newName, &status, AT_SYMLINK_NOFOLLOW)
        }
      } catch  where error.code == .notFound {
        try retryingInterrupts(operation, path) {
          unsafe renameat(directory, name, directory, newName)
        }
        return
      }
      throw FileError(systemError: EEXIST, operation: operation, path: path)
    }
  }

  /// The system's errors that say that a file system does not have this way.
  private var missing: [Int32] {
    switch self {
    case .atOnce: [ENOSYS, EINVAL, ENOTSUP, EOPNOTSUPP]
    // The last is the kernel's own ENOTSUPP, which NFS lets through.
    case .byLink: [ENOSYS, EINVAL, ENOTSUP, EOPNOTSUPP, EPERM, EMLINK, 524]
    case .byLooking: []
    }
  }
}
