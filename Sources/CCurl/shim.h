// libcurl, with functions in place of what Swift cannot call: `curl_easy_setopt` and
// `curl_easy_getinfo` are variadic, and some constants are expressions.

#pragma once

#include <curl/curl.h>
#include <stdint.h>

/// Moves up to `size * count` bytes; returns how many.
typedef size_t (*sediment_curl_transfer)(char *buffer, size_t size, size_t count, void *context);
/// Goes on from `offset`; 0 when it can.
typedef int (*sediment_curl_seek)(void *context, curl_off_t offset, int origin);

static inline CURLcode sediment_curl_initialize(void) {
  return curl_global_init(CURL_GLOBAL_DEFAULT);
}

static inline CURLcode sediment_curl_set_flag(CURL *curl, CURLoption option, int64_t value) {
  return curl_easy_setopt(curl, option, (long)value);
}

static inline CURLcode sediment_curl_set_size(CURL *curl, CURLoption option, int64_t value) {
  return curl_easy_setopt(curl, option, (curl_off_t)value);
}

/// The text is copied.
static inline CURLcode sediment_curl_set_text(CURL *curl, CURLoption option, const char *text) {
  return curl_easy_setopt(curl, option, text);
}

/// The list and the buffer have to stay until the transfer is over.
static inline CURLcode sediment_curl_set_headers(CURL *curl, struct curl_slist *headers) {
  return curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
}

static inline CURLcode sediment_curl_set_error_buffer(CURL *curl, char *buffer) {
  return curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, buffer);
}

static inline CURLcode sediment_curl_set_writer(
  CURL *curl, sediment_curl_transfer writer, void *context) {
  CURLcode code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, writer);
  return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_WRITEDATA, context);
}

/// Gets the lines of the head, one a call.
static inline CURLcode sediment_curl_set_header_writer(
  CURL *curl, sediment_curl_transfer writer, void *context) {
  CURLcode code = curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, writer);
  return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_HEADERDATA, context);
}

static inline CURLcode sediment_curl_set_reader(
  CURL *curl, sediment_curl_transfer reader, sediment_curl_seek seek, void *context) {
  CURLcode code = curl_easy_setopt(curl, CURLOPT_READFUNCTION, reader);
  if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_READDATA, context);
  if (code == CURLE_OK) code = curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, seek);
  return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_SEEKDATA, context);
}

/// HTTP and HTTPS, or HTTPS alone; never a file or another scheme.
static inline CURLcode sediment_curl_set_protocols(CURL *curl, int secure_only) {
#if LIBCURL_VERSION_NUM >= 0x075500
  return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, secure_only ? "https" : "http,https");
#else
  return curl_easy_setopt(
    curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTPS | (secure_only ? 0 : CURLPROTO_HTTP)));
#endif
}

/// Kerberos through SPNEGO, with the ticket of whoever runs the program.
static inline CURLcode sediment_curl_set_negotiate(CURL *curl) {
  CURLcode code = curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_NEGOTIATE);
  return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_USERPWD, ":");
}

/// The status of the last answer; 0 when there was none.
static inline int64_t sediment_curl_status(CURL *curl) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

/// Where the last answer led to; NULL when it was no redirect. Good until the next transfer.
static inline const char *sediment_curl_redirect(CURL *curl) {
  char *url = NULL;
  curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &url);
  return url;
}

/// What a reading function returns to end the transfer with an error.
static inline size_t sediment_curl_abort(void) { return CURL_READFUNC_ABORT; }
