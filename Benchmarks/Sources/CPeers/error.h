#ifndef SEDIMENT_PEER_ERROR_H
#define SEDIMENT_PEER_ERROR_H

#include <stdarg.h>
#include <stdio.h>

#include "peers.h"

// Sets the message and returns false.
__attribute__((format(printf, 2, 3))) static inline bool peer_fail(peer_error *error,
                                                                   const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  return false;
}

#endif
