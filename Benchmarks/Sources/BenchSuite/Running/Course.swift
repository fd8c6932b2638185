// What a course says between and beyond its points.

extension [CoursePoint] {
  /// Seconds until so many events were decided.
  package func seconds(at events: Double) -> Double {
    interpolate(at: events, of: { Double($0.events) }, { $0.seconds })
  }

  /// Keys accepted when so many events were decided.
  package func accepted(at events: Double) -> Double {
    interpolate(at: events, of: { Double($0.events) }, { Double($0.accepted) })
  }

  /// Keys accepted so many seconds after the start.
  func accepted(atSeconds seconds: Double) -> Double {
    interpolate(at: seconds, of: \.seconds, { Double($0.accepted) })
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
    at place: Double, of places: (CoursePoint) -> Double, _ value: (CoursePoint) -> Double
  ) -> Double {
    var (previousPlace, previousValue) = (0.0, 0.0)
    for point in self {
      let pointPlace = places(point)
      if pointPlace >= place {
        guard pointPlace > previousPlace else { return value(point) }
        let share = (place - previousPlace) / (pointPlace - previousPlace)
        return previousValue + share * (value(point) - previousValue)
      }
      (previousPlace, previousValue) = (pointPlace, value(point))
    }
    return previousValue
  }
}
