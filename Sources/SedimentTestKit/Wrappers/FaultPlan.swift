public import SedimentIO

/// The kinds of calls that a fault can meet.
public enum FileOperation: String, Sendable, CaseIterable, Comparable {
  case openDirectory, subdirectory, openFile, createFile, metadata, entries, rename, remove
  case removeDirectory, link, synchronizeDirectory, lock, lockHolder, availableBytes
  case read, write, size, truncate, synchronizeFile

  public static func < (left: FileOperation, right: FileOperation) -> Bool {
    left.rawValue < right.rawValue
  }
}

/// A call that is to fail.
public struct Fault: Sendable, Equatable {
  /// The kind of call; `nil` counts calls of all kinds.
  public var operation: FileOperation?
  /// Which of them, counted from 1 since the fault was set.
  public var number: Int
  /// The code of the error.
  public var code: FileError.Code
  /// The system's number in the error.
  public var systemError: Int32
  /// Whether the calls after it fail too.
  public var isSticky: Bool
  /// Only calls on paths with this text in them count; `nil` for all.
  public var pathPart: String?

  /// A fault of any code.
  public init(
    _ operation: FileOperation? = nil, number: Int, code: FileError.Code, systemError: Int32 = 0,
    isSticky: Bool = false, pathPart: String? = nil
  ) {
    precondition(number > 0, "calls are counted from 1")
    self.operation = operation
    self.number = number
    self.code = code
    self.systemError = systemError
    self.isSticky = isSticky
    self.pathPart = pathPart
  }

  /// The device fails: EIO.
  public static func inputOutput(
    _ operation: FileOperation? = nil, number: Int, isSticky: Bool = false, pathPart: String? = nil
  ) -> Fault {
    Fault(
      operation, number: number, code: .inputOutput,
      systemError: SystemErrorNumber.inputOutput, isSticky: isSticky, pathPart: pathPart)
  }

  /// The disk is full: ENOSPC.
  public static func noSpace(
    _ operation: FileOperation? = nil, number: Int, isSticky: Bool = false, pathPart: String? = nil
  ) -> Fault {
    Fault(
      operation, number: number, code: .noSpace, systemError: SystemErrorNumber.noSpace,
      isSticky: isSticky, pathPart: pathPart)
  }
}

/// Which calls have been made and which are to fail.
struct FaultPlan: Sendable {
  /// A fault and the calls that counted towards it.
  private struct Armed {
    var fault: Fault
    var seen = 0
  }

  private var armed: [Armed] = []
  private(set) var callCounts: [FileOperation: Int] = [:]
  private(set) var firedCount = 0

  mutating func arm(_ faults: [Fault]) {
    armed = faults.map { Armed(fault: $0) }
    firedCount = 0
  }

  /// Counts a call, and says which fault meets it.
  mutating func next(_ operation: FileOperation, _ path: String) -> Fault? {
    callCounts[operation, default: 0] += 1
    var met: Fault?
    for index in armed.indices {
      let fault = armed[index].fault
      guard fault.operation == nil || fault.operation == operation,
        fault.pathPart.map({ path.contains($0) }) ?? true
      else { continue }
      armed[index].seen += 1
      let seen = armed[index].seen
      if seen == fault.number || (fault.isSticky && seen > fault.number) { met = met ?? fault }
    }
    if met != nil { firedCount += 1 }
    return met
  }
}
