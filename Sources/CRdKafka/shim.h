// librdkafka, and what of it Swift cannot call: functions with arguments of any number.

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <string.h>

/// Produces one message, whose bytes are copied.
///
/// @param partition   RD_KAFKA_PARTITION_UA lets the partitioner choose.
/// @param key         NULL for none.
/// @param timestamp   in ms since 1970; 0 for now.
/// @param headers     NULL for none; librdkafka's when there is no error, else the caller's still.
static inline rd_kafka_resp_err_t sediment_kafka_produce(
    rd_kafka_t *client, rd_kafka_topic_t *topic, int32_t partition, const void *value,
    size_t value_bytes, const void *key, size_t key_bytes, int64_t timestamp,
    rd_kafka_headers_t *headers) {
  if (headers)
    return rd_kafka_producev(
        client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE((void *)value, value_bytes),
        RD_KAFKA_V_KEY(key, key_bytes), RD_KAFKA_V_TIMESTAMP(timestamp),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
  return rd_kafka_producev(
      client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE((void *)value, value_bytes),
      RD_KAFKA_V_KEY(key, key_bytes), RD_KAFKA_V_TIMESTAMP(timestamp), RD_KAFKA_V_END);
}

/// Bytes of a text before its zero.
static inline size_t sediment_kafka_length(const char *text) { return strlen(text); }
