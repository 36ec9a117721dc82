#include "mqtt_link.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <MQTTAsync.h>

#include "check.h"
#include "mqtt_cause.h"
#include "mqtt_setup.h"
#include "puback_reason.h"

/* How Paho 1.3.12 is used, and why:
 *
 * - A handle of its own for every attempt to connect, destroyed by the owner thread before the next
 *   one. On a handle that is used again, Paho sends what was in flight once more by itself (which
 *   together with the owner's own resending passes the Receive Maximum, and beyond that Paho sends
 *   20 messages a second), only ever lowers its Receive Maximum, and can run the callbacks of the
 *   connect before. In flight after a DOWN is what the owner knows, nothing else.
 * - The struct sb_mqtt_link is the context of all callbacks of all its handles. It outlives them:
 *   MQTTAsync_destroy takes the mutex that is held in every callback, so none can run after it.
 * - A second handle, the keeper, never connects. Destroying the last handle of a process stops
 *   Paho's threads, which takes up to a second and would hold the owner thread up at each attempt.
 * - Paho's mutex is held in every callback: they copy, take the lock below for a moment, post and
 *   return. The lock is never held around a call of Paho.
 * - Name lookup is done in Paho's send thread with its mutex held. Only connect and free can meet
 *   that; connect is not called while an attempt is under way, free leaves the waiting to a thread.
 * - Paho looks for the end of a TCP connect once a second, except in its threads' first turn; so a
 *   connection takes up to 1.1 s longer than the first. It can also miss the wake-up of a message
 *   when its send thread is just going to sleep: one in 50,000 waits up to 1 s for the next one.
 * - Whether the link is up is decided here alone (state). What Paho reports after the end of a
 *   connection, among it a failure for each message in flight when a handle is destroyed, is
 *   dropped; so there is one DOWN an attempt. */

#define WINDOW_MAX      1024 /* messages of QoS 1 in Paho's hands; more would be SB_EBUSY */
#define BUFFERED_MAX    2048 /* the same and QoS 0 before they are written */
#define STOP_MS         2000 /* sb_mqtt_link_free waits at most so long */
#define DRAIN_MS        1000 /* of these for PUBACKs */
#define TOPIC_MAX       65535
#define THREADS_END_MS  500
#define NO_SLOT         UINT32_MAX
#define HEADER_SIZE_MAX 64 /* of a PUBLISH, without topic, correlation data and payload */

/* These suites exist in TLS 1.2 only (1.3 has its own), so nothing older can be agreed on, whatever
 * the system's OpenSSL configuration allows. Paho cannot set a lowest version with OpenSSL 3. */
#define TLS12_SUITES "ECDHE+AESGCM:ECDHE+CHACHA20"

enum state {
    IDLE,
    CONNECTING, /* until the SUBACK */
    UP,
    ENDED /* DOWN was posted; the handle waits to be destroyed */
};

/* The context of one message of QoS 1, so that none has to be allocated. */
struct slot {
    struct sb_mqtt_link *mqtt;
    uint32_t token;
    uint32_t next_free;
};

struct sb_mqtt_link {
    struct sb_link link; /* first: the methods get this */
    struct sb_mailbox *box;

    struct sb_mqtt_setup setup; /* the will is the owner thread's, all else is not changed */

    MQTTAsync handle; /* the owner thread's; NULL before the first attempt */
    uint32_t last_token;

    pthread_mutex_t lock; /* what follows; a leaf but for the mailbox's */
    pthread_cond_t changed;
    enum state state;
    bool closed; /* sb_mqtt_link_free was called: nothing is posted any more */
    bool said_goodbye;
    bool freed; /* by the thread that destroys the handle */
    bool abandoned;
    uint32_t receive_max, max_packet;
    bool session_present;
    struct slot slots[WINDOW_MAX];
    uint32_t free_slot, in_flight;
};

/* What Paho and OpenSSL said in this thread since the last attempt that failed in it. Paho runs a
 * failure's callback right after, in the same thread. */
