// The floor: a deduplicator that does what the hardware must do, and nothing else.
//
// A key is its 128-bit hash. New ones go to an open-addressing table in memory; when that is full
// its keys are sorted and written as a run, with a blocked Bloom filter and the first hash of every
// page in memory. Runs are read through mmap. As many runs of one level as `fanout` are merged into
// one of the next, by the writer itself. There is no time to live, no checksum, no recovery and no
// second thread, so what a real engine takes longer is what it gives in return.
//
// Invariants
// 1. A slot whose `low` is 0 is free: the lowest bit of every hash's `low` is set.
// 2. `fresh` holds the keys of the table that no run holds; the table may hold others, found on
//    disk, as a cache.
// 3. Runs are sorted by `high` and hold no key twice, also not between them.

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "error.h"
#include "peers.h"

typedef struct fingerprint {
  uint64_t high, low;
} fingerprint;

typedef struct run {
  const fingerprint *keys;
  uint64_t count;
  // The Bloom filter: lines of 512 bits.
  uint64_t *lines;
  uint64_t line_count;
  // The `high` of the first key of every page.
  uint64_t *page_starts;
  uint64_t page_count;
  uint32_t level;
  uint32_t number;
  int file;
} run;

enum {
  CHUNK_KEYS = 256,
  PAGE_KEYS = 256,
  RUNS_MAX = 512,
  FANOUT_MAX = 32,
  FILTER_BITS_PER_KEY = 10,
  FILTER_PROBES = 6,
  BUFFER_KEYS = 65536,
  HUGE_PAGE = 2 << 20,
  PATH_BYTES = 4096,
};

typedef struct floor_store {
  peer_store base;
  peer_floor_options options;
  char directory[PATH_BYTES];
  fingerprint *slots;
  uint64_t slot_count, occupied;
  fingerprint *fresh, *sorted;
  uint64_t fresh_count;
  run *runs[RUNS_MAX];
  uint32_t run_count, next_number;
  peer_counters counters;
} floor_store;

// --- Memory and arithmetic

