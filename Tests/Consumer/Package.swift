// swift-tools-version: 6.2
import PackageDescription

// A program that uses the store and the operator and nothing of the job: with `traits: []` it
// resolves Sediment alone and needs no system library but LZ4 and the headers of xxhash.
let package = Package(
  name: "consumer",
  platforms: [.macOS("26.0")],
  dependencies: [.package(name: "sediment", path: "../..", traits: [])],
  targets: [
    .executableTarget(
      name: "Consumer",
      dependencies: [
        .product(name: "SedimentStore", package: "sediment"),
        .product(name: "SedimentDedup", package: "sediment"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
