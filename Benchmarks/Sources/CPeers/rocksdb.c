// RocksDB, through its C interface.
//
// A batch is one MultiGet of its keys and one WriteBatch of those that were not found. The naive
// way, which is what a keyed state does, is a Get and a Put a key. The write-ahead log is off.

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "key_set.h"
#include "peers.h"

typedef struct rocksdb_t rocksdb_t;
typedef struct rocksdb_options_t rocksdb_options_t;
typedef struct rocksdb_readoptions_t rocksdb_readoptions_t;
typedef struct rocksdb_writeoptions_t rocksdb_writeoptions_t;
typedef struct rocksdb_flushoptions_t rocksdb_flushoptions_t;
typedef struct rocksdb_writebatch_t rocksdb_writebatch_t;
typedef struct rocksdb_pinnableslice_t rocksdb_pinnableslice_t;
typedef struct rocksdb_column_family_handle_t rocksdb_column_family_handle_t;
typedef struct rocksdb_checkpoint_t rocksdb_checkpoint_t;
typedef struct rocksdb_compactionfilter_t rocksdb_compactionfilter_t;
typedef struct rocksdb_wait_for_compact_options_t rocksdb_wait_for_compact_options_t;

typedef unsigned char (*drop_entry)(void *state, int level, const char *key, size_t key_bytes,
                                    const char *value, size_t value_bytes, char **new_value,
                                    size_t *new_value_bytes, unsigned char *value_changed);

#define ROCKSDB_FUNCTIONS(DO)                                                                   \
  DO(void, free, (void *))                                                                      \
  DO(rocksdb_options_t *, options_create, (void))                                               \
  DO(void, options_destroy, (rocksdb_options_t *))                                              \
  DO(void, get_options_from_string,                                                             \
     (const rocksdb_options_t *, const char *, rocksdb_options_t *, char **))                   \
  DO(void, options_set_compaction_filter, (rocksdb_options_t *, rocksdb_compactionfilter_t *))  \
  DO(rocksdb_compactionfilter_t *, compactionfilter_create,                                     \
     (void *, void (*)(void *), drop_entry, const char *(*)(void *)))                           \
  DO(void, compactionfilter_destroy, (rocksdb_compactionfilter_t *))                            \
  DO(rocksdb_t *, open, (const rocksdb_options_t *, const char *, char **))                     \
  DO(void, close, (rocksdb_t *))                                                                \
  DO(rocksdb_column_family_handle_t *, get_default_column_family_handle, (rocksdb_t *))         \
  DO(rocksdb_readoptions_t *, readoptions_create, (void))                                       \
  DO(void, readoptions_destroy, (rocksdb_readoptions_t *))                                      \
  DO(rocksdb_writeoptions_t *, writeoptions_create, (void))                                     \
  DO(void, writeoptions_destroy, (rocksdb_writeoptions_t *))                                    \
  DO(void, writeoptions_disable_WAL, (rocksdb_writeoptions_t *, int))                           \
  DO(rocksdb_flushoptions_t *, flushoptions_create, (void))                                     \
  DO(void, flushoptions_destroy, (rocksdb_flushoptions_t *))                                    \
  DO(void, flush, (rocksdb_t *, const rocksdb_flushoptions_t *, char **))                       \
  DO(rocksdb_writebatch_t *, writebatch_create, (void))                                         \
  DO(void, writebatch_destroy, (rocksdb_writebatch_t *))                                        \
  DO(void, writebatch_clear, (rocksdb_writebatch_t *))                                          \
  DO(void, writebatch_put, (rocksdb_writebatch_t *, const char *, size_t, const char *, size_t)) \
  DO(void, write,                                                                               \
     (rocksdb_t *, const rocksdb_writeoptions_t *, rocksdb_writebatch_t *, char **))            \
  DO(void, put,                                                                                 \
     (rocksdb_t *, const rocksdb_writeoptions_t *, const char *, size_t, const char *, size_t,  \
      char **))                                                                                 \
  DO(rocksdb_pinnableslice_t *, get_pinned,                                                     \
     (rocksdb_t *, const rocksdb_readoptions_t *, const char *, size_t, char **))               \
  DO(const char *, pinnableslice_value, (const rocksdb_pinnableslice_t *, size_t *))            \
  DO(void, pinnableslice_destroy, (rocksdb_pinnableslice_t *))                                  \
  DO(void, batched_multi_get_cf,                                                                \
     (rocksdb_t *, const rocksdb_readoptions_t *, rocksdb_column_family_handle_t *, size_t,     \
      const char *const *, const size_t *, rocksdb_pinnableslice_t **, char **, bool))          \
  DO(rocksdb_checkpoint_t *, checkpoint_object_create, (rocksdb_t *, char **))                  \
  DO(void, checkpoint_create, (rocksdb_checkpoint_t *, const char *, uint64_t, char **))        \
  DO(void, checkpoint_object_destroy, (rocksdb_checkpoint_t *))                                 \
  DO(rocksdb_wait_for_compact_options_t *, wait_for_compact_options_create, (void))             \
  DO(void, wait_for_compact_options_destroy, (rocksdb_wait_for_compact_options_t *))            \
  DO(void, wait_for_compact, (rocksdb_t *, rocksdb_wait_for_compact_options_t *, char **))

