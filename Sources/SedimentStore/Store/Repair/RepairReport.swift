/// What was saved of a damaged state, and what was not.
public struct RepairReport: Sendable, Equatable {
  /// Something that is not in the new state.
  public struct Loss: Sendable, Equatable {
    /// The file it was in.
    public var file: String
    /// What is wrong with the file, or what of it was left out.
    public var message: String
    /// How many entries are lost; `nil` where that is not known.
    public var entries: UInt64?
    /// How many bytes of the file; `nil` where that is not known.
    public var bytes: UInt64?
  }

  /// The epoch of the manifest that was found.
  public var epoch: EpochID
  /// Tables that are whole.
  public var copiedTables = 0
  /// Tables of which a part was saved.
  public var rewrittenTables = 0
  /// Entries in tables of the new state.
  public var savedEntries: UInt64 = 0
  /// Writes of ordered keyspaces that were saved from their log.
  public var savedWrites: UInt64 = 0
  /// What is lost; nothing when the state was whole.
  public var losses: [Loss] = []

  init(_ state: StoreState) {
    epoch = EpochID(epoch: state.epoch, writerEpoch: state.writerEpoch)
  }
}

extension RepairReport.Loss {
  init(_ damage: Damage, entries: UInt64? = nil, bytes: UInt64? = nil) {
    self.init(file: damage.file, message: damage.message, entries: entries, bytes: bytes)
  }
}
