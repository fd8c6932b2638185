/// Where Linux keeps the memory limits of control groups, and how it writes them.
package enum ControlGroups {
  /// Files that may hold a limit, given the text of `/proc/self/cgroup`: for each group of the
  /// process its own and those of the groups above it, versions 2 and 1.
  package static func limitPaths(_ groups: String) -> [String] {
    var paths: [String] = []
    for line in groups.split(separator: "\n") {
      // hierarchy:controllers:path
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let root: String
      let file: String
      if fields[1].isEmpty {
        (root, file) = ("/sys/fs/cgroup", "memory.max")
      } else if fields[1].split(separator: ",").contains("memory") {
        (root, file) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
      } else {
        continue
      }
      var components = fields[2].split(separator: "/")
      while true {
        paths.append(([root] + components.map(String.init) + [file]).joined(separator: "/"))
        if components.popLast() == nil { break }
      }
    }
    return paths
  }

  /// The limit in the text of such a file; `nil` for `max`, and for version 1's huge numbers that
  /// mean the same.
  package static func limit(_ text: String) -> UInt64? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let limit = UInt64(digits), limit < UInt64(Int64.max) / 2 else { return nil }
    return limit
  }
}