static _Thread_local struct sb_mqtt_cause cause;

/* ---- Paho's globals ---- */

static struct {
    pthread_mutex_t lock;
    unsigned links;
    MQTTAsync keeper;
} library = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_trace(enum MQTTASYNC_TRACE_LEVELS level, char *message)
{
    (void)level;
    if (message != NULL)
        sb_mqtt_cause_trace(&cause, message);
}

static int on_tls_error(const char *text, size_t len, void *context)
{
    (void)context;
    sb_mqtt_cause_tls(&cause, text, len);
    return 1;
}

static int create_keeper(struct sb_err *err)
{
    MQTTAsync_init_options options = MQTTAsync_init_options_initializer;
    int rc;

    options.do_openssl_init = 1;
    MQTTAsync_global_init(&options);
    /* A web proxy is none for MQTT, as for mosquitto's clients; Paho would ask it. */
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    rc = MQTTAsync_create(&library.keeper, "mqtt://localhost", "keeper",
                          MQTTCLIENT_PERSISTENCE_NONE, NULL);
    if (rc != MQTTASYNC_SUCCESS)
        return sb_fail(err, SB_EINTERNAL, "MQTT library: it does not start (%d)", rc);
    MQTTAsync_setTraceCallback(on_trace);
    return 0;
}

static int library_get(struct sb_err *err)
{
    int rc = 0;

    pthread_mutex_lock(&library.lock);
    if (library.links == 0)
        rc = create_keeper(err);
    if (rc == 0)
        library.links++;
    pthread_mutex_unlock(&library.lock);
    return rc;
}

static bool is_pahos_thread(const char *id)
{
    char path[300], name[8] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%s/comm", id);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fgets(name, sizeof(name), file) == NULL)
        name[0] = '\0';
    fclose(file);
    return strncmp(name, "MQTTAsy", 7) == 0; /* MQTTAsync_send, MQTTAsync_rcv */
}

static bool pahos_threads_run(void)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    bool found = false;

    if (tasks == NULL)
        return false;
    while (!found && (task = readdir(tasks)) != NULL)
        found = is_pahos_thread(task->d_name);
    closedir(tasks);
    return found;
}

/* Paho's threads are detached and still run for a moment when the last handle is destroyed. A
 * process that ends then would take OpenSSL and Paho's mutexes away from under them. */
static void library_put(void)
{
    pthread_mutex_lock(&library.lock);
    if (--library.links == 0) {
        MQTTAsync_destroy(&library.keeper);
        for (int ms = 0; ms < THREADS_END_MS && pahos_threads_run(); ms++)
            poll(NULL, 0, 1);
    }
    pthread_mutex_unlock(&library.lock);
}

/* ---- state, under the lock ---- */

static void lock(struct sb_mqtt_link *mqtt)
{
    SB_CHECK(pthread_mutex_lock(&mqtt->lock) == 0);
}

static void unlock(struct sb_mqtt_link *mqtt)
{
    SB_CHECK(pthread_mutex_unlock(&mqtt->lock) == 0);
}

static void post(struct sb_mqtt_link *mqtt, struct sb_link_event *event)
{
    if (mqtt->closed)
        sb_link_event_fini(event);
    else
        sb_mailbox_post(mqtt->box, event);
}

/* Ends the attempt or the connection, if it has not ended yet. */
static void end(struct sb_mqtt_link *mqtt, const struct sb_err *err)
{
    struct sb_link_event event = {.kind = SB_LINK_DOWN, .err = *err};

    lock(mqtt);
    if (mqtt->state == CONNECTING || mqtt->state == UP) {
        mqtt->state = ENDED;
        post(mqtt, &event);
        pthread_cond_signal(&mqtt->changed);
    }
    unlock(mqtt);
}

