// Every disk that one run of a script goes through, with what was promised at the time.
//
// A crash at any operation is looked at without running the script again up to there: file systems
// in memory are copied on write.

import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization

/// See the file's header.
final class CrashRecording {
  /// Copies are taken on whatever thread changes something.
  private final class Disks: Sendable {
    let all = Mutex<[MemoryFileSystem]>([])
  }

  let script: OrderedScript
  private let fileSystem = MemoryFileSystem()
  private let disks = Disks()
  /// Each holds for all disks with so many mutations, or more.
  private var promises: [(mutationCount: Int, promise: OrderedScript.Promise)] = []

  /// Runs `body` on a script with a new store.
  init(seed: UInt64, _ body: (OrderedScript) throws -> Void) throws {
    script = OrderedScript(seed: seed, fileSystem: fileSystem, keyCount: 12, isSmall: true)
    let (fileSystem, disks) = (self.fileSystem, self.disks)
    promises = [(0, script.promise)]
    fileSystem.onMutation = { disk in disks.all.withLock { $0.append(disk) } }
    script.onPromise = { [unowned self] promise in
      // What is promised was done before, by mutations up to this one.
      promises.append((fileSystem.mutationCount, promise))
    }
    try script.open()
    try body(script)
    fileSystem.onMutation = nil
    script.drop()
  }

  /// The disks in order, each with what was promised when it was that way.
  var moments: [(disk: MemoryFileSystem, promise: OrderedScript.Promise)] {
    disks.all.withLock { $0 }.sorted { $0.mutationCount < $1.mutationCount }.map { disk in
      let given = promises.last { $0.mutationCount <= disk.mutationCount }
      return (disk, given?.promise ?? OrderedScript.Promise())
    }
  }

  /// What is wrong after a crash at some moment; `nil` when nothing is.
  ///
  /// - Parameter stateCount: is raised by the number of states that were looked at.
  func problem(_ stateCount: inout Int) -> String? {
    var generator = SeededGenerator(seed: 41)
    var lastStrict: (files: [String: [UInt8]], promise: OrderedScript.Promise)?
    for (disk, promise) in moments {
      let what = "after \(disk.mutationCount) mutations"
      do {
        // Most writes are not synchronised, and a strict disk keeps nothing of them.
        let strict = disk.crashed(.nothing)
        let files = try strict.allContents()
        if lastStrict?.files != files || lastStrict?.promise != promise {
          stateCount += 1
          if let problem = try script.problem(with: strict, promise, goesOn: false) {
            return "\(what), nothing kept: \(problem)"
          }
        }
        lastStrict = (files, promise)
        stateCount += 1
        let other = disk.crashed(using: &generator)
        if let problem = try script.problem(with: other, promise) { return "\(what): \(problem)" }
      } catch {
        return "\(what): \(error)"
      }
    }
    return nil
  }
}

extension MemoryFileSystem {
  /// The content of every file, by path.
  func allContents() throws -> [String: [UInt8]] {
    var contents: [String: [UInt8]] = [:]
    for path in files() { contents[path] = try self.contents(of: path) }
    return contents
  }
}
