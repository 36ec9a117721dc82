/* The process's SSL_read(): looks at the PUBACKs that pass.
 *
 * MQTTAsync (1.3.12) reports the reason code of a PUBACK only from 0x80 on. 0x10, "no matching
 * subscribers", arrives as a plain success, and it is the one sign by which a broker tells that
 * nobody has a session for the topic, so that the message is gone. As with connect() in
 * tcp_nodelay.c, the definition in the program is the one that Paho's library calls. It changes
 * nothing: it counts the bytes of the MQTT packets and remembers two numbers. On streams that are
 * not MQTT (a database's) what it remembers is never asked for. */

#include "puback_reason.h"

#include <dlfcn.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PUBACK           4
#define LENGTH_BYTES_MAX 4

static _Thread_local struct {
    int packet_id;
    int reason;
} last;

static int (*real_read)(SSL *ssl, void *buf, int num);
static int reader_index;
static pthread_once_t once = PTHREAD_ONCE_INIT;

int sb_puback_reason(int packet_id)
{
    return last.packet_id == packet_id ? last.reason : 0;
}

static void free_reader(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    free(ptr);
}

static void set_up(void)
{
    void *symbol = dlsym(RTLD_NEXT, "SSL_read");

    memcpy(&real_read, &symbol, sizeof(real_read));
    reader_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_reader);
}

static bool is_puback(const struct sb_puback_reader *reader)
{
    return reader->type == PUBACK && reader->length >= 2;
}

static void take_length(struct sb_puback_reader *reader, unsigned char byte)
{
    reader->length |= (size_t)(byte & 0x7f) << 7 * reader->length_bytes++;
    if ((byte & 0x80) == 0)
        reader->part = reader->length > 0 ? SB_PUBACK_BODY : SB_PUBACK_HEADER;
    else if (reader->length_bytes == LENGTH_BYTES_MAX)
        reader->part = SB_PUBACK_NOT_MQTT;
}

/* As much of the body as there is; the number of bytes taken. */
static size_t take_body(struct sb_puback_reader *reader, const unsigned char *bytes, size_t count)
{
    size_t take = reader->length - reader->got < count ? reader->length - reader->got : count;

    for (size_t i = 0; i < take && reader->got + i < sizeof(reader->body); i++)
        reader->body[reader->got + i] = bytes[i];
    reader->got += take;
    if (reader->got == reader->length)
        reader->part = SB_PUBACK_HEADER;
    return take;
}

bool sb_puback_read(struct sb_puback_reader *reader, const unsigned char *bytes, size_t count,
                    int *packet_id, int *reason)
{
    bool found = false;

    while (count > 0) {
        size_t taken = 1;

        switch (reader->part) {
        case SB_PUBACK_HEADER:
            *reader = (struct sb_puback_reader){.part = SB_PUBACK_LENGTH, .type = *bytes >> 4};
            break;
        case SB_PUBACK_LENGTH:
            take_length(reader, *bytes);
            break;
        case SB_PUBACK_BODY:
            taken = take_body(reader, bytes, count);
            if (reader->part == SB_PUBACK_HEADER && is_puback(reader)) {
                *packet_id = reader->body[0] << 8 | reader->body[1];
                *reason = reader->length > 2 ? reader->body[2] : 0;
                found = true;
            }
            break;
        case SB_PUBACK_NOT_MQTT:
            return found;
        }
        bytes += taken;
        count -= taken;
    }
    return found;
}

static struct sb_puback_reader *reader_of(SSL *ssl)
{
    struct sb_puback_reader *reader = SSL_get_ex_data(ssl, reader_index);

    if (reader == NULL) {
        reader = calloc(1, sizeof(*reader));
        if (reader != NULL && SSL_set_ex_data(ssl, reader_index, reader) != 1) {
            free(reader);
            reader = NULL;
        }
    }
    return reader;
}

int SSL_read(SSL *ssl, void *buf, int num)
{
    struct sb_puback_reader *reader;
    int n;

    pthread_once(&once, set_up);
    n = real_read(ssl, buf, num);
    if (n > 0 && (reader = reader_of(ssl)) != NULL)
        sb_puback_read(reader, buf, (size_t)n, &last.packet_id, &last.reason);
    return n;
}
