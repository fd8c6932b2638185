// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "examples",
  platforms: [.macOS("26.0")],
  // The store and the operator alone: no dependency of the job is resolved.
  dependencies: [.package(name: "sediment", path: "..", traits: [])],
  targets: [
    .executableTarget(
      name: "DedupLoop", dependencies: [.product(name: "SedimentStore", package: "sediment")]),
    .executableTarget(
      name: "KeyedState",
      dependencies: [
        .product(name: "SedimentStore", package: "sediment"),
        .product(name: "SedimentDedup", package: "sediment"),
      ]),
    .executableTarget(
      name: "WordCount",
      dependencies: [
        .product(name: "SedimentStore", package: "sediment"),
        .product(name: "SedimentState", package: "sediment"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
