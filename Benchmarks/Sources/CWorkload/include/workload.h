// The events that every engine is measured on: those of `sediment generate`, as 24-byte keys.
//
// Event i is new (its id is i) or repeats an earlier id. All fields are functions of the id alone:
// nothing is kept between events, and every engine makes its events inside the timed run with this
// code. Each of several writers walks all events and keeps those whose adserver_id is its own, so
// that engines with one store a thread and engines with one store for all get the same batches.

#ifndef SEDIMENT_WORKLOAD_H
#define SEDIMENT_WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

// A key: adserver_id, event_timestamp and request_id, each with its highest byte first.
enum { WORKLOAD_KEY_BYTES = 24 };

// What repeats repeat.
typedef enum workload_repeats {
  // Half of them one of the last 100,000 events, half any event before.
  WORKLOAD_REPEATS_MIXED = 0,
  // One of the last 100,000 events.
  WORKLOAD_REPEATS_RECENT = 1,
  // Any event before.
  WORKLOAD_REPEATS_ANY = 2,
  // No repeats in order: every event is drawn evenly from the ids
  // `first_id` to `first_id` + `ids` - 1. For lookups.
  WORKLOAD_DRAWS = 3
} workload_repeats;

typedef struct workload_events {
  uint64_t events;
  uint64_t seed;
  // The share of repeats in thousandths.
  uint64_t repeat_thousandths;
  workload_repeats repeats;
  uint64_t first_id;
  uint64_t ids;
  uint32_t writers;
} workload_events;

// How far a writer is: events before `next` are made.
typedef struct workload_cursor {
  uint64_t next;
  uint32_t writer;
} workload_cursor;

// Makes the next `capacity` events of a writer: keys one behind the other, and the time of each,
// 1,700,000,000,000 ms and one more every ten events. Returns how many there were.
size_t workload_fill(const workload_events *workload, workload_cursor *cursor, uint8_t *keys,
                     int64_t *times, size_t capacity);

#endif