struct peer_rocksdb {
#define DECLARE(result, name, arguments) result(*name) arguments;
  ROCKSDB_FUNCTIONS(DECLARE)
#undef DECLARE
  rocksdb_options_t *options;
  rocksdb_compactionfilter_t *filter;
  bool batches;
  int64_t time_to_live;
  // The largest time of any store.
  _Atomic int64_t latest_time;
};

typedef struct rocksdb_store {
  peer_store base;
  peer_rocksdb *api;
  rocksdb_t *database;
  rocksdb_column_family_handle_t *family;
  rocksdb_readoptions_t *reading;
  rocksdb_writeoptions_t *writing;
  rocksdb_writebatch_t *batch;
  key_set keys_of_batch;
  // A batch's columns, `capacity` long.
  const char **keys;
  size_t *sizes;
  rocksdb_pinnableslice_t **values;
  char **errors;
  size_t capacity;
} rocksdb_store;

// Turns an error of the library into ours.
static bool check(const peer_rocksdb *api, char *message, peer_error *error) {
  if (message == NULL) return true;
  peer_fail(error, "%s", message);
  api->free(message);
  return false;
}

// --- What an entry says

// Whether an entry of this value counts at `time`.
static bool counts(const rocksdb_store *store, const rocksdb_pinnableslice_t *value,
                   int64_t time) {
  if (store->api->time_to_live == 0) return true;
  size_t bytes;
  int64_t first_seen;
  const char *data = store->api->pinnableslice_value(value, &bytes);
  memcpy(&first_seen, data, sizeof first_seen);
  return time - first_seen < store->api->time_to_live;
}

static void note_time(peer_rocksdb *api, const peer_batch *batch) {
  if (api->time_to_live == 0 || batch->count == 0) return;
  int64_t time = batch->times[batch->count - 1];
  int64_t latest = atomic_load_explicit(&api->latest_time, memory_order_relaxed);
  while (time > latest && !atomic_compare_exchange_weak(&api->latest_time, &latest, time)) {
  }
}

static unsigned char drop_expired(void *state, int level, const char *key, size_t key_bytes,
                                  const char *value, size_t value_bytes, char **new_value,
                                  size_t *new_value_bytes, unsigned char *value_changed) {
  (void)level, (void)key, (void)key_bytes, (void)new_value, (void)new_value_bytes;
  (void)value_changed;
  peer_rocksdb *api = state;
  int64_t first_seen;
  if (value_bytes != sizeof first_seen) return 0;
  memcpy(&first_seen, value, sizeof first_seen);
  int64_t latest = atomic_load_explicit(&api->latest_time, memory_order_relaxed);
  return latest - api->time_to_live / 8 - first_seen >= api->time_to_live;
}

static const char *filter_name(void *state) {
  (void)state;
  return "expired";
}

static void keep_state(void *state) { (void)state; }

// --- Batches

static bool prepare(rocksdb_store *store, const peer_batch *batch, peer_error *error) {
  if (batch->count > store->capacity) {
    size_t count = batch->count;
    store->keys = realloc(store->keys, count * sizeof *store->keys);
    store->sizes = realloc(store->sizes, count * sizeof *store->sizes);
    store->values = realloc(store->values, count * sizeof *store->values);
    store->errors = realloc(store->errors, count * sizeof *store->errors);
    if (!store->keys || !store->sizes || !store->values || !store->errors) {
      return peer_fail(error, "no memory");
    }
    for (size_t i = 0; i < count; i++) store->sizes[i] = PEER_KEY_BYTES;
    store->capacity = count;
  }
  for (size_t i = 0; i < batch->count; i++) {
    store->keys[i] = (const char *)batch->keys + i * PEER_KEY_BYTES;
  }
  return true;
}