static void reset_slots(struct sb_mqtt_link *mqtt)
{
    for (uint32_t i = 0; i < WINDOW_MAX; i++)
        mqtt->slots[i].next_free = i + 1 < WINDOW_MAX ? i + 1 : NO_SLOT;
    mqtt->free_slot = 0;
    mqtt->in_flight = 0;
}

static uint32_t take_slot(struct sb_mqtt_link *mqtt)
{
    uint32_t i = mqtt->free_slot;

    mqtt->free_slot = mqtt->slots[i].next_free;
    mqtt->in_flight++;
    if (++mqtt->last_token == 0)
        mqtt->last_token = 1;
    mqtt->slots[i].token = mqtt->last_token;
    return i;
}

static void give_slot_back(struct sb_mqtt_link *mqtt, uint32_t i)
{
    mqtt->slots[i].next_free = mqtt->free_slot;
    mqtt->free_slot = i;
    mqtt->in_flight--;
}

/* ---- callbacks: Paho's threads, Paho's mutex held ---- */

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    struct sb_mqtt_link *mqtt = context;
    struct sb_link_event event = {.kind = SB_LINK_MESSAGE, .retained = message->retained != 0};
    MQTTProperty *correlation =
        MQTTProperties_getProperty(&message->properties, MQTTPROPERTY_CODE_CORRELATION_DATA);

    /* A topic with a NUL inside, which MQTT forbids, would be another one if it was cut there. */
    if (topic_len == 0 || strlen(topic) == (size_t)topic_len) {
        event.topic = sb_xstrdup(topic);
        sb_buf_add(&event.payload, message->payload, (size_t)message->payloadlen);
        if (correlation != NULL)
            sb_buf_add(&event.correlation, correlation->value.data.data,
                       (size_t)correlation->value.data.len);
        lock(mqtt);
        if (mqtt->state == CONNECTING || mqtt->state == UP) /* none after the DOWN */
            post(mqtt, &event);
        else
            sb_link_event_fini(&event);
        unlock(mqtt);
    }
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1; /* 0 would stall the library and not hold the PUBACK back */
}

static void finish_publish(struct slot *slot, const struct sb_err *err)
{
    struct sb_mqtt_link *mqtt = slot->mqtt;
    struct sb_link_event event = {.kind = SB_LINK_PUBLISHED, .err = *err};

    lock(mqtt);
    /* The result is posted before the slot is free: see room_for_one. */
    if (mqtt->state == UP) {
        event.token = slot->token;
        post(mqtt, &event);
        give_slot_back(mqtt, (uint32_t)(slot - mqtt->slots));
        pthread_cond_signal(&mqtt->changed);
    }
    unlock(mqtt);
}

static void publish_refused(struct slot *slot, int reason)
{
    struct sb_err err;
    char text[128];

    sb_mqtt_reason(reason, text, sizeof(text));
    sb_fail(&err, sb_mqtt_reason_code(reason), "%s", text);
    finish_publish(slot, &err);
}

static void on_published(void *context, MQTTAsync_successData5 *response)
{
    int reason = response->reasonCode;

    if (reason == 0)
        reason = sb_puback_reason(response->token);
    if (reason == 0)
        finish_publish(context, &(struct sb_err){0});
    else
        publish_refused(context, reason);
}

static void connection_lost(struct sb_mqtt_link *mqtt)
{
    struct sb_err err;

    sb_fail(&err, SB_ECLOSED, "%s: the connection was lost", mqtt->setup.where);
    end(mqtt, &err);
}

static void on_publish_failed(void *context, MQTTAsync_failureData5 *response)
{
    struct slot *slot = context;

    /* It could not be written: nobody refused it, and the library tells the loss only later. */
    if (response->reasonCode == 0 && response->code == MQTTASYNC_FAILURE)
        connection_lost(slot->mqtt);
    else
        publish_refused(slot,
                        response->reasonCode != 0 ? (int)response->reasonCode : response->code);
}

static void on_connection_lost(void *context, char *reason)
{
    (void)reason; /* always NULL */
    connection_lost(context);
}

