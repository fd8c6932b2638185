// A record log: the format of the manifest and of the logs of keyspaces.
//
//   header (32 bytes)   magic u64 │ version u32 │ kind u32 │ fileID u64 │ checksum u64
//   record              checksum u64 │ length u32 │ type u8 │ 0 0 0 │ payload │ zeros to 8 bytes
//   acknowledgement     a record of type 255 without payload
//
// A record's checksum covers all behind it but the padding, seeded with the file's id and the
// record's offset. The header's is seeded with the file's id and place 0.
//
// A torn tail is not corruption, a damaged record is. A record that was synchronised is followed
// by an acknowledgement, written next and made durable by whatever is synchronised after it, the
// closing of the log at the latest. So a bad record with a good acknowledgement behind it was
// complete once: corruption. Without one it is a write that power loss cut short, whatever else
// lies behind it: blocks of a file reach the disk in any order until it is synchronised.

/// Constants of record logs. On disk: never renumber.
package enum RecordLogFormat {
  /// The first eight bytes of every record log.
  package static let magic: UInt64 = 0x474F_4C44_4553_0001
  /// Bytes before the first record.
  package static let headerBytes = 32
  /// Bytes of a record before its payload.
  package static let frameBytes = 16
  /// Records begin at multiples of this.
  package static let alignment = 8
  /// The longest payload: a writer never makes a longer one, a reader never takes memory for one.
  package static let payloadBytesMax = 64 << 20
  /// The type of acknowledgements.
  package static let acknowledgementType: UInt8 = 255

  /// What a record log is for.
  package enum Kind: UInt32, Sendable {
    case manifest = 1
    case entries = 2
    case checkpoint = 3
    case writes = 4

    /// The newest version, which this build writes; it reads all before. Version 2 of writes has
    /// records of `WriteBatchCoding.recordType`.
    package var version: UInt32 { self == .writes ? 2 : 1 }
  }

  /// Bytes that a record with such a payload takes.
  static func recordBytes(payload: Int) -> Int {
    (frameBytes + payload + alignment - 1) / alignment * alignment
  }
}