// Gets all keys of a batch into `values`.
static bool get_batch(rocksdb_store *store, const peer_batch *batch, peer_error *error) {
  peer_rocksdb *api = store->api;
  if (!prepare(store, batch, error)) return false;
  api->batched_multi_get_cf(store->database, store->reading, store->family, batch->count,
                            store->keys, store->sizes, store->values, store->errors, false);
  bool is_good = true;
  for (size_t i = 0; i < batch->count; i++) {
    if (store->errors[i] != NULL) is_good = check(api, store->errors[i], error) && is_good;
  }
  return is_good;
}

static bool insert_batch(peer_store *base, const peer_batch *batch, uint64_t *accepted,
                         peer_error *error) {
  rocksdb_store *store = (rocksdb_store *)base;
  peer_rocksdb *api = store->api;
  if (!key_set_begin(&store->keys_of_batch, batch->count)) return peer_fail(error, "no memory");
  if (!get_batch(store, batch, error)) return false;
  uint64_t count = 0;
  for (size_t i = 0; i < batch->count; i++) {
    rocksdb_pinnableslice_t *value = store->values[i];
    bool is_seen = value != NULL && counts(store, value, batch->times[i]);
    if (value != NULL) api->pinnableslice_destroy(value);
    if (is_seen || !key_set_add(&store->keys_of_batch, batch->keys, (uint32_t)i)) continue;
    api->writebatch_put(store->batch, store->keys[i], PEER_KEY_BYTES,
                        (const char *)(batch->times + i), PEER_VALUE_BYTES);
    count++;
  }
  note_time(api, batch);
  char *message = NULL;
  if (count > 0) api->write(store->database, store->writing, store->batch, &message);
  api->writebatch_clear(store->batch);
  *accepted = count;
  return check(api, message, error);
}

static bool lookup_batch(peer_store *base, const peer_batch *batch, uint64_t *found,
                         peer_error *error) {
  rocksdb_store *store = (rocksdb_store *)base;
  if (!get_batch(store, batch, error)) return false;
  uint64_t count = 0;
  for (size_t i = 0; i < batch->count; i++) {
    if (store->values[i] == NULL) continue;
    store->api->pinnableslice_destroy(store->values[i]);
    count++;
  }
  *found = count;
  return true;
}

// --- One key at a time

static bool insert_each(peer_store *base, const peer_batch *batch, uint64_t *accepted,
                        peer_error *error) {
  rocksdb_store *store = (rocksdb_store *)base;
  peer_rocksdb *api = store->api;
  uint64_t count = 0;
  note_time(api, batch);
  for (size_t i = 0; i < batch->count; i++) {
    const char *key = (const char *)batch->keys + i * PEER_KEY_BYTES;
    char *message = NULL;
    rocksdb_pinnableslice_t *value =
        api->get_pinned(store->database, store->reading, key, PEER_KEY_BYTES, &message);
    if (!check(api, message, error)) return false;
    bool is_seen = value != NULL && counts(store, value, batch->times[i]);
    if (value != NULL) api->pinnableslice_destroy(value);
    if (is_seen) continue;
    api->put(store->database, store->writing, key, PEER_KEY_BYTES,
             (const char *)(batch->times + i), PEER_VALUE_BYTES, &message);
    if (!check(api, message, error)) return false;
    count++;
  }
  *accepted = count;
  return true;
}

static bool lookup_each(peer_store *base, const peer_batch *batch, uint64_t *found,
                        peer_error *error) {
  rocksdb_store *store = (rocksdb_store *)base;
  peer_rocksdb *api = store->api;
  uint64_t count = 0;
  for (size_t i = 0; i < batch->count; i++) {
    char *message = NULL;
    rocksdb_pinnableslice_t *value =
        api->get_pinned(store->database, store->reading,
                        (const char *)batch->keys + i * PEER_KEY_BYTES, PEER_KEY_BYTES, &message);
    if (!check(api, message, error)) return false;
    if (value == NULL) continue;
    api->pinnableslice_destroy(value);
    count++;
  }
  *found = count;
  return true;
}

// --- The rest

static bool flush(peer_store *base, peer_error *error) {
  rocksdb_store *store = (rocksdb_store *)base;
  char *message = NULL;
  // The default waits.
  rocksdb_flushoptions_t *options = store->api->flushoptions_create();
  store->api->flush(store->database, options, &message);
  store->api->flushoptions_destroy(options);
  return check(store->api, message, error);
}

