// LMDB, without syncs until the end: the fastest that it goes, and no crash safety meanwhile.

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "peers.h"

typedef struct MDB_env MDB_env;
typedef struct MDB_txn MDB_txn;
typedef unsigned int MDB_dbi;
typedef struct MDB_val {
  size_t mv_size;
  void *mv_data;
} MDB_val;

// Values of lmdb.h 0.9.
enum {
  NO_SYNC = 0x10000,
  READ_ONLY = 0x20000,
  WRITE_MAP = 0x80000,
  MAP_ASYNC = 0x100000,
  NO_THREAD_STORAGE = 0x200000,
  NO_READ_AHEAD = 0x800000,
  NO_MEMORY_INIT = 0x1000000,
  NO_OVERWRITE = 0x10,
  KEY_EXISTS = -30799,
  NOT_FOUND = -30798,
};

#define LMDB_FUNCTIONS(DO)                                                       \
  DO(char *, strerror, (int))                                                    \
  DO(int, env_create, (MDB_env **))                                              \
  DO(int, env_set_mapsize, (MDB_env *, size_t))                                  \
  DO(int, env_open, (MDB_env *, const char *, unsigned int, unsigned int))       \
  DO(int, env_sync, (MDB_env *, int))                                            \
  DO(int, env_copy, (MDB_env *, const char *))                                   \
  DO(void, env_close, (MDB_env *))                                               \
  DO(int, txn_begin, (MDB_env *, MDB_txn *, unsigned int, MDB_txn **))           \
  DO(int, txn_commit, (MDB_txn *))                                               \
  DO(void, txn_abort, (MDB_txn *))                                               \
  DO(int, dbi_open, (MDB_txn *, const char *, unsigned int, MDB_dbi *))          \
  DO(int, put, (MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned int))         \
  DO(int, get, (MDB_txn *, MDB_dbi, MDB_val *, MDB_val *))

typedef struct lmdb_functions {
#define DECLARE(result, name, arguments) result(*name) arguments;
  LMDB_FUNCTIONS(DECLARE)
#undef DECLARE
} lmdb_functions;

typedef struct lmdb_store {
  peer_store base;
  lmdb_functions mdb;
  peer_lmdb_options options;
  MDB_env *environment;
  MDB_dbi database;
  // The open transaction, if any: a writing one with `batches` batches, or a reading one.
  MDB_txn *transaction;
  bool writes;
  uint32_t batches;
} lmdb_store;

static bool check(lmdb_store *store, const char *what, int code, peer_error *error) {
  if (code == 0) return true;
  return peer_fail(error, "%s: %s", what, store->mdb.strerror(code));
}

static bool end_transaction(lmdb_store *store, peer_error *error) {
  MDB_txn *transaction = store->transaction;
  store->transaction = NULL;
  if (transaction == NULL) return true;
  if (store->writes) return check(store, "commit", store->mdb.txn_commit(transaction), error);
  store->mdb.txn_abort(transaction);
  return true;
}

static bool begin_transaction(lmdb_store *store, bool writes, peer_error *error) {
  if (store->transaction != NULL && store->writes == writes) return true;
  if (!end_transaction(store, error)) return false;
  store->writes = writes;
  store->batches = 0;
  int code = store->mdb.txn_begin(store->environment, NULL, writes ? 0 : READ_ONLY,
                                  &store->transaction);
  return check(store, "begin", code, error);
}

static bool insert(peer_store *base, const peer_batch *batch, uint64_t *accepted,
                   peer_error *error) {
  lmdb_store *store = (lmdb_store *)base;
  if (!begin_transaction(store, true, error)) return false;
  uint64_t count = 0;
  for (size_t i = 0; i < batch->count; i++) {
    MDB_val key = {PEER_KEY_BYTES, (void *)(batch->keys + i * PEER_KEY_BYTES)};
    MDB_val value = {PEER_VALUE_BYTES, (void *)(batch->times + i)};
    int code = store->mdb.put(store->transaction, store->database, &key, &value, NO_OVERWRITE);
    if (code == KEY_EXISTS) continue;
    if (!check(store, "put", code, error)) return false;
    count++;
  }
  *accepted = count;
  if (++store->batches < store->options.batches_per_transaction) return true;
  return end_transaction(store, error);
}

