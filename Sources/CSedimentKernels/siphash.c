// SipHash-2-4 with a digest of 128 bits (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
// 2012, and the authors' reference code for the 128-bit digest).
//
// The AVX2 version keeps eight keys in flight: each of the four state words is two vectors of four
// lanes, enough to hide the latency of the rounds. Lanes need not agree in length: up to the
// shortest key's last word all lanes run together, after it a lane that has taken its last word is
// held by a mask. A group whose lengths differ much is cheaper one key at a time.

#include "CSedimentKernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline uint64_t load64(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

/// The last message word of a key: its length in the top byte, below it the 0-7 bytes that are left
/// over. Bytes before the key are read only if they are in the buffer: `before` says how many are.
static inline uint64_t last_word(const uint8_t *key, size_t length, size_t before) {
  size_t left = length & 7;
  uint64_t word = (uint64_t)length << 56;
  if (left == 0) return word;
  const uint8_t *end = key + length;
  if (before + length >= 8) return word | (load64(end - 8) >> (8 * (8 - left)));
  for (size_t i = 0; i < left; i++) word |= (uint64_t)end[(ptrdiff_t)i - (ptrdiff_t)left] << (8 * i);
  return word;
}

static inline uint64_t rotate(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

typedef struct {
  uint64_t v0, v1, v2, v3;
} sip_state;

static inline void sip_round(sip_state *s) {
  s->v0 += s->v1;
  s->v1 = rotate(s->v1, 13) ^ s->v0;
  s->v0 = rotate(s->v0, 32);
  s->v2 += s->v3;
  s->v3 = rotate(s->v3, 16) ^ s->v2;
  s->v0 += s->v3;
  s->v3 = rotate(s->v3, 21) ^ s->v0;
  s->v2 += s->v1;
  s->v1 = rotate(s->v1, 17) ^ s->v2;
  s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(sip_state *s, uint64_t word) {
  s->v3 ^= word;
  sip_round(s);
  sip_round(s);
  s->v0 ^= word;
}

static inline sip_state sip_start(const uint8_t seed[16]) {
  uint64_t k0 = load64(seed), k1 = load64(seed + 8);
  sip_state s = {
      k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee, k0 ^ 0x6c7967656e657261,
      k1 ^ 0x7465646279746573};
  return s;
}

static inline uint64_t sip_digest(sip_state *s) {
  for (int i = 0; i < 4; i++) sip_round(s);
  return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline void sip_key(
    sip_state s, const uint8_t *key, size_t length, size_t before, uint64_t out[2]) {
  size_t words = length / 8;
  for (size_t i = 0; i < words; i++) sip_word(&s, load64(key + 8 * i));
  sip_word(&s, last_word(key, length, before));
  s.v2 ^= 0xee;
  out[0] = sip_digest(&s);
  s.v1 ^= 0xdd;
  out[1] = sip_digest(&s);
}

void sediment_siphash128(
    const uint8_t *bytes, size_t length, const uint8_t seed[16], uint64_t out[2]) {
  sip_key(sip_start(seed), bytes, length, 0, out);
}

/// Hashes keys `first ..< limit` one at a time.
static void sip_keys(
    sip_state start, const uint8_t *bytes, const uint32_t *ends, size_t first, size_t limit,
    uint64_t *out) {
  size_t from = first == 0 ? 0 : ends[first - 1];
  for (size_t i = first; i < limit; i++) {
    sip_key(start, bytes + from, ends[i] - from, from, out + 2 * i);
    from = ends[i];
  }
}

void sediment_siphash128_batch_portable(
    const uint8_t *bytes, const uint32_t *ends, size_t count, const uint8_t seed[16],
    uint64_t *out) {
  sip_keys(sip_start(seed), bytes, ends, 0, count, out);
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

enum { lanes = 8 };

/// The state of eight keys: lanes 0-3 in `[0]`, lanes 4-7 in `[1]`.
typedef struct {
  __m256i v0[2], v1[2], v2[2], v3[2];
} sip_lanes;

AVX2_INLINE __m256i rotate_by_bits(__m256i x, int by) {
  return _mm256_or_si256(_mm256_slli_epi64(x, by), _mm256_srli_epi64(x, 64 - by));
}

AVX2_INLINE __m256i rotate_by_16(__m256i x) {
  const __m256i order = _mm256_setr_epi8(
      6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13, 6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9,
      10, 11, 12, 13);
  return _mm256_shuffle_epi8(x, order);
}

AVX2_INLINE __m256i rotate_by_32(__m256i x) { return _mm256_shuffle_epi32(x, 0xb1); }

AVX2_INLINE void lanes_round(sip_lanes *s) {
  for (int h = 0; h < 2; h++) {
    s->v0[h] = _mm256_add_epi64(s->v0[h], s->v1[h]);
    s->v1[h] = _mm256_xor_si256(rotate_by_bits(s->v1[h], 13), s->v0[h]);
    s->v0[h] = rotate_by_32(s->v0[h]);
    s->v2[h] = _mm256_add_epi64(s->v2[h], s->v3[h]);
    s->v3[h] = _mm256_xor_si256(rotate_by_16(s->v3[h]), s->v2[h]);
    s->v0[h] = _mm256_add_epi64(s->v0[h], s->v3[h]);
    s->v3[h] = _mm256_xor_si256(rotate_by_bits(s->v3[h], 21), s->v0[h]);
    s->v2[h] = _mm256_add_epi64(s->v2[h], s->v1[h]);
    s->v1[h] = _mm256_xor_si256(rotate_by_bits(s->v1[h], 17), s->v2[h]);
    s->v2[h] = rotate_by_32(s->v2[h]);
  }
}

AVX2_INLINE void lanes_word(sip_lanes *s, const __m256i word[2]) {
  for (int h = 0; h < 2; h++) s->v3[h] = _mm256_xor_si256(s->v3[h], word[h]);
  lanes_round(s);
  lanes_round(s);
  for (int h = 0; h < 2; h++) s->v0[h] = _mm256_xor_si256(s->v0[h], word[h]);
}

AVX2_INLINE void lanes_digest(sip_lanes *s, uint64_t out[lanes]) {
  for (int i = 0; i < 4; i++) lanes_round(s);
  for (int h = 0; h < 2; h++) {
    __m256i digest = _mm256_xor_si256(
        _mm256_xor_si256(s->v0[h], s->v1[h]), _mm256_xor_si256(s->v2[h], s->v3[h]));
    _mm256_storeu_si256((__m256i *)(out + 4 * h), digest);
  }
}

/// A word that only some lanes take: the others keep their state.
AVX2_INLINE void lanes_masked_word(
    sip_lanes *s, const uint64_t word[lanes], const uint64_t mask[lanes]) {
  sip_lanes next = *s;
  __m256i message[2];
  for (int h = 0; h < 2; h++) message[h] = _mm256_loadu_si256((const __m256i *)(word + 4 * h));
  lanes_word(&next, message);
  for (int h = 0; h < 2; h++) {
    __m256i take = _mm256_loadu_si256((const __m256i *)(mask + 4 * h));
    s->v0[h] = _mm256_blendv_epi8(s->v0[h], next.v0[h], take);
    s->v1[h] = _mm256_blendv_epi8(s->v1[h], next.v1[h], take);
    s->v2[h] = _mm256_blendv_epi8(s->v2[h], next.v2[h], take);
    s->v3[h] = _mm256_blendv_epi8(s->v3[h], next.v3[h], take);
  }
}

AVX2_INLINE void lanes_start(sip_lanes *s, sip_state start) {
  for (int h = 0; h < 2; h++) {
    s->v0[h] = _mm256_set1_epi64x((long long)start.v0);
    s->v1[h] = _mm256_set1_epi64x((long long)start.v1);
    s->v2[h] = _mm256_set1_epi64x((long long)start.v2);
    s->v3[h] = _mm256_set1_epi64x((long long)start.v3);
  }
}

AVX2_INLINE void lanes_finish(sip_lanes *s, uint64_t *out) {
  uint64_t high[lanes], low[lanes];
  for (int h = 0; h < 2; h++) {
    s->v2[h] = _mm256_xor_si256(s->v2[h], _mm256_set1_epi64x(0xee));
  }
  lanes_digest(s, high);
  for (int h = 0; h < 2; h++) {
    s->v1[h] = _mm256_xor_si256(s->v1[h], _mm256_set1_epi64x(0xdd));
  }
  lanes_digest(s, low);
  for (int lane = 0; lane < lanes; lane++) {
    out[2 * lane] = high[lane];
    out[2 * lane + 1] = low[lane];
  }
}

/// Eight keys. Lane l has `words[l]` whole words and then its last word.
AVX2 static void lanes_keys(
    sip_state start, const uint8_t *const key[lanes], const size_t words[lanes],
    const uint64_t last[lanes], size_t fewest, size_t most, uint64_t *out) {
  sip_lanes s;
  lanes_start(&s, start);
  for (size_t w = 0; w < fewest; w++) {
    __m256i message[2];
    for (int h = 0; h < 2; h++) {
      const uint8_t *const *k = key + 4 * h;
      message[h] = _mm256_setr_epi64x(
          (long long)load64(k[0] + 8 * w), (long long)load64(k[1] + 8 * w),
          (long long)load64(k[2] + 8 * w), (long long)load64(k[3] + 8 * w));
    }
    lanes_word(&s, message);
  }
  if (fewest == most) {
    __m256i message[2];
    for (int h = 0; h < 2; h++) message[h] = _mm256_loadu_si256((const __m256i *)(last + 4 * h));
    lanes_word(&s, message);
  } else {
    for (size_t w = fewest; w <= most; w++) {
      uint64_t message[lanes], mask[lanes];
      for (int lane = 0; lane < lanes; lane++) {
        mask[lane] = w <= words[lane] ? UINT64_MAX : 0;
        message[lane] = w < words[lane] ? load64(key[lane] + 8 * w) : last[lane];
      }
      lanes_masked_word(&s, message, mask);
    }
  }
  lanes_finish(&s, out);
}

static void siphash128_batch_avx2(
    const uint8_t *bytes, const uint32_t *ends, size_t count, const uint8_t seed[16],
    uint64_t *out) {
  sip_state start = sip_start(seed);
  size_t i = 0, from = 0;
  for (; i + lanes <= count; i += lanes) {
    const uint8_t *key[lanes];
    size_t words[lanes], fewest = SIZE_MAX, most = 0, sum = 0;
    uint64_t last[lanes];
    for (int lane = 0; lane < lanes; lane++) {
      size_t length = ends[i + lane] - from;
      key[lane] = bytes + from;
      words[lane] = length / 8;
      last[lane] = last_word(key[lane], length, from);
      fewest = words[lane] < fewest ? words[lane] : fewest;
      most = words[lane] > most ? words[lane] : most;
      sum += words[lane];
      from = ends[i + lane];
    }
    // Eight lanes cost as much as about three single keys of the longest one's length.
    if (sum + 4 * lanes < 3 * (most + 4)) {
      sip_keys(start, bytes, ends, i, i + lanes, out);
    } else {
      lanes_keys(start, key, words, last, fewest, most, out + 2 * i);
    }
  }
  sip_keys(start, bytes, ends, i, count, out);
}

#endif

void sediment_siphash128_batch(
    const uint8_t *bytes, const uint32_t *ends, size_t count, const uint8_t seed[16],
    uint64_t *out) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    siphash128_batch_avx2(bytes, ends, count, seed, out);
    return;
  }
#endif
  sediment_siphash128_batch_portable(bytes, ends, count, seed, out);
}
