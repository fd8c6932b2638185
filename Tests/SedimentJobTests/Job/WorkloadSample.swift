import Foundation
import SedimentJob

/// Events as `sediment generate` makes them, and their first-seen set by a dictionary of lines.
struct WorkloadSample {
  private(set) var all = Data()
  private(set) var first = Data()

  init(events: UInt64) {
    var generator = WorkloadGenerator(events: events, workload: Workload(), format: .ndjson)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { unsafe buffer.deallocate() }
    while true {
      let count = unsafe generator.write(into: buffer)
      guard count > 0 else { break }
      unsafe all.append(contentsOf: buffer[..<count])
    }
    var seen: Set<Substring> = []
    for line in String(decoding: all, as: UTF8.self).split(separator: "\n") {
      let key = line.range(of: "\"payload\"").map { line[..<$0.lowerBound] } ?? line
      guard seen.insert(key).inserted else { continue }
      first.append(contentsOf: line.utf8)
      first.append(UInt8(ascii: "\n"))
    }
  }
}
