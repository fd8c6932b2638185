import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What the system knows of this process and the memory it may use.
public enum ProcessStatistics {
  /// This process's id.
  public static var processIdentifier: Int32 { getpid() }

  /// The largest resident size so far; 0 when unknown.
  public static var peakResidentBytes: UInt64 { sediment_peak_resident_bytes() }

  /// The resident size now; 0 when unknown.
  public static var residentBytes: UInt64 { sediment_resident_bytes() }

  /// Processors that are online; at least 1.
  public static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// Memory that this process can hope for: the machine's, or less where a control group says so.
  public static func systemMemoryBytes() -> UInt64 {
    min(physicalMemoryBytes, controlGroupLimitBytes() ?? .max)
  }

  /// The machine's memory.
  public static var physicalMemoryBytes: UInt64 {
    let pages = UInt64(max(0, sysconf(Int32(_SC_PHYS_PAGES))))
    let (bytes, overflow) = pages.multipliedReportingOverflow(
      by: UInt64(max(0, sysconf(Int32(_SC_PAGESIZE)))))
    return overflow ? .max : bytes
  }

  /// The smallest memory limit of the control groups above this process; `nil` without one.
  static func controlGroupLimitBytes() -> UInt64? {
    guard let groups = smallFile("/proc/self/cgroup") else { return nil }
    var smallest: UInt64?
    for path in ControlGroups.limitPaths(groups) {
      guard let text = smallFile(path), let limit = ControlGroups.limit(text) else { continue }
      smallest = min(smallest ?? .max, limit)
    }
    return smallest
  }

  /// The text of a file of the kernel's, up to 64 KiB; `nil` when there is none.
  private static func smallFile(_ path: String) -> String? {
    let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
    if number < 0 { return nil }
    let descriptor = Descriptor(number)
    var bytes = [UInt8](repeating: 0, count: 65536)
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe read(descriptor.number, $0.baseAddress, $0.count)
    }
    return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
  }
}
