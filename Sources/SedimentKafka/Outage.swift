// What a person is told while brokers cannot be reached: that it is so, now and then that it still
// is, and that it is over.

/// One outage after another. A value: who asks gives the time.
package struct Outage: Sendable {
  /// From one reminder to the next.
  package static let reminderMillis: Int64 = 30_000

  private var toldMillis: Int64?

  /// No outage.
  package init() {}

  /// Something failed for want of a broker; whether that is worth a message now.
  package mutating func isNews(atMillis now: Int64) -> Bool {
    if let toldMillis, now - toldMillis < Self.reminderMillis { return false }
    toldMillis = now
    return true
  }

  /// Something went well; whether that ends an outage that was told.
  package mutating func end() -> Bool {
    defer { toldMillis = nil }
    return toldMillis != nil
  }
}
