/// A filter in memory, whole or a prefix of it. Owns the memory that its probe reads.
@safe
package final class LoadedFilter: Sendable {
  /// Bytes behind the cells of a fuse filter, because a probe reads eight bytes at each.
  static let cellPadding = 64

  /// What was loaded.
  package let plan: FilterLoadPlan

  private let memory: AlignedBytes

  /// Takes memory that holds what the plan says, in the form a probe reads.
  init(plan: FilterLoadPlan, memory: consuming AlignedBytes) {
    self.plan = plan
    self.memory = memory
  }

  /// A filter that says "maybe" to everything.
  package convenience init() {
    self.init(plan: FilterGeometry.none.loadPlan(), memory: AlignedBytes(zeroed: 0))
  }

  /// Loads as much of `image` as the budget allows.
  package static func load(
    _ image: FilterImage, byteBudget: Int = .max
  ) throws(CodingError) -> LoadedFilter {
    var loader = FilterLoader(plan: image.geometry.loadPlan(byteBudget: byteBudget))
    unsafe loader.append(image.bytes)
    return try loader.finish()
  }

  /// Bytes of memory in use.
  package var memoryBytes: Int { memory.count }

  /// The probe. It may be used as long as this object lives.
  package var probe: FilterProbe {
    guard plan.units > 0 else { return FilterProbe() }
    return switch plan.geometry.layout {
    case .none: FilterProbe()
    case .blockedBloom(let bloom):
      unsafe FilterProbe(lines: UnsafeRawPointer(memory.base), count: plan.units, of: bloom)
    case .binaryFuse(let fuse):
      unsafe FilterProbe(cells: UnsafeRawPointer(memory.base), planes: plan.units, of: fuse)
    }
  }

  /// Chance that a key that was not added is not excluded, over the filter's hash range.
  package var expectedFalsePositiveRate: Double {
    switch plan.geometry.layout {
    case .none: return 1
    case .binaryFuse: return 1 / Double(1 << plan.units)
    case .blockedBloom(let bloom):
      guard bloom.storedLines > 0 else { return 0 }
      let loaded = Double(plan.units) / Double(bloom.storedLines)
      let keysPerLine = Double(plan.geometry.keyCount) / Double(bloom.storedLines)
      return loaded * BlockedBloomLayout.falsePositiveRate(keysPerLine: keysPerLine) + 1 - loaded
    }
  }
}

extension BlockedBloomLayout {
  /// Chance of a false positive in a line: with x keys in it each of the eight bits is set with
  /// chance 1 - (63/64)^x, and x is a Poisson variable.
  package static func falsePositiveRate(keysPerLine mean: Double) -> Double {
    // Poisson weights relative to the one nearest the mean, outwards until they vanish.
    func terms(from start: Int, by step: Int) -> (weight: Double, hits: Double) {
      var (keys, weight, sum, hits) = (start, 1.0, 0.0, 0.0)
      while keys >= 0 && weight > 1e-18 {
        if keys != Int(mean) || step > 0 {
          sum += weight
          hits += weight * chanceOfAllBits(keys: keys)
        }
        weight *= step > 0 ? mean / Double(keys + 1) : Double(keys) / max(mean, 1e-300)
        keys += step
      }
      return (sum, hits)
    }
    let (up, down) = (terms(from: Int(mean), by: 1), terms(from: Int(mean), by: -1))
    return (up.hits + down.hits) / (up.weight + down.weight)
  }

  private static func chanceOfAllBits(keys: Int) -> Double {
    var (power, base, exponent) = (1.0, 63.0 / 64.0, keys)
    while exponent > 0 {
      if exponent & 1 == 1 { power *= base }
      base *= base
      exponent >>= 1
    }
    let set = 1 - power
    let squared = set * set
    return (squared * squared) * (squared * squared)
  }
}