static bool lookup(peer_store *base, const peer_batch *batch, uint64_t *found,
                   peer_error *error) {
  lmdb_store *store = (lmdb_store *)base;
  if (!begin_transaction(store, false, error)) return false;
  uint64_t count = 0;
  for (size_t i = 0; i < batch->count; i++) {
    MDB_val key = {PEER_KEY_BYTES, (void *)(batch->keys + i * PEER_KEY_BYTES)};
    MDB_val value;
    int code = store->mdb.get(store->transaction, store->database, &key, &value);
    if (code == NOT_FOUND) continue;
    if (!check(store, "get", code, error)) return false;
    count++;
  }
  *found = count;
  return true;
}

static bool flush(peer_store *base, peer_error *error) {
  lmdb_store *store = (lmdb_store *)base;
  return end_transaction(store, error) &&
         check(store, "sync", store->mdb.env_sync(store->environment, 1), error);
}

static bool checkpoint(peer_store *base, const char *directory, peer_error *error) {
  lmdb_store *store = (lmdb_store *)base;
  if (mkdir(directory, 0777) != 0) return peer_fail(error, "%s: %s", directory, strerror(errno));
  return check(store, "copy", store->mdb.env_copy(store->environment, directory), error);
}

static bool close_store(peer_store *base, peer_error *error) {
  lmdb_store *store = (lmdb_store *)base;
  bool is_closed = end_transaction(store, error);
  if (store->environment != NULL) store->mdb.env_close(store->environment);
  free(store);
  return is_closed;
}

static const peer_operations operations = {
    .insert = insert,
    .lookup = lookup,
    .flush = flush,
    .checkpoint = checkpoint,
    .close = close_store,
};

static bool load(lmdb_functions *mdb, const char *library, peer_error *error) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) return peer_fail(error, "%s", dlerror());
#define RESOLVE(result, name, arguments)                            \
  mdb->name = (result(*) arguments)dlsym(handle, "mdb_" #name);     \
  if (mdb->name == NULL) return peer_fail(error, "%s lacks mdb_" #name, library);
  LMDB_FUNCTIONS(RESOLVE)
#undef RESOLVE
  return true;
}

static bool open_environment(lmdb_store *store, const char *directory, peer_error *error) {
  const unsigned int flags = NO_SYNC | WRITE_MAP | MAP_ASYNC | NO_THREAD_STORAGE |
                             NO_READ_AHEAD | NO_MEMORY_INIT;
  lmdb_functions *mdb = &store->mdb;
  if (!check(store, "create", mdb->env_create(&store->environment), error)) return false;
  int code = mdb->env_set_mapsize(store->environment, store->options.map_bytes);
  if (!check(store, "map size", code, error)) return false;
  code = mdb->env_open(store->environment, directory, flags, 0644);
  if (!check(store, directory, code, error)) return false;
  if (!begin_transaction(store, true, error)) return false;
  code = mdb->dbi_open(store->transaction, NULL, 0, &store->database);
  return check(store, "open", code, error) && end_transaction(store, error);
}

peer_store *peer_lmdb_open(const char *library, const char *directory,
                           const peer_lmdb_options *options, peer_error *error) {
  lmdb_store *store = calloc(1, sizeof *store);
  if (store == NULL) return peer_fail(error, "no memory"), NULL;
  store->base.operations = &operations;
  store->options = *options;
  if (load(&store->mdb, library, error) && open_environment(store, directory, error)) {
    return &store->base;
  }
  peer_error ignored;
  close_store(&store->base, &ignored);
  return NULL;
}
