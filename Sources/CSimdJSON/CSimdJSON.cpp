// See CSimdJSON.h for what is done and what is checked.
//
// Invariants
// 1. Structural positions are read only up to the first that lies at or beyond the record's end;
//    stage 1 leaves one such sentinel (the block's length) after the last.
// 2. A block that passes stage 1 as a whole has lines that each pass it alone, with the same
//    structure: a newline inside a string is an error, and outside of strings no state of stage 1
//    crosses whitespace.

#include "CSimdJSON.h"

#include <simdjson.h>

#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace {

using simdjson::internal::dom_parser_implementation;

constexpr uint32_t depth_max = 128;
/// Bytes of input that go through stage 1 together: their structure stays in the L2 cache.
constexpr size_t block_bytes = 65536;

struct Node {
  bool is_element;
  uint32_t index;
  std::vector<uint8_t> name;
  std::vector<int32_t> members;
  std::vector<int32_t> elements;
  int32_t slot = -1;
  uint32_t depth = 0;
  /// The record in which this node was last seen: later members of its name do not count.
  uint64_t seen = 0;
};

/// The four digits of a \u escape, or -1.
int32_t hex4(const uint8_t *text) {
  int32_t value = 0;
  for (int i = 0; i < 4; i++) {
    const uint8_t c = text[i];
    int32_t digit;
    if (c >= '0' && c <= '9') digit = c - '0';
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') digit = (c | 0x20) - 'a' + 10;
    else return -1;
    value = value * 16 + digit;
  }
  return value;
}

size_t put_utf8(uint32_t code, uint8_t *out) {
  if (code < 0x80) {
    out[0] = uint8_t(code);
    return 1;
  }
  if (code < 0x800) {
    out[0] = uint8_t(0xC0 | (code >> 6));
    out[1] = uint8_t(0x80 | (code & 0x3F));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = uint8_t(0xE0 | (code >> 12));
    out[1] = uint8_t(0x80 | ((code >> 6) & 0x3F));
    out[2] = uint8_t(0x80 | (code & 0x3F));
    return 3;
  }
  out[0] = uint8_t(0xF0 | (code >> 18));
  out[1] = uint8_t(0x80 | ((code >> 12) & 0x3F));
  out[2] = uint8_t(0x80 | ((code >> 6) & 0x3F));
  out[3] = uint8_t(0x80 | (code & 0x3F));
  return 4;
}

