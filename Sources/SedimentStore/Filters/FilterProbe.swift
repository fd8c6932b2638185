private import CSedimentKernels

// Asking a filter. The hot path of a lookup.
//
// Concurrency: a probe only reads memory that never changes; any number of threads may use it while
// its `LoadedFilter` lives.

/// Answers whether a hash may be in a table. A trivial value; its `LoadedFilter` must outlive it.
///
/// There are no false negatives. A hash outside the table's range gets any answer.
@safe
package struct FilterProbe: BitwiseCopyable {
  private let base: UnsafeRawPointer?
  private let kind: FilterKind
  private let planes: UInt8
  private let loadedLines: UInt64
  private let lines: LineMapping
  private let fuse: FuseMapping

  /// A probe that says "maybe" to everything.
  package init() {
    unsafe self.init(
      base: nil, kind: .none, planes: 0, loadedLines: 0,
      lines: LineMapping(rangeLow: 0, shift: 0, multiplier: 0),
      fuse: FuseMapping(seed: 0, segmentLength: 0, startCells: 0))
  }

  /// A probe of the first `count` lines of a blocked Bloom filter.
  init(lines base: UnsafeRawPointer, count: Int, of bloom: BlockedBloomLayout) {
    unsafe self.init(
      base: base, kind: .blockedBloom, planes: 0, loadedLines: UInt64(count),
      lines: bloom.mapping, fuse: FuseMapping(seed: 0, segmentLength: 0, startCells: 0))
  }

  /// A probe of cells of `planes` bits, packed, with padding behind them.
  init(cells base: UnsafeRawPointer, planes: Int, of layout: BinaryFuseLayout) {
    unsafe self.init(
      base: base, kind: .binaryFuse, planes: UInt8(planes), loadedLines: 0,
      lines: LineMapping(rangeLow: 0, shift: 0, multiplier: 0), fuse: layout.mapping)
  }

  private init(
    base: UnsafeRawPointer?, kind: FilterKind, planes: UInt8, loadedLines: UInt64,
    lines: LineMapping, fuse: FuseMapping
  ) {
    unsafe self.base = unsafe base
    self.kind = kind
    self.planes = planes
    self.loadedLines = loadedLines
    self.lines = lines
    self.fuse = fuse
  }

  /// Asks for the memory that `mayContain` will read.
  @inline(__always)
  package func prefetch(_ hash: KeyHash) {
    switch kind {
    case .none: break
    case .blockedBloom: prefetchLine(hash)
    case .binaryFuse: prefetchCells(hash)
    }
  }

  /// Whether the key of `hash` may be present; false is certain.
  @inline(__always)
  package func mayContain(_ hash: KeyHash) -> Bool {
    switch kind {
    case .none: true
    case .blockedBloom: lineMayContain(hash)
    case .binaryFuse: cellsMayContain(hash)
    }
  }

  /// Asks for the memory that `filter` will read first: that of `prefetchDistance` candidates at
  /// most. Some work should lie between the two.
  package func prefetch(
    _ hashes: UnsafePointer<KeyHash>, candidates: UnsafePointer<UInt32>, count: Int
  ) {
    for index in 0..<min(FilterProbe.prefetchDistance, count) {
      unsafe prefetch(hashes[Int(candidates[index])])
    }
  }

  /// Keeps the candidates that may be present. `prefetch` of the same candidates should have come
  /// before.
  ///
  /// - Parameters:
  ///   - hashes: The hashes of a batch.
  ///   - candidates: `count` indices into `hashes`.
  ///   - survivors: Room for `count` indices; receives those that may be present, in the same
  ///     order. May be the same address as `candidates`.
  /// - Returns: How many there are.
  package func filter(
    _ hashes: UnsafePointer<KeyHash>, candidates: UnsafePointer<UInt32>, count: Int,
    into survivors: UnsafeMutablePointer<UInt32>
  ) -> Int {
    switch kind {
    case .none:
      unsafe survivors.update(from: candidates, count: count)
      return count
    case .blockedBloom:
      return unsafe filterByLines(hashes, candidates, count, survivors)
    case .binaryFuse:
      return unsafe filterByCells(hashes, candidates, count, survivors)
    }
  }

  // MARK: - Blocked Bloom

  @inline(__always)
  private func prefetchLine(_ hash: KeyHash) {
    // A prefetch may name any address, so lines that are not loaded need no test here.
    let offset = UInt(truncatingIfNeeded: lines.line(hash.high) &<< 6)
    unsafe sediment_prefetch_read(
      UnsafeRawPointer(bitPattern: UInt(bitPattern: base) &+ offset))
  }

  @inline(__always)
  private func lineMayContain(_ hash: KeyHash) -> Bool {
    let line = lines.line(hash.high)
    guard line < loadedLines, let base = unsafe base else { return true }
    // SAFETY: the line was just checked to be among those loaded, 64 bytes each.
    let words = unsafe (base + Int(line) &* BlockedBloomLayout.lineBytes)
      .assumingMemoryBound(to: UInt64.self)
    var present: UInt64 = 1
    for word in 0..<8 {
      let bit = (hash.low &>> UInt64(6 &* word)) & 63
      unsafe present &= UInt64(littleEndian: words[word]) &>> bit
    }
    return present != 0
  }

  private func filterByLines(
    _ hashes: UnsafePointer<KeyHash>, _ candidates: UnsafePointer<UInt32>, _ count: Int,
    _ survivors: UnsafeMutablePointer<UInt32>
  ) -> Int {
    var kept = 0
    func decide(_ index: Int) {
      let candidate = unsafe candidates[index]
      unsafe survivors[kept] = candidate
      kept &+= unsafe lineMayContain(hashes[Int(candidate)]) ? 1 : 0
    }
    // Behind the first loop nothing is left to ask for.
    let leading = max(0, count &- FilterProbe.prefetchDistance)
    for index in 0..<leading {
      unsafe prefetchLine(hashes[Int(candidates[index &+ FilterProbe.prefetchDistance])])
      decide(index)
    }
    for index in leading..<count { decide(index) }
    return kept
  }

  // MARK: - Binary fuse

  @inline(__always)
  private func prefetchCells(_ hash: KeyHash) {
    guard let base = unsafe base else { return }
    let place = fuse.place(fuse.word(hash.low))
    unsafe sediment_prefetch_read(base + byteOffset(place.first))
    unsafe sediment_prefetch_read(base + byteOffset(place.second))
    unsafe sediment_prefetch_read(base + byteOffset(place.third))
  }

  @inline(__always)
  private func cellsMayContain(_ hash: KeyHash) -> Bool {
    guard let base = unsafe base else { return true }
    let place = fuse.place(fuse.word(hash.low))
    // SAFETY: the three positions are below the number of cells for any hash (see
    // `BinaryFuseLayout`), and the eight bytes at the last cell end within the padding.
    let cells = unsafe cell(base, place.first) ^ cell(base, place.second) ^ cell(base, place.third)
    return (cells ^ UInt64(place.fingerprint)) & ((1 &<< UInt64(planes)) &- 1) == 0
  }

  @inline(__always)
  private func byteOffset(_ cell: UInt32) -> Int { (Int(cell) &* Int(planes)) &>> 3 }

  /// The cell in the low bits, other cells above it.
  @inline(__always)
  private func cell(_ base: UnsafeRawPointer, _ cell: UInt32) -> UInt64 {
    let bit = UInt64(cell) &* UInt64(planes)
    let word = unsafe base.loadUnaligned(fromByteOffset: Int(bit &>> 3), as: UInt64.self)
    return UInt64(littleEndian: word) &>> (bit & 7)
  }

  private func filterByCells(
    _ hashes: UnsafePointer<KeyHash>, _ candidates: UnsafePointer<UInt32>, _ count: Int,
    _ survivors: UnsafeMutablePointer<UInt32>
  ) -> Int {
    var kept = 0
    func decide(_ index: Int) {
      let candidate = unsafe candidates[index]
      unsafe survivors[kept] = candidate
      kept &+= unsafe cellsMayContain(hashes[Int(candidate)]) ? 1 : 0
    }
    let leading = max(0, count &- FilterProbe.prefetchDistance)
    for index in 0..<leading {
      unsafe prefetchCells(hashes[Int(candidates[index &+ FilterProbe.prefetchDistance])])
      decide(index)
    }
    for index in leading..<count { decide(index) }
    return kept
  }

  /// How many candidates ahead memory is asked for: about the misses a core can have in flight.
  package static let prefetchDistance = 32
}

// @unchecked because the memory behind the address never changes.
extension FilterProbe: @unchecked Sendable {}
