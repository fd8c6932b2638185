import SedimentInspection
import SedimentJob
import SedimentStore

/// What the metadata of an epoch says of its job; nothing for a store that is no job's.
func jobFacts(_ metadata: [UInt8]) -> [JobFact] {
  guard !metadata.isEmpty else { return [] }
  do {
    let job = try JobMetadata(decoding: metadata)
    let format = job.description.format
    var facts = [JobFact("format", label: "format", format.kind.rawValue)]
    if let origin = job.description.origin.topics { facts += topicFacts(job, origin) }
    if !format.keyFields.isEmpty {
      facts.append(
        JobFact(
          member: "key", label: "key", value: .array(format.keyFields.map { .string($0) }),
          text: format.keyFields.joined(separator: ", ")))
    }
    if let regex = format.keyRegex { facts.append(JobFact("key_regex", label: "key regex", regex)) }
    facts.append(
      JobFact(
        member: "time_field", label: "time",
        value: format.timeField.map { .string($0) } ?? .null,
        text: format.timeField.map { "\($0), in \(format.timeUnit.rawValue)" }
          ?? (format.usesRecordTime ? "of the record" : "of processing")))
    return facts + countFacts(job.totals)
  } catch {
    return [JobFact("unreadable", label: "metadata", error.description)]
  }
}

private func topicFacts(_ job: JobMetadata, _ origin: TopicOrigin) -> [JobFact] {
  let positions = job.topicPositions
  let places = positions.partitions.map { "\($0) at \(positions[$0] ?? 0)" }
  return [
    JobFact(
      member: "topics", label: "topics", value: .array(origin.topics.map { .string($0) }),
      text: origin.topics.joined(separator: ", ")),
    JobFact(
      member: "cluster", label: "cluster", value: origin.cluster.map { .string($0) } ?? .null,
      text: origin.cluster ?? "not known yet"),
    JobFact("key_from", label: "key from", job.description.format.keySource.text),
    JobFact(
      member: "positions", label: "positions", value: .array(places.map { .string($0) }),
      text: places.isEmpty ? "none" : places.joined(separator: ", ")),
  ]
}

private func countFacts(_ totals: JobCounters) -> [JobFact] {
  [
    JobFact(
      member: "events", label: "events", value: .unsigned(totals.events),
      text: "\(Figure.count(totals.events)): \(Figure.count(totals.emitted)) emitted, "
        + "\(Figure.count(totals.duplicates)) duplicates, "
        + "\(Figure.count(totals.rejected)) rejected")
  ]
}

/// The job that the metadata of an epoch describes; `nil` where it is none that this build knows.
func jobMetadata(_ metadata: [UInt8]) -> JobMetadata? {
  do {
    return try JobMetadata(decoding: metadata)
  } catch {
    return nil
  }
}