static void on_broker_disconnects(void *context, MQTTProperties *properties,
                                  enum MQTTReasonCodes reason)
{
    struct sb_mqtt_link *mqtt = context;
    struct sb_err err;
    char text[128];

    (void)properties;
    sb_mqtt_reason((int)reason, text, sizeof(text));
    sb_fail(&err, sb_mqtt_reason_code((int)reason) == SB_EIDENTITY ? SB_EIDENTITY : SB_ECLOSED,
            "%s: the broker ended the connection: %s", mqtt->setup.where, text);
    end(mqtt, &err);
}

static void become_up(struct sb_mqtt_link *mqtt)
{
    struct sb_link_event event = {.kind = SB_LINK_UP};

    MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR); /* a line for every packet costs time */
    lock(mqtt);
    if (mqtt->state == CONNECTING) {
        mqtt->state = UP;
        event.receive_max = mqtt->receive_max;
        event.max_packet = mqtt->max_packet;
        event.session_present = mqtt->session_present;
        post(mqtt, &event);
    }
    unlock(mqtt);
}

static void subscription_refused(struct sb_mqtt_link *mqtt, size_t filter, int reason)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
    struct sb_err err;
    char text[128];

    sb_mqtt_reason(reason, text, sizeof(text));
    sb_fail(&err, SB_EFORBIDDEN, "%s: the broker refused the subscription %s: %s",
            mqtt->setup.where, filter < mqtt->setup.filter_count ? mqtt->setup.filters[filter] : "",
            text);
    end(mqtt, &err);
    MQTTAsync_disconnect(mqtt->handle, &options);
}

static void on_subscribed(void *context, MQTTAsync_successData5 *response)
{
    struct sb_mqtt_link *mqtt = context;

    for (int i = 0; mqtt->setup.filter_count > 1 && i < response->alt.sub.reasonCodeCount; i++) {
        int reason = (int)response->alt.sub.reasonCodes[i];

        if (reason >= 0x80) {
            subscription_refused(mqtt, (size_t)i, reason);
            return;
        }
    }
    become_up(mqtt);
}

static void on_subscribe_failed(void *context, MQTTAsync_failureData5 *response)
{
    struct sb_mqtt_link *mqtt = context;

    /* Without a reason code the connection ended before the SUBACK, which is told by itself. */
    if ((int)response->reasonCode >= 0x80)
        subscription_refused(mqtt, 0, (int)response->reasonCode);
}

static void subscribe(struct sb_mqtt_link *mqtt)
{
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    struct sb_err err;
    int rc;

    options.onSuccess5 = on_subscribed;
    options.onFailure5 = on_subscribe_failed;
    options.context = mqtt;
    rc = MQTTAsync_subscribeMany(mqtt->handle, (int)mqtt->setup.filter_count, mqtt->setup.filters,
                                 mqtt->setup.qos, &options);
    if (rc != MQTTASYNC_SUCCESS) {
        sb_fail(&err, SB_EINTERNAL, "%s: subscribe: MQTT library error %d", mqtt->setup.where, rc);
        end(mqtt, &err);
    }
}

static uint32_t property(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t absent)
{
    if (!MQTTProperties_hasProperty(properties, code))
        return absent;
    return (uint32_t)MQTTProperties_getNumericValue(properties, code);
}

static void on_connected(void *context, MQTTAsync_successData5 *response)
{
    struct sb_mqtt_link *mqtt = context;

    cause = (struct sb_mqtt_cause){0};
    lock(mqtt);
    mqtt->receive_max =
        property(&response->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, UINT16_MAX);
    mqtt->max_packet = property(&response->properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, 0);
    mqtt->session_present = response->alt.connect.sessionPresent != 0;
    unlock(mqtt);
    if (mqtt->setup.filter_count > 0)
        subscribe(mqtt);
    else
        become_up(mqtt);
}

