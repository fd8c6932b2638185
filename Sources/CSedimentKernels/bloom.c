// Setting bits in a line of a blocked Bloom filter.
//
// A key sets one bit in each of eight words. The AVX2 version keeps the line in two vectors and
// shifts all words at once, each by a number of its own.

#include "CSedimentKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline uint64_t little(uint64_t word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

void sediment_bloom_fill_portable(uint64_t line[8], const uint64_t *lows, size_t count) {
  for (size_t i = 0; i < count; i++) {
    for (int word = 0; word < 8; word++) {
      line[word] |= little((uint64_t)1 << (lows[i] >> (6 * word) & 63));
    }
  }
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void bloom_fill_avx2(
    uint64_t line[8], const uint64_t *lows, size_t count) {
  const __m256i one = _mm256_set1_epi64x(1);
  const __m256i mask = _mm256_set1_epi64x(63);
  const __m256i shift0 = _mm256_setr_epi64x(0, 6, 12, 18);
  const __m256i shift4 = _mm256_setr_epi64x(24, 30, 36, 42);
  __m256i words0 = _mm256_loadu_si256((const __m256i *)line);
  __m256i words4 = _mm256_loadu_si256((const __m256i *)(line + 4));
  for (size_t i = 0; i < count; i++) {
    __m256i low = _mm256_set1_epi64x((long long)lows[i]);
    __m256i bits0 = _mm256_and_si256(_mm256_srlv_epi64(low, shift0), mask);
    __m256i bits4 = _mm256_and_si256(_mm256_srlv_epi64(low, shift4), mask);
    words0 = _mm256_or_si256(words0, _mm256_sllv_epi64(one, bits0));
    words4 = _mm256_or_si256(words4, _mm256_sllv_epi64(one, bits4));
  }
  _mm256_storeu_si256((__m256i *)line, words0);
  _mm256_storeu_si256((__m256i *)(line + 4), words4);
}

#endif

void sediment_bloom_fill(uint64_t line[8], const uint64_t *lows, size_t count) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    bloom_fill_avx2(line, lows, count);
    return;
  }
#endif
  sediment_bloom_fill_portable(line, lows, count);
}