static size_t in_huge_pages(size_t bytes) {
  return (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

static void *allocate(size_t bytes) {
  void *memory = mmap(NULL, in_huge_pages(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
  madvise(memory, in_huge_pages(bytes), MADV_HUGEPAGE);
#endif
  return memory;
}

static void release(void *memory, size_t bytes) {
  if (memory != NULL) munmap(memory, in_huge_pages(bytes));
}

// Spreads all 64-bit numbers evenly over 0 to `count` - 1, in order.
static inline uint64_t spread(uint64_t number, uint64_t count) {
  return (uint64_t)(((__uint128_t)number * count) >> 64);
}

static inline fingerprint fingerprint_of(const uint8_t *key) {
  XXH128_hash_t hash = XXH3_128bits(key, PEER_KEY_BYTES);
  return (fingerprint){hash.high64, hash.low64 | 1};
}

// --- The filter

static inline uint64_t *filter_line(const run *run, fingerprint key) {
  return run->lines + spread(key.high, run->line_count) * 8;
}

static inline void filter_add(run *run, fingerprint key) {
  uint64_t *line = filter_line(run, key);
  uint64_t bits = key.low;
  for (int i = 0; i < FILTER_PROBES; i++, bits >>= 9) {
    line[bits >> 6 & 7] |= (uint64_t)1 << (bits & 63);
  }
}

static inline bool filter_may_hold(const run *run, fingerprint key) {
  const uint64_t *line = filter_line(run, key);
  uint64_t bits = key.low;
  uint64_t all = 1;
  for (int i = 0; i < FILTER_PROBES; i++, bits >>= 9) all &= line[bits >> 6 & 7] >> (bits & 63);
  return all & 1;
}

// --- Writing a run

typedef struct run_writer {
  run *run;
  fingerprint *buffer;
  uint64_t buffered;
} run_writer;

static void free_run(run *run) {
  if (run == NULL) return;
  if (run->keys != NULL) munmap((void *)run->keys, run->count * sizeof(fingerprint));
  if (run->file >= 0) close(run->file);
  release(run->lines, run->line_count * 64);
  free(run->page_starts);
  free(run);
}

static void path_of_run(const floor_store *store, uint32_t number, char *path) {
  snprintf(path, PATH_BYTES, "%.3000s/%06u.run", store->directory, number);
}

// Begins a run of at most `count` keys.
static bool begin_run(floor_store *store, run_writer *writer, uint64_t count, uint32_t level,
                      peer_error *error) {
  char path[PATH_BYTES];
  run *run = calloc(1, sizeof *run);
  *writer = (run_writer){run, aligned_alloc(4096, BUFFER_KEYS * sizeof(fingerprint)), 0};
  if (run == NULL || writer->buffer == NULL) return peer_fail(error, "no memory for a run");
  run->file = -1;
  run->level = level;
  run->number = store->next_number++;
  path_of_run(store, run->number, path);
  run->file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (run->file < 0) return peer_fail(error, "%s: %s", path, strerror(errno));
  run->line_count = count * FILTER_BITS_PER_KEY / 512 + 1;
  run->lines = allocate(run->line_count * 64);
  run->page_starts = malloc((count / PAGE_KEYS + 1) * sizeof(uint64_t));
  if (run->lines == NULL || run->page_starts == NULL) {
    return peer_fail(error, "no memory for a run's filter");
  }
  return true;
}

static bool write_buffer(run_writer *writer, peer_error *error) {
  const char *from = (const char *)writer->buffer;
  size_t left = writer->buffered * sizeof(fingerprint);
  while (left > 0) {
    ssize_t written = write(writer->run->file, from, left);
    if (written < 0) return peer_fail(error, "write: %s", strerror(errno));
    from += written;
    left -= (size_t)written;
  }
  writer->buffered = 0;
  return true;
}

static inline bool append(run_writer *writer, fingerprint key, peer_error *error) {
  run *run = writer->run;
  if (run->count++ % PAGE_KEYS == 0) run->page_starts[run->page_count++] = key.high;
  filter_add(run, key);
  writer->buffer[writer->buffered++] = key;
  return writer->buffered < BUFFER_KEYS || write_buffer(writer, error);
}

// Ends a run and adds it to the store; frees the writer in any case.
static bool end_run(floor_store *store, run_writer *writer, bool is_good, peer_error *error) {
  run *run = writer->run;
  is_good = is_good && write_buffer(writer, error);
  free(writer->buffer);
  if (is_good && store->run_count == RUNS_MAX) is_good = peer_fail(error, "too many runs");
  if (is_good) {
    size_t bytes = run->count * sizeof(fingerprint);
    store->counters.written_bytes += bytes;
    void *keys = mmap(NULL, bytes, PROT_READ, MAP_SHARED, run->file, 0);
    if (keys == MAP_FAILED) {
      is_good = peer_fail(error, "mmap: %s", strerror(errno));
    } else {
      madvise(keys, bytes, MADV_RANDOM);
      run->keys = keys;
      store->runs[store->run_count++] = run;
    }
  }
  if (!is_good) free_run(run);
  return is_good;
}

// --- Merging

// Takes the runs of a level out of the store.
static uint32_t take_level(floor_store *store, uint32_t level, run **taken) {
  uint32_t kept = 0, count = 0;
  for (uint32_t i = 0; i < store->run_count; i++) {
    run *run = store->runs[i];
    if (run->level == level && count < store->options.fanout) {
      taken[count++] = run;
    } else {
      store->runs[kept++] = run;
    }
  }
  store->run_count = kept;
  return count;
}

static bool merge_into(run_writer *writer, run *const *inputs, uint32_t count,
                       peer_error *error) {
  const fingerprint *next[FANOUT_MAX], *end[FANOUT_MAX];
  uint64_t heads[FANOUT_MAX];
  for (uint32_t i = 0; i < count; i++) {
    next[i] = inputs[i]->keys;
    end[i] = next[i] + inputs[i]->count;
    heads[i] = next[i]->high;
  }
  while (count > 0) {
    uint32_t least = 0;
    for (uint32_t i = 1; i < count; i++) {
      if (heads[i] < heads[least]) least = i;
    }
    if (!append(writer, *next[least]++, error)) return false;
    if (next[least] < end[least]) {
      heads[least] = next[least]->high;
      continue;
    }
    count--;
    next[least] = next[count], end[least] = end[count], heads[least] = heads[count];
  }
  return true;
}

static uint32_t runs_of_level(const floor_store *store, uint32_t level) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < store->run_count; i++) count += store->runs[i]->level == level;
  return count;
}

// Merges a level that is full, and then those that become full by that.
static bool merge_levels(floor_store *store, peer_error *error) {
  for (uint32_t level = 0; runs_of_level(store, level) >= store->options.fanout; level++) {
    run *inputs[FANOUT_MAX];
    uint32_t count = take_level(store, level, inputs);
    uint64_t keys = 0;
    for (uint32_t i = 0; i < count; i++) {
      keys += inputs[i]->count;
      madvise((void *)inputs[i]->keys, inputs[i]->count * sizeof(fingerprint), MADV_SEQUENTIAL);
    }
    run_writer writer;
    bool is_good = begin_run(store, &writer, keys, level + 1, error) &&
                   merge_into(&writer, inputs, count, error);
    is_good = end_run(store, &writer, is_good, error);
    for (uint32_t i = 0; i < count; i++) {
      char path[PATH_BYTES];
      path_of_run(store, inputs[i]->number, path);
      unlink(path);
      free_run(inputs[i]);
    }
    if (!is_good) return false;
  }
  return true;
}

// --- Flushing

// Sorts `fresh` into `sorted`: one pass that deals the keys to small buckets by their highest
// bits, then an insertion sort of each.
static bool sort_fresh(floor_store *store, peer_error *error) {
  const uint64_t count = store->fresh_count;
  const fingerprint *from = store->fresh;
  fingerprint *to = store->sorted;
  int bits = 1;
  while (bits < 18 && ((uint64_t)8 << bits) < count) bits++;
  const uint64_t buckets = (uint64_t)1 << bits;
  uint32_t *starts = calloc(buckets + 1, sizeof *starts);
  if (starts == NULL) return peer_fail(error, "no memory to sort");
  for (uint64_t i = 0; i < count; i++) starts[(from[i].high >> (64 - bits)) + 1]++;
  for (uint64_t i = 0; i < buckets; i++) starts[i + 1] += starts[i];
  for (uint64_t i = 0; i < count; i++) to[starts[from[i].high >> (64 - bits)]++] = from[i];
  free(starts);
  // Buckets are in order, so a key moves within its own only.
  for (uint64_t i = 1; i < count; i++) {
    fingerprint key = to[i];
    uint64_t at = i;
    for (; at > 0 && to[at - 1].high > key.high; at--) to[at] = to[at - 1];
    to[at] = key;
  }
  return true;
}

static bool flush_table(floor_store *store, peer_error *error) {
  const uint64_t count = store->fresh_count;
  if (count > 0) {
    if (!sort_fresh(store, error)) return false;
    run_writer writer;
    bool is_good = begin_run(store, &writer, count, 0, error);
    for (uint64_t i = 0; i < count && is_good; i++) {
      is_good = append(&writer, store->sorted[i], error);
    }
    if (!end_run(store, &writer, is_good, error)) return false;
    store->counters.flushed_bytes += count * sizeof(fingerprint);
  }
  memset(store->slots, 0, store->slot_count * sizeof(fingerprint));
  store->fresh_count = 0;
  store->occupied = 0;
  return merge_levels(store, error);
}

// --- Finding

static bool run_holds(const run *run, fingerprint key) {
  // The page: guessed from the hash, then found by steps that double.
  const uint64_t *starts = run->page_starts;
  uint64_t low = spread(key.high, run->page_count);
  uint64_t high = low + 1;
  for (uint64_t step = 4; low > 0 && starts[low] > key.high; step *= 2) {
    low = low > step ? low - step : 0;
  }
  for (uint64_t step = 4; high < run->page_count && starts[high] <= key.high; step *= 2) {
    high = high + step < run->page_count ? high + step : run->page_count;
  }
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    if (starts[middle] <= key.high) {
      low = middle;
    } else {
      high = middle;
    }
  }
  uint64_t from = low * PAGE_KEYS;
  uint64_t length = run->count - from < PAGE_KEYS ? run->count - from : PAGE_KEYS;
  while (length > 0) {
    uint64_t half = length / 2;
    if (run->keys[from + half].high < key.high) {
      from += half + 1;
      length -= half + 1;
    } else {
      length = half;
    }
  }
  for (; from < run->count && run->keys[from].high == key.high; from++) {
    if (run->keys[from].low == key.low) return true;
  }
  return false;
}

// Clears the flag of every key that a run holds; returns how many keys are left.
static uint32_t find_in_runs(floor_store *store, const fingerprint *keys, uint32_t count,
                             bool *is_new) {
  uint32_t left = count;
  for (uint32_t i = 0; i < count; i++) is_new[i] = true;
  for (uint32_t r = store->run_count; r-- > 0;) {
    const run *run = store->runs[r];
    for (uint32_t i = 0; i < count; i++) __builtin_prefetch(filter_line(run, keys[i]));
    for (uint32_t i = 0; i < count; i++) {
      if (!is_new[i] || !filter_may_hold(run, keys[i])) continue;
      if (run_holds(run, keys[i])) {
        is_new[i] = false;
        left--;
      } else {
        store->counters.false_positives++;
      }
    }
  }
  return left;
}

static inline uint64_t slot_of(const floor_store *store, fingerprint key) {
  return key.low >> 1 & (store->slot_count - 1);
}

// Hashes keys and has their slots fetched.
static void hash_chunk(const floor_store *store, const uint8_t *bytes, uint32_t count,
                       fingerprint *keys) {
  for (uint32_t i = 0; i < count; i++) {
    keys[i] = fingerprint_of(bytes + (size_t)i * PEER_KEY_BYTES);
    __builtin_prefetch(store->slots + slot_of(store, keys[i]));
  }
}

// Whether the table holds a key; with `adds` it does afterwards.
static inline bool table_holds(floor_store *store, fingerprint key, bool adds) {
  uint64_t slot = slot_of(store, key);
  for (; store->slots[slot].low != 0; slot = (slot + 1) & (store->slot_count - 1)) {
    if (store->slots[slot].high == key.high && store->slots[slot].low == key.low) return true;
  }
  if (adds) {
    store->slots[slot] = key;
    store->occupied++;
  }
  return false;
}

// --- The interface

static uint32_t chunk_count(const peer_batch *batch, size_t from) {
  size_t left = batch->count - from;
  return left < CHUNK_KEYS ? (uint32_t)left : CHUNK_KEYS;
}

// Keeps, of the keys of a chunk, those that the table does not hold.
static uint32_t probe_table(floor_store *store, const uint8_t *bytes, uint32_t count,
                            fingerprint *missing, bool adds) {
  fingerprint keys[CHUNK_KEYS];
  uint32_t missing_count = 0;
  hash_chunk(store, bytes, count, keys);
  for (uint32_t i = 0; i < count; i++) {
    if (!table_holds(store, keys[i], adds)) missing[missing_count++] = keys[i];
  }
  return missing_count;
}

static bool insert(peer_store *base, const peer_batch *batch, uint64_t *accepted,
                   peer_error *error) {
  floor_store *store = (floor_store *)base;
  fingerprint missing[CHUNK_KEYS];
  bool is_new[CHUNK_KEYS];
  uint64_t total = 0;
  for (size_t at = 0; at < batch->count; at += CHUNK_KEYS) {
    const uint8_t *bytes = batch->keys + at * PEER_KEY_BYTES;
    uint32_t count = probe_table(store, bytes, chunk_count(batch, at), missing, true);
    total += find_in_runs(store, missing, count, is_new);
    for (uint32_t i = 0; i < count; i++) {
      store->fresh[store->fresh_count] = missing[i];
      store->fresh_count += is_new[i];
    }
    bool is_full = store->fresh_count + CHUNK_KEYS > store->options.memtable_keys ||
                   store->occupied + CHUNK_KEYS > store->slot_count / 4 * 3;
    if (is_full && !flush_table(store, error)) return false;
  }
  *accepted = total;
  return true;
}

static bool lookup(peer_store *base, const peer_batch *batch, uint64_t *found,
                   peer_error *error) {
  (void)error;
  floor_store *store = (floor_store *)base;
  fingerprint missing[CHUNK_KEYS];
  bool is_new[CHUNK_KEYS];
  uint64_t total = 0;
  for (size_t at = 0; at < batch->count; at += CHUNK_KEYS) {
    uint32_t chunk = chunk_count(batch, at);
    const uint8_t *bytes = batch->keys + at * PEER_KEY_BYTES;
    uint32_t count = probe_table(store, bytes, chunk, missing, false);
    total += chunk - find_in_runs(store, missing, count, is_new);
  }
  *found = total;
  return true;
}

static bool flush(peer_store *base, peer_error *error) {
  floor_store *store = (floor_store *)base;
  if (!flush_table(store, error)) return false;
  for (uint32_t i = 0; i < store->run_count; i++) {
    if (fsync(store->runs[i]->file) != 0) return peer_fail(error, "fsync: %s", strerror(errno));
  }
  return true;
}

static void count(peer_store *base, peer_counters *counters) {
  *counters = ((floor_store *)base)->counters;
}

static bool close_store(peer_store *base, peer_error *error) {
  (void)error;
  floor_store *store = (floor_store *)base;
  for (uint32_t i = 0; i < store->run_count; i++) free_run(store->runs[i]);
  const uint64_t keys = store->options.memtable_keys + CHUNK_KEYS;
  release(store->slots, store->slot_count * sizeof(fingerprint));
  release(store->fresh, keys * sizeof(fingerprint));
  release(store->sorted, keys * sizeof(fingerprint));
  free(store);
  return true;
}

static const peer_operations operations = {
    .insert = insert,
    .lookup = lookup,
    .flush = flush,
    .count = count,
    .close = close_store,
};

peer_store *peer_floor_open(const char *directory, const peer_floor_options *options,
                            peer_error *error) {
  if (options->fanout < 2 || options->fanout > FANOUT_MAX || options->memtable_keys < 4096) {
    return peer_fail(error, "a fanout of 2 to 32 and a memtable of 4,096 keys are needed"), NULL;
  }
  floor_store *store = calloc(1, sizeof *store);
  if (store == NULL) return peer_fail(error, "no memory"), NULL;
  store->base.operations = &operations;
  store->options = *options;
  snprintf(store->directory, sizeof store->directory, "%s", directory);
  const uint64_t keys = options->memtable_keys + CHUNK_KEYS;
  store->slot_count = 4096;
  while (store->slot_count < options->memtable_keys / 2 * 3) store->slot_count *= 2;
  store->slots = allocate(store->slot_count * sizeof(fingerprint));
  store->fresh = allocate(keys * sizeof(fingerprint));
  store->sorted = allocate(keys * sizeof(fingerprint));
  if (store->slots != NULL && store->fresh != NULL && store->sorted != NULL) return &store->base;
  peer_error ignored;
  close_store(&store->base, &ignored);
  return peer_fail(error, "no memory for the table"), NULL;
}
