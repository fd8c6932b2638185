internal import SedimentIO

/// The `SHA256SUMS` of a savepoint: a line `<64 hexadecimal digits>  <name>` a file, as `sha256sum`
/// writes and checks it.
struct SavepointSums {
  static let name = "SHA256SUMS"
  /// A savepoint of more files than this many bytes of lines is refused.
  private static let bytesMax: UInt64 = 256 << 20
  private static let chunkBytes = 1 << 20

  let savepoint: CheckpointDirectory

  init(_ savepoint: CheckpointDirectory) { self.savepoint = savepoint }

  /// The content for all files that are there, one of them under the name it will have.
  func lines(publishing temporary: String, as name: String) throws -> String {
    var lines = ""
    for file in try fileNames() {
      lines += "\(try digest(of: file).hexadecimal)  \(file == temporary ? name : file)\n"
    }
    return lines
  }

  /// Every listed file whose content has another sum, and every file that is not listed.
  func damage() throws -> [Damage] {
    let sums: [(digest: String, name: String)]
    do {
      sums = try read()
    } catch {
      guard let damage = Damage(error, file: Self.name) else { throw error }
      return [damage]
    }
    var damage = try mismatches(sums)
    let listed = Set(sums.map(\.name))
    for name in try fileNames() where !listed.contains(name) {
      damage.append(Damage(file: name, message: "\(name) is not in \(Self.name)"))
    }
    return damage
  }

  /// Checks that every listed file has its sum, and that all of `names` are listed. Whatever else
  /// lies in the directory is left alone.
  ///
  /// - Throws: `corrupted`, naming the first file that is not what it was.
  func check(containing names: [String]) throws {
    let sums = try read()
    let listed = Set(sums.map(\.name))
    if let name = names.first(where: { !listed.contains($0) }) {
      throw StoreError(.corrupted, "\(savepoint.path): \(name) is not in \(Self.name)")
    }
    let damage = try mismatches(sums)
    guard let first = damage.first else { return }
    let others = damage.count == 1 ? "" : "; \(damage.count - 1) other files are damaged, too"
    throw StoreError(
      .corrupted, "\(savepoint.path): \(first)\(others): nothing was restored", cause: first)
  }

  private func mismatches(_ sums: [(digest: String, name: String)]) throws -> [Damage] {
    var damage: [Damage] = []
    for sum in sums {
      do {
        let found = try digest(of: sum.name).hexadecimal
        guard found != sum.digest else { continue }
        damage.append(
          Damage(
            Corruption(
              file: sum.name, offset: 0, what: "SHA-256", expected: sum.digest, found: found)))
      } catch {
        guard let found = Damage(error, file: sum.name) else { throw error }
        damage.append(found)
      }
    }
    return damage
  }

  /// All files of the savepoint but this one, in order.
  func fileNames() throws -> [String] {
    let top = try savepoint.directory.entries().filter {
      $0.kind != .directory && $0.name != Self.name
    }
    let objects = try savepoint.objects.entries()
    return top.map(\.name) + objects.map { CheckpointDirectory.objectsName + "/" + $0.name }
  }

  private func read() throws -> [(digest: String, name: String)] {
    let file = try savepoint.directory.openFile(Self.name, .read)
    defer { file.close() }
    let size = try file.size()
    guard size <= Self.bytesMax else {
      throw Corruption(
        file: Self.name, offset: 0, what: "file size", expected: "at most \(Self.bytesMax)",
        found: "\(size)")
    }
    var bytes = [UInt8](repeating: 0, count: Int(size))
    let count = try file.read(into: &bytes, at: 0)
    bytes.removeLast(bytes.count - count)
    return try String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { line in
      let digest = line.prefix(64)
      let rest = line.dropFirst(64)
      guard digest.utf8.count == 64, rest.hasPrefix("  "), rest.utf8.count > 2 else {
        throw Corruption(
          file: Self.name, offset: 0, what: "line", expected: "a sum and a name",
          found: "something else")
      }
      return (String(digest), String(rest.dropFirst(2)))
    }
  }

  /// - Parameter name: in the savepoint or its objects; the directories refuse all that leads out.
  private func digest(of name: String) throws -> SHA256.Digest {
    let prefix = CheckpointDirectory.objectsName + "/"
    let isObject = name.hasPrefix(prefix)
    let file = try (isObject ? savepoint.objects : savepoint.directory).openFile(
      isObject ? String(name.dropFirst(prefix.count)) : name, .read)
    defer { file.close() }
    var sum = SHA256()
    var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
    var offset: UInt64 = 0
    while true {
      let count = try file.read(into: &chunk, at: offset)
      sum.update(count == chunk.count ? chunk : Array(chunk.prefix(count)))
      offset += UInt64(count)
      if count < chunk.count { return sum.finish() }
    }
  }
}
