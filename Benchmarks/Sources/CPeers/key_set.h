// The keys of one batch, to find those that it holds twice.

#ifndef SEDIMENT_KEY_SET_H
#define SEDIMENT_KEY_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

typedef struct key_set {
  // The number of a key in the batch and the batch it is of; slots of other batches are free.
  uint32_t *numbers;
  uint32_t *batches;
  uint32_t mask;
  uint32_t batch;
} key_set;

// Forgets the keys and makes room for `count`. False when there is no memory.
static inline bool key_set_begin(key_set *set, size_t count) {
  if (count * 2 > (size_t)set->mask + 1 || set->numbers == NULL) {
    uint32_t slots = 64;
    while (slots < count * 2) slots *= 2;
    free(set->numbers);
    free(set->batches);
    set->numbers = malloc(slots * sizeof(uint32_t));
    set->batches = calloc(slots, sizeof(uint32_t));
    set->mask = slots - 1;
    set->batch = 0;
    if (set->numbers == NULL || set->batches == NULL) return false;
  }
  if (++set->batch == 0) {
    memset(set->batches, 0, ((size_t)set->mask + 1) * sizeof(uint32_t));
    set->batch = 1;
  }
  return true;
}

// Adds a key of the batch; false when an equal one is there.
static inline bool key_set_add(key_set *set, const uint8_t *keys, uint32_t number) {
  const uint8_t *key = keys + (size_t)number * PEER_KEY_BYTES;
  uint64_t request;
  memcpy(&request, key + 16, sizeof request);
  uint32_t slot = (uint32_t)((request * 0x9E3779B97F4A7C15u) >> 32) & set->mask;
  for (; set->batches[slot] == set->batch; slot = (slot + 1) & set->mask) {
    const uint8_t *other = keys + (size_t)set->numbers[slot] * PEER_KEY_BYTES;
    if (memcmp(key, other, PEER_KEY_BYTES) == 0) return false;
  }
  set->batches[slot] = set->batch;
  set->numbers[slot] = number;
  return true;
}

static inline void key_set_free(key_set *set) {
  free(set->numbers);
  free(set->batches);
}

#endif
