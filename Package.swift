// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is held to the same rules: strict memory safety, no warnings, explicit
/// imports.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// A product that is built with the trait Observability only.
func observing(_ name: String, of package: String) -> Target.Dependency {
  .product(name: name, package: package, condition: .when(traits: ["Observability"]))
}

let package = Package(
  name: "sediment",
  platforms: [.macOS("26.0")],
  products: [
    .library(name: "SedimentStore", targets: ["SedimentStore"]),
    .library(name: "SedimentState", targets: ["SedimentState"]),
    .library(name: "SedimentAsync", targets: ["SedimentAsync"]),
    .library(name: "SedimentDedup", targets: ["SedimentDedup"]),
    .library(name: "SedimentJob", targets: ["SedimentJob"]),
    .library(name: "SedimentKafka", targets: ["SedimentKafka"]),
    .library(name: "SedimentS3", targets: ["SedimentS3"]),
    .library(name: "SedimentObservability", targets: ["SedimentObservability"]),
    .executable(name: "sediment", targets: ["sediment"]),
    // For Benchmarks/ alone, a package of its own; nothing is promised about it.
    .library(name: "_SedimentMicro", targets: ["SedimentMicro"]),
  ],
  // What a trait brings is built only with it: the targets SedimentJob and SedimentS3 need Job,
  // SedimentKafka Kafka, the tool CommandLine, SedimentObservability the trait of its name. Another
  // package with `traits: []` resolves this package alone and builds none of them.
  traits: [
    .trait(name: "Job", description: "The dedup job: sources, sinks and parsers."),
    .trait(
      name: "Kafka", description: "Topics of Kafka as an input of the job.",
      enabledTraits: ["Job"]),
    .trait(
      name: "CommandLine", description: "The sediment command line.",
      enabledTraits: ["Job", "Kafka"]),
    .trait(
      name: "Observability",
      description: "Bridges to swift-log, swift-metrics and swift-service-lifecycle."),
    .default(enabledTraits: ["Job", "Kafka", "CommandLine", "Observability"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    .target(name: "CSedimentKernels"),
    .target(name: "CSedimentSystem"),
    .target(name: "SedimentIO", dependencies: ["CSedimentSystem"], swiftSettings: strict),
    .target(name: "SedimentTestKit", dependencies: ["SedimentIO"], swiftSettings: strict),
    .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .target(
      name: "SedimentStore", dependencies: ["CSedimentKernels", "CLZ4", "SedimentIO"],
      swiftSettings: strict),
    .target(name: "SedimentState", dependencies: ["SedimentStore"], swiftSettings: strict),
    .target(
      name: "SedimentAsync", dependencies: ["SedimentIO", "SedimentStore"], swiftSettings: strict),
    .target(
      name: "SedimentDedup", dependencies: ["SedimentAsync", "SedimentIO", "SedimentStore"],
      swiftSettings: strict),
    .target(
      name: "CSimdJSON", linkerSettings: [.linkedLibrary("simdjson")]),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
    .systemLibrary(
      name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .target(
      name: "SedimentHTTP",
      dependencies: [
        "SedimentIO", .target(name: "CCurl", condition: .when(traits: ["Job"])),
      ],
      swiftSettings: strict),
    .target(
      name: "SedimentWebHDFS", dependencies: ["SedimentIO", "SedimentHTTP"], swiftSettings: strict),
    .target(
      name: "SedimentS3", dependencies: ["SedimentIO", "SedimentStore", "SedimentHTTP"],
      swiftSettings: strict),
    .target(
      name: "SedimentJob",
      dependencies: [
        "SedimentIO", "SedimentStore", "SedimentDedup",
        .target(name: "CSimdJSON", condition: .when(traits: ["Job"])),
        .target(name: "CZlib", condition: .when(traits: ["Job"])),
        .target(name: "CPCRE2", condition: .when(traits: ["Job"])),
      ],
      swiftSettings: strict),
    .systemLibrary(
      name: "CRdKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
    .target(
      name: "SedimentKafka",
      dependencies: [
        "SedimentIO", "SedimentJob",
        .target(name: "CRdKafka", condition: .when(traits: ["Kafka"])),
      ],
      swiftSettings: strict),
    .target(
      name: "SedimentInspection", dependencies: ["SedimentIO", "SedimentStore", "SedimentDedup"],
      swiftSettings: strict),
    .target(
      name: "SedimentObservability",
      dependencies: ["SedimentAsync", "SedimentIO", "SedimentStore"] + [
        observing("Logging", of: "swift-log"), observing("CoreMetrics", of: "swift-metrics"),
        observing("ServiceLifecycle", of: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),
    .target(
      name: "SedimentMicro",
      dependencies: [
        "SedimentIO", "SedimentStore", "SedimentDedup", "SedimentJob", "SedimentTestKit",
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "sediment",
      dependencies: [
        "SedimentIO", "SedimentStore", "SedimentDedup", "SedimentJob", "SedimentKafka",
        "SedimentWebHDFS", "SedimentS3", "SedimentInspection",
        .product(
          name: "ArgumentParser", package: "swift-argument-parser",
          condition: .when(traits: ["CommandLine"])),
      ],
      path: "tools/sediment", swiftSettings: strict),
    .testTarget(
      name: "SedimentIOTests", dependencies: ["SedimentIO", "SedimentTestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "SedimentStoreTests",
      dependencies: ["SedimentStore", "SedimentIO", "SedimentTestKit", "CSedimentKernels"],
      exclude: ["Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "SedimentStateTests",
      dependencies: ["SedimentState", "SedimentStore", "SedimentIO", "SedimentTestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "SedimentAsyncTests",
      dependencies: ["SedimentAsync", "SedimentStore", "SedimentIO", "SedimentTestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "SedimentDedupTests", dependencies: ["SedimentDedup", "SedimentTestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "SedimentJobTests",
      dependencies: ["SedimentJob", "SedimentWebHDFS", "SedimentDedup", "SedimentTestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "SedimentWebHDFSTests",
      dependencies: ["SedimentWebHDFS", "SedimentIO", "SedimentTestKit"], swiftSettings: strict),
    .testTarget(
      name: "SedimentS3Tests",
      dependencies: [
        "SedimentS3", "SedimentHTTP", "SedimentIO", "SedimentStore", "SedimentTestKit", "sediment",
      ],
      swiftSettings: strict),
    // Topics, and records into and out of them, for the tests of SedimentKafka.
    .target(
      name: "KafkaTestKit",
      dependencies: [.target(name: "CRdKafka", condition: .when(traits: ["Kafka"]))],
      path: "Tests/KafkaTestKit", swiftSettings: strict),
    // A cluster in a process of its own, for the same.
    .executableTarget(
      name: "kafka-mock",
      dependencies: [
        "KafkaTestKit", .target(name: "CRdKafka", condition: .when(traits: ["Kafka"])),
      ],
      path: "Tests/KafkaMock", swiftSettings: strict),
    // A job that dies at a step of its choice, likewise.
    .executableTarget(
      name: "stepped-dedup",
      dependencies: [
        "SedimentIO", "SedimentJob", "SedimentKafka", "SedimentStore", "SedimentTestKit",
      ],
      path: "Tests/SteppedDedup", swiftSettings: strict),
    .testTarget(
      name: "SedimentKafkaTests",
      dependencies: [
        "SedimentKafka", "SedimentJob", "SedimentTestKit", "KafkaTestKit", "sediment", "kafka-mock",
        "stepped-dedup",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "SedimentInspectionTests", dependencies: ["SedimentInspection", "SedimentTestKit"],
      swiftSettings: strict),
    .testTarget(
      name: "SedimentObservabilityTests",
      dependencies: ["SedimentObservability", "SedimentAsync", "SedimentIO", "SedimentTestKit"] + [
        observing("Logging", of: "swift-log"), observing("InMemoryLogging", of: "swift-log"),
        observing("CoreMetrics", of: "swift-metrics"),
        observing("MetricsTestKit", of: "swift-metrics"),
        observing("ServiceLifecycle", of: "swift-service-lifecycle"),
        observing("ServiceLifecycleTestKit", of: "swift-service-lifecycle"),
        observing("UnixSignals", of: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "SedimentMicroTests", dependencies: ["SedimentMicro"], swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6],
  cxxLanguageStandard: .cxx17
)
