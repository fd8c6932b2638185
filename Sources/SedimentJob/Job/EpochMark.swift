// Names of epochs that somebody else commits: the brokers, with the transaction that holds an
// epoch's records.
//
// The epoch's number names nothing, for after a crash others are cut with the same one. So every
// epoch that decided something has a random tag. It is kept twice: by the state, in the job's
// metadata, and by the brokers, with the input's offsets. Where they agree the epoch happened.
//
// The text that goes with the offsets (at the brokers: never change what it means):
//
//     sediment:1:<job, 32 hexadecimal digits>:<tag, 32 hexadecimal digits>

internal import SedimentStore

/// A random name, never given twice.
package struct EpochTag: Sendable, Hashable, CustomStringConvertible {
  package var high: UInt64
  package var low: UInt64

  /// A tag of its halves.
  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// A new one.
  package static func random() -> EpochTag {
    EpochTag(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
  }

  /// 32 hexadecimal digits.
  package var description: String {
    [high, low].map { half in
      let digits = String(half, radix: 16)
      return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }.joined()
  }

  /// Reads 32 hexadecimal digits; `nil` for anything else.
  package init?(_ text: Substring) {
    let digits = Array(text.utf8)
    guard digits.count == 32, digits.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }),
      let high = UInt64(text.prefix(16), radix: 16), let low = UInt64(text.suffix(16), radix: 16)
    else { return nil }
    self.init(high: high, low: low)
  }
}

/// What an epoch's metadata say of its commit.
package struct EpochMark: Sendable, Equatable {
  /// Names what was decided up to this epoch. An epoch that decided nothing behind a committed one
  /// has that one's.
  package var tag: EpochTag
  /// The last tag that was known to be committed when the epoch was cut.
  package var confirmed: EpochTag

  /// A mark.
  package init(tag: EpochTag, confirmed: EpochTag) {
    self.tag = tag
    self.confirmed = confirmed
  }

  /// Whether all that the epoch holds is known to be committed.
  package var isSettled: Bool { tag == confirmed }

  /// All that a committed tag stands for.
  package static func settled(_ tag: EpochTag) -> EpochMark {
    EpochMark(tag: tag, confirmed: tag)
  }
}

extension EpochMark {
  func encode(to writer: inout ByteWriter) {
    for half in [tag.high, tag.low, confirmed.high, confirmed.low] {
      writer.writeInt64(Int64(bitPattern: half))
    }
  }

  init(from reader: inout ByteReader) throws(CodingError) {
    func half() throws(CodingError) -> UInt64 { UInt64(bitPattern: try reader.readInt64()) }
    tag = EpochTag(high: try half(), low: try half())
    confirmed = EpochTag(high: try half(), low: try half())
  }
}

/// Which epoch of which job offsets belong to.
package struct OffsetMark: Sendable, Equatable, CustomStringConvertible {
  /// The job's identity, which its state keeps.
  package var job: String
  package var tag: EpochTag

  /// A mark.
  package init(job: String, tag: EpochTag) {
    self.job = job
    self.tag = tag
  }

  private static let prefix = "sediment:1:"

  /// What goes with the offsets.
  package var description: String { "\(Self.prefix)\(job):\(tag)" }

  /// Reads what goes with offsets; `nil` when it is nobody's of ours.
  package init?(_ text: String) {
    guard text.hasPrefix(Self.prefix) else { return nil }
    let words = text.dropFirst(Self.prefix.count).split(
      separator: ":", omittingEmptySubsequences: false)
    guard words.count == 2, EpochTag(words[0]) != nil, let tag = EpochTag(words[1]) else {
      return nil
    }
    self.init(job: String(words[0]), tag: tag)
  }
}

/// Where a group stands in one partition, and what it keeps with that.
package struct CommittedOffset: Sendable, Equatable {
  package var offset: Int64
  /// Empty when whoever committed it gave none.
  package var metadata: String

  /// An offset that was committed.
  package init(offset: Int64, metadata: String) {
    self.offset = offset
    self.metadata = metadata
  }
}
