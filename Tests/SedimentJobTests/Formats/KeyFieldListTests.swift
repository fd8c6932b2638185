import SedimentJob
import Testing

@Suite struct KeyFieldListTests {
  @Test(arguments: [
    ("a,b.c", ["a", "b.c"]), ("a", ["a"]), ("", [""]), ("a,,b", ["a", "", "b"]),
    (#"last\, first,id"#, ["last, first", "id"]), (#"a\.b,c"#, [#"a\.b"#, "c"]),
    (#"a\\,b"#, [#"a\\"#, "b"]), (#"\,"#, [","]),
  ])
  func fieldsAreApartByCommasThatAreNotEscaped(text: String, fields: [String]) {
    #expect(KeyFieldList.split(text) == fields)
    #expect(KeyFieldList.join(fields) == text)
  }
}
