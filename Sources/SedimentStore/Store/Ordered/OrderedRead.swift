/// A read of an ordered keyspace: a view, and the number of the last write that it sees.
struct OrderedRead {
  let keyspace: OrderedKeyspace
  let view: OrderedView
  let sequence: UInt64
  let scratch: LookupScratch

  /// Calls `body` with the value of a key; see `OrderedKeyspace.withValue`.
  func withValue<Answer>(
    of key: UnsafeRawBufferPointer, _ body: (RawSpan) -> Answer
  ) throws(StoreError) -> Answer? {
    var answer: Answer?
    var operands = MergeOperands(.newestFirst)
    try wrapping {
      let removal = unsafe view.newestRemoval(of: key, at: sequence)
      try unsafe view.forEachVersion(
        of: key, at: sequence, hasher: keyspace.hasher, cache: keyspace.store.cache,
        scratch: scratch
      ) { tag, value in
        if tag.sequence < removal { return false }
        let value = unsafe keyspace.live(value, tag)
        if tag.kind == .merge {
          if let value = unsafe value { unsafe operands.add(value, tag) }
          return true
        }
        let base = unsafe tag.kind == .put ? value : nil
        if !operands.isEmpty {
          let merged = try unsafe keyspace.merge(operands, onto: base)
          operands.removeAll()
          answer = body(unsafe merged.span.bytes)
        } else if let base = unsafe base {
          answer = body(unsafe RawSpan(_unsafeBytes: base))
        }
        return false
      }
      if !operands.isEmpty {
        let merged = try unsafe keyspace.merge(operands, onto: nil)
        answer = body(unsafe merged.span.bytes)
      }
    }
    return answer
  }
}