static void on_connect_failed(void *context, MQTTAsync_failureData5 *response)
{
    struct sb_mqtt_link *mqtt = context;
    int code = response->reasonCode != 0 ? (int)response->reasonCode : response->code;
    struct sb_err err;

    sb_mqtt_cause_explain(&cause, code, response->message, mqtt->setup.where, &err);
    cause = (struct sb_mqtt_cause){0};
    end(mqtt, &err);
}

/* ---- connecting ---- */

static int create_handle(struct sb_mqtt_link *mqtt, struct sb_err *err)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer5;
    int rc;

    options.sendWhileDisconnected = 0;
    options.maxBufferedMessages = BUFFERED_MAX;
    rc = MQTTAsync_createWithOptions(&mqtt->handle, mqtt->setup.url, mqtt->setup.client_id,
                                     MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
    if (rc == MQTTASYNC_SUCCESS)
        rc = MQTTAsync_setCallbacks(mqtt->handle, mqtt, on_connection_lost, on_message, NULL);
    if (rc == MQTTASYNC_SUCCESS)
        rc = MQTTAsync_setDisconnected(mqtt->handle, mqtt, on_broker_disconnects);
    if (rc != MQTTASYNC_SUCCESS)
        return sb_fail(err, SB_EINTERNAL, "%s: MQTT library error %d", mqtt->setup.where, rc);
    return 0;
}

static void add_number(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t value)
{
    MQTTProperty property = {.identifier = code};

    if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM)
        property.value.integer2 = (unsigned short)(value > UINT16_MAX ? UINT16_MAX : value);
    else
        property.value.integer4 = value;
    MQTTProperties_add(properties, &property);
}

static MQTTAsync_SSLOptions tls_options(const struct sb_mqtt_link *mqtt)
{
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;

    tls.trustStore = mqtt->setup.ca_file;
    tls.keyStore = mqtt->setup.cert_file;
    tls.privateKey = mqtt->setup.key_file;
    tls.enabledCipherSuites = TLS12_SUITES;
    tls.enableServerCertAuth = 1;
    tls.verify = 1; /* the host's name; Paho's default is not to look */
    tls.ssl_error_cb = on_tls_error;
    return tls;
}

static MQTTAsync_willOptions will_options(const struct sb_mqtt_link *mqtt)
{
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;

    will.topicName = mqtt->setup.will_topic;
    will.payload.data = sb_buf_span(&mqtt->setup.will_payload).data;
    will.payload.len = (int)mqtt->setup.will_payload.len;
    will.qos = 1;
    will.retained = 1;
    return will;
}

static int start_connect(struct sb_mqtt_link *mqtt, const struct sb_buf *password,
                         struct sb_err *err)
{
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_SSLOptions tls = tls_options(mqtt);
    MQTTAsync_willOptions will = will_options(mqtt);
    MQTTProperties properties = MQTTProperties_initializer;
    int rc;

    add_number(&properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
               mqtt->setup.session_expiry_s);
    if (mqtt->setup.receive_max > 0)
        add_number(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, mqtt->setup.receive_max);
    options.keepAliveInterval = (int)mqtt->setup.keepalive_s;
    options.connectTimeout = (int)mqtt->setup.connect_timeout_s;
    options.cleanstart = 0;
    options.automaticReconnect = 0;
    options.connectProperties = &properties;
    options.ssl = mqtt->setup.tls ? &tls : NULL;
    options.will = mqtt->setup.will_topic != NULL ? &will : NULL;
    options.username = mqtt->setup.user;
    if (password->len > 0) {
        options.binarypwd.data = password->data;
        options.binarypwd.len = (int)password->len;
    }
    options.onSuccess5 = on_connected;
    options.onFailure5 = on_connect_failed;
    options.context = mqtt;
    MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_MINIMUM); /* see struct sb_mqtt_cause */
    rc = MQTTAsync_connect(mqtt->handle, &options);
    MQTTProperties_free(&properties);
    if (rc != MQTTASYNC_SUCCESS)
        return sb_fail(err, SB_EINTERNAL, "%s: MQTT library error %d", mqtt->setup.where, rc);
    return 0;
}

