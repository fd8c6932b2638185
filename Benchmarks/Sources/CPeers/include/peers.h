// The stores that Sediment is measured beside, behind one interface.
//
// RocksDB and LMDB are loaded with dlopen when they are opened, so that the package builds without
// them; the floor is code of this target. One store has one writer. `peer_checkpoint` may run
// beside it.

#ifndef SEDIMENT_PEERS_H
#define SEDIMENT_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_KEY_BYTES = 24, PEER_VALUE_BYTES = 8 };

// Keys of 24 bytes one behind the other, and the time of each, which is its value.
typedef struct peer_batch {
  const uint8_t *keys;
  const int64_t *times;
  size_t count;
} peer_batch;

// Why a call returned false or NULL.
typedef struct peer_error {
  char message[1024];
} peer_error;

typedef struct peer_counters {
  // Bytes written by flushes alone, and in all; 0 where the store does not tell.
  uint64_t flushed_bytes;
  uint64_t written_bytes;
  uint64_t false_positives;
} peer_counters;

typedef struct peer_store peer_store;

// What a store can do. NULL where it cannot.
typedef struct peer_operations {
  bool (*insert)(peer_store *, const peer_batch *, uint64_t *accepted, peer_error *);
  bool (*lookup)(peer_store *, const peer_batch *, uint64_t *found, peer_error *);
  bool (*flush)(peer_store *, peer_error *);
  bool (*settle)(peer_store *, peer_error *);
  bool (*checkpoint)(peer_store *, const char *directory, peer_error *);
  void (*count)(peer_store *, peer_counters *);
  bool (*close)(peer_store *, peer_error *);
} peer_operations;

struct peer_store {
  const peer_operations *operations;
};

// Inserts the keys that are not there, in order; `accepted` is how many those were.
bool peer_insert(peer_store *store, const peer_batch *batch, uint64_t *accepted,
                 peer_error *error);
// How many of the keys are there.
bool peer_lookup(peer_store *store, const peer_batch *batch, uint64_t *found, peer_error *error);
// Makes everything durable.
bool peer_flush(peer_store *store, peer_error *error);
// Waits for the merges that are due.
bool peer_settle(peer_store *store, peer_error *error);
// Makes a consistent copy in a directory that does not exist.
bool peer_checkpoint(peer_store *store, const char *directory, peer_error *error);
peer_counters peer_count(peer_store *store);
// Closes and frees the store; after a false answer too.
bool peer_close(peer_store *store, peer_error *error);

// Gives memory that was freed back to the system, where it keeps it.
void peer_release_memory(void);

// --- RocksDB

typedef struct peer_rocksdb peer_rocksdb;

typedef struct peer_rocksdb_options {
  // In RocksDB's own notation, `name=value;...`.
  const char *text;
  // MultiGet and WriteBatch a batch; without it Get and Put a key.
  bool batches;
  // Milliseconds after which an entry no longer counts; 0 for never. Compactions drop entries an
  // eighth of that later.
  int64_t time_to_live;
} peer_rocksdb_options;

// Loads the library and makes the options that stores opened with it share, the block cache among
// them. NULL on failure.
peer_rocksdb *peer_rocksdb_load(const char *library, const peer_rocksdb_options *options,
                                peer_error *error);
// Opens the store in a directory, and makes it when there is none.
peer_store *peer_rocksdb_open(peer_rocksdb *rocksdb, const char *directory, peer_error *error);
// Frees the options. All stores are closed by then.
void peer_rocksdb_unload(peer_rocksdb *rocksdb);

// --- LMDB

typedef struct peer_lmdb_options {
  uint64_t map_bytes;
  // Batches that share a transaction.
  uint32_t batches_per_transaction;
} peer_lmdb_options;

// Opens the store in a directory that exists.
peer_store *peer_lmdb_open(const char *library, const char *directory,
                           const peer_lmdb_options *options, peer_error *error);

// --- The floor

typedef struct peer_floor_options {
  uint64_t memtable_keys;
  uint32_t fanout;
} peer_floor_options;

// A new store in a directory that exists; it cannot be opened again.
peer_store *peer_floor_open(const char *directory, const peer_floor_options *options,
                            peer_error *error);

#endif
