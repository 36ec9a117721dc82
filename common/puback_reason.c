/* The process's SSL_read(): looks at the PUBACKs that pass.
 *
 * Up to 1.3.14 MQTTAsync reports the reason code of a PUBACK only from 0x80 on. 0x10, "no matching
 * subscribers", arrives as a plain success, and it is the one sign by which a broker tells that
 * nobody has a session for the topic, so that the message is gone. As with connect() in
 * tcp_nodelay.c, the definition in the program is the one that Paho's library calls. It changes
 * nothing: it counts the bytes of the MQTT packets and remembers two numbers. On streams that are
 * not MQTT (a database's) what it remembers is never asked for. */

#include "puback_reason.h"

#include <dlfcn.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PUBACK            4
#define LENGTH_BYTES_MAX  4
#define BODY_BYTES_NEEDED 3 /* packet identifier and reason code */

enum part { HEADER, LENGTH, BODY, NOT_MQTT };

/* Where in the stream of MQTT packets of one connection the reader is. */
struct stream {
    enum part part;
    unsigned type;
    unsigned length_bytes;
    size_t length, got;
    unsigned char body[BODY_BYTES_NEEDED];
};

static _Thread_local struct {
    int packet_id;
    int reason;
} last;

static int (*real_read)(SSL *ssl, void *buf, int num);
static int stream_index;
static pthread_once_t once = PTHREAD_ONCE_INIT;

int sb_puback_reason(int packet_id)
{
    return last.packet_id == packet_id ? last.reason : 0;
}

static void free_stream(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    free(ptr);
}

static void set_up(void)
{
    void *symbol = dlsym(RTLD_NEXT, "SSL_read");

    memcpy(&real_read, &symbol, sizeof(real_read));
    stream_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_stream);
}

static void end_packet(struct stream *s)
{
    if (s->type == PUBACK && s->length >= 2) {
        last.packet_id = s->body[0] << 8 | s->body[1];
        last.reason = s->length > 2 ? s->body[2] : 0;
    }
    s->part = HEADER;
}

static void take_length(struct stream *s, unsigned char byte)
{
    s->length |= (size_t)(byte & 0x7f) << 7 * s->length_bytes++;
    if ((byte & 0x80) != 0) {
        if (s->length_bytes == LENGTH_BYTES_MAX)
            s->part = NOT_MQTT;
        return;
    }
    s->got = 0;
    s->part = BODY;
    if (s->length == 0)
        end_packet(s);
}

/* As much of the body as there is; the number of bytes taken. */
static size_t take_body(struct stream *s, const unsigned char *bytes, size_t count)
{
    size_t take = s->length - s->got < count ? s->length - s->got : count;

    for (size_t i = 0; i < take && s->got + i < BODY_BYTES_NEEDED; i++)
        s->body[s->got + i] = bytes[i];
    s->got += take;
    if (s->got == s->length)
        end_packet(s);
    return take;
}

static void look_at(struct stream *s, const unsigned char *bytes, size_t count)
{
    while (count > 0) {
        size_t taken = 1;

        switch (s->part) {
        case HEADER:
            *s = (struct stream){.part = LENGTH, .type = *bytes >> 4};
            break;
        case LENGTH:
            take_length(s, *bytes);
            break;
        case BODY:
            taken = take_body(s, bytes, count);
            break;
        case NOT_MQTT:
            return;
        }
        bytes += taken;
        count -= taken;
    }
}

static struct stream *stream_of(SSL *ssl)
{
    struct stream *s = SSL_get_ex_data(ssl, stream_index);

    if (s == NULL) {
        s = calloc(1, sizeof(*s));
        if (s != NULL && SSL_set_ex_data(ssl, stream_index, s) != 1) {
            free(s);
            s = NULL;
        }
    }
    return s;
}

int SSL_read(SSL *ssl, void *buf, int num)
{
    struct stream *s;
    int n;

    pthread_once(&once, set_up);
    n = real_read(ssl, buf, num);
    if (n > 0 && (s = stream_of(ssl)) != NULL)
        look_at(s, buf, (size_t)n);
    return n;
}
