/// The few kernels that Swift cannot express, or not as fast.
///
/// Rules of this target: a function that must inline into Swift is `static inline` here; a function
/// that uses instructions beyond the baseline works on a whole batch, lives in a `.c` file, chooses
/// its version at run time and has a portable twin with the same answers.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: - Prefetch

/// Asks for the cache line of `address`, to be read soon. Any address is allowed.
static inline void sediment_prefetch_read(const void *address) {
  __builtin_prefetch(address, 0, 3);
}

/// Asks for the cache line of `address`, to be written soon. Any address is allowed.
static inline void sediment_prefetch_write(const void *address) {
  __builtin_prefetch(address, 1, 3);
}

/// Tells the processor that a loop waits for another one's store.
static inline void sediment_spin_hint(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

/// Whether two stretches of memory hold the same bytes.
static inline bool sediment_bytes_equal(const void *a, const void *b, size_t length) {
  return memcmp(a, b, length) == 0;
}

/// Less than zero, zero or more, as the first `length` bytes of `a` come before those of `b` as
/// unsigned numbers, are equal or come behind.
static inline int sediment_compare_bytes(const void *a, const void *b, size_t length) {
  return memcmp(a, b, length);
}

// MARK: - Atomics at raw addresses
//
// For slots inside large preallocated buffers, where Swift's `Atomic` (a stored property) cannot
// stand. The address must be aligned to the size of the value.

/// Loads before it are done before loads after it.
static inline void sediment_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }

/// Stores before it are seen before stores after it.
static inline void sediment_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }

static inline uint64_t sediment_load_relaxed_u64(const uint64_t *at) {
  return __atomic_load_n(at, __ATOMIC_RELAXED);
}
static inline uint64_t sediment_load_acquire_u64(const uint64_t *at) {
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
static inline void sediment_store_relaxed_u64(uint64_t *at, uint64_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELAXED);
}
static inline void sediment_store_release_u64(uint64_t *at, uint64_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static inline uint32_t sediment_load_relaxed_u32(const uint32_t *at) {
  return __atomic_load_n(at, __ATOMIC_RELAXED);
}
static inline uint32_t sediment_load_acquire_u32(const uint32_t *at) {
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
static inline void sediment_store_relaxed_u32(uint32_t *at, uint32_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELAXED);
}
static inline void sediment_store_release_u32(uint32_t *at, uint32_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static inline uint8_t sediment_load_relaxed_u8(const uint8_t *at) {
  return __atomic_load_n(at, __ATOMIC_RELAXED);
}
static inline uint8_t sediment_load_acquire_u8(const uint8_t *at) {
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
static inline void sediment_store_relaxed_u8(uint8_t *at, uint8_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELAXED);
}
static inline void sediment_store_release_u8(uint8_t *at, uint8_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

// MARK: - Checksum

/// XXH3-64 of `length` bytes with a seed. On disk: never change.
uint64_t sediment_xxh3_64(const void *bytes, size_t length, uint64_t seed);

// MARK: - Keyed hash

/// SipHash-2-4-128 of one key. `out` receives the two words of the digest: first the high word, by
/// which entries are ordered, then the low word; both are uniformly distributed.
void sediment_siphash128(
    const uint8_t *bytes, size_t length, const uint8_t seed[16], uint64_t out[2]);

/// SipHash-2-4-128 of `count` keys that lie one behind the other.
///
/// Key i is `[ends[i - 1], ends[i])` of `bytes`, with `ends[-1]` taken as 0; `ends` must not
/// decrease. `out` receives `2 * count` words, high and low for each key. Reads nothing outside
/// `[bytes, bytes + ends[count - 1])`. With AVX2 eight keys are hashed at a time; neighbours may
/// differ in length, and gain most when they do not.
void sediment_siphash128_batch(
    const uint8_t *bytes, const uint32_t *ends, size_t count, const uint8_t seed[16],
    uint64_t *out);

/// The portable twin of `sediment_siphash128_batch`, one key at a time.
void sediment_siphash128_batch_portable(
    const uint8_t *bytes, const uint32_t *ends, size_t count, const uint8_t seed[16],
    uint64_t *out);

// MARK: - Filter

/// Sets in each of the eight little-endian words of `line` the bit `low >> 6·word & 63`, for all
/// `count` words of `lows`.
void sediment_bloom_fill(uint64_t line[8], const uint64_t *lows, size_t count);

/// The portable twin of `sediment_bloom_fill`.
void sediment_bloom_fill_portable(uint64_t line[8], const uint64_t *lows, size_t count);

// MARK: - SHA-256

/// A running SHA-256: state words, bytes taken so far, and the block being filled.
typedef struct {
  uint32_t state[8];
  uint64_t length;
  uint8_t block[64];
} sediment_sha256;

/// Starts a digest.
void sediment_sha256_init(sediment_sha256 *digest);

/// Takes `length` more bytes.
void sediment_sha256_update(sediment_sha256 *digest, const void *bytes, size_t length);

/// Ends the digest and writes its 32 bytes; `digest` must be started again before further use.
void sediment_sha256_finish(sediment_sha256 *digest, uint8_t out[32]);

/// Compresses `count` blocks of 64 bytes; the portable twin of `sediment_sha256_blocks`.
void sediment_sha256_blocks_portable(uint32_t state[8], const uint8_t *blocks, size_t count);

/// Compresses `count` blocks with SHA instructions where the processor has them.
void sediment_sha256_blocks(uint32_t state[8], const uint8_t *blocks, size_t count);

#ifdef __cplusplus
}
#endif
