#define _GNU_SOURCE
#include "CSedimentSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <mach/mach.h>
#endif

int sediment_rename_exclusive(int directory, const char *from, const char *to) {
#if defined(__APPLE__)
  return renameatx_np(directory, from, directory, to, RENAME_EXCL);
#elif defined(RENAME_NOREPLACE)
  return renameat2(directory, from, directory, to, RENAME_NOREPLACE);
#else
  (void)directory, (void)from, (void)to;
  errno = ENOSYS;
  return -1;
#endif
}

int sediment_open_directory_for_lookup(const char *path) {
#ifdef O_PATH
  return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
#else
  (void)path;
  errno = ENOSYS;
  return -1;
#endif
}

int sediment_synchronize_file(int descriptor) {
#if defined(__APPLE__)
  // fsync on Darwin stops at the drive's cache; F_FULLFSYNC is refused by some file systems.
  if (fcntl(descriptor, F_FULLFSYNC) == 0) return 0;
  if (errno != ENOTSUP && errno != ENOTTY && errno != EINVAL) return -1;
  return fsync(descriptor);
#else
  return fdatasync(descriptor);
#endif
}

void sediment_start_writeback(int descriptor, int64_t offset, int64_t bytes) {
#ifdef __linux__
  sync_file_range(descriptor, offset, bytes, SYNC_FILE_RANGE_WRITE);
#else
  (void)descriptor, (void)offset, (void)bytes;
#endif
}

void sediment_synchronize_aside(int descriptor) {
#ifdef __linux__
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  int own = open(path, O_RDONLY | O_CLOEXEC);
  if (own < 0) return;
  // The system tells a failed write to every open file once: `descriptor` still has to hear of it.
  fdatasync(own);
  close(own);
#else
  (void)descriptor;
#endif
}

void sediment_start_read(int descriptor, int64_t offset, int64_t bytes) {
#if defined(F_RDADVISE)
  struct radvisory part = {offset, (int)(bytes < INT_MAX ? bytes : INT_MAX)};
  fcntl(descriptor, F_RDADVISE, &part);
#else
  posix_fadvise(descriptor, offset, bytes, POSIX_FADV_WILLNEED);
#endif
}

void sediment_drop_cached(int descriptor, int64_t offset, int64_t bytes) {
#ifdef __linux__
  // Not sync_file_range with a wait: that takes the error of a failed write from this descriptor,
  // and the synchronisation to come would not tell of it.
  posix_fadvise(descriptor, offset, bytes, POSIX_FADV_DONTNEED);
#else
  (void)descriptor, (void)offset, (void)bytes;
#endif
}

int64_t sediment_read_cached(int descriptor, void *destination, int64_t bytes, int64_t offset) {
#if defined(RWF_NOWAIT)
  struct iovec whole = {destination, (size_t)bytes};
  int64_t count = preadv2(descriptor, &whole, 1, offset, RWF_NOWAIT);
  return count < 0 ? 0 : count;
#else
  (void)descriptor, (void)destination, (void)bytes, (void)offset;
  return 0;
#endif
}

int64_t sediment_read_or_begin(int descriptor, void *destination, int64_t bytes, int64_t offset) {
  int64_t count = sediment_read_cached(descriptor, destination, bytes, offset);
  if (count == bytes) return count;
  sediment_start_read(descriptor, offset, bytes);
  return count < 0 ? 0 : count;
}

int sediment_try_lock(int descriptor) { return flock(descriptor, LOCK_EX | LOCK_NB); }

int sediment_look_at_lock(int descriptor) {
  int code = flock(descriptor, LOCK_SH | LOCK_NB);
  return code != 0 ? code : flock(descriptor, LOCK_UN);
}

struct start {
  void (*body)(void *);
  void *context;
};

static void *run(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  start.body(start.context);
  return NULL;
}

int sediment_start_thread(void (*body)(void *), void *context, uint64_t *thread) {
  struct start *start = malloc(sizeof *start);
  if (start == NULL) return ENOMEM;
  *start = (struct start){body, context};
  pthread_t created;
  int code = pthread_create(&created, NULL, run, start);
  if (code != 0) free(start);
  else *thread = (uint64_t)(uintptr_t)created;
  return code;
}

int sediment_join_thread(uint64_t thread) {
  return pthread_join((pthread_t)(uintptr_t)thread, NULL);
}

void sediment_detach_thread(uint64_t thread) { pthread_detach((pthread_t)(uintptr_t)thread); }

void sediment_name_thread(const char *name) {
#if defined(__APPLE__)
  pthread_setname_np(name);
#else
  char cut[16];  // Linux takes 15 bytes and a NUL, and refuses longer names.
  strncpy(cut, name, sizeof cut - 1);
  cut[sizeof cut - 1] = 0;
  pthread_setname_np(pthread_self(), cut);
#endif
}

int sediment_terminal_columns(int descriptor) {
  struct winsize size;
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

uint64_t sediment_peak_resident_bytes(void) {
#if !defined(__APPLE__)
  // Not getrusage first: on Linux it counts what the process was before it became this program,
  // so a small child of a large parent would report the parent's size.
  FILE *file = fopen("/proc/self/status", "re");
  if (file != NULL) {
    char line[256];
    unsigned long long kibibytes = 0;
    int found = 0;
    while (!found && fgets(line, sizeof line, file) != NULL) {
      found = sscanf(line, "VmHWM: %llu kB", &kibibytes) == 1;
    }
    fclose(file);
    if (found) return (uint64_t)kibibytes * 1024;
  }
#endif
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#if defined(__APPLE__)
  return (uint64_t)usage.ru_maxrss;
#else
  return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

uint64_t sediment_resident_bytes(void) {
#if defined(__APPLE__)
  mach_task_basic_info_data_t info;
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &count) != 0) return 0;
  return info.resident_size;
#else
  unsigned long long total = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL) return 0;
  int fields = fscanf(file, "%llu %llu", &total, &resident);
  fclose(file);
  return fields == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
#endif
}

void *sediment_map_memory(uint64_t bytes) {
  void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return start == MAP_FAILED ? NULL : start;
}

int sediment_discard_memory(void *start, uint64_t bytes) {
  // A new mapping in place of the old one: MADV_DONTNEED would do on Linux, but not on Darwin.
  void *fresh =
      mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return fresh == MAP_FAILED ? -1 : 0;
}

void sediment_advise_huge_pages(void *start, uint64_t bytes) {
#if defined(MADV_HUGEPAGE)
  madvise(start, bytes, MADV_HUGEPAGE);
#else
  (void)start, (void)bytes;
#endif
}
