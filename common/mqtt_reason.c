#include "mqtt_link.h"

#include <stdio.h>

#include "mqtt_cause.h"

/* MQTT 5, section 2.4, with what there is to do about it; and the return codes of MQTTAsync. */
static const struct {
    int code;
    const char *text;
    enum sb_code meaning;
} reasons[] = {
    {0x00, "success", SB_OK},
    {0x01, "the broker does not speak MQTT 5", SB_EUNREACHABLE}, /* a return code of MQTT 3.1.1 */
    {0x04, "disconnect with will message", SB_ECLOSED},
    {0x10, "no matching subscribers: nobody has a session for this topic, the message is gone",
     SB_EUNREACHABLE},
    {0x80, "unspecified error", SB_EINTERNAL},
    {0x81, "malformed packet", SB_EINTERNAL},
    {0x82, "protocol error", SB_EINTERNAL},
    {0x83, "implementation specific error", SB_EINTERNAL},
    {0x84, "the broker does not support this protocol version", SB_EUNREACHABLE},
    {0x85, "client identifier not valid: the broker does not accept this client id", SB_EIDENTITY},
    {0x86, "bad user name or password", SB_EIDENTITY},
    {0x87, "not authorized: the broker's ACL does not allow this topic", SB_EFORBIDDEN},
    {0x88, "server unavailable", SB_EUNREACHABLE},
    {0x89, "server busy", SB_EUNREACHABLE},
    {0x8a, "banned: an operator has shut this client out", SB_EIDENTITY},
    {0x8b, "server shutting down", SB_ECLOSED},
    {0x8c, "bad authentication method", SB_EIDENTITY},
    {0x8d, "keep alive timeout: the broker did not hear from this client", SB_ECLOSED},
    {0x8e, "session taken over: another client uses this client id", SB_EIDENTITY},
    {0x8f, "topic filter invalid", SB_EBAD_TOPIC},
    {0x90, "topic name invalid", SB_EBAD_TOPIC},
    {0x93, "receive maximum exceeded", SB_EINTERNAL},
    {0x95, "packet too large: over the broker's limit", SB_ETOO_LARGE},
    {0x96, "message rate too high", SB_EBUSY},
    {0x97, "quota exceeded", SB_EBUSY},
    {0x98, "administrative action: the broker's operator ended this connection", SB_ECLOSED},
    {0x99, "payload format invalid", SB_EBAD_VALUE},
    {0x9a, "retain not supported", SB_EINTERNAL},
    {0x9b, "QoS not supported", SB_EINTERNAL},
    {0x9c, "use another server", SB_EUNREACHABLE},
    {0x9d, "server moved", SB_EUNREACHABLE},
    {0x9f, "connection rate exceeded", SB_EUNREACHABLE},
    {0xa0, "maximum connect time", SB_ECLOSED},
    {0xa2, "wildcard subscriptions not supported", SB_EINTERNAL},
    {-1, "the library could not do it", SB_EINTERNAL},
    {-3, "not connected", SB_ECLOSED},
    {-4, "too many messages in flight", SB_EBUSY},
    {-5, "not valid UTF-8", SB_EBAD_TOPIC},
    {-8, "the library is of another version", SB_EINTERNAL},
    {-10, "no packet identifier is free", SB_EBUSY},
    {-11, "the connection ended before the broker answered", SB_ECLOSED},
    {-12, "the library's buffer is full", SB_EBUSY},
    {-99, "out of memory", SB_EINTERNAL},
};

#define COUNT (sizeof(reasons) / sizeof(reasons[0]))

static size_t find(int code)
{
    size_t i;

    for (i = 0; i < COUNT && reasons[i].code != code; i++)
        continue;
    return i;
}

void sb_mqtt_reason(int code, char *out, size_t size)
{
    size_t i = find(code);
    const char *text = i < COUNT ? reasons[i].text : "no text for this code";

    if (code >= 0)
        snprintf(out, size, "0x%02x %s", (unsigned)code, text);
    else
        snprintf(out, size, "%s (%d)", text, code);
}

enum sb_code sb_mqtt_reason_code(int code)
{
    size_t i = find(code);

    return i < COUNT ? reasons[i].meaning : SB_EINTERNAL;
}
