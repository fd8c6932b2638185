import CSedimentSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// An exclusive lock on a file, among processes and inside this one.
///
/// The system's lock goes with the open file, so it falls when the process dies, however it dies.
/// Systems and network file systems differ on whether it holds inside one process: a registry of
/// the files locked here answers that.
final class PosixLock: DirectoryLock {
  /// Which file it is, whatever its path.
  struct Identity: Hashable {
    let device: UInt64
    let inode: UInt64
  }

  let identity: Identity
  private let path: String
  private let descriptor: Mutex<Int32?>

  private static let heldHere = Mutex<Set<Identity>>([])

  /// Takes the lock of an open file.
  ///
  /// - Throws: `FileError.Code.locked` when it is held by anyone.
  init(taking opened: consuming Descriptor, path: String) throws(FileError) {
    let metadata = try opened.metadata(operation: "lock", path: path)
    let identity = Identity(device: metadata.device, inode: metadata.inode)
    self.identity = identity
    self.path = path
    if !Self.heldHere.withLock({ $0.insert(identity).inserted }) {
      throw FileError(code: .locked(process: getpid()), operation: "lock", path: path)
    }
    do throws(FileError) {
      try Self.take(opened.number, path)
    } catch {
      Self.heldHere.withLock { _ = $0.remove(identity) }
      if error.systemError == EWOULDBLOCK || error.systemError == EAGAIN {
        throw error.recoded(.locked(process: Self.readProcess(opened.number)))
      }
      throw error
    }
    descriptor = Mutex(opened.take())
  }

  /// Takes the system's lock. Refused, it tries again: somebody who only looks (`holder`) has it
  /// for the time of two system calls.
  private static func take(_ number: Int32, _ path: String) throws(FileError) {
    for _ in 0..<lookersMax {
      if sediment_try_lock(number) == 0 { return }
      usleep(1000)
    }
    try retryingInterrupts("lock", path) { sediment_try_lock(number) }
  }

  /// How often in a row somebody who looks may be in the way.
  private static let lookersMax = 3

  /// Who holds the lock of an open file; `nil` when nobody does.
  static func holder(of opened: borrowing Descriptor, path: String) throws(FileError) -> LockHolder?
  {
    do throws(FileError) {
      try retryingInterrupts("look at the lock", path) { sediment_look_at_lock(opened.number) }
      return nil
    } catch  where error.systemError == EWOULDBLOCK || error.systemError == EAGAIN {
      return LockHolder(process: readProcess(opened.number))
    }
  }

  deinit { unlock() }

  func unlock() {
    let number = descriptor.withLock { $0.take() }
    guard let number else { return }
    // The system's lock goes first: whoever is refused here must not find the registry empty.
    _ = close(number)
    Self.heldHere.withLock { _ = $0.remove(identity) }
  }

  /// Writes this process's id into the file, for the message of whoever is refused.
  func writeProcess() throws(FileError) {
    guard let number = descriptor.withLock({ $0 }) else { return }
    let text = Array("\(getpid())\n".utf8)
    // In place and then cut: on a full disk the block of the last holder is still there.
    let written = try retryingInterrupts("write the process id to", path) {
      unsafe pwrite(number, text, text.count, 0)
    }
    if written != text.count {
      throw FileError(systemError: EIO, operation: "write the process id to", path: path)
    }
    try retryingInterrupts("write the process id to", path) {
      ftruncate(number, off_t(text.count))
    }
  }

  /// The id in the file; `nil` when it holds none, as between a holder's locking and writing.
  private static func readProcess(_ number: Int32) -> Int32? {
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe pread(number, $0.baseAddress, $0.count, 0)
    }
    if count <= 0 { return nil }
    let digits = bytes[..<count].prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
    return Int32(String(decoding: digits, as: UTF8.self))
  }
}
