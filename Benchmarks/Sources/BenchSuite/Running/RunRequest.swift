// What is asked of one run.

import ArgumentParser

/// What is done with an engine.
package enum WorkloadName: String, Codable, CaseIterable, ExpressibleByArgument {
  case dedup
  case dedupUnique = "dedup-unique"
  case dedupHot = "dedup-hot"
  case dedupCold = "dedup-cold"
  case dedupTTL = "dedup-ttl"
  case lookupHit = "lookup-hit"
  case lookupMiss = "lookup-miss"
  case checkpoint, restart, job
  // Of ordered key-value stores, as db_bench and YCSB name them.
  case fillseq, fillrandom, fillsync, overwrite, readrandom, readmissing, multireadrandom
  case seekrandom, scan, scanreverse, readwhilewriting
  case ycsbA = "ycsb-a"
  case ycsbB = "ycsb-b"
  case ycsbC = "ycsb-c"
  case ycsbD = "ycsb-d"
  case ycsbE = "ycsb-e"
  case ycsbF = "ycsb-f"

  /// Whether it is one of an ordered key-value store.
  package var isOrdered: Bool {
    switch self {
    case .dedup, .dedupUnique, .dedupHot, .dedupCold, .dedupTTL, .lookupHit, .lookupMiss,
      .checkpoint, .restart, .job:
      false
    default: true
    }
  }
}

extension WorkloadName {
  /// Whether a run of it changes the entries that were loaded.
  var changesEntries: Bool {
    switch self {
    case .readrandom, .readmissing, .multireadrandom, .seekrandom, .scan, .scanreverse, .ycsbC:
      false
    default: true
    }
  }
}

/// What is measured.
package enum EngineName: String, Codable, CaseIterable, ExpressibleByArgument {
  case sediment, rocksdb
  case rocksdbNaive = "rocksdb-naive"
  case lmdb, floor
}

/// What stands for a key in Sediment; the other engines have one way only.
package enum ModeName: String, Codable, CaseIterable, ExpressibleByArgument {
  case exact, fingerprint
}

/// One run of one engine, as the parent asks it of the child.
package struct RunRequest: Codable, Sendable {
  var engine: EngineName
  var workload: WorkloadName
  var mode: ModeName
  /// Events inserted, or keys loaded before lookups.
  var events: UInt64
  /// Writers, or readers.
  var threads: Int
  var seed: UInt64 = 42
  /// The share of repeats in thousandths.
  var repeatThousandths: UInt64 = 200
  /// Events in a batch.
  package var batch = 1024
  /// Sediment's memory budget in bytes.
  package var memory = 2 << 30
  /// Seconds between the epochs of Sediment and between checkpoints; 0 for none.
  package var epochSeconds = 10.0
  /// Lookups in all.
  package var lookups: UInt64 = 1_000_000
  /// Whether lookups and restarts find an empty page cache.
  var isCold = false
  /// Times to live that the events of dedup-ttl span.
  package var windows: UInt64 = 20
  /// Where the run may write: a directory that does not exist.
  var directory: String
  /// Where ordered stores that were loaded are kept for other runs; `nil` for nowhere.
  var keepDirectory: String?
  /// The sediment executable, for `job`.
  var tool: String?
  /// Whether Sediment's ordered keyspace is of the tiered style; older records do not say.
  var isTiered: Bool?
  /// Added to the settings of rocksdb, in its own notation.
  var rocksdbOptions: String?

  package init(
    _ engine: EngineName, _ workload: WorkloadName, events: UInt64, directory: String,
    threads: Int = 2, mode: ModeName = .fingerprint
  ) {
    self.engine = engine
    self.workload = workload
    self.mode = mode
    self.events = events
    self.threads = threads
    self.directory = directory
  }

  /// Where such a store as this run wants is kept.
  var keptLoad: String? {
    keepDirectory.map {
      "\($0)/\(engine.rawValue)-\(events)-\(threads)-\(seed)-\(memory >> 20)MiB"
        + (isTiered == true ? "-tiered" : "")
    }
  }

  /// The time to live in milliseconds: ten events share one. `nil` for none.
  var timeToLive: Int64? {
    workload == .dedupTTL ? Int64(clamping: events / windows / 10) : nil
  }

  /// What is wrong with the numbers; `nil` when nothing is.
  package var complaint: String? {
    if events < 1 { return "--events is at least 1" }
    if threads < 1 || threads > 64 { return "--threads is 1 to 64" }
    if batch < 1 || batch > 1_048_576 { return "--batch is 1 to 1,048,576" }
    if workload == .dedupTTL {
      if windows < 1 { return "--windows is at least 1" }
      let eventsMin = windows * UInt64(batch * threads) * 64
      if events < eventsMin {
        return "dedup-ttl of \(windows) windows needs \(eventsMin) events at least"
      }
    }
    return nil
  }
}
