// What a course says between and beyond its points.

extension [CoursePoint] {
  /// Seconds until so many events were decided.
  package func seconds(at events: Double) -> Double { interpolate(at: events) { $0.seconds } }

  /// Keys accepted when so many events were decided.
  package func accepted(at events: Double) -> Double {
    interpolate(at: events) { Double($0.accepted) }
  }

  /// Events a second between two counts of events.
  package func speed(from: Double, to: Double) -> Double? {
    let seconds = seconds(at: to) - seconds(at: from)
    return seconds > 0 ? (to - from) / seconds : nil
  }

  /// The points until all events were decided: without the flush at the end.
  package var whileDeciding: [CoursePoint] {
    guard let events = last?.events, let end = firstIndex(where: { $0.events == events })
    else { return self }
    return Array(self[...end])
  }

  private func interpolate(
    at events: Double, _ value: (CoursePoint) -> Double
  ) -> Double {
    var (previousEvents, previousValue) = (0.0, 0.0)
    for point in self {
      let pointEvents = Double(point.events)
      if pointEvents >= events {
        guard pointEvents > previousEvents else { return value(point) }
        let share = (events - previousEvents) / (pointEvents - previousEvents)
        return previousValue + share * (value(point) - previousValue)
      }
      (previousEvents, previousValue) = (pointEvents, value(point))
    }
    return previousValue
  }
}
