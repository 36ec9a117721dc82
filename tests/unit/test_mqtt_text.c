/* What the link makes of Paho's and OpenSSL's texts and of the stream; test_03_link.py has the same
 * with the real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/mqtt_cause.h"
#include "common/mqtt_link.h"
#include "common/puback_reason.h"
#include "common/rng.h"

#define WHERE        "broker.example:8883"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Lines as MQTTAsync 1.3.12 writes them. */
#define CONNECT_REFUSED_MESSAGE "TCP/TLS connect failure"

static void assert_explained(const char *const *lines, int code, const char *message,
                             enum sb_code expected, const char *text)
{
    struct sb_mqtt_cause cause = {0};
    struct sb_err err;

    for (; *lines != NULL; lines++)
        sb_mqtt_cause_trace(&cause, *lines);
    sb_mqtt_cause_explain(&cause, code, message, WHERE, &err);
    assert_int_equal(err.code, expected);
    if (strstr(err.msg, WHERE) == NULL || strstr(err.msg, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
}

static void an_alert_tells_who_refused_whom(void **state)
{
    static const char *const ours[] = {
        "20261121 103512.460 SSL state connect:SSLv3/TLS write client hello:(NONE)",
        "20261121 103512.460 SSL alert write:fatal:certificate expired", NULL};
    static const char *const theirs[] = {
        "20261121 103512.460 SSL handshake done read:unknown:unknown",
        "20261121 103512.460 SSL alert read:fatal:unknown CA", NULL};
    static const char *const required[] = {"SSL handshake done read:unknown:unknown",
                                           "SSL alert read:fatal:unknown", NULL};
    static const char *const protocol[] = {"SSL alert read:fatal:protocol version", NULL};
    static const char *const harmless[] = {"SSL alert read:warning:close notify", NULL};

    (void)state;
    assert_explained(ours, -1, CONNECT_REFUSED_MESSAGE, SB_ETLS,
                     "the broker's certificate is refused: certificate expired");
    assert_explained(theirs, -1, "TCP connect completion failure", SB_EIDENTITY,
                     "the broker refused this client's certificate: unknown CA");
    assert_explained(required, -1, "TCP connect completion failure", SB_EIDENTITY,
                     "it requires one");
    assert_explained(protocol, -1, CONNECT_REFUSED_MESSAGE, SB_ETLS,
                     "no common TLS: protocol version (the broker said so)");
    assert_explained(harmless, -1, CONNECT_REFUSED_MESSAGE, SB_EUNREACHABLE, "no connection");
}

static void a_name_is_wrong_only_where_the_address_is_too(void **state)
{
    static const char *const wrong[] = {"X509_check_host for hostname localhost failed, rc 0",
                                        "rc from X509_check_ip_asc is 0", NULL};
    static const char *const address[] = {"X509_check_host for hostname 127.0.0.1 failed, rc 0",
                                          "rc from X509_check_ip_asc is 1", NULL};

    (void)state;
    assert_explained(wrong, -1, CONNECT_REFUSED_MESSAGE, SB_ETLS, "hostname mismatch");
    assert_explained(address, -1, CONNECT_REFUSED_MESSAGE, SB_EUNREACHABLE, "no connection");
}

static void silence_is_explained_by_what_came_before(void **state)
{
    static const char *const nothing[] = {NULL};
    static const char *const name[] = {"getaddrinfo failed for addr broker.example with rc -2",
                                       NULL};
    static const char *const network[] = {
        "Socket error Network is unreachable(101) in connect for socket 7", NULL};
    static const char *const other[] = {"Socket error Broken pipe(32) in writev for socket 7",
                                        NULL};
    static const char *const handshake[] = {"SSL handshake done write:unknown:unknown", NULL};

    (void)state;
    assert_explained(nothing, -1, NULL, SB_EUNREACHABLE, "nobody listens there");
    assert_explained(nothing, -1, "TCP connect timeout", SB_EUNREACHABLE, "no answer in time");
    assert_explained(nothing, -1, "TCP connect completion failure", SB_EUNREACHABLE,
                     "closed the connection at once");
    assert_explained(name, -1, NULL, SB_EUNREACHABLE, "the name has no address");
    assert_explained(network, -1, NULL, SB_EUNREACHABLE, WHERE ": Network is unreachable");
    assert_explained(other, -1, NULL, SB_EUNREACHABLE, "nobody listens there");
    assert_explained(handshake, -1, "TCP connect completion failure", SB_EIDENTITY,
                     "seems to have refused this client's certificate");
    assert_explained(handshake, -1, "TCP connect timeout", SB_EUNREACHABLE, "no answer in time");
    assert_explained(handshake, 0x88, "CONNACK return code", SB_EUNREACHABLE,
                     "0x88 server unavailable");
}

static void the_first_entry_of_openssls_queue_is_kept(void **state)
{
    static const char first[] = "8072C9F7FF7E0000:error:0A000086:SSL routines:"
                                "tls_post_process_server_certificate:certificate verify failed:"
                                "../ssl/statem/statem_clnt.c:1883:\n";
    struct sb_mqtt_cause cause = {0};
    struct sb_err err;
    char huge[2000];

    (void)state;
    sb_mqtt_cause_tls(&cause, first, strlen(first));
    sb_mqtt_cause_tls(&cause, "another", 7);
    sb_mqtt_cause_explain(&cause, -1, NULL, WHERE, &err);
    assert_int_equal(err.code, SB_ETLS);
    assert_string_equal(err.msg, WHERE ": TLS: certificate verify failed");

    memset(huge, 'x', sizeof(huge));
    cause = (struct sb_mqtt_cause){0};
    sb_mqtt_cause_tls(&cause, huge, sizeof(huge));
    assert_int_equal(strlen(cause.tls), sizeof(cause.tls) - 1);
    memcpy(huge, "SSL alert read:fatal:", 21);
    huge[sizeof(huge) - 1] = '\0';
    sb_mqtt_cause_trace(&cause, huge);
    assert_int_equal(strlen(cause.alert), sizeof(cause.alert) - 1);
}

static void every_reason_code_has_a_text(void **state)
{
    char text[128], small[8];

    (void)state;
    sb_mqtt_reason(0x87, text, sizeof(text));
    assert_string_equal(text, "0x87 not authorized: the broker's ACL does not allow this topic");
    sb_mqtt_reason(-11, text, sizeof(text));
    assert_string_equal(text, "the connection ended before the broker answered (-11)");
    sb_mqtt_reason(0xfe, text, sizeof(text));
    assert_string_equal(text, "0xfe no text for this code");
    sb_mqtt_reason(0x87, small, sizeof(small));
    assert_string_equal(small, "0x87 no");
    assert_int_equal(sb_mqtt_reason_code(0), SB_OK);
    assert_int_equal(sb_mqtt_reason_code(0x10), SB_EUNREACHABLE);
    assert_int_equal(sb_mqtt_reason_code(0x95), SB_ETOO_LARGE);
    assert_int_equal(sb_mqtt_reason_code(0xfe), SB_EINTERNAL);
    assert_int_equal(sb_mqtt_reason_code(-12345), SB_EINTERNAL);
}

/* ---- the PUBACKs of a stream ---- */

struct ack {
    int packet_id, reason;
};

/* CONNACK, SUBACK, PUBACK 1 without reason, PINGRESP, a PUBLISH of 300 bytes, PUBACK 258 with 0x10,
 * PUBACK 3 with a reason and properties, PUBACK 65535 with 0x00. */
static size_t build_stream(unsigned char *out)
{
    static const unsigned char head[] = {0x20, 0x03, 0x00, 0x00, 0x00, 0x90, 0x04,
                                         0x00, 0x01, 0x00, 0x01, 0x40, 0x02, 0x00,
                                         0x01, 0xd0, 0x00, 0x32, 0xac, 0x02};
    static const unsigned char tail[] = {0x40, 0x03, 0x01, 0x02, 0x10, 0x40, 0x06, 0x00, 0x03,
                                         0x87, 0x02, 0x1f, 0x00, 0x40, 0x03, 0xff, 0xff, 0x00};

    memcpy(out, head, sizeof(head));
    memset(out + sizeof(head), 0x40, 300);
    memcpy(out + sizeof(head) + 300, tail, sizeof(tail));
    return sizeof(head) + 300 + sizeof(tail);
}

static const struct ack expected[] = {{1, 0}, {258, 0x10}, {3, 0x87}, {65535, 0}};

static void pubacks_are_found_in_a_stream_read_byte_by_byte(void **state)
{
    struct sb_puback_reader reader = {0};
    unsigned char stream[512];
    size_t len = build_stream(stream), found = 0;

    (void)state;
    for (size_t i = 0; i < len; i++) {
        struct ack ack = {-1, -1};

        if (!sb_puback_read(&reader, stream + i, 1, &ack.packet_id, &ack.reason))
            continue;
        assert_in_range(found, 0, COUNT(expected) - 1);
        assert_int_equal(ack.packet_id, expected[found].packet_id);
        assert_int_equal(ack.reason, expected[found].reason);
        found++;
    }
    assert_int_equal(found, COUNT(expected));
}

static void pieces_of_any_size_give_the_last_one_in_each(void **state)
{
    unsigned char stream[512];
    size_t len = build_stream(stream);
    struct sb_rng rng;

    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++) {
        struct sb_puback_reader reader = {0}, by_byte = {0};
        size_t at = 0;

        sb_rng_seed(&rng, seed);
        while (at < len) {
            size_t piece = 1 + (size_t)sb_rng_below(&rng, len - at);
            struct ack whole = {-1, -1}, single = {-1, -1};

            sb_puback_read(&reader, stream + at, piece, &whole.packet_id, &whole.reason);
            for (size_t i = 0; i < piece; i++)
                sb_puback_read(&by_byte, stream + at + i, 1, &single.packet_id, &single.reason);
            assert_int_equal(whole.packet_id, single.packet_id);
            assert_int_equal(whole.reason, single.reason);
            at += piece;
        }
    }
}

static void a_stream_that_is_no_mqtt_finds_nothing(void **state)
{
    static const unsigned char bad_length[] = {0x40, 0xff, 0xff, 0xff, 0xff,
                                               0x01, 0x40, 0x02, 0x00, 0x01};
    static const unsigned char short_ack[] = {0x40, 0x01, 0x05, 0x40, 0x00};
    struct sb_puback_reader reader = {0};
    struct ack ack = {-1, -1};

    (void)state;
    assert_false(
        sb_puback_read(&reader, bad_length, sizeof(bad_length), &ack.packet_id, &ack.reason));
    assert_false(
        sb_puback_read(&reader, bad_length, sizeof(bad_length), &ack.packet_id, &ack.reason));
    reader = (struct sb_puback_reader){0};
    assert_false(
        sb_puback_read(&reader, short_ack, sizeof(short_ack), &ack.packet_id, &ack.reason));
    assert_int_equal(sb_puback_reason(5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_alert_tells_who_refused_whom),
        cmocka_unit_test(a_name_is_wrong_only_where_the_address_is_too),
        cmocka_unit_test(silence_is_explained_by_what_came_before),
        cmocka_unit_test(the_first_entry_of_openssls_queue_is_kept),
        cmocka_unit_test(every_reason_code_has_a_text),
        cmocka_unit_test(pubacks_are_found_in_a_stream_read_byte_by_byte),
        cmocka_unit_test(pieces_of_any_size_give_the_last_one_in_each),
        cmocka_unit_test(a_stream_that_is_no_mqtt_finds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