static int attempt(struct sb_mqtt_link *mqtt, struct sb_err *err)
{
    struct sb_buf password = {0};
    int rc = sb_mqtt_setup_check_files(&mqtt->setup, err);

    if (rc == 0)
        rc = sb_mqtt_setup_password(&mqtt->setup, &password, err);
    if (rc == 0)
        rc = create_handle(mqtt, err);
    if (rc == 0)
        rc = start_connect(mqtt, &password, err);
    if (password.data != NULL)
        explicit_bzero(password.data, password.cap);
    sb_buf_free(&password);
    return rc;
}

void sb_mqtt_link_connect(struct sb_mqtt_link *mqtt)
{
    struct sb_err err;
    bool busy;

    lock(mqtt);
    busy = mqtt->state == CONNECTING || mqtt->state == UP;
    unlock(mqtt);
    if (busy)
        return;
    MQTTAsync_destroy(&mqtt->handle);
    lock(mqtt);
    mqtt->state = CONNECTING;
    reset_slots(mqtt);
    unlock(mqtt);
    if (attempt(mqtt, &err) != 0)
        end(mqtt, &err);
}

void sb_mqtt_link_set_will(struct sb_mqtt_link *mqtt, struct sb_span payload)
{
    sb_buf_clear(&mqtt->setup.will_payload);
    sb_buf_add_span(&mqtt->setup.will_payload, payload);
}

/* ---- publishing ---- */

/* Whether one more message can be handed over. Beyond the broker's Receive Maximum Paho would wait
 * a second at a time; a result that found no room in the mailbox would be lost. What moves from
 * in_flight to the mailbox meanwhile is in both figures for a moment, never in none. */
static int room_for_one(struct sb_mqtt_link *mqtt, const struct sb_link_message *message,
                        struct sb_err *err)
{
    size_t size =
        HEADER_SIZE_MAX + strlen(message->topic) + message->payload.len + message->correlation.len;

    if (mqtt->state != UP)
        return sb_fail(err, SB_ECLOSED, "not connected");
    if (mqtt->max_packet > 0 && size > mqtt->max_packet)
        return sb_fail(err, SB_ETOO_LARGE, "a message of %zu bytes; the broker takes %u", size,
                       mqtt->max_packet);
    if (message->qos == 0)
        return 0;
    if (mqtt->in_flight >= WINDOW_MAX || mqtt->in_flight >= mqtt->receive_max ||
        mqtt->in_flight >= sb_mailbox_result_room(mqtt->box))
        return sb_fail(err, SB_EBUSY, "%u messages are in flight", mqtt->in_flight);
    return 0;
}

static void add_bytes(MQTTProperties *properties, enum MQTTPropertyCodes code, struct sb_span name,
                      struct sb_span value)
{
    MQTTProperty property = {.identifier = code};
    union {
        const char *in;
        char *out; /* Paho copies, but does not say const */
    } name_text = {name.data}, value_text = {value.data};

    if (code == MQTTPROPERTY_CODE_USER_PROPERTY) {
        property.value.data.data = name_text.out;
        property.value.data.len = (int)name.len;
        property.value.value.data = value_text.out;
        property.value.value.len = (int)value.len;
    } else {
        property.value.data.data = value_text.out;
        property.value.data.len = (int)value.len;
    }
    MQTTProperties_add(properties, &property);
}

static void add_properties(MQTTProperties *properties, const struct sb_link_message *message)
{
    if (message->correlation.len > 0)
        add_bytes(properties, MQTTPROPERTY_CODE_CORRELATION_DATA, (struct sb_span){0},
                  message->correlation);
    if (message->gzip)
        add_bytes(properties, MQTTPROPERTY_CODE_USER_PROPERTY, SB_SPAN("content-encoding"),
                  SB_SPAN("gzip"));
    if (message->expiry_s > 0)
        add_number(properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, message->expiry_s);
}

