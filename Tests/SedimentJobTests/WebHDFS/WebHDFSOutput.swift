import SedimentIO
import SedimentJob
import SedimentTestKit
import SedimentWebHDFS

/// A server with an output in it, for sinks and jobs.
final class WebHDFSOutput {
  let server: WebHDFSServer
  let path = "/data/out"

  init(nameNodes: Int = 1) throws {
    server = try WebHDFSServer(nameNodes: nameNodes)
  }

  deinit { server.stop() }

  /// As the job names it.
  var url: String { server.url(path) }

  /// The disk, with HDFS before it; nothing waits between tries.
  func fileSystem(
    over disk: any FileSystem, triesMax: Int = 60, spool: String = "state"
  ) -> WebHDFSFileSystem {
    var options = WebHDFSOptions()
    options.delayMillis = 0
    options.triesMax = triesMax
    return WebHDFSFileSystem(
      over: disk, spool: Spool(in: disk, at: spool, name: StateNames.spool), options: options)
  }

  var names: [String] { server.names(in: path) }

  /// All parts, one behind the other.
  var text: String {
    names.filter { PartName(final: $0) != nil }
      .map { String(decoding: server.contents(of: path + "/" + $0) ?? [], as: UTF8.self) }.joined()
  }

  /// What lies there and is neither a part nor the owner's file.
  var leftOver: [String] { names.filter { PartName(final: $0) == nil && $0 != ".sediment" } }
}