/// Reads the digits of a \u escape at `at` (after the `u`), with the second half of a surrogate
/// pair; moves `at` behind it. -1 when it is malformed or half a pair.
int32_t unescape_unicode(const uint8_t *text, size_t length, size_t &at) {
  if (length - at < 4) return -1;
  const int32_t code = hex4(text + at);
  at += 4;
  if (code < 0 || (code >= 0xDC00 && code < 0xE000)) return -1;
  if (code < 0xD800 || code >= 0xE000) return code;
  if (length - at < 6 || text[at] != '\\' || text[at + 1] != 'u') return -1;
  const int32_t low = hex4(text + at + 2);
  at += 6;
  if (low < 0xDC00 || low >= 0xE000) return -1;
  return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

/// Unescapes to `out`, which has room for `length` bytes; the bytes written, or -1.
ptrdiff_t unescape(const uint8_t *text, size_t length, uint8_t *out) {
  size_t written = 0;
  size_t at = 0;
  while (at < length) {
    const uint8_t c = text[at++];
    if (c != '\\') {
      out[written++] = c;
      continue;
    }
    if (at == length) return -1;
    switch (text[at++]) {
      case '"': out[written++] = '"'; break;
      case '\\': out[written++] = '\\'; break;
      case '/': out[written++] = '/'; break;
      case 'b': out[written++] = '\b'; break;
      case 'f': out[written++] = '\f'; break;
      case 'n': out[written++] = '\n'; break;
      case 'r': out[written++] = '\r'; break;
      case 't': out[written++] = '\t'; break;
      case 'u': {
        const int32_t code = unescape_unicode(text, length, at);
        if (code < 0) return -1;
        written += put_utf8(uint32_t(code), out + written);
        break;
      }
      default: return -1;
    }
  }
  return ptrdiff_t(written);
}

bool is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

struct sediment_json_parser {
  std::vector<Node> nodes{1};
  int32_t slots = 0;
  std::unique_ptr<dom_parser_implementation> stage;
  size_t capacity = 0;
  std::vector<uint8_t> arena;
  std::vector<uint8_t> name_buffer;
  uint64_t record = 0;

  // The record at hand.
  const uint8_t *block = nullptr;
  const uint32_t *next = nullptr;
  uint32_t end = 0;
  /// Offset of `block` in the input.
  uint32_t base = 0;
  sediment_json_token *tokens = nullptr;

  bool reserve(size_t bytes) {
    if (stage && bytes <= capacity) return true;
    if (!stage) {
      return simdjson::get_active_implementation()->create_dom_parser_implementation(
               bytes, depth_max, stage) == simdjson::SUCCESS &&
             (capacity = bytes, true);
    }
    if (stage->set_capacity(bytes) != simdjson::SUCCESS) return false;
    capacity = bytes;
    return true;
  }

  bool has_next() const { return *next < end; }
  uint8_t peek() const { return has_next() ? block[*next] : 0; }
  bool take(uint8_t c) {
    if (peek() != c || !has_next()) return false;
    next++;
    return true;
  }
  /// The end of a scalar that began before the next structural: without whitespace behind it.
  uint32_t scalar_end(uint32_t start) const {
    uint32_t at = has_next() ? *next : end;
    while (at > start && is_space(block[at - 1])) at--;
    return at;
  }

  void put(int32_t slot, uint32_t kind, uint32_t offset, uint32_t length) {
    tokens[slot] = {offset, length, kind};
  }

  bool string_token(int32_t slot, uint32_t start, uint32_t length) {
    if (memchr(block + start, '\\', length) == nullptr) {
      put(slot, SEDIMENT_JSON_STRING, base + start, length);
      return true;
    }
    const size_t offset = arena.size();
    arena.resize(offset + length);
    const ptrdiff_t written = unescape(block + start, length, arena.data() + offset);
    if (written < 0) return false;
    arena.resize(offset + size_t(written));
    put(slot, SEDIMENT_JSON_ARENA_STRING, uint32_t(offset), uint32_t(written));
    return true;
  }

  bool scalar(int32_t slot) {
    const uint32_t start = *next++;
    const uint32_t length = scalar_end(start) - start;
    const uint8_t *text = block + start;
    if (*text == '"') {
      if (length < 2 || text[length - 1] != '"') return false;
      return slot < 0 || string_token(slot, start + 1, length - 2);
    }
    if (slot < 0) return true;
    if (length == 4 && memcmp(text, "null", 4) == 0) put(slot, SEDIMENT_JSON_NULL, 0, 0);
    else if (length == 4 && memcmp(text, "true", 4) == 0) put(slot, SEDIMENT_JSON_TRUE, 0, 0);
    else if (length == 5 && memcmp(text, "false", 5) == 0) put(slot, SEDIMENT_JSON_FALSE, 0, 0);
    else put(slot, SEDIMENT_JSON_NUMBER, base + start, length);
    return true;
  }

  /// Walks over an object or array by its brackets alone; `depth` counts the levels around it.
  bool skip_container(uint32_t depth) {
    uint64_t is_object[depth_max / 64 + 1] = {};
    const uint32_t outside = depth;
    do {
      if (!has_next()) return false;
      switch (block[*next++]) {
        case '{':
        case '[': {
          if (++depth > depth_max) return false;
          const uint64_t bit = uint64_t(1) << (depth % 64);
          if (block[next[-1]] == '{') is_object[depth / 64] |= bit;
          else is_object[depth / 64] &= ~bit;
          break;
        }
        case '}':
        case ']':
          if (((is_object[depth / 64] >> (depth % 64)) & 1) != (block[next[-1]] == '}')) {
            return false;
          }
          depth--;
          break;
        default: break;
      }
    } while (depth > outside);
    return true;
  }

  bool skip_value(uint32_t depth) {
    switch (peek()) {
      case '{':
      case '[': return skip_container(depth);
      case ',':
      case ':':
      case '}':
      case ']': return false;
      default: return has_next() && scalar(-1);
    }
  }

  /// The value at a wanted node.
  bool value(Node &node, uint32_t depth) {
    node.seen = record;
    switch (peek()) {
      case '{':
        if (node.slot >= 0) put(node.slot, SEDIMENT_JSON_COMPOUND, 0, 0);
        return node.members.empty() ? skip_container(depth) : object(node, depth);
      case '[':
        if (node.slot >= 0) put(node.slot, SEDIMENT_JSON_COMPOUND, 0, 0);
        return node.elements.empty() ? skip_container(depth) : array(node, depth);
      case ',':
      case ':':
      case '}':
      case ']': return false;
      default: return has_next() && scalar(node.slot);
    }
  }

  Node *find_member(const Node &node, const uint8_t *name, size_t length) {
    for (const int32_t index : node.members) {
      Node &child = nodes[size_t(index)];
      if (child.name.size() == length &&
          (length == 0 || memcmp(child.name.data(), name, length) == 0)) {
        return &child;
      }
    }
    return nullptr;
  }

  bool object(const Node &node, uint32_t depth) {
    next++;
    if (++depth > depth_max) return false;
    if (take('}')) return true;
    do {
      if (peek() != '"') return false;
      const uint32_t start = *next++ + 1;
      if (peek() != ':') return false;
      const uint32_t close = scalar_end(start) - 1;
      next++;
      if (close < start || block[close] != '"') return false;
      const uint8_t *name = block + start;
      const size_t length = close - start;
      Node *child = find_member(node, name, length);
      if (child == nullptr && memchr(name, '\\', length) != nullptr) {
        name_buffer.resize(length);
        const ptrdiff_t written = unescape(name, length, name_buffer.data());
        if (written < 0) return false;
        child = find_member(node, name_buffer.data(), size_t(written));
      }
      if (child != nullptr && child->seen != record) {
        if (!value(*child, depth)) return false;
      } else if (!skip_value(depth)) {
        return false;
      }
    } while (take(','));
    return take('}');
  }

  bool array(const Node &node, uint32_t depth) {
    next++;
    if (++depth > depth_max) return false;
    if (take(']')) return true;
    uint32_t index = 0;
    do {
      Node *child = nullptr;
      for (const int32_t at : node.elements) {
        if (nodes[size_t(at)].index == index) child = &nodes[size_t(at)];
      }
      if (!(child != nullptr ? value(*child, depth) : skip_value(depth))) return false;
      index++;
    } while (take(','));
    return take(']');
  }

  /// Whether a record that is no object is at least another JSON value.
  bool begins_other_value() {
    const uint8_t c = peek();
    if (c == '[' || c == '"' || c == '-' || (c >= '0' && c <= '9')) return true;
    const uint32_t start = *next++;
    const size_t length = scalar_end(start) - start;
    const uint8_t *text = block + start;
    return !has_next() && ((length == 4 && memcmp(text, "null", 4) == 0) ||
                           (length == 4 && memcmp(text, "true", 4) == 0) ||
                           (length == 5 && memcmp(text, "false", 5) == 0));
  }

  /// Walks one record whose structure begins at `next`.
  uint8_t walk(uint32_t record_end, sediment_json_token *record_tokens) {
    record++;
    end = record_end;
    tokens = record_tokens;
    for (int32_t slot = 0; slot < slots; slot++) put(slot, SEDIMENT_JSON_MISSING, 0, 0);
    if (!has_next()) return SEDIMENT_JSON_INVALID;
    if (block[*next] != '{') {
      return begins_other_value() ? SEDIMENT_JSON_NOT_AN_OBJECT : SEDIMENT_JSON_INVALID;
    }
    return object(nodes[0], 0) && !has_next() ? SEDIMENT_JSON_OK : SEDIMENT_JSON_INVALID;
  }

  simdjson::error_code find_structure(const uint8_t *text, size_t length, size_t offset) {
    block = text;
    base = uint32_t(offset);
    const auto error = stage->stage1(text, length, simdjson::stage1_mode::regular);
    next = stage->structural_indexes.get();
    return error;
  }

  /// One record on its own, for blocks in which something is wrong.
  uint8_t extract_one(
    const uint8_t *input, uint32_t start, uint32_t length, sediment_json_token *record_tokens) {
    if (memchr(input + start, 0, length) != nullptr) return SEDIMENT_JSON_NUL_BYTE;
    switch (find_structure(input + start, length, start)) {
      case simdjson::SUCCESS: return walk(length, record_tokens);
      case simdjson::UTF8_ERROR: return SEDIMENT_JSON_INVALID_UTF8;
      default:
        return simdjson::validate_utf8(reinterpret_cast<const char *>(input + start), length)
                 ? SEDIMENT_JSON_INVALID
                 : SEDIMENT_JSON_INVALID_UTF8;
    }
  }

  void extract_block(
    const uint8_t *input, const uint32_t *starts, const uint32_t *lengths, size_t count,
    sediment_json_token *out, uint8_t *statuses) {
    const size_t first = starts[0];
    const size_t bytes = starts[count - 1] + lengths[count - 1] - first;
    const bool is_clean = memchr(input + first, 0, bytes) == nullptr &&
                          find_structure(input + first, bytes, first) == simdjson::SUCCESS;
    for (size_t i = 0; i < count; i++, out += slots) {
      if (!is_clean) {
        statuses[i] = extract_one(input, starts[i], lengths[i], out);
        continue;
      }
      const uint32_t record_end = uint32_t(starts[i] + lengths[i] - first);
      statuses[i] = walk(record_end, out);
      while (*next < record_end) next++;
    }
  }

  bool extract(
    const uint8_t *input, size_t input_length, const uint32_t *starts, const uint32_t *lengths,
    size_t count, sediment_json_token *out, uint8_t *statuses) {
    arena.clear();
    size_t i = 0;
    while (i < count) {
      const size_t first = i;
      if (statuses[i] == SEDIMENT_JSON_SKIPPED) {
        i++;
        continue;
      }
      size_t bytes = 0;
      while (i < count && statuses[i] != SEDIMENT_JSON_SKIPPED) {
        const size_t with = size_t(starts[i]) + lengths[i] - starts[first];
        if (size_t(starts[i]) + lengths[i] > input_length) return false;
        if (i > first && with > block_bytes) break;
        bytes = with;
        i++;
      }
      if (!reserve(bytes > block_bytes ? bytes : block_bytes)) return false;
      extract_block(
        input, starts + first, lengths + first, i - first, out + first * size_t(slots),
        statuses + first);
    }
    // One huge record must not keep four times its size for ever.
    if (capacity > 16 * block_bytes) {
      stage.reset();
      capacity = 0;
    }
    return true;
  }

  int32_t add(int32_t parent, Node node) {
    node.depth = nodes[size_t(parent)].depth + 1;
    if (node.depth > depth_max) return -1;
    const int32_t index = int32_t(nodes.size());
    const bool is_element = node.is_element;
    nodes.push_back(std::move(node));
    Node &above = nodes[size_t(parent)];
    (is_element ? above.elements : above.members).push_back(index);
    return index;
  }
};

sediment_json_parser *sediment_json_create(void) {
  try {
    return new sediment_json_parser();
  } catch (const std::bad_alloc &) {
    return nullptr;
  }
}

void sediment_json_destroy(sediment_json_parser *parser) { delete parser; }

int32_t sediment_json_member(
  sediment_json_parser *parser, int32_t node, const uint8_t *name, size_t length) {
  try {
    const Node *child = parser->find_member(parser->nodes[size_t(node)], name, length);
    if (child != nullptr) return int32_t(child - parser->nodes.data());
    Node made{};
    made.name.assign(name, name + length);
    return parser->add(node, std::move(made));
  } catch (const std::bad_alloc &) {
    return -1;
  }
}

int32_t sediment_json_element(sediment_json_parser *parser, int32_t node, uint32_t index) {
  try {
    for (const int32_t at : parser->nodes[size_t(node)].elements) {
      if (parser->nodes[size_t(at)].index == index) return at;
    }
    Node made{};
    made.is_element = true;
    made.index = index;
    return parser->add(node, std::move(made));
  } catch (const std::bad_alloc &) {
    return -1;
  }
}

int32_t sediment_json_slot(sediment_json_parser *parser, int32_t node) {
  Node &wanted = parser->nodes[size_t(node)];
  if (wanted.slot < 0) wanted.slot = parser->slots++;
  return wanted.slot;
}

int sediment_json_extract(
  sediment_json_parser *parser, const uint8_t *input, size_t input_length, const uint32_t *starts,
  const uint32_t *lengths, size_t count, sediment_json_token *tokens, uint8_t *statuses) {
  try {
    return parser->extract(input, input_length, starts, lengths, count, tokens, statuses) ? 1 : 0;
  } catch (const std::bad_alloc &) {
    return 0;
  }
}

const uint8_t *sediment_json_arena(const sediment_json_parser *parser) {
  return parser->arena.data();
}
