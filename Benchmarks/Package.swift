// swift-tools-version: 6.2
import PackageDescription

// Programs that measure. They use the public libraries alone, as any other package would.
let package = Package(
  name: "benchmarks",
  platforms: [.macOS("26.0")],
  dependencies: [.package(name: "sediment", path: "..", traits: [])],
  targets: [
    .executableTarget(
      name: "sediment-figures",
      dependencies: [.product(name: "SedimentStore", package: "sediment")],
      path: "Sources/SedimentFigures")
  ],
  swiftLanguageModes: [.v6]
)
