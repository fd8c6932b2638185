// Sockets of a server on this machine, as few lines as will do.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A failed call of the sockets.
struct SocketError: Error, CustomStringConvertible {
  var operation: String
  var number: Int32

  var description: String { "cannot \(operation): error \(number)" }

  static func last(_ operation: String) -> SocketError {
    SocketError(operation: operation, number: errno)
  }
}

/// A port of the loopback address that is listened to.
struct ListeningSocket: Sendable {
  let descriptor: Int32
  let port: UInt16

  /// Takes a free port.
  init() throws(SocketError) {
    let descriptor = try Self.makeSocket()
    var port: UInt16 = 0
    let code = unsafe Self.withAddress(port: 0) { address, length in
      var length = length
      guard unsafe bind(descriptor, address, length) == 0, listen(descriptor, 128) == 0,
        unsafe getsockname(descriptor, address, &length) == 0
      else { return -1 }
      port = unsafe address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        unsafe UInt16(bigEndian: $0.pointee.sin_port)
      }
      return 0
    }
    guard code == 0 else { throw .last("listen") }
    (self.descriptor, self.port) = (descriptor, port)
  }

  /// The next connection; `nil` when there will be none.
  func accept() -> Int32? {
    while true {
      let connection = systemAccept(descriptor)
      if connection >= 0 { return connection }
      guard errno == EINTR || errno == ECONNABORTED else { return nil }
    }
  }

  /// Waits until everybody who came before has been accepted.
  func waitForQueue() throws(SocketError) {
    let descriptor = try Self.makeSocket()
    let probe = ServerConnection(descriptor)
    let code = unsafe Self.withAddress(port: port) { address, length in
      unsafe connect(descriptor, address, length)
    }
    guard code == 0 else { throw .last("connect") }
    _ = shutdown(descriptor, Int32(SHUT_WR))
    _ = probe.read(1)
  }

  private static func makeSocket() throws(SocketError) -> Int32 {
    #if canImport(Glibc)
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
      let descriptor = socket(AF_INET, SOCK_STREAM, 0)
    #endif
    guard descriptor >= 0 else { throw .last("open a socket") }
    return descriptor
  }

  @unsafe
  private static func withAddress(
    port: UInt16, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe body(address, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  /// Makes `accept` return.
  func stop() {
    _ = shutdown(descriptor, Int32(SHUT_RDWR))
    _ = close(descriptor)
  }
}

// Outside of the type, where `accept` is the system's.
private func systemAccept(_ descriptor: Int32) -> Int32 { accept(descriptor, nil, nil) }

/// The server's side of a connection. Used by one thread; `breakOff` comes from any.
final class ServerConnection: Sendable {
  private let descriptor: Int32

  init(_ descriptor: Int32) {
    self.descriptor = descriptor
    #if canImport(Darwin)
      var on: Int32 = 1
      _ = unsafe setsockopt(
        descriptor, SOL_SOCKET, SO_NOSIGPIPE, &on, socklen_t(MemoryLayout<Int32>.size))
    #endif
  }

  deinit {
    _ = close(descriptor)
  }

  /// What has come, up to `count` bytes; empty at the end.
  func read(_ count: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      let received = unsafe recv(descriptor, buffer.baseAddress, count, 0)
      filled = max(received, 0)
    }
  }

  /// Sends all of it, or as much as the other side takes.
  func write(_ bytes: [UInt8]) {
    #if canImport(Darwin)
      let flags: Int32 = 0
    #else
      let flags = Int32(MSG_NOSIGNAL)
    #endif
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { bytes in
        let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[sent...])
        return unsafe send(descriptor, rest.baseAddress, rest.count, flags)
      }
      guard count > 0 else { return }
      sent += count
    }
  }

  /// Ends it in both directions.
  func breakOff() {
    _ = shutdown(descriptor, Int32(SHUT_RDWR))
  }
}
