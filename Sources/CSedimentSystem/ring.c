// io_uring by its system calls: reads alone, and no library to link.
//
// Two rings in memory that is shared with the kernel. The caller fills entries of the first and
// moves its tail; `io_uring_enter` hands them over, waits, and the kernel fills the second and moves
// its tail. Without a kernel thread that polls, the kernel looks at the first ring only inside
// `io_uring_enter`, so that what was queued can be taken back.
#define _GNU_SOURCE
#include "CSedimentSystem.h"

#include <errno.h>
#include <stddef.h>

#if defined(__linux__) && __has_include(<linux/io_uring.h>)

#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#endif

struct sediment_ring {
  int descriptor;
  void *rings;
  size_t rings_bytes;
  struct io_uring_sqe *entries;
  size_t entries_bytes;
  struct io_uring_cqe *completions;
  // Shared with the kernel, which moves the first and the last.
  uint32_t *submission_head, *submission_tail, *completion_head, *completion_tail;
  uint32_t submission_mask, completion_mask;
};

static int set_up(uint32_t depth, struct io_uring_params *parameters) {
  // With it a completion waits for the caller's next system call instead of interrupting the
  // caller. Linux 5.19 and newer have it.
  *parameters = (struct io_uring_params){.flags = IORING_SETUP_COOP_TASKRUN};
  int descriptor = (int)syscall(SYS_io_uring_setup, depth, parameters);
  if (descriptor >= 0 || errno != EINVAL) return descriptor;
  *parameters = (struct io_uring_params){0};
  return (int)syscall(SYS_io_uring_setup, depth, parameters);
}

static int map_rings(sediment_ring *ring, const struct io_uring_params *parameters) {
  const struct io_sqring_offsets *submission = &parameters->sq_off;
  const struct io_cqring_offsets *completion = &parameters->cq_off;
  size_t first = submission->array + parameters->sq_entries * sizeof(uint32_t);
  size_t second = completion->cqes + parameters->cq_entries * sizeof(struct io_uring_cqe);
  size_t bytes = first > second ? first : second;
  const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
  void *rings = mmap(NULL, bytes, protection, flags, ring->descriptor, IORING_OFF_SQ_RING);
  if (rings == MAP_FAILED) return -1;
  ring->rings = rings;
  ring->rings_bytes = bytes;
  bytes = parameters->sq_entries * sizeof(struct io_uring_sqe);
  void *entries = mmap(NULL, bytes, protection, flags, ring->descriptor, IORING_OFF_SQES);
  if (entries == MAP_FAILED) return -1;
  ring->entries = entries;
  ring->entries_bytes = bytes;

  char *base = rings;
  ring->submission_head = (uint32_t *)(base + submission->head);
  ring->submission_tail = (uint32_t *)(base + submission->tail);
  ring->submission_mask = *(uint32_t *)(base + submission->ring_mask);
  ring->completion_head = (uint32_t *)(base + completion->head);
  ring->completion_tail = (uint32_t *)(base + completion->tail);
  ring->completion_mask = *(uint32_t *)(base + completion->ring_mask);
  ring->completions = (struct io_uring_cqe *)(base + completion->cqes);
  // Entries are handed over in the order of their places, for ever.
  uint32_t *order = (uint32_t *)(base + submission->array);
  for (uint32_t i = 0; i < parameters->sq_entries; i++) order[i] = i;
  return 0;
}

sediment_ring *sediment_ring_open(uint32_t depth) {
  sediment_ring *ring = calloc(1, sizeof *ring);
  if (ring == NULL) return NULL;
  struct io_uring_params parameters;
  ring->descriptor = set_up(depth, &parameters);
  if (ring->descriptor < 0) {
    int error = errno;
    free(ring);
    errno = error;
    return NULL;
  }
  // Both rings in one mapping came with Linux 5.4, completions that are never dropped with 5.5, and
  // with 5.6 the plain read, together with the last of these.
  const uint32_t needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS;
  int error = ENOSYS;
  if ((parameters.features & needed) == needed) {
    if (map_rings(ring, &parameters) == 0) return ring;
    error = errno;
  }
  sediment_ring_close(ring);
  errno = error;
  return NULL;
}

void sediment_ring_close(sediment_ring *ring) {
  if (ring->entries != NULL) munmap(ring->entries, ring->entries_bytes);
  if (ring->rings != NULL) munmap(ring->rings, ring->rings_bytes);
  close(ring->descriptor);
  free(ring);
}

void sediment_ring_queue(sediment_ring *ring, int descriptor, uint64_t offset, void *destination,
                         uint32_t bytes, uint64_t tag) {
  uint32_t tail = *ring->submission_tail;
  struct io_uring_sqe *entry = &ring->entries[tail & ring->submission_mask];
  memset(entry, 0, sizeof *entry);
  entry->opcode = IORING_OP_READ;
  entry->fd = descriptor;
  entry->off = offset;
  entry->addr = (uint64_t)(uintptr_t)destination;
  entry->len = bytes;
  entry->user_data = tag;
  __atomic_store_n(ring->submission_tail, tail + 1, __ATOMIC_RELEASE);
}

int sediment_ring_submit(sediment_ring *ring, uint32_t wanted) {
  uint32_t queued =
      *ring->submission_tail - __atomic_load_n(ring->submission_head, __ATOMIC_ACQUIRE);
  long code = syscall(SYS_io_uring_enter, ring->descriptor, queued, wanted,
                      IORING_ENTER_GETEVENTS, NULL, 0);
  return code < 0 ? errno : 0;
}

int sediment_ring_withdraw(sediment_ring *ring, uint64_t *tag) {
  uint32_t tail = *ring->submission_tail;
  if (tail == __atomic_load_n(ring->submission_head, __ATOMIC_ACQUIRE)) return 0;
  *tag = ring->entries[(tail - 1) & ring->submission_mask].user_data;
  __atomic_store_n(ring->submission_tail, tail - 1, __ATOMIC_RELEASE);
  return 1;
}

int sediment_ring_take(sediment_ring *ring, uint64_t *tag, int32_t *result) {
  uint32_t head = *ring->completion_head;
  if (head == __atomic_load_n(ring->completion_tail, __ATOMIC_ACQUIRE)) return 0;
  const struct io_uring_cqe *completion = &ring->completions[head & ring->completion_mask];
  *tag = completion->user_data;
  *result = completion->res;
  __atomic_store_n(ring->completion_head, head + 1, __ATOMIC_RELEASE);
  return 1;
}

#else

sediment_ring *sediment_ring_open(uint32_t depth) {
  (void)depth;
  errno = ENOSYS;
  return NULL;
}

// Nobody has a ring.
void sediment_ring_close(sediment_ring *ring) { (void)ring; }

void sediment_ring_queue(sediment_ring *ring, int descriptor, uint64_t offset, void *destination,
                         uint32_t bytes, uint64_t tag) {
  (void)ring, (void)descriptor, (void)offset, (void)destination, (void)bytes, (void)tag;
}

int sediment_ring_submit(sediment_ring *ring, uint32_t wanted) {
  (void)ring, (void)wanted;
  return ENOSYS;
}

int sediment_ring_withdraw(sediment_ring *ring, uint64_t *tag) {
  (void)ring, (void)tag;
  return 0;
}

int sediment_ring_take(sediment_ring *ring, uint64_t *tag, int32_t *result) {
  (void)ring, (void)tag, (void)result;
  return 0;
}

#endif
