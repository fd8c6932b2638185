// swift-tools-version: 6.2
import PackageDescription

/// The rules of the package above, but for strict memory safety: the peers are C libraries.
let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// Programs that measure. They use the public libraries alone, as any other package would; only the
// micro suites reach into the engine, through `_SedimentMicro`, which holds their bodies.
let package = Package(
  name: "benchmarks",
  platforms: [.macOS("26.0")],
  dependencies: [
    .package(name: "sediment", path: "..", traits: ["Job"]),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    // Without traits: its counters of allocations would bring libraries of their own.
    .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.0", traits: []),
  ],
  targets: [
    .executableTarget(
      name: "sediment-figures",
      dependencies: [
        .product(name: "SedimentStore", package: "sediment"),
        .product(name: "SedimentAsync", package: "sediment"),
      ],
      path: "Sources/SedimentFigures"),
    .target(name: "CWorkload"),
    .target(name: "CPeers"),
    .target(name: "CDevice"),
    .target(
      name: "BenchSuite",
      dependencies: [
        "CDevice", "CPeers", "CWorkload",
        .product(name: "SedimentStore", package: "sediment"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "sediment-bench",
      dependencies: ["BenchSuite"], path: "Sources/SedimentBench",
      swiftSettings: strict),
    .executableTarget(
      name: "sediment-micro",
      dependencies: [
        .product(name: "_SedimentMicro", package: "sediment"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Sources/SedimentMicroCommand", swiftSettings: strict),
    // The plugin looks for targets that lie in a directory named Benchmarks, which is this one.
    .executableTarget(
      name: "Micro",
      dependencies: [
        .product(name: "_SedimentMicro", package: "sediment"),
        .product(name: "Benchmark", package: "benchmark"),
      ],
      path: "Micro",
      plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    .testTarget(
      name: "BenchSuiteTests", dependencies: ["BenchSuite", "CPeers", "CWorkload"],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
