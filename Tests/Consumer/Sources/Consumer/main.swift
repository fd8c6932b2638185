import SedimentDedup
import SedimentStore

let store = try StateStore.open(at: "clicks.state")
let seen = try store.keyspace("clicks", KeyspaceOptions(timeToLive: .milliseconds(86_400_000)))
let keys = KeyBatch()
for (user, page) in [("ann", "/"), ("bob", "/"), ("ann", "/")] {
  try keys.append(CompositeKey(.string(user), .string(page)).bytes)
}
let new = try seen.insertIfAbsent(keys, times: [1_000, 1_001, 1_002])
print((0..<new.count).map { new[$0] })  // [true, true, false]; the next run: all false
try store.commitEpoch(metadata: Array("position 3".utf8))
try store.close()
