#define _GNU_SOURCE
#include "device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if defined(__linux__)

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_BYTES = 1 << 20, DEPTH_MAX = 4096 };

// A measurement under way. Linux's older queue for direct I/O, not io_uring: containers allow it.
typedef struct device {
  int descriptor;
  aio_context_t queue;
  uint64_t pages;
  uint64_t random;
  uint8_t *memory;
  struct iocb reads[DEPTH_MAX];
  struct io_event events[DEPTH_MAX];
} device;

typedef struct failure {
  char *message;
  size_t capacity;
} failure;

__attribute__((format(printf, 2, 3))) static bool fail(failure failure, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(failure.message, failure.capacity, format, arguments);
  va_end(arguments);
  return false;
}

// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
static uint64_t next_random(device *device) {
  uint64_t x = device->random += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// Bytes that no device can make fewer.
static bool write_file(device *device, const device_request *request, failure failure) {
  char path[4096];
  snprintf(path, sizeof path, "%s/sediment-bench-device-%d", request->directory, (int)getpid());
  device->descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT, 0600);
  if (device->descriptor < 0) return fail(failure, "cannot create %s: %s", path, strerror(errno));
  unlink(path);
  uint64_t *words = (uint64_t *)device->memory;
  for (uint64_t offset = 0; offset < device->pages * DEVICE_READ_BYTES; offset += WRITE_BYTES) {
    for (size_t i = 0; i < WRITE_BYTES / sizeof *words; i++) words[i] = next_random(device);
    if (pwrite(device->descriptor, words, WRITE_BYTES, (off_t)offset) != WRITE_BYTES) {
      return fail(failure, "cannot write to %s: %s", path, strerror(errno));
    }
  }
  if (fsync(device->descriptor) != 0) {
    return fail(failure, "cannot synchronize %s: %s", path, strerror(errno));
  }
  return true;
}

// Gives `count` reads at new random places to the system.
static bool submit(device *device, struct iocb **reads, long count, failure failure) {
  for (long i = 0; i < count; i++) {
    reads[i]->aio_offset = (int64_t)(next_random(device) % device->pages * DEVICE_READ_BYTES);
  }
  while (count > 0) {
    long taken = syscall(SYS_io_submit, device->queue, count, reads);
    if (taken < 0 && errno != EINTR && errno != EAGAIN) {
      return fail(failure, "cannot submit reads: %s", strerror(errno));
    }
    if (taken > 0) reads += taken, count -= taken;
  }
  return true;
}

static double seconds_of(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static bool read_randomly(device *device, const device_request *request, device_figures *figures,
                          failure failure) {
  struct iocb *again[DEPTH_MAX];
  for (uint32_t i = 0; i < request->depth; i++) {
    device->reads[i] = (struct iocb){
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_fildes = (uint32_t)device->descriptor,
        .aio_buf = (uint64_t)(uintptr_t)(device->memory + (size_t)i * DEVICE_READ_BYTES),
        .aio_nbytes = DEVICE_READ_BYTES,
    };
    again[i] = &device->reads[i];
  }
  double start = seconds_of(CLOCK_MONOTONIC), start_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  if (!submit(device, again, request->depth, failure)) return false;
  do {
    long count = syscall(SYS_io_getevents, device->queue, 1L, (long)request->depth,
                         device->events, NULL);
    if (count < 0 && errno != EINTR) {
      return fail(failure, "cannot wait for reads: %s", strerror(errno));
    }
    for (long i = 0; i < count; i++) {
      const struct io_event *event = &device->events[i];
      if (event->res != DEVICE_READ_BYTES) {
        return fail(failure, "a read failed: %s",
                    event->res < 0 ? strerror((int)-event->res) : "short");
      }
      again[i] = (struct iocb *)(uintptr_t)event->obj;
    }
    if (count > 0) figures->reads += (uint64_t)count;
    if (count > 0 && !submit(device, again, count, failure)) return false;
    figures->wall_seconds = seconds_of(CLOCK_MONOTONIC) - start;
  } while (figures->wall_seconds < request->seconds);
  figures->cpu_seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
  return true;
}

bool device_measure(const device_request *request, device_figures *figures, char *message,
                    size_t capacity) {
  failure failure = {message, capacity};
  *figures = (device_figures){0};
  if (request->depth < 1 || request->depth > DEPTH_MAX) {
    return fail(failure, "a depth of %u is not 1 to %d", request->depth, DEPTH_MAX);
  }
  uint64_t chunks = request->file_bytes / WRITE_BYTES;
  if (chunks < 1) return fail(failure, "the file has 1 MiB at least");
  device *device = calloc(1, sizeof *device);
  if (device == NULL) return fail(failure, "no memory");
  device->descriptor = -1;
  device->pages = chunks * (WRITE_BYTES / DEVICE_READ_BYTES);
  size_t bytes = (size_t)request->depth * DEVICE_READ_BYTES;
  bool succeeded = false;
  if (posix_memalign((void **)&device->memory, DEVICE_READ_BYTES,
                     bytes > WRITE_BYTES ? bytes : WRITE_BYTES) != 0) {
    device->memory = NULL;
    fail(failure, "no memory");
  } else if (syscall(SYS_io_setup, request->depth, &device->queue) != 0) {
    fail(failure, "no queue for %u reads: %s", request->depth, strerror(errno));
  } else {
    succeeded = write_file(device, request, failure) &&
                read_randomly(device, request, figures, failure);
  }
  // Waits for what is under way.
  if (device->queue != 0) syscall(SYS_io_destroy, device->queue);
  if (device->descriptor >= 0) close(device->descriptor);
  free(device->memory);
  free(device);
  return succeeded;
}

#else

bool device_measure(const device_request *request, device_figures *figures, char *message,
                    size_t capacity) {
  (void)request, (void)figures;
  snprintf(message, capacity, "needs Linux: reads past the page cache, many at a time");
  return false;
}

#endif
