// RocksDB as an ordered key-value store. Thread-safe but for opening and closing.

#ifndef SEDIMENT_PEERS_ORDERED_H
#define SEDIMENT_PEERS_ORDERED_H

#include "peers.h"

typedef struct peer_ordered peer_ordered;

typedef struct peer_bytes {
  const char *data;
  size_t count;
} peer_bytes;

// What a scan has seen so far.
typedef struct peer_scan {
  uint64_t entries;
  uint64_t bytes;
} peer_scan;

// Opens the store in a directory, and makes it when there is none. NULL on failure.
//
// `text` is the options in RocksDB's own notation.
peer_ordered *peer_ordered_open(const char *library, const char *directory, const char *text,
                                peer_error *error);
void peer_ordered_close(peer_ordered *store);

// Writes through the log; with `synchronized` it is on the disk when the call returns.
bool peer_ordered_put(peer_ordered *store, peer_bytes key, peer_bytes value, bool synchronized,
                      peer_error *error);
bool peer_ordered_get(peer_ordered *store, peer_bytes key, bool *found, peer_error *error);
// Gets up to 1,024 keys of equal length that lie one behind the other.
bool peer_ordered_multi_get(peer_ordered *store, const char *keys, size_t key_bytes, size_t count,
                            size_t *found, peer_error *error);
// Reads up to `count` entries from `start`, NULL for the first, or the last in reverse.
bool peer_ordered_scan(peer_ordered *store, const peer_bytes *start, bool reverse, size_t count,
                       peer_scan *scan, peer_error *error);
// Flushes the memtables.
bool peer_ordered_flush(peer_ordered *store, peer_error *error);
// Waits for the merges that are due.
bool peer_ordered_settle(peer_ordered *store, peer_error *error);

#endif
