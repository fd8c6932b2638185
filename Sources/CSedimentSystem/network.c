#define _GNU_SOURCE
#include "CSedimentSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int close_with(int descriptor, int error) {
  close(descriptor);
  errno = error;
  return -1;
}

static int bound_port(int descriptor, uint16_t *port) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(descriptor, (struct sockaddr *)&address, &length) != 0) return -1;
  *port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                              : ((struct sockaddr_in *)&address)->sin_port);
  return 0;
}

static int listen_at(const struct addrinfo *where, uint16_t *port) {
  int descriptor = socket(where->ai_family, where->ai_socktype, where->ai_protocol);
  if (descriptor < 0) return -1;
  int yes = 1;
  fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  // A connection may be gone before it is taken, and nobody waits for the next one then.
  fcntl(descriptor, F_SETFL, O_NONBLOCK);
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(descriptor, where->ai_addr, where->ai_addrlen) != 0 || listen(descriptor, 16) != 0 ||
      bound_port(descriptor, port) != 0)
    return close_with(descriptor, errno);
  return descriptor;
}

int sediment_listen(const char *host, uint16_t *port) {
  char service[8];
  struct addrinfo hints, *found = NULL;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  snprintf(service, sizeof service, "%u", (unsigned)*port);
  if (getaddrinfo(host, service, &hints, &found) != 0) {
    errno = EADDRNOTAVAIL;
    return -1;
  }
  int descriptor = -1;
  for (const struct addrinfo *one = found; one && descriptor < 0; one = one->ai_next)
    descriptor = listen_at(one, port);
  int error = errno;
  freeaddrinfo(found);
  errno = error;
  return descriptor;
}

int sediment_accept(int listener, int milliseconds, int timeout_milliseconds) {
  struct pollfd wanted = {.fd = listener, .events = POLLIN};
  int ready = poll(&wanted, 1, milliseconds);
  if (ready <= 0) {
    if (ready == 0) errno = EAGAIN;
    return -1;
  }
  int descriptor = accept(listener, NULL, NULL);
  if (descriptor < 0) {
    // With no descriptor left the connection stays, and is ready again at once.
    int error = errno;
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
      poll(NULL, 0, milliseconds);
    errno = error;
    return -1;
  }
  struct timeval limit = {.tv_sec = timeout_milliseconds / 1000,
                          .tv_usec = timeout_milliseconds % 1000 * 1000};
  fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  fcntl(descriptor, F_SETFL, 0);
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
    return close_with(descriptor, errno);
#if defined(SO_NOSIGPIPE)
  int yes = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_NOSIGPIPE, &yes, sizeof yes);
#endif
  return descriptor;
}

int64_t sediment_send(int descriptor, const void *bytes, int64_t count) {
#if defined(MSG_NOSIGNAL)
  return send(descriptor, bytes, (size_t)count, MSG_NOSIGNAL);
#else
  return send(descriptor, bytes, (size_t)count, 0);
#endif
}
