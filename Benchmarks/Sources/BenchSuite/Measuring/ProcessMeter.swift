// What this process used, as the system counts it.

import CPeers
import Foundation

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// Time, processor and bytes between two moments.
struct ProcessMeter {
  private let start = ContinuousClock().now
  private let cpuAtStart: Double
  private let bytesAtStart: [String: UInt64]

  init() {
    cpuAtStart = Self.cpuSeconds(RUSAGE_SELF)
    bytesAtStart = Self.numbers(in: "/proc/self/io")
  }

  /// Seconds since it was made.
  var wallSeconds: Double { (ContinuousClock().now - start).inSeconds }

  /// Seconds of processor since it was made, of all threads.
  var cpuSeconds: Double { Self.cpuSeconds(RUSAGE_SELF) - cpuAtStart }

  /// Bytes given to write calls since it was made, the page cache's own writes not among them.
  var bytesGivenToWrite: UInt64? { difference("wchar") }
  /// Bytes of pages that became dirty.
  var bytesMadeDirty: UInt64? { difference("write_bytes") }
  /// Bytes that came from a device.
  var bytesReadFromDevice: UInt64? { difference("read_bytes") }

  private func difference(_ name: String) -> UInt64? {
    guard let before = bytesAtStart[name], let now = Self.numbers(in: "/proc/self/io")[name]
    else { return nil }
    return now &- before
  }

  #if canImport(Darwin)
    typealias Who = Int32
  #else
    typealias Who = __rusage_who
  #endif

  /// Seconds of processor that this process, or its ended children, used in all.
  static func cpuSeconds(_ who: Who) -> Double {
    let usage = usage(who)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }

  /// The largest resident size ever, mapped files included.
  static func peakResidentBytes(_ who: Who) -> UInt64 {
    #if canImport(Darwin)
      UInt64(usage(who).ru_maxrss)
    #else
      UInt64(usage(who).ru_maxrss) * 1024
    #endif
  }

  private static func usage(_ who: Who) -> rusage {
    var usage = rusage()
    #if canImport(Darwin)
      getrusage(who, &usage)
    #else
      getrusage(__rusage_who_t(who.rawValue), &usage)
    #endif
    return usage
  }

  // MARK: - Memory

  /// Resident now, without pages of mapped files where the system tells them apart.
  static var residentBytes: UInt64 {
    let status = numbers(in: "/proc/self/status")
    guard let anonymous = status["RssAnon"] else { return peakResidentBytes(RUSAGE_SELF) }
    return (anonymous + (status["RssShmem"] ?? 0)) * 1024
  }

  /// The largest resident size since `resetPeak`, mapped files included.
  static var peakResidentBytes: UInt64 {
    guard let peak = numbers(in: "/proc/self/status")["VmHWM"] else {
      return peakResidentBytes(RUSAGE_SELF)
    }
    return peak * 1024
  }

  /// Forgets the peak so far, after what is free was given back.
  static func resetPeak() {
    #if os(Linux)
      peer_release_memory()
      try? Data("5".utf8).write(to: URL(fileURLWithPath: "/proc/self/clear_refs"))
    #endif
  }

  /// The numbers of a file of lines `name: number …`.
  private static func numbers(in path: String) -> [String: UInt64] {
    guard let data = FileManager.default.contents(atPath: path) else { return [:] }
    var numbers: [String: UInt64] = [:]
    for line in String(decoding: data, as: UTF8.self).split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let words = line[line.index(after: colon)...].split(whereSeparator: \.isWhitespace)
      if let first = words.first, let number = UInt64(first) {
        numbers[String(line[..<colon])] = number
      }
    }
    return numbers
  }
}
