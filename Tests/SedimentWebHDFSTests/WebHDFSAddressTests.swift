import SedimentWebHDFS
import Testing

@Suite struct WebHDFSAddressTests {
  @Test func anAddressHasNameNodesAPathAndWhoAsks() throws {
    let address = try WebHDFSAddress("webhdfs://nn1:9000,nn2.example.org/a/b%20c/?user.name=ann")
    #expect(address.nameNodes == ["nn1:9000", "nn2.example.org:9870"])
    #expect(address.path == "/a/b%20c" && address.userName == "ann")
    #expect(!address.isSecure && !address.usesKerberos)
    #expect(address.location == "webhdfs://nn1:9000,nn2.example.org:9870/a/b%20c")
  }

  @Test func aSecureAddressHasItsOwnPortAndSixGroupsStandInBrackets() throws {
    let address = try WebHDFSAddress("webhdfss://nn,[2001:db8::1]:14000//out?auth=kerberos")
    #expect(address.isSecure && address.usesKerberos)
    #expect(address.nameNodes == ["nn:9871", "[2001:db8::1]:14000"] && address.path == "/out")
  }

  @Test(arguments: [
    ("hdfs://nn/out", "it does not begin with"), ("webhdfs://nn", "the directory is missing"),
    ("webhdfs://nn/", "it names the root"), ("webhdfs:///out", "'' is not host:port"),
    ("webhdfs://nn:0/out", "has no port"), ("webhdfs://nn:70000/out", "has no port"),
    ("webhdfs://ann:secret@nn/out", "a password has no"), ("webhdfs://a,a/out", "is named twice"),
    ("webhdfs://a,/out", "'' is not host:port"), ("webhdfs://nn/a/../b", "'..' is no name"),
    ("webhdfs://1,2,3,4,5,6,7,8,9/o", "more than 8"), ("webhdfs://nn/o?x=1", "'x' is not"),
    ("webhdfs://nn/o?delegation=t", "SEDIMENT_WEBHDFS_TOKEN"), ("webhdfs://nn/o?", "'' is not"),
    ("webhdfs://nn/o?user.name=", "'user.name' is not"), ("webhdfs://nn/o?auth=x", "'auth' is"),
    ("webhdfs://nn/o?user.name=a&auth=kerberos", "exclude each other"),
    ("webhdfs://nn/a\nb", "is no name of a directory"),
  ])
  func whatIsNoAddressIsRefused(word: String, reason: String) {
    let error = #expect(throws: WebHDFSAddressError.self) { try WebHDFSAddress(word) }
    #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
  }
}
