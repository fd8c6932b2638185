// The one door to the operating system's files.
//
// Everything above takes a `FileSystem` as a parameter, so that tests can put a memory file system
// that loses power, fails or records in its place. A directory is opened once and names inside it
// are single components: a path read from disk can never lead out of it.

/// A file system: the only way to reach a directory by its path.
public protocol FileSystem: Sendable {
  /// Opens the directory at `path`; with `creating`, makes it (and its parents) first and
  /// synchronises each parent that gained an entry.
  func openDirectory(at path: String, creating: Bool) throws(FileError) -> any Directory
  /// Opens the directory at `path` to reach what is in it by name, for which a right to list it is
  /// not needed. Listing and synchronising may fail.
  func openDirectoryForLookup(at path: String) throws(FileError) -> any Directory
}

extension FileSystem {
  /// The same as to open it for everything.
  public func openDirectoryForLookup(at path: String) throws(FileError) -> any Directory {
    try openDirectory(at: path, creating: false)
  }
}

/// An open directory. Every `name` is one path component; a name that is empty, `.`, `..`, or holds
/// `/` or NUL is refused with `FileError.Code.invalidName`. Symbolic links are never followed.
public protocol Directory: AnyObject, Sendable {
  /// The path it was opened at, for messages only.
  var path: String { get }
  /// Opens a regular file. A new file's name is durable only after `synchronize()` of this
  /// directory, whatever was done to the file itself.
  func openFile(_ name: String, _ mode: FileMode) throws(FileError) -> any File
  /// `nil` when nothing has that name.
  func metadata(of name: String) throws(FileError) -> FileMetadata?
  /// All entries but `.` and `..`, in byte order of their names.
  func entries() throws(FileError) -> [DirectoryEntry]
  /// Renames within this directory. Without `replacing`, an existing target is `.exists`.
  func rename(_ name: String, to newName: String, replacing: Bool) throws(FileError)
  /// Removes a file; `.notFound` when there is none.
  func remove(_ name: String) throws(FileError)
  /// Removes an empty directory.
  func removeDirectory(_ name: String) throws(FileError)
  /// Makes a hard link in `directory`; `.crossDevice` when that is another file system.
  func link(_ name: String, into directory: any Directory, as newName: String) throws(FileError)
  /// Opens a directory inside this one; with `creating`, makes it when missing (not synchronised).
  func subdirectory(_ name: String, creating: Bool) throws(FileError) -> any Directory
  /// Makes entries created, renamed and removed so far durable.
  func synchronize() throws(FileError)
  /// Takes an exclusive advisory lock on file `name`, made when missing, and writes this process's
  /// id into it. Held by anyone, this process included: `.locked`.
  func lock(_ name: String) throws(FileError) -> any DirectoryLock
  /// Who holds the lock on file `name`; `nil` when nobody does. Takes and changes nothing, and may
  /// be outdated when it returns.
  func lockHolder(of name: String) throws(FileError) -> LockHolder?
  /// Bytes that an ordinary user may still write to this file system.
  func availableBytes() throws(FileError) -> UInt64
}

/// How a file is opened.
public enum FileMode: Sendable, Equatable {
  /// Existing, read only.
  case read
  /// Existing, read and write.
  case readWrite
  /// New, read and write; `.exists` when the name is taken.
  case create
}

/// An open file. Reads and writes name their offset, so that a file may be used from any thread.
public protocol File: AnyObject, Sendable {
  /// For messages only.
  var path: String { get }
  /// Fills `buffer` from `offset`; returns fewer bytes than asked only at the end of the file.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int
  /// Like `read`, where all that is asked for is in the system's memory; `nil` where it would have
  /// to wait for the disk, or may have to.
  func readWithoutWaiting(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int?
  /// Lets the system begin to bring a part into memory that is going to be read. A hint: it
  /// promises nothing and cannot fail.
  func startRead(at offset: UInt64, count: Int)
  /// Lets the system drop its copy in memory of a part that nobody is going to read soon, as far as
  /// it is on the disk. A hint, as above.
  func dropCached(at offset: UInt64, count: Int)
  /// Writes all of `bytes` at `offset`, growing the file when needed, or throws.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError)
  /// The size in bytes now.
  func size() throws(FileError) -> UInt64
  /// Cuts the file, or lengthens it with zeros.
  func truncate(to size: UInt64) throws(FileError)
  /// Lets the system begin to bring a part that was written to the disk, so that a later
  /// `synchronize` finds less to do. A hint: it promises nothing and cannot fail.
  func startWriteback(at offset: UInt64, count: Int)
  /// Makes the content and size durable. After an error nothing about the content is known.
  func synchronize() throws(FileError)
  /// Closes; further use is `.closed`. Called by `deinit` when forgotten.
  func close()
}

extension File {
  /// A file that is not on a disk has all of it in memory.
  public func readWithoutWaiting(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int? {
    try unsafe read(into: buffer, at: offset)
  }

  /// Nothing to fetch early.
  public func startRead(at offset: UInt64, count: Int) {}

  /// Nothing to drop.
  public func dropCached(at offset: UInt64, count: Int) {}

  /// Nothing to begin early.
  public func startWriteback(at offset: UInt64, count: Int) {}
}

/// A held lock; released by `unlock()` or when the last reference goes.
public protocol DirectoryLock: AnyObject, Sendable {
  /// Lets go of the lock; again is without effect. The file stays.
  func unlock()
}

/// Whoever holds a lock.
public struct LockHolder: Sendable, Equatable {
  /// Its process id, when it could be read.
  public var process: Int32?

  /// All fields.
  public init(process: Int32?) { self.process = process }
}

/// What is known of a name without opening it.
public struct FileMetadata: Sendable, Equatable {
  /// What a name stands for, links not followed.
  public enum Kind: Sendable, Equatable { case file, directory, symbolicLink, other }
  /// What it is.
  public var kind: Kind
  /// In bytes.
  public var size: UInt64
  /// The file system it is on; with `inode` the identity of the file under all its names.
  public var device: UInt64
  /// Its number on the device.
  public var inode: UInt64
  /// How many names it has.
  public var linkCount: UInt64

  /// All fields.
  public init(kind: Kind, size: UInt64, device: UInt64, inode: UInt64, linkCount: UInt64) {
    self.kind = kind
    self.size = size
    self.device = device
    self.inode = inode
    self.linkCount = linkCount
  }
}

/// A name in a directory.
public struct DirectoryEntry: Sendable, Equatable {
  /// One path component.
  public var name: String
  /// What it stands for; `.other` when the name is not UTF-8.
  public var kind: FileMetadata.Kind
  /// Whether the name is UTF-8. Otherwise `name` shows other bytes as `\xE9`, and opens nothing.
  public var isUTF8: Bool

  /// All fields.
  public init(name: String, kind: FileMetadata.Kind, isUTF8: Bool = true) {
    self.name = name
    self.kind = kind
    self.isUTF8 = isUTF8
  }
}