static int send_message(struct sb_mqtt_link *mqtt, const struct sb_link_message *message,
                        struct slot *slot)
{
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    int rc;

    add_properties(&options.properties, message);
    if (slot != NULL) {
        options.onSuccess5 = on_published;
        options.onFailure5 = on_publish_failed;
        options.context = slot;
    }
    rc = MQTTAsync_send(mqtt->handle, message->topic, (int)message->payload.len,
                        message->payload.len > 0 ? message->payload.data : "", message->qos,
                        message->retain, &options);
    MQTTProperties_free(&options.properties);
    return rc;
}

static int fail_send(int rc, struct sb_err *err)
{
    char text[128];

    sb_mqtt_reason(rc, text, sizeof(text));
    return sb_fail(err, sb_mqtt_reason_code(rc), "%s", text);
}

static int publish(struct sb_link *link, const struct sb_link_message *message, uint32_t *token,
                   struct sb_err *err)
{
    struct sb_mqtt_link *mqtt = (struct sb_mqtt_link *)link;
    uint32_t i = NO_SLOT;
    int rc;

    SB_CHECK(message->qos == 0 || message->qos == 1);
    if (message->correlation.len > UINT16_MAX || strlen(message->topic) > TOPIC_MAX)
        return sb_fail(err, SB_ETOO_LARGE, "topic or correlation data over 65535 bytes");
    lock(mqtt);
    rc = room_for_one(mqtt, message, err);
    if (rc == 0 && message->qos == 1)
        i = take_slot(mqtt);
    if (token != NULL)
        *token = i != NO_SLOT ? mqtt->slots[i].token : 0;
    unlock(mqtt);
    if (rc != 0)
        return rc;
    rc = send_message(mqtt, message, i != NO_SLOT ? &mqtt->slots[i] : NULL);
    if (rc == MQTTASYNC_SUCCESS)
        return 0;
    if (i != NO_SLOT) {
        lock(mqtt);
        give_slot_back(mqtt, i);
        unlock(mqtt);
    }
    return fail_send(rc, err);
}

/* The will is published: the owner had no chance to say that it goes. */
static void drop(struct sb_link *link)
{
    struct sb_mqtt_link *mqtt = (struct sb_mqtt_link *)link;
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
    struct sb_err err;

    options.reasonCode = MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE;
    /* Before the CONNACK there is nothing to end: the attempt comes to its own. */
    if (mqtt->handle == NULL || MQTTAsync_disconnect(mqtt->handle, &options) != MQTTASYNC_SUCCESS)
        return;
    sb_fail(&err, SB_ECLOSED, "%s: the connection was ended on request", mqtt->setup.where);
    end(mqtt, &err);
}

/* ---- life ---- */

static void free_context(struct sb_mqtt_link *mqtt)
{
    sb_mqtt_setup_fini(&mqtt->setup);
    pthread_cond_destroy(&mqtt->changed);
    pthread_mutex_destroy(&mqtt->lock);
    free(mqtt);
}

