// What a device can do: random reads of it, many at a time, past the page cache.

#ifndef SEDIMENT_DEVICE_H
#define SEDIMENT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEVICE_READ_BYTES = 4096 };

typedef struct device_request {
  // Where a file for the reads is made; it has no name and is gone afterwards.
  const char *directory;
  uint64_t file_bytes;
  // Reads that are under way at once.
  uint32_t depth;
  double seconds;
} device_request;

typedef struct device_figures {
  uint64_t reads;
  double wall_seconds;
  double cpu_seconds;
} device_figures;

// Writes the file, then reads parts of 4096 bytes at random places of it for so many seconds. On
// failure false, with a message that is cut to `capacity` bytes.
bool device_measure(const device_request *request, device_figures *figures, char *message,
                    size_t capacity);

#endif
