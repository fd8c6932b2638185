public import Logging
public import SedimentStore

/// Writes the events of a store to a logger.
///
/// ```swift
/// let log = StoreEventLogger(logger)
/// options.onEvent = { log.log($0) }
/// ```
///
/// <doc:LevelsAndNames> has the table of levels and metadata.
///
/// Events come on the store's threads, which wait for the handler: it must not block for long, and
/// must not call the store.
public struct StoreEventLogger: Sendable {
  private let logger: Logger

  /// Writes to `logger`, whose own metadata tell stores apart.
  public init(_ logger: Logger) { self.logger = logger }

  /// Writes an event.
  public func log(_ event: StoreEvent) {
    logger.log(level: event.logLevel, event.logMessage, metadata: event.logMetadata)
  }
}

extension StoreEvent {
  /// How much it matters.
  var logLevel: Logger.Level {
    switch self {
    case .flushed, .merged, .expired, .epochCommitted: .debug
    case .checkpointed: .info
    case .stalled: .notice
    case .lowDisk, .retrying: .warning
    case .corruption: .critical
    }
  }

  /// What happened, the same text for all events of a kind.
  var logMessage: Logger.Message {
    switch self {
    case .flushed: "a memtable was flushed"
    case .merged: "a merge ended"
    case .expired: "expired tables were unlinked"
    case .stalled: "a writer waited for flushes or merges"
    case .epochCommitted: "an epoch is durable"
    case .checkpointed: "a checkpoint is published"
    case .corruption: "a file is damaged; the store has stopped writing"
    case .lowDisk: "the disk is nearly full"
    case .retrying: "background work failed and is tried again"
    }
  }

  /// Its figures.
  var logMetadata: Logger.Metadata {
    switch self {
    case .flushed(let keyspace, let entries, let bytes, let nanoseconds):
      Self.metadata(
        ["keyspace": "\(keyspace)"],
        ["entries": entries, "bytes": bytes, "duration_ns": nanoseconds])
    case .merged(let keyspace, let inputs, let entriesIn, let entriesOut, let bytes, let duration):
      Self.metadata(
        ["keyspace": "\(keyspace)"],
        [
          "inputs": UInt64(inputs), "entries_in": entriesIn, "entries_out": entriesOut,
          "bytes": bytes, "duration_ns": duration,
        ])
    case .expired(let keyspace, let tables, let bytes):
      Self.metadata(["keyspace": "\(keyspace)"], ["tables": UInt64(tables), "bytes": bytes])
    case .stalled(let keyspace, let nanoseconds):
      Self.metadata(["keyspace": "\(keyspace)"], ["duration_ns": nanoseconds])
    case .epochCommitted(let epoch, let nanoseconds):
      Self.metadata([:], ["epoch": epoch, "duration_ns": nanoseconds])
    case .checkpointed(let id, let newFiles, let newBytes, let nanoseconds):
      Self.metadata(
        ["checkpoint": "\(id)"],
        ["new_files": UInt64(newFiles), "new_bytes": newBytes, "duration_ns": nanoseconds])
    case .corruption(let message), .retrying(let message):
      Self.metadata(["reason": "\(message)"], [:])
    case .lowDisk(let availableBytes):
      Self.metadata([:], ["available_bytes": availableBytes])
    }
  }

  private static func metadata(
    _ texts: Logger.Metadata, _ figures: [String: UInt64]
  ) -> Logger.Metadata {
    var metadata: Logger.Metadata = [:]
    for (name, text) in texts { metadata["sediment." + name] = text }
    for (name, figure) in figures { metadata["sediment." + name] = .stringConvertible(figure) }
    return metadata
  }
}
