import SedimentJob
import Testing

@Suite struct SinkCommitmentTests {
  static let examples = [
    SinkCommitment(path: "standard output", isReleased: true, promise: .standardOutput),
    SinkCommitment(
      path: "out.ndjson", isReleased: false,
      promise: .file(device: 1, inode: .max, bytes: 1 << 40)),
    SinkCommitment(
      path: "out.ndjson", isReleased: false,
      promise: .file(device: 1, inode: 2, bytes: 5, tail: TailHash(bytes: 5, hash: 77))),
    SinkCommitment(
      path: "/a/bö/", isReleased: false,
      promise: .parts(
        PartsPromise(
          outputID: 9, writerEpoch: 3, nextSequence: 14, fileExtension: "ndjson",
          parts: [.init(sequence: 12, bytes: 5), .init(sequence: 13, bytes: 0)]))),
    SinkCommitment(path: "the topic clicks", isReleased: true, promise: .topic),
  ]

  @Test(arguments: examples)
  func decodingGivesWhatWasEncoded(commitment: SinkCommitment) throws {
    #expect(try SinkCommitment(decoding: commitment.encoded()) == commitment)
  }

  @Test(arguments: examples)
  func everyTruncationAndExtensionIsATypedError(commitment: SinkCommitment) {
    let bytes = commitment.encoded()
    for count in 0..<bytes.count {
      #expect(throws: SinkError.self) {
        _ = try SinkCommitment(decoding: Array(bytes[..<count]))
      }
    }
    #expect(throws: SinkError.self) { _ = try SinkCommitment(decoding: bytes + [0]) }
  }

  @Test(arguments: examples)
  func everyFlippedBitDecodesOrIsATypedError(commitment: SinkCommitment) {
    let bytes = commitment.encoded()
    for bit in 0..<(bytes.count * 8) {
      var damaged = bytes
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      do throws(SinkError) {
        _ = try SinkCommitment(decoding: damaged)
      } catch {
        guard case .damagedCommitment = error else {
          Issue.record("bit \(bit): \(error)")
          return
        }
      }
    }
  }

  @Test func theBytesOfAFileCommitmentAreFixed() {
    let commitment = SinkCommitment(
      path: "o", isReleased: false,
      promise: .file(
        device: 1, inode: 2, bytes: 0x0304, tail: TailHash(bytes: 0x0304, hash: 0x0506)))
    #expect(
      commitment.encoded() == [
        2, 2, 0, 1, 0, 0, 0, 0x6F, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0,
        0, 0, 4, 3, 0, 0, 6, 5, 0, 0, 0, 0, 0, 0,
      ])
  }

  @Test func theBytesOfATopicsCommitmentAreFixedAndOfVersion3Alone() throws {
    let commitment = SinkCommitment(path: "t", isReleased: true, promise: .topic)
    #expect(commitment.encoded() == [3, 3, 1, 1, 0, 0, 0, 0x74])
    for version: UInt8 in [0, 1, 2, 4] {
      var bytes = commitment.encoded()
      bytes[0] = version
      let error = #expect(throws: SinkError.self) { try SinkCommitment(decoding: bytes) }
      guard case .damagedCommitment(let reason) = error else {
        Issue.record("version \(version): \(String(describing: error))")
        continue
      }
      #expect(reason.contains((1...2).contains(version) ? "unknown kind 3" : "up to 3"))
    }
  }

  @Test func aFileCommitmentOfVersion1IsReadWithoutTail() throws {
    let bytes: [UInt8] = [
      1, 2, 0, 1, 0, 0, 0, 0x6F, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0,
      0, 0,
    ]
    #expect(
      try SinkCommitment(decoding: bytes)
        == SinkCommitment(
          path: "o", isReleased: false, promise: .file(device: 1, inode: 2, bytes: 0x0304)))
  }
}
