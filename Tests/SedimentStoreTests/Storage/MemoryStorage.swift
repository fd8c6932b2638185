import SedimentIO
import SedimentStore
import Synchronization

/// Checkpoint storage in memory whose calls can fail, before or after they are carried out, and can
/// be held until it is their turn.
final class MemoryStorage: CheckpointStorage, Sendable {
  /// What meets a call.
  enum Fault {
    case before, after
  }

  private struct State {
    var objects: [String: [UInt8]] = [:]
    var callCount = 0
    var fault: (call: Int, fault: Fault)?
    var isDead = false
    var putFiles: [String] = []
    var readBytes: UInt64 = 0
  }

  let location = "memory"
  private let state = Mutex(State())

  /// Calls so far.
  var callCount: Int { state.withLock { $0.callCount } }
  /// Keys of files that were put.
  var putFiles: [String] { state.withLock { $0.putFiles } }
  /// Bytes that were read of objects.
  var readBytes: UInt64 { state.withLock { $0.readBytes } }
  var keys: [String] { state.withLock { $0.objects.keys.sorted() } }

  func content(_ key: String) -> [UInt8]? { state.withLock { $0.objects[key] } }

  func damage(_ key: String) {
    state.withLock { state in
      guard var bytes = state.objects[key], !bytes.isEmpty else { return }
      bytes[bytes.count / 2] ^= 1
      state.objects[key] = bytes
    }
  }

  /// Lets a call fail, counted from the calls made so far, and all behind it.
  func die(atCall call: Int, _ fault: Fault) {
    state.withLock { $0.fault = ($0.callCount + call, fault) }
  }

  /// What another process finds.
  func revive() {
    state.withLock {
      $0.fault = nil
      $0.isDead = false
    }
  }

  /// The same content, in a storage that has had no calls.
  func clone() -> MemoryStorage {
    let clone = MemoryStorage()
    let objects = state.withLock { $0.objects }
    clone.state.withLock { $0.objects = objects }
    return clone
  }

  private static let lost = StoreError(.inputOutput, "the storage does not answer")

  private func call<Answer>(_ body: (inout State) throws(StoreError) -> Answer) throws(StoreError)
    -> Answer
  {
    try state.withLock { state throws(StoreError) in
      guard !state.isDead else { throw Self.lost }
      let fault = state.fault?.call == state.callCount ? state.fault?.fault : nil
      state.callCount += 1
      if fault != nil { state.isDead = true }
      if fault == .before { throw Self.lost }
      let answer = try body(&state)
      if fault == .after { throw Self.lost }
      return answer
    }
  }

  // MARK: - CheckpointStorage

  func put(_ file: any File, bytes: UInt64, as key: String) throws(StoreError) {
    var content = [UInt8](repeating: 0, count: Int(bytes))
    do {
      let count = try file.read(into: &content, at: 0)
      guard count == content.count else { throw Self.lost }
    } catch {
      throw Self.lost
    }
    try call { state throws(StoreError) in
      state.objects[key] = content
      state.putFiles.append(key)
    }
  }

  func put(_ content: [UInt8], as key: String) throws(StoreError) {
    try call { state throws(StoreError) in state.objects[key] = content }
  }

  func putIfAbsent(_ content: [UInt8], as key: String) throws(StoreError) -> Bool {
    try call { state throws(StoreError) in
      guard state.objects[key] == nil else { return false }
      state.objects[key] = content
      return true
    }
  }

  func read(_ key: String, _ range: Range<UInt64>) throws(StoreError) -> [UInt8]? {
    try call { state throws(StoreError) -> [UInt8]? in
      guard let content = state.objects[key] else { return nil }
      let start = min(Int(range.lowerBound), content.count)
      let bytes = Array(content[start..<max(start, min(Int(range.upperBound), content.count))])
      state.readBytes += UInt64(bytes.count)
      return bytes
    }
  }

  func list(_ prefix: String) throws(StoreError) -> [StoredObject] {
    try call { state throws(StoreError) in
      state.objects.filter { $0.key.hasPrefix(prefix) }
        .map { StoredObject(key: $0.key, bytes: UInt64($0.value.count)) }
        .sorted { $0.key < $1.key }
    }
  }

  func delete(_ keys: [String]) throws(StoreError) {
    try call { state throws(StoreError) in for key in keys { state.objects[key] = nil } }
  }

  func unfinished(
    _ prefix: String, before millis: Int64, removing: Bool
  ) throws(StoreError) -> [StoredObject] {
    try call { _ throws(StoreError) in [] }
  }
}
