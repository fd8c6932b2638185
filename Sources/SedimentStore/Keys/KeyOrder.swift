internal import CSedimentKernels

/// The order of an ordered keyspace: keys as strings of unsigned bytes, a prefix before what it
/// begins.
package enum KeyOrder {
  /// The first eight bytes of a key as a number that orders as they do; zeros where the key ends.
  ///
  /// Of keys with different heads the heads decide; of equal ones nothing is known.
  @inline(__always)
  package static func head(_ key: UnsafeRawPointer, _ count: Int) -> UInt64 {
    if count >= 8 {
      return unsafe UInt64(bigEndian: key.loadUnaligned(as: UInt64.self))
    }
    var head: UInt64 = 0
    for index in 0..<count {
      let byte = unsafe key.load(fromByteOffset: index, as: UInt8.self)
      head |= UInt64(byte) &<< UInt64(56 &- 8 &* index)
    }
    return head
  }

  /// The same of a key as a buffer, of which an empty one may have no address.
  @inline(__always)
  package static func head(_ key: UnsafeRawBufferPointer) -> UInt64 {
    guard let base = key.baseAddress else { return 0 }
    return unsafe head(base, key.count)
  }

  /// Less than zero, zero or more, as `a` comes before `b`, is equal to it or comes behind.
  @inline(__always)
  package static func compare(
    _ a: UnsafeRawPointer, _ aCount: Int, _ b: UnsafeRawPointer, _ bCount: Int
  ) -> Int {
    let order = unsafe Int(sediment_compare_bytes(a, b, min(aCount, bCount)))
    return order != 0 ? order : aCount &- bCount
  }

  /// Bytes that both begin with.
  @inline(__always)
  package static func sharedPrefix(
    _ a: UnsafeRawPointer, _ aCount: Int, _ b: UnsafeRawPointer, _ bCount: Int
  ) -> Int {
    let count = min(aCount, bCount)
    var shared = 0
    while shared &+ 8 <= count {
      let x = unsafe a.loadUnaligned(fromByteOffset: shared, as: UInt64.self)
      let y = unsafe b.loadUnaligned(fromByteOffset: shared, as: UInt64.self)
      if x != y {
        return shared
          &+ ((UInt64(littleEndian: x) ^ UInt64(littleEndian: y))
            .trailingZeroBitCount &>> 3)
      }
      shared &+= 8
    }
    while shared < count {
      let x = unsafe a.load(fromByteOffset: shared, as: UInt8.self)
      let y = unsafe b.load(fromByteOffset: shared, as: UInt8.self)
      if x != y { return shared }
      shared &+= 1
    }
    return shared
  }

  /// The same of two keys as buffers, of which an empty one may have no address.
  @inline(__always)
  package static func compare(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    guard let left = a.baseAddress, let right = b.baseAddress else { return a.count &- b.count }
    return unsafe compare(left, a.count, right, b.count)
  }

  /// The same of two keys as buffers.
  @inline(__always)
  package static func sharedPrefix(
    _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer
  ) -> Int {
    guard let left = a.baseAddress, let right = b.baseAddress else { return 0 }
    return unsafe sharedPrefix(left, a.count, right, b.count)
  }
}
