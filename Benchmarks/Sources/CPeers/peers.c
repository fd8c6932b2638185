#include "peers.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "error.h"

bool peer_insert(peer_store *store, const peer_batch *batch, uint64_t *accepted,
                 peer_error *error) {
  return store->operations->insert(store, batch, accepted, error);
}

bool peer_lookup(peer_store *store, const peer_batch *batch, uint64_t *found, peer_error *error) {
  return store->operations->lookup(store, batch, found, error);
}

bool peer_flush(peer_store *store, peer_error *error) {
  return store->operations->flush(store, error);
}

bool peer_settle(peer_store *store, peer_error *error) {
  return store->operations->settle == NULL || store->operations->settle(store, error);
}

bool peer_checkpoint(peer_store *store, const char *directory, peer_error *error) {
  if (store->operations->checkpoint == NULL) return peer_fail(error, "it has no checkpoints");
  return store->operations->checkpoint(store, directory, error);
}

peer_counters peer_count(peer_store *store) {
  peer_counters counters = {0};
  if (store->operations->count != NULL) store->operations->count(store, &counters);
  return counters;
}

bool peer_close(peer_store *store, peer_error *error) {
  return store->operations->close(store, error);
}

void peer_release_memory(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}
