// Finds the fields of a key in JSON objects, a batch of records in one call.
//
// simdjson's first stage finds the structure of many lines at once and checks UTF-8 and strings;
// a walk of our own over that structure finds the wanted paths. When a block of lines does not
// pass the first stage, its lines go through it one by one, so a bad line costs that line only.
//
// Checked: UTF-8, strings closed and without control characters, the members of every object
// and array on the way to a wanted path, brackets everywhere, nothing after the object, at most
// 128 levels. Not checked: scalars that are not wanted, and members of objects that are not.
// Of members with one name the first counts, at every level.

#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What stands at a wanted path.
enum {
  SEDIMENT_JSON_MISSING = 0,
  SEDIMENT_JSON_NULL = 1,
  SEDIMENT_JSON_FALSE = 2,
  SEDIMENT_JSON_TRUE = 3,
  /// Raw text in the input; its grammar is for the caller to check.
  SEDIMENT_JSON_NUMBER = 4,
  /// The text between the quotes in the input; it holds no escape.
  SEDIMENT_JSON_STRING = 5,
  /// The unescaped text in the arena.
  SEDIMENT_JSON_ARENA_STRING = 6,
  /// An object or an array.
  SEDIMENT_JSON_COMPOUND = 7,
};

/// What became of a record.
enum {
  SEDIMENT_JSON_OK = 0,
  SEDIMENT_JSON_INVALID = 1,
  SEDIMENT_JSON_NOT_AN_OBJECT = 2,
  SEDIMENT_JSON_INVALID_UTF8 = 3,
  SEDIMENT_JSON_NUL_BYTE = 4,
  /// Set by the caller before the call: the record is left alone.
  SEDIMENT_JSON_SKIPPED = 255,
};

/// A value at a wanted path: its kind and where its text is.
typedef struct {
  uint32_t offset;
  uint32_t length;
  uint32_t kind;
} sediment_json_token;

/// Wanted paths and working memory; used by one thread at a time.
typedef struct sediment_json_parser sediment_json_parser;

/// NULL when there is no memory.
sediment_json_parser *sediment_json_create(void);
void sediment_json_destroy(sediment_json_parser *parser);

/// The node below `node` (0 is the record itself) at an object's member or at an array's element;
/// made when missing. -1 when the path is longer than 128 steps or there is no memory.
int32_t sediment_json_member(
  sediment_json_parser *parser, int32_t node, const uint8_t *name, size_t length);
int32_t sediment_json_element(sediment_json_parser *parser, int32_t node, uint32_t index);

/// The slot in which the value at `node` is reported: 0, 1, ... in the order of first asking.
int32_t sediment_json_slot(sediment_json_parser *parser, int32_t node);

/// Extracts all slots of `count` records; record i is `lengths[i]` bytes at `starts[i]` of the
/// `input_length` bytes of input, records in ascending order and apart by at least one newline.
/// Writes `count` × slots tokens, and each record's status. False when there is no memory.
int sediment_json_extract(
  sediment_json_parser *parser, const uint8_t *input, size_t input_length, const uint32_t *starts,
  const uint32_t *lengths, size_t count, sediment_json_token *tokens, uint8_t *statuses);

/// Where unescaped strings of the last call are; valid until the next.
const uint8_t *sediment_json_arena(const sediment_json_parser *parser);

#ifdef __cplusplus
}
#endif
