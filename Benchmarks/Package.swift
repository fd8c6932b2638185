// swift-tools-version: 6.2
import PackageDescription

/// The rules of the package above, but for strict memory safety: the peers are C libraries.
let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// Programs that measure. They use the public libraries alone, as any other package would.
let package = Package(
  name: "benchmarks",
  platforms: [.macOS("26.0")],
  dependencies: [
    .package(name: "sediment", path: "..", traits: []),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    .executableTarget(
      name: "sediment-figures",
      dependencies: [.product(name: "SedimentStore", package: "sediment")],
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
    .testTarget(
      name: "BenchSuiteTests", dependencies: ["BenchSuite", "CPeers", "CWorkload"],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
