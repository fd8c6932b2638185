internal import SedimentIO

/// The state that a manifest holds, or what is whole of it.
struct ManifestSalvage {
  var state: StoreState
  /// What of the manifest is lost, and what with it.
  var losses: [RepairReport.Loss] = []

  /// Reads the manifest in force; where that is damaged, the newest of all that are there, up to
  /// its first damage.
  ///
  /// - Throws: `StoreError` with code `notFound` when there is no state, with `corrupted` when no
  ///   manifest can be read; `FileError`, `UnsupportedFormat`.
  static func read(_ directory: any Directory) throws -> ManifestSalvage {
    var losses: [RepairReport.Loss] = []
    do {
      if let answer = try ManifestReader.read(directory) {
        return ManifestSalvage(state: answer.state)
      }
    } catch let error as UnsupportedFormat {
      throw error
    } catch {
      guard let damage = Damage(error, file: ManifestFiles.current) else { throw error }
      losses.append(RepairReport.Loss(damage))
    }
    let names = try directory.entries().map(\.name)
    guard names.contains(where: { StoreFileName($0) != nil }) else {
      throw StoreError(.notFound, "\(directory.path) holds no state")
    }
    if losses.isEmpty {
      let current = ManifestFiles.current
      losses.append(RepairReport.Loss(file: current, message: "\(current) is missing"))
    }
    let manifests = names.filter { $0.hasPrefix(ManifestFiles.prefix) }.sorted(by: >)
    for name in manifests {
      guard let state = try wholeState(of: name, in: directory) else { continue }
      losses.append(
        RepairReport.Loss(
          file: name,
          message: "the state is taken from \(name), as of epoch \(state.epoch): what came later "
            + "is lost, but for writes in the log"))
      let named = Set(state.fileNames)
      for name in names.sorted() where name.hasSuffix(".sst") && !named.contains(name) {
        losses.append(
          RepairReport.Loss(
            file: name,
            message: "\(name) is named by no manifest that can be read: nothing in it says whose "
              + "it is"))
      }
      return ManifestSalvage(state: state, losses: losses)
    }
    throw StoreError(
      .corrupted,
      "no manifest in \(directory.path) can be read, and without one nothing is known of the "
        + "tables: neither their keyspaces nor what proves their blocks. Restore a checkpoint")
  }

  /// The state after the records of a manifest that are whole and fit; `nil` without a first one.
  private static func wholeState(
    of name: String, in directory: any Directory
  ) throws -> StoreState? {
    var state: StoreState?
    do {
      var reader = try RecordLogReader(
        directory: directory, name: name, kind: .manifest, fileID: nil)
      while let record = try reader.next(committedLength: 0) {
        switch (record.type, state) {
        case (StateCoding.snapshotType, nil):
          state = try StateCoding.decodeState(record.payload)
        case (StateCoding.editType, var before?):
          try before.apply(StateCoding.decodeEdit(record.payload))
          if before.complaint == nil { state = before } else { return state }
        default: return state
        }
      }
    } catch is Corruption {
      return state
    } catch is CodingError {
      return state
    } catch is StateEditError {
      return state
    }
    return state
  }
}
