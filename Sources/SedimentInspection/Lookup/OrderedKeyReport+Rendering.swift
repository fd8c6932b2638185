internal import SedimentStore

// MARK: - For people

extension OrderedKeyReport {
  /// The report for people.
  ///
  /// - Parameter explains: whether to say where the key was looked for.
  public func text(explains: Bool) -> String {
    var text = "Key \(ByteText.shown(key)) in ordered keyspace \(keyspace)\n" + findingText
    if explains { text += "\n" + explanation }
    return text
  }

  private var findingText: String {
    switch finding {
    case .absent: return "  not found\n"
    case .removed(let version, let file):
      let what = version.kind == .removeRange ? "removed with a range" : "removed"
      return "  \(what) by write \(version.sequence), in \(file)\n"
    case .value(let version, let file): return fields("value", version, file)
    case .expired(let version, let file): return "  expired\n" + fields("old value", version, file)
    case .merged(let value, let version, let file):
      return "  value: \(ByteText.shown(value)), of operands\n"
        + fields("last operand", version, file)
    case .operand(let version, let file):
      return "  its value is made by the program's merge operator\n"
        + fields("last operand", version, file)
    }
  }

  private func fields(_ heading: String, _ version: InspectedVersion, _ file: String) -> String {
    var fields = TextFields()
    fields.append(heading, ByteText.shown(version.value))
    fields.append("written", "\(version.writeText), in \(file)")
    fields.append("expires", version.expiry.map(Figure.time) ?? "never")
    return fields.text()
  }

  private var explanation: String {
    guard !steps.isEmpty else { return "There is no table, and nothing in the log.\n" }
    var text = "Looked for in this order; the first version found counts:\n"
    for step in steps {
      let level = step.source.level.map { "level \($0)" } ?? "log"
      let place: String
      switch step.source {
      case .level: place = level
      case .rangeRemovals: place = "removals of ranges, manifest"
      case .log(let name), .table(let name, _): place = "\(name), \(level)"
      }
      text += "  \(place): \(step.outcome.text)\n"
      for version in step.versions { text += "    \(version.text)\n" }
    }
    return text
  }
}

extension LookupStep.Outcome {
  fileprivate var text: String {
    switch self {
    case .outsideBounds: "outside its keys, nothing read"
    case .excludedByFilter: "excluded by the filter"
    case .readBlock(let index, let count): "read block \(index) of \(count)"
    case .readWhole: "read to its end"
    }
  }
}

extension InspectedVersion {
  fileprivate var writeText: String {
    sequence == 0 ? "by a write that nothing older is left of" : "by write \(sequence)"
  }

  fileprivate var text: String {
    let name = sequence == 0 ? "oldest write" : "write \(sequence)"
    let end = expiry.map { ", expires \(Figure.time($0))" } ?? ""
    let size =
      kind == .remove || kind == .removeRange ? "" : " of \(Figure.count(value.count, of: "byte"))"
    return "\(name): \(kind)\(size)\(end)"
  }
}

// MARK: - For programs

extension OrderedKeyReport {
  /// The report for programs. Times are ms since 1970; what is no UTF-8 is hexadecimal, under a
  /// name that ends with `_hex`.
  ///
  /// - Parameter explains: whether to say where the key was looked for.
  public func json(explains: Bool) -> JSONValue {
    var members = [
      JSONValue.Member("key", bytes: key), .init("keyspace", .string(keyspace)),
    ]
    switch finding {
    case .absent: members += Self.members("absent", nil, nil)
    case .value(let version, let file): members += Self.members("value", version, file)
    case .expired(let version, let file): members += Self.members("expired", version, file)
    case .removed(let version, let file): members += Self.members("removed", version, file)
    case .operand(let version, let file): members += Self.members("operand", version, file)
    case .merged(let value, let version, let file):
      members += Self.members("merged", version, file) + [.init("merged", bytes: value)]
    }
    if explains { members.append(.init("lookup", .array(steps.map(\.json)))) }
    return .object(members)
  }

  private static func members(
    _ state: String, _ version: InspectedVersion?, _ file: String?
  ) -> [JSONValue.Member] {
    var members = [
      JSONValue.Member("found", .bool(state == "value" || state == "merged")),
      .init("state", .string(state)),
    ]
    if let version { members += version.members }
    if let file { members.append(.init("file", .string(file))) }
    return members
  }
}

extension InspectedVersion {
  fileprivate var members: [JSONValue.Member] {
    var members = [
      JSONValue.Member("sequence", .unsigned(sequence)), .init("kind", .string("\(kind)")),
      .init("expires", .optional(expiry)),
    ]
    if kind == .put || kind == .merge { members.append(.init("value", bytes: value)) }
    return members
  }
}

extension LookupStep {
  fileprivate var json: JSONValue {
    var members: [JSONValue.Member] = []
    switch source {
    case .log(let name): members.append(.init("log", .string(name)))
    case .rangeRemovals: members.append(.init("manifest", "range_removals"))
    case .table(let name, let level):
      members += [.init("table", .string(name)), .init("level", .count(level))]
    case .level(let level): members.append(.init("level", .count(level)))
    }
    switch outcome {
    case .outsideBounds: members.append(.init("outcome", "outside_bounds"))
    case .excludedByFilter: members.append(.init("outcome", "excluded_by_filter"))
    case .readWhole: members.append(.init("outcome", "read"))
    case .readBlock(let index, let count):
      members += [
        .init("outcome", "read"), .init("block", .count(index)), .init("blocks", .count(count)),
      ]
    }
    members.append(.init("versions", .array(versions.map { .object($0.members) })))
    return .object(members)
  }
}
