// The command line of the suite.

import ArgumentParser
import BenchSuite

@main
enum Main {
  static func main() { BenchCommand.main() }
}
