// RocksDB as an ordered key-value store, through its C interface: one database for all threads.

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "ordered.h"

typedef struct rocksdb_t rocksdb_t;
typedef struct rocksdb_options_t rocksdb_options_t;
typedef struct rocksdb_readoptions_t rocksdb_readoptions_t;
typedef struct rocksdb_writeoptions_t rocksdb_writeoptions_t;
typedef struct rocksdb_flushoptions_t rocksdb_flushoptions_t;
typedef struct rocksdb_pinnableslice_t rocksdb_pinnableslice_t;
typedef struct rocksdb_iterator_t rocksdb_iterator_t;
typedef struct rocksdb_column_family_handle_t rocksdb_column_family_handle_t;
typedef struct rocksdb_wait_for_compact_options_t rocksdb_wait_for_compact_options_t;

#define FUNCTIONS(DO)                                                                           \
  DO(void, free, (void *))                                                                      \
  DO(rocksdb_options_t *, options_create, (void))                                               \
  DO(void, options_destroy, (rocksdb_options_t *))                                              \
  DO(void, get_options_from_string,                                                             \
     (const rocksdb_options_t *, const char *, rocksdb_options_t *, char **))                   \
  DO(rocksdb_t *, open, (const rocksdb_options_t *, const char *, char **))                     \
  DO(void, close, (rocksdb_t *))                                                                \
  DO(rocksdb_column_family_handle_t *, get_default_column_family_handle, (rocksdb_t *))         \
  DO(rocksdb_readoptions_t *, readoptions_create, (void))                                       \
  DO(void, readoptions_destroy, (rocksdb_readoptions_t *))                                      \
  DO(rocksdb_writeoptions_t *, writeoptions_create, (void))                                     \
  DO(void, writeoptions_destroy, (rocksdb_writeoptions_t *))                                    \
  DO(void, writeoptions_set_sync, (rocksdb_writeoptions_t *, unsigned char))                    \
  DO(rocksdb_flushoptions_t *, flushoptions_create, (void))                                     \
  DO(void, flushoptions_destroy, (rocksdb_flushoptions_t *))                                    \
  DO(void, flush, (rocksdb_t *, const rocksdb_flushoptions_t *, char **))                       \
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
  DO(rocksdb_iterator_t *, create_iterator, (rocksdb_t *, const rocksdb_readoptions_t *))       \
  DO(void, iter_destroy, (rocksdb_iterator_t *))                                                \
  DO(unsigned char, iter_valid, (const rocksdb_iterator_t *))                                   \
  DO(void, iter_seek_to_first, (rocksdb_iterator_t *))                                          \
  DO(void, iter_seek_to_last, (rocksdb_iterator_t *))                                           \
  DO(void, iter_seek, (rocksdb_iterator_t *, const char *, size_t))                             \
  DO(void, iter_next, (rocksdb_iterator_t *))                                                   \
  DO(void, iter_prev, (rocksdb_iterator_t *))                                                   \
  DO(const char *, iter_key, (const rocksdb_iterator_t *, size_t *))                            \
  DO(const char *, iter_value, (const rocksdb_iterator_t *, size_t *))                          \
  DO(void, iter_get_error, (const rocksdb_iterator_t *, char **))                               \
  DO(rocksdb_wait_for_compact_options_t *, wait_for_compact_options_create, (void))             \
  DO(void, wait_for_compact_options_destroy, (rocksdb_wait_for_compact_options_t *))            \
  DO(void, wait_for_compact, (rocksdb_t *, rocksdb_wait_for_compact_options_t *, char **))

struct peer_ordered {
#define DECLARE(result, name, arguments) result(*name) arguments;
  FUNCTIONS(DECLARE)
#undef DECLARE
  rocksdb_options_t *options;
  rocksdb_t *database;
  rocksdb_column_family_handle_t *family;
  rocksdb_readoptions_t *reading;
  rocksdb_writeoptions_t *writing;
  rocksdb_writeoptions_t *synchronizing;
};

static bool check(const peer_ordered *store, char *message, peer_error *error) {
  if (message == NULL) return true;
  peer_fail(error, "%s", message);
  store->free(message);
  return false;
}

static bool open_store(peer_ordered *store, const char *library, const char *directory,
                       const char *text, peer_error *error) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) return peer_fail(error, "%s", dlerror());