static bool settle(peer_store *base, peer_error *error) {
  rocksdb_store *store = (rocksdb_store *)base;
  char *message = NULL;
  rocksdb_wait_for_compact_options_t *options = store->api->wait_for_compact_options_create();
  store->api->wait_for_compact(store->database, options, &message);
  store->api->wait_for_compact_options_destroy(options);
  return check(store->api, message, error);
}

static bool checkpoint(peer_store *base, const char *directory, peer_error *error) {
  rocksdb_store *store = (rocksdb_store *)base;
  char *message = NULL;
  rocksdb_checkpoint_t *object = store->api->checkpoint_object_create(store->database, &message);
  if (!check(store->api, message, error)) return false;
  store->api->checkpoint_create(object, directory, 0, &message);
  store->api->checkpoint_object_destroy(object);
  return check(store->api, message, error);
}

static bool close_store(peer_store *base, peer_error *error) {
  (void)error;
  rocksdb_store *store = (rocksdb_store *)base;
  store->api->writebatch_destroy(store->batch);
  store->api->readoptions_destroy(store->reading);
  store->api->writeoptions_destroy(store->writing);
  if (store->database != NULL) store->api->close(store->database);
  key_set_free(&store->keys_of_batch);
  free(store->keys);
  free(store->sizes);
  free(store->values);
  free(store->errors);
  free(store);
  return true;
}

static const peer_operations batch_operations = {
    .insert = insert_batch,
    .lookup = lookup_batch,
    .flush = flush,
    .settle = settle,
    .checkpoint = checkpoint,
    .close = close_store,
};

static const peer_operations single_operations = {
    .insert = insert_each,
    .lookup = lookup_each,
    .flush = flush,
    .settle = settle,
    .checkpoint = checkpoint,
    .close = close_store,
};

// --- Loading and opening

static bool resolve(peer_rocksdb *api, const char *library, peer_error *error) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) return peer_fail(error, "%s", dlerror());
#define RESOLVE(result, name, arguments)                              \
  api->name = (result(*) arguments)dlsym(handle, "rocksdb_" #name);   \
  if (api->name == NULL) return peer_fail(error, "%s lacks rocksdb_" #name, library);
  ROCKSDB_FUNCTIONS(RESOLVE)
#undef RESOLVE
  return true;
}

static bool configure(peer_rocksdb *api, const peer_rocksdb_options *options, peer_error *error) {
  rocksdb_options_t *base = api->options_create();
  api->options = api->options_create();
  char *message = NULL;
  api->get_options_from_string(base, options->text, api->options, &message);
  api->options_destroy(base);
  if (!check(api, message, error)) return false;
  if (options->time_to_live > 0) {
    api->filter = api->compactionfilter_create(api, keep_state, drop_expired, filter_name);
    api->options_set_compaction_filter(api->options, api->filter);
  }
  return true;
}

peer_rocksdb *peer_rocksdb_load(const char *library, const peer_rocksdb_options *options,
                                peer_error *error) {
  peer_rocksdb *api = calloc(1, sizeof *api);
  if (api == NULL) return peer_fail(error, "no memory"), NULL;
  api->batches = options->batches;
  api->time_to_live = options->time_to_live;
  if (resolve(api, library, error) && configure(api, options, error)) return api;
  peer_rocksdb_unload(api);
  return NULL;
}

void peer_rocksdb_unload(peer_rocksdb *rocksdb) {
  if (rocksdb->options != NULL) rocksdb->options_destroy(rocksdb->options);
  if (rocksdb->filter != NULL) rocksdb->compactionfilter_destroy(rocksdb->filter);
  free(rocksdb);
}

peer_store *peer_rocksdb_open(peer_rocksdb *rocksdb, const char *directory, peer_error *error) {
  rocksdb_store *store = calloc(1, sizeof *store);
  if (store == NULL) return peer_fail(error, "no memory"), NULL;
  store->base.operations = rocksdb->batches ? &batch_operations : &single_operations;
  store->api = rocksdb;
  store->batch = rocksdb->writebatch_create();
  store->reading = rocksdb->readoptions_create();
  store->writing = rocksdb->writeoptions_create();
  rocksdb->writeoptions_disable_WAL(store->writing, 1);
  char *message = NULL;
  store->database = rocksdb->open(rocksdb->options, directory, &message);
  if (check(rocksdb, message, error)) {
    store->family = rocksdb->get_default_column_family_handle(store->database);
    return &store->base;
  }
  peer_error ignored;
  close_store(&store->base, &ignored);
  return NULL;
}
