/// Key fields as one text: apart by commas, in which `\,` is a comma of a field's name. Other
/// backslashes belong to the field.
package enum KeyFieldList {
  /// The fields of a text; at least one, which may be empty.
  package static func split(_ text: String) -> [String] {
    var fields = [""]
    var isEscaped = false
    for character in text.unicodeScalars {
      if isEscaped {
        isEscaped = false
        if character != "," { fields[fields.count - 1].unicodeScalars.append("\\") }
      } else if character == "\\" {
        isEscaped = true
        continue
      } else if character == "," {
        fields.append("")
        continue
      }
      fields[fields.count - 1].unicodeScalars.append(character)
    }
    if isEscaped { fields[fields.count - 1] += "\\" }
    return fields
  }

  /// The text whose fields these are.
  package static func join(_ fields: [String]) -> String {
    fields.map {
      $0.split(separator: ",", omittingEmptySubsequences: false).joined(separator: "\\,")
    }
    .joined(separator: ",")
  }
}
