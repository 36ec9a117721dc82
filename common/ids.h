#ifndef SB_IDS_H
#define SB_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "rng.h"

#define SB_NAME_MAX   64  /* devices, users, sensor types, tables */
#define SB_ID_MAX     128 /* op_id, command_id: bytes of any text */
#define SB_EPOCH_LEN  16
#define SB_UUID_LEN   36
#define SB_TAG_LEN    16
#define SB_STREAM_MAX (8 + 1 + SB_NAME_MAX) /* "settings/" and a name */

/* The one validator of user ids, sensor types and tables: [A-Za-z0-9_-]{1,64}. */
bool sb_name_valid(struct sb_span name);

/* A device id: a valid name that does not begin with '_' (those are operators and ingests). */
bool sb_device_valid(struct sb_span device);

/* "_op-" and a name: who asks on sb/v1/admin/<operator>/req. */
bool sb_operator_valid(struct sb_span name);

/* A table of documents: [a-z][a-z0-9_]{0,63}. SB_TABLE_SETTINGS is one, with a single document. */
#define SB_TABLE_SETTINGS "settings"
bool sb_table_valid(struct sb_span table);

/* The id of a document in its table: 1 to SB_ID_MAX bytes of UTF-8 without control characters. */
bool sb_document_id_valid(struct sb_span id);

/* 16 lower-case hex digits. */
bool sb_hex16_valid(struct sb_span text);
bool sb_uuid_valid(struct sb_span text);

/* UUID version 7 (RFC 9562): wall clock in ms in the first 48 bits, the rest random. */
void sb_uuid7(struct sb_rng *rng, int64_t wall_us, char out[SB_UUID_LEN + 1]);

/* A new epoch, boot id or similar: 16 random hex digits. */
void sb_hex16(struct sb_rng *rng, char out[SB_EPOCH_LEN + 1]);
void sb_hex16_of(uint64_t value, char out[SB_EPOCH_LEN + 1]);
uint64_t sb_hex16_value(const char *text); /* of a valid text */

/* First byte of SHA-256(device) AND 3f: the <bucket> segment of the topic. */
unsigned sb_bucket_of(struct sb_span device);

/* SHA-256 of the spans one after another. */
void sb_sha256(const struct sb_span *parts, size_t count, unsigned char out[32]);

/* The first 8 bytes of that, to recognise a repeat of content. */
uint64_t sb_hash64(struct sb_span data);

#endif
