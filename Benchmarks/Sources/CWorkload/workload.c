#include "workload.h"

#include <string.h>

static const uint64_t golden_gamma = 0x9E3779B97F4A7C15u;
static const uint64_t recent_events = 100000;
static const uint64_t first_time = 1700000000000u;
enum { ADSERVERS = 5000, EVENTS_PER_MILLISECOND = 10 };

// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
static inline uint64_t splitmix64(uint64_t x) {
  x += golden_gamma;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

static inline uint64_t id_of_event(const workload_events *workload, uint64_t index) {
  uint64_t draw = splitmix64(workload->seed + index);
  if (workload->repeats == WORKLOAD_DRAWS) return workload->first_id + draw % workload->ids;
  if (index == 0 || draw % 1000 >= workload->repeat_thousandths) return index;
  uint64_t pick = splitmix64(draw);
  int is_recent = workload->repeats == WORKLOAD_REPEATS_RECENT ||
                  (workload->repeats == WORKLOAD_REPEATS_MIXED && pick >> 63);
  if (is_recent) return index - 1 - pick % (index < recent_events ? index : recent_events);
  return pick % index;
}

static inline void write_key(uint8_t *key, uint64_t adserver, uint64_t id) {
  uint64_t words[3] = {
      __builtin_bswap64(adserver),
      __builtin_bswap64(first_time + id / EVENTS_PER_MILLISECOND),
      __builtin_bswap64(splitmix64(id ^ golden_gamma)),
  };
  memcpy(key, words, WORKLOAD_KEY_BYTES);
}

size_t workload_fill(const workload_events *workload, workload_cursor *cursor, uint8_t *keys,
                     int64_t *times, size_t capacity) {
  const uint64_t end = workload->events;
  const uint32_t writers = workload->writers;
  uint64_t index = cursor->next;
  size_t count = 0;
  for (; index < end && count < capacity; index++) {
    uint64_t id = id_of_event(workload, index);
    uint64_t adserver = splitmix64(id) % ADSERVERS;
    if (writers > 1 && adserver % writers != cursor->writer) continue;
    write_key(keys + count * WORKLOAD_KEY_BYTES, adserver, id);
    times[count] = (int64_t)(first_time + index / EVENTS_PER_MILLISECOND);
    count++;
  }
  cursor->next = index;
  return count;
}
