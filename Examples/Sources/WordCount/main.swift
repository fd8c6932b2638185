// Counts words as they come in, and goes on where it was after a kill -9.
//
//   WordCount counts.state < text
//   WordCount counts.state --print

import Foundation
import SedimentState
import SedimentStore

let arguments = CommandLine.arguments
guard arguments.count >= 2 else {
  print("usage: WordCount STATE [--print]")
  exit(2)
}

let store = try StateStore.open(at: arguments[1])
let counts = ReducingState<String, Int>(
  try store.orderedKeyspace("counts"), values: .integer, reduce: +)

if arguments.contains("--print") {
  for (word, count) in try counts.entries() { print(word, count) }
} else {
  while let line = readLine() {
    for word in line.split(separator: " ") { try counts.add(1, for: String(word)) }
    // What was added is in the log: the sender may forget the line.
    FileHandle.standardOutput.write(Data("counted: \(line)\n".utf8))
  }
}
try store.close()
