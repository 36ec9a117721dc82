#include "mqtt_cause.h"

#include <stdio.h>
#include <string.h>

#include "mqtt_link.h"

/* Copies up to any of the stop characters. */
static void copy_until(char *out, size_t size, const char *from, const char *stops)
{
    snprintf(out, size, "%.*s", (int)strcspn(from, stops), from);
}

static bool after(const char *line, const char *text, const char **rest)
{
    const char *at = strstr(line, text);

    if (at != NULL)
        *rest = at + strlen(text);
    return at != NULL;
}

void sb_mqtt_cause_trace(struct sb_mqtt_cause *cause, const char *line)
{
    const char *rest;

    if (after(line, "SSL alert read:fatal:", &rest)) {
        copy_until(cause->alert, sizeof(cause->alert), rest, "\n");
        cause->alert_read = true;
    } else if (after(line, "SSL alert write:fatal:", &rest)) {
        copy_until(cause->alert, sizeof(cause->alert), rest, "\n");
        cause->alert_read = false;
    } else if (after(line, "rc from X509_check_ip_asc is ", &rest)) {
        cause->wrong_host = *rest != '1'; /* tried when the name did not match */
    } else if (strstr(line, "SSL handshake done") != NULL) {
        cause->handshake = true;
    } else if (strstr(line, "getaddrinfo failed for addr") != NULL) {
        cause->no_address = true;
    } else if (strstr(line, " in connect for socket ") != NULL &&
               after(line, "Socket error ", &rest)) {
        copy_until(cause->socket, sizeof(cause->socket), rest, "(");
    }
}

void sb_mqtt_cause_tls(struct sb_mqtt_cause *cause, const char *text, size_t len)
{
    char line[256];
    const char *rest;

    if (cause->tls[0] != '\0')
        return;
    snprintf(line, sizeof(line), "%.*s", (int)(len < sizeof(line) ? len : sizeof(line) - 1), text);
    /* thread:error:code:library:function:reason:file:line:data */
    if (!after(line, ":error:", &rest))
        rest = line;
    for (int field = 0; field < 3; field++) {
        const char *colon = strchr(rest, ':');

        if (colon == NULL)
            break;
        rest = colon + 1;
    }
    copy_until(cause->tls, sizeof(cause->tls), rest, ":\n");
}

/* Alerts that speak of a certificate, as against the protocol. */
static bool is_about_certificate(const char *alert)
{
    return strstr(alert, "certificate") != NULL || strcmp(alert, "unknown CA") == 0 ||
           strcmp(alert, "access denied") == 0 || strcmp(alert, "decrypt error") == 0;
}

static void explain_alert(const struct sb_mqtt_cause *cause, const char *where, struct sb_err *err)
{
    /* OpenSSL 3.0 has no text for "certificate required", which comes after the handshake. */
    if (cause->alert_read && cause->handshake && strcmp(cause->alert, "unknown") == 0)
        sb_fail(err, SB_EIDENTITY,
                "%s: the broker refused this client's certificate: it requires one", where);
    else if (!is_about_certificate(cause->alert))
        sb_fail(err, SB_ETLS, "%s: no common TLS: %s (%s said so)", where, cause->alert,
                cause->alert_read ? "the broker" : "this client");
    else if (cause->alert_read)
        sb_fail(err, SB_EIDENTITY, "%s: the broker refused this client's certificate: %s", where,
                cause->alert);
    else
        sb_fail(err, SB_ETLS, "%s: the broker's certificate is refused: %s", where, cause->alert);
}

static void explain_code(int code, const char *where, struct sb_err *err)
{
    enum sb_code meaning = sb_mqtt_reason_code(code);
    char reason[128];

    if (code == 0x87) {
        sb_fail(err, SB_EIDENTITY,
                "%s: the broker refused the connection: 0x87 not authorized: it does not accept "
                "this identity",
                where);
        return;
    }
    sb_mqtt_reason(code, reason, sizeof(reason));
    sb_fail(err, meaning == SB_EIDENTITY ? SB_EIDENTITY : SB_EUNREACHABLE,
            "%s: the broker refused the connection: %s", where, reason);
}

/* With TLS 1.3 the broker looks at the client's certificate after the handshake. Its alert is lost
 * when it has closed before our CONNECT was written. */
static void explain_silence(bool handshake, const char *message, const char *where,
                            struct sb_err *err)
{
    if (handshake && (message == NULL || strstr(message, "timeout") == NULL))
        sb_fail(err, SB_EIDENTITY,
                "%s: the broker closed the connection right after the TLS handshake; it seems to "
                "have refused this client's certificate",
                where);
    else if (message != NULL && strstr(message, "timeout") != NULL)
        sb_fail(err, SB_EUNREACHABLE, "%s: no answer in time", where);
    else if (message != NULL && strstr(message, "completion") != NULL)
        sb_fail(err, SB_EUNREACHABLE, "%s: the other end closed the connection at once", where);
    else
        sb_fail(err, SB_EUNREACHABLE,
                "%s: no connection: nobody listens there, or the way there is blocked", where);
}

void sb_mqtt_cause_explain(const struct sb_mqtt_cause *cause, int code, const char *message,
                           const char *where, struct sb_err *err)
{
    if (code > 0)
        explain_code(code, where, err);
    else if (cause->alert[0] != '\0')
        explain_alert(cause, where, err);
    else if (cause->wrong_host)
        sb_fail(err, SB_ETLS, "%s: hostname mismatch: the broker's certificate is for other names",
                where);
    else if (cause->tls[0] != '\0')
        sb_fail(err, SB_ETLS, "%s: TLS: %s", where, cause->tls);
    else if (cause->no_address)
        sb_fail(err, SB_EUNREACHABLE, "%s: the name has no address (name lookup failed)", where);
    else if (cause->socket[0] != '\0')
        sb_fail(err, SB_EUNREACHABLE, "%s: %s", where, cause->socket);
    else
        explain_silence(cause->handshake, message, where, err);
}