#define RESOLVE(result, name, arguments)                              \
  store->name = (result(*) arguments)dlsym(handle, "rocksdb_" #name); \
  if (store->name == NULL) return peer_fail(error, "%s lacks rocksdb_" #name, library);
  FUNCTIONS(RESOLVE)
#undef RESOLVE
  rocksdb_options_t *base = store->options_create();
  store->options = store->options_create();
  char *message = NULL;
  store->get_options_from_string(base, text, store->options, &message);
  store->options_destroy(base);
  if (!check(store, message, error)) return false;
  store->reading = store->readoptions_create();
  store->writing = store->writeoptions_create();
  store->synchronizing = store->writeoptions_create();
  store->writeoptions_set_sync(store->synchronizing, 1);
  store->database = store->open(store->options, directory, &message);
  if (!check(store, message, error)) return false;
  store->family = store->get_default_column_family_handle(store->database);
  return true;
}

peer_ordered *peer_ordered_open(const char *library, const char *directory, const char *text,
                                peer_error *error) {
  peer_ordered *store = calloc(1, sizeof *store);
  if (store == NULL) return peer_fail(error, "no memory"), NULL;
  if (open_store(store, library, directory, text, error)) return store;
  peer_ordered_close(store);
  return NULL;
}

void peer_ordered_close(peer_ordered *store) {
  if (store->database != NULL) store->close(store->database);
  if (store->synchronizing != NULL) store->writeoptions_destroy(store->synchronizing);
  if (store->writing != NULL) store->writeoptions_destroy(store->writing);
  if (store->reading != NULL) store->readoptions_destroy(store->reading);
  if (store->options != NULL) store->options_destroy(store->options);
  free(store);
}

bool peer_ordered_put(peer_ordered *store, peer_bytes key, peer_bytes value, bool synchronized,
                      peer_error *error) {
  char *message = NULL;
  store->put(store->database, synchronized ? store->synchronizing : store->writing, key.data,
             key.count, value.data, value.count, &message);
  return check(store, message, error);
}

bool peer_ordered_get(peer_ordered *store, peer_bytes key, bool *found, peer_error *error) {
  char *message = NULL;
  rocksdb_pinnableslice_t *value =
      store->get_pinned(store->database, store->reading, key.data, key.count, &message);
  if (!check(store, message, error)) return false;
  *found = value != NULL;
  if (value != NULL) store->pinnableslice_destroy(value);
  return true;
}

bool peer_ordered_multi_get(peer_ordered *store, const char *keys, size_t key_bytes, size_t count,
                            size_t *found, peer_error *error) {
  enum { COUNT_MAX = 1024 };
  const char *starts[COUNT_MAX];
  size_t sizes[COUNT_MAX];
  rocksdb_pinnableslice_t *values[COUNT_MAX];
  char *errors[COUNT_MAX];
  if (count > COUNT_MAX) return peer_fail(error, "%zu keys", count);
  for (size_t i = 0; i < count; i++) {
    starts[i] = keys + i * key_bytes;
    sizes[i] = key_bytes;
  }
  store->batched_multi_get_cf(store->database, store->reading, store->family, count, starts,
                              sizes, values, errors, false);
  *found = 0;
  bool is_good = true;
  for (size_t i = 0; i < count; i++) {
    if (errors[i] != NULL) is_good = check(store, errors[i], error) && is_good;
    if (values[i] == NULL) continue;
    store->pinnableslice_destroy(values[i]);
    *found += 1;
  }
  return is_good;
}

bool peer_ordered_scan(peer_ordered *store, const peer_bytes *start, bool reverse, size_t count,
                       peer_scan *scan, peer_error *error) {
  rocksdb_iterator_t *iterator = store->create_iterator(store->database, store->reading);
  if (start != NULL) {
    store->iter_seek(iterator, start->data, start->count);
  } else if (reverse) {
    store->iter_seek_to_last(iterator);
  } else {
    store->iter_seek_to_first(iterator);
  }
  while (scan->entries < count && store->iter_valid(iterator)) {
    size_t key_bytes, value_bytes;
    store->iter_key(iterator, &key_bytes);
    store->iter_value(iterator, &value_bytes);
    scan->entries++;
    scan->bytes += key_bytes + value_bytes;
    if (reverse) {
      store->iter_prev(iterator);
    } else {
      store->iter_next(iterator);
    }
  }
  char *message = NULL;
  store->iter_get_error(iterator, &message);
  store->iter_destroy(iterator);
  return check(store, message, error);
}

bool peer_ordered_flush(peer_ordered *store, peer_error *error) {
  char *message = NULL;
  // The default waits.
  rocksdb_flushoptions_t *options = store->flushoptions_create();
  store->flush(store->database, options, &message);
  store->flushoptions_destroy(options);
  return check(store, message, error);
}

bool peer_ordered_settle(peer_ordered *store, peer_error *error) {
  char *message = NULL;
  rocksdb_wait_for_compact_options_t *options = store->wait_for_compact_options_create();
  store->wait_for_compact(store->database, options, &message);
  store->wait_for_compact_options_destroy(options);
  return check(store, message, error);
}
