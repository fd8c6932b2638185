// The command line of the suite.

import BenchSuite

@main
enum Main {
  static func main() { BenchCommand.start() }
}