static void init_locks(struct sb_mqtt_link *mqtt)
{
    pthread_condattr_t attributes;

    SB_CHECK(pthread_mutex_init(&mqtt->lock, NULL) == 0);
    SB_CHECK(pthread_condattr_init(&attributes) == 0);
    SB_CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    SB_CHECK(pthread_cond_init(&mqtt->changed, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

int sb_mqtt_link_new(const struct sb_mqtt_config *config, struct sb_mailbox *box,
                     struct sb_mqtt_link **out, struct sb_err *err)
{
    struct sb_mqtt_link *mqtt = sb_xcalloc(1, sizeof(*mqtt));
    int rc;

    for (int i = 0; i < WINDOW_MAX; i++)
        mqtt->slots[i].mqtt = mqtt;
    mqtt->link = (struct sb_link){.publish = publish, .drop = drop};
    mqtt->box = box;
    init_locks(mqtt);
    reset_slots(mqtt);
    rc = sb_mqtt_setup_init(&mqtt->setup, config, err);
    if (rc == 0)
        rc = sb_mqtt_setup_check_files(&mqtt->setup, err);
    if (rc == 0)
        rc = library_get(err);
    if (rc != 0) {
        free_context(mqtt);
        return rc;
    }
    *out = mqtt;
    return 0;
}

struct sb_link *sb_mqtt_link_get(struct sb_mqtt_link *mqtt)
{
    return &mqtt->link;
}

static struct timespec time_in(long ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

static void on_goodbye(void *context, MQTTAsync_successData5 *response)
{
    struct sb_mqtt_link *mqtt = context;

    (void)response;
    lock(mqtt);
    mqtt->said_goodbye = true;
    pthread_cond_signal(&mqtt->changed);
    unlock(mqtt);
}

/* What is in flight are the last words of the owner. */
static void drain(struct sb_mqtt_link *mqtt)
{
    struct timespec until = time_in(DRAIN_MS);

    lock(mqtt);
    while (mqtt->state == UP && mqtt->in_flight > 0)
        if (pthread_cond_timedwait(&mqtt->changed, &mqtt->lock, &until) == ETIMEDOUT)
            break;
    unlock(mqtt);
}

/* Destroying the handle would send a DISCONNECT too, but always one without the will. */
static void say_goodbye(struct sb_mqtt_link *mqtt, bool graceful)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
    struct timespec until = time_in(STOP_MS - DRAIN_MS);

    if (!graceful)
        options.reasonCode = MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE;
    options.onSuccess5 = on_goodbye;
    options.context = mqtt;
    if (MQTTAsync_disconnect(mqtt->handle, &options) != MQTTASYNC_SUCCESS)
        return;
    lock(mqtt);
    while (mqtt->state == UP && !mqtt->said_goodbye)
        if (pthread_cond_timedwait(&mqtt->changed, &mqtt->lock, &until) == ETIMEDOUT)
            break;
    unlock(mqtt);
}

/* Runs in a thread of its own, because Paho holds its mutex during a name lookup and
 * MQTTAsync_destroy waits for it. Whoever comes last frees the context. */
static void *destroy_handle(void *arg)
{
    struct sb_mqtt_link *mqtt = arg;
    bool last;

    MQTTAsync_destroy(&mqtt->handle);
    library_put();
    lock(mqtt);
    mqtt->freed = true;
    last = mqtt->abandoned;
    pthread_cond_signal(&mqtt->changed);
    unlock(mqtt);
    if (last)
        free_context(mqtt);
    return NULL;
}

void sb_mqtt_link_free(struct sb_mqtt_link *mqtt, bool graceful)
{
    struct timespec until = time_in(STOP_MS);
    pthread_t thread;
    bool freed;

    if (mqtt == NULL)
        return;
    lock(mqtt);
    mqtt->closed = true;
    unlock(mqtt);
    if (graceful)
        drain(mqtt);
    if (mqtt->handle != NULL)
        say_goodbye(mqtt, graceful);
    lock(mqtt);
    mqtt->state = ENDED;
    unlock(mqtt);
    if (pthread_create(&thread, NULL, destroy_handle, mqtt) != 0) {
        destroy_handle(mqtt); /* however long it takes */
        free_context(mqtt);
        return;
    }
    lock(mqtt);
    while (!mqtt->freed)
        if (pthread_cond_timedwait(&mqtt->changed, &mqtt->lock, &until) == ETIMEDOUT)
            break;
    freed = mqtt->freed;
    mqtt->abandoned = !freed;
    unlock(mqtt);
    if (freed) {
        pthread_join(thread, NULL);
        free_context(mqtt);
    } else {
        pthread_detach(thread);
    }
}
