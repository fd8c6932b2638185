import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A socket that takes connections to an address of this machine.
package struct SocketListener: ~Copyable, Sendable {
  /// The system refused to listen there.
  package struct ListenError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The address and the port, apart by a colon.
    package var address: String
    /// The system's error number.
    package var systemError: Int32

    package var description: String {
      "cannot listen on \(address): \(systemErrorText(systemError))"
    }
  }

  private let descriptor: Descriptor
  /// The port that it has.
  package let port: UInt16

  /// Listens.
  ///
  /// - Parameters:
  ///   - host: a name, or an address in digits.
  ///   - port: 0 for any that is free.
  /// - Throws: `ListenError`.
  package init(host: String, port: UInt16) throws(ListenError) {
    var bound = port
    let number = unsafe sediment_listen(host, &bound)
    guard number >= 0 else {
      throw ListenError(address: "\(host):\(port)", systemError: lastSystemError())
    }
    descriptor = Descriptor(number)
    self.port = bound
  }

  /// The next connection; `nil` when none came in time, or when it was gone before it was taken.
  ///
  /// - Parameters:
  ///   - milliseconds: how long to wait.
  ///   - patience: after how many milliseconds a read or write of the connection is given up.
  package func accept(
    waitingMillis milliseconds: Int32, patienceMillis patience: Int32
  ) -> SocketConnection? {
    let number = sediment_accept(descriptor.number, milliseconds, patience)
    return number < 0 ? nil : SocketConnection(Descriptor(number))
  }
}

/// A connection, closed when it goes.
package struct SocketConnection: ~Copyable {
  private let descriptor: Descriptor

  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

  /// Reads what is there, waiting for the first byte.
  ///
  /// - Returns: how many bytes; 0 at the end, after the time that is allowed, and when the other
  ///   side is gone.
  package func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    max(unsafe recv(descriptor.number, buffer.baseAddress, buffer.count, 0), 0)
  }

  /// Sends all bytes.
  ///
  /// - Returns: whether it did; not when the other side is gone or takes too long.
  package func write(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.span.bytes.withUnsafeBytes { bytes in
        unsafe sediment_send(
          descriptor.number, bytes.baseAddress.map { unsafe $0 + sent },
          Int64(bytes.count - sent))
      }
      guard count > 0 else { return false }
      sent += Int(count)
    }
    return true
  }
}
