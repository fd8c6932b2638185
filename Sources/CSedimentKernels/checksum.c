#include "CSedimentKernels.h"

// Everything of xxhash.h becomes static here, so that none of its names reach Swift or the linker.
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t sediment_xxh3_64(const void *bytes, size_t length, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes, length, seed);
}
