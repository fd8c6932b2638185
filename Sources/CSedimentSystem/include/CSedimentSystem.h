// The system calls that Swift cannot reach: extensions that the C library shows only under a
// feature macro, variadic functions, and calls whose types differ between Linux and Darwin.
#ifndef SEDIMENT_SYSTEM_H
#define SEDIMENT_SYSTEM_H

#include <stdint.h>

/// Renames without replacing. 0, or -1 with errno; EEXIST when the target is there, ENOSYS where the
/// system or the file system cannot do it in one step.
int sediment_rename_exclusive(int directory, const char *from, const char *to);

/// Opens a directory that may be neither listed nor synchronised, to reach what is in it. A
/// descriptor, or -1 with errno; ENOSYS outside Linux.
int sediment_open_directory_for_lookup(const char *path);

/// Makes content and size of a file durable, through the drive's cache. 0, or -1 with errno.
int sediment_synchronize_file(int descriptor);

/// Lets the system begin to read a part of a file into memory; a hint only.
void sediment_start_read(int descriptor, int64_t offset, int64_t bytes);

/// Lets the system drop a part of a file from the page cache, as far as it is on the disk; a hint
/// only, and nothing where the system has no such call.
void sediment_drop_cached(int descriptor, int64_t offset, int64_t bytes);

/// Lets the system begin to write a part of a file to the disk; a hint only, and nothing where the
/// system has no such call.
void sediment_start_writeback(int descriptor, int64_t offset, int64_t bytes);

/// Synchronises a file's content by way of another open file, so that an error is not taken from
/// `descriptor`; a hint only, and nothing where the system has no such way.
void sediment_synchronize_aside(int descriptor);

/// Reads a part of a file as far as it is in the page cache; 0 where it is not, where the system
/// cannot tell, and on errors.
int64_t sediment_read_cached(int descriptor, void *destination, int64_t bytes, int64_t offset);

/// Reads what is in memory already, and else lets the system begin to bring it there. The bytes read:
/// all, some, or 0; a hint only, so nothing else tells why not.
int64_t sediment_read_or_begin(int descriptor, void *destination, int64_t bytes, int64_t offset);

/// Tries to take the exclusive lock of an open file without waiting. 0, or -1 with errno.
int sediment_try_lock(int descriptor);

// Succeeds when nobody holds the lock of an open file; else -1 with errno EWOULDBLOCK.
int sediment_look_at_lock(int descriptor);

/// Starts a thread that calls `body` with `context`. 0 and the thread in `thread`, or an error number.
int sediment_start_thread(void (*body)(void *), void *context, uint64_t *thread);

/// Waits for a thread to end. 0, or an error number.
int sediment_join_thread(uint64_t thread);

/// Lets a thread clean up after itself when it ends.
void sediment_detach_thread(uint64_t thread);

/// Names the calling thread; longer names are cut to what the system takes.
void sediment_name_thread(const char *name);

/// Columns of the terminal, or 0 when the descriptor is none.
int sediment_terminal_columns(int descriptor);

/// The largest resident size of this process so far in bytes, or 0 when unknown.
uint64_t sediment_peak_resident_bytes(void);

/// The resident size of this process in bytes, or 0 when unknown.
uint64_t sediment_resident_bytes(void);

/// Fresh zero-filled private memory, or NULL with errno.
void *sediment_map_memory(uint64_t bytes);

/// Replaces the pages with fresh zero-filled ones, giving the memory back. 0, or -1 with errno.
int sediment_discard_memory(void *start, uint64_t bytes);

/// Asks for huge pages where the system has them; a hint only.
void sediment_advise_huge_pages(void *start, uint64_t bytes);

/// A socket that listens on an address of this machine, given as a name or in digits. `port` is the
/// one wanted, 0 for any, and becomes the one it has. A descriptor, or -1 with errno; EADDRNOTAVAIL
/// where there is no such address.
int sediment_listen(const char *host, uint16_t *port);

/// The next connection, waiting for so long at most; reading and writing it time out. A descriptor, or
/// -1 with errno; EAGAIN when there was none.
int sediment_accept(int listener, int milliseconds, int timeout_milliseconds);

/// Sends bytes without a signal when nobody listens any more. How many, or -1 with errno.
int64_t sediment_send(int descriptor, const void *bytes, int64_t count);

/// Reads that the system serves side by side (io_uring). One thread at a time may use a ring.
typedef struct sediment_ring sediment_ring;

/// A ring for `depth` reads, at most 32,768. NULL with errno where the system has none or refuses
/// it; ENOSYS outside Linux.
sediment_ring *sediment_ring_open(uint32_t depth);

/// Gives the ring back. No read may be under way.
void sediment_ring_close(sediment_ring *ring);

/// Queues a read, to be handed over by the next submission. At most `depth` reads may be queued or
/// under way; the memory is the system's until the read is taken or withdrawn.
void sediment_ring_queue(sediment_ring *ring, int descriptor, uint64_t offset, void *destination,
                         uint32_t bytes, uint64_t tag);

/// Hands over what is queued and waits until `wanted` reads have completed. 0, or an error number;
/// either way some of what was queued may have been handed over and some have completed.
int sediment_ring_submit(sediment_ring *ring, uint32_t wanted);

/// Takes back the youngest read that is queued and was not handed over: 1 and its tag, or 0.
int sediment_ring_withdraw(sediment_ring *ring, uint64_t *tag);

/// Takes a completed read: 1, its tag, and the bytes read or a negative error number; or 0 when none
/// has completed.
int sediment_ring_take(sediment_ring *ring, uint64_t *tag, int32_t *result);

#endif
