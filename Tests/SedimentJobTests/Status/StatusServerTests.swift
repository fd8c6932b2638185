import Foundation
import SedimentJob
import SedimentTestKit
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The server of a job's figures, over real connections.
@Suite struct StatusServerTests {
  private static func serving(_ body: (StatusServer) throws -> Void) throws {
    let board = StatusBoard(clock: ManualClock())
    board.enter(.running)
    let server = try StatusServer(board, at: try #require(StatusAddress("127.0.0.1:0")))
    defer { server.stop() }
    try body(server)
  }

  @Test func pagesAreServedAndOtherThingsRefused() throws {
    try Self.serving { server in
      func ask(_ request: String) throws -> String {
        try HTTPClient.ask(request, port: server.port)
      }
      for _ in 0..<3 {
        let answer = try ask("GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\nok\n"))
        #expect(answer.contains("\r\nContent-Length: 3\r\n"))
      }
      #expect(try ask("GET /metrics?name=up HTTP/1.0\r\n\r\n").contains("sediment_up 1\n"))
      let head = try ask("HEAD /readyz HTTP/1.1\r\n\r\n")
      #expect(head.contains("\r\nContent-Length: 8\r\n") && head.hasSuffix("\r\n\r\n"))
      #expect(try ask("GET /nothing HTTP/1.1\r\n\r\n").hasPrefix("HTTP/1.1 404 "))
      let post = try ask("POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")
      #expect(post.hasPrefix("HTTP/1.1 405 ") && post.contains("\r\nAllow: GET, HEAD\r\n"))
      let long = "GET /\(String(repeating: "a", count: 9_000)) HTTP/1.1\r\n\r\n"
      for bad in ["nonsense\r\n\r\n", "GET metrics HTTP/1.1\r\n\r\n", "\r\n\r\n", long] {
        #expect(try ask(bad).hasPrefix("HTTP/1.1 400 "), "\(bad.prefix(20))")
      }
      // One that says nothing holds up nobody for long.
      #expect(try HTTPClient.ask("", port: server.port).isEmpty)
      #expect(try ask("GET /healthz HTTP/1.1\r\n\r\n").hasSuffix("ok\n"))
    }
  }

  @Test func anAddressThatIsTakenIsNamed() throws {
    try Self.serving { server in
      let taken = "127.0.0.1:\(server.port)"
      let address = try #require(StatusAddress(taken))
      let error = #expect(throws: JobError.self) {
        try StatusServer(StatusBoard(clock: ManualClock()), at: address)
      }
      #expect(error?.description.contains("cannot listen on \(taken): ") == true)
    }
    let nowhere = try #require(StatusAddress("host.invalid:1"))
    #expect(throws: JobError.self) {
      try StatusServer(StatusBoard(clock: ManualClock()), at: nowhere)
    }
  }
}

/// The same through the program.
@Suite final class StatusCommandTests {
  private let program: Program

  init() throws { program = try Program() }

  private static let job = [
    "dedup", "in.ndjson", "--key", "k", "--ttl", "forever", "--state", "state", "--output", "out/",
  ]

  @Test func aRunningJobTellsItsFigures() throws {
    try program.write("{\"k\":1}\n{\"k\":2}\n{\"k\":1}\n{}\n", to: "in.ndjson")
    let talk = Pipe()
    let process = try program.start(
      Self.job + ["--follow", "--checkpoint-interval", "5ms", "--http", "127.0.0.1:0"], talk: talk)
    var said = ""
    while !said.contains("/metrics\n"),
      let piece = try talk.fileHandleForReading.read(upToCount: 1), !piece.isEmpty
    {
      said += String(decoding: piece, as: UTF8.self)
    }
    let words = said.split(whereSeparator: { ":/".contains($0) })
    let port = try #require(words.dropLast().last.flatMap { UInt16($0) }, "\(said)")
    var metrics = ""
    // It looks at itself twice a second.
    while !metrics.contains("sediment_rejected_total{") {
      try #require(process.isRunning)
      metrics = try HTTPClient.ask("GET /metrics HTTP/1.1\r\n\r\n", port: port)
    }
    for line in [
      "sediment_up 1", "sediment_records_total 4", "sediment_emitted_total 2",
      "sediment_duplicates_total 1", "sediment_state_keys 2",
    ] {
      #expect(metrics.contains("\n\(line)\n"), "\(line)")
    }
    let status = try HTTPClient.ask("GET /status HTTP/1.1\r\n\r\n", port: port)
    let body = try #require(status.range(of: "\r\n\r\n").map { status[$0.upperBound...] })
    let object = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
    #expect(object?["records"] as? Int == 4 && object?["phase"] as? String == "running")
    let other = try program.run(
      Self.job.map { $0 == "state" ? "other" : $0 == "out/" ? "out2/" : $0 }
        + ["--http", "127.0.0.1:\(port)"])
    #expect(other.status == 1)
    #expect(other.talk.contains("choose another address with --http"))
    process.terminate()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }

  @Test func badAddressesAreErrorsOfUseAndOpenOnesAWarning() throws {
    try program.write("{\"k\":1}\n", to: "in.ndjson")
    let bad = try program.run(Self.job + ["--http", "9464"])
    #expect(bad.status == 2 && bad.talk.contains("give HOST:PORT, as in 127.0.0.1:9464"))
    #expect(!program.exists("state"))
    let open = try program.run(Self.job + ["--http", "0.0.0.0:0"])
    #expect(open.status == 0 && open.talk.contains("there is no password"))
  }
}

/// One request, one answer.
enum HTTPClient {
  /// Sends a request as it is and reads to the end.
  static func ask(_ request: String, port: UInt16) throws -> String {
    #if canImport(Glibc)
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
      let descriptor = socket(AF_INET, SOCK_STREAM, 0)
    #endif
    defer { _ = close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let connected = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try #require(connected == 0, "port \(port)")
    let bytes = Array(request.utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe send(descriptor, $0.baseAddress, $0.count, 0) }
    var answer: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe piece.withUnsafeMutableBytes {
        unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
      }
      guard count > 0 else { break }
      answer += piece[..<count]
    }
    return String(decoding: answer, as: UTF8.self)
  }
}
