import SedimentInspection
import Testing

@Suite struct JSONValueTests {
  @Test func jsonIsEscaped() {
    let value = JSONValue.object([
      .init("a\"b", .array([.string("\u{1}\n"), .null, .number(.infinity), .number(0.5)])),
      .init("empty", .array([])),
    ])
    #expect(
      value.text == """
        {
          "a\\"b": [
            "\\u0001\\n",
            null,
            null,
            0.5
          ],
          "empty": []
        }

        """)
  }
}
