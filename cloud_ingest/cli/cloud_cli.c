#include "cloud_cli.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cloud_ingest/requests.h"
#include "common/json_read.h"
#include "common/json_text.h"

#define BUSY_MS 5000 /* the daemon's transactions are short */
#define ASK_MS  3000 /* and beyond what was asked to be waited for */

#define REQUEST_MS 10000 /* a daemon that waits for the database's lock answers busy before */

static int open_store(struct cloud_cli *c, enum store_mode mode, struct sb_err *err)
{
    struct store_options options = {.mode = mode, .busy_timeout_ms = BUSY_MS};
    int rc = store_open(c->config.store_path, &options, &c->store, err);

    if (rc == -(int)SB_ENOT_FOUND)
        rc = sb_fail(err, SB_ENOT_FOUND, "%.180s: no database yet; `cloud_ingest run` makes it",
                     c->config.store_path);
    return rc;
}

int cloud_cli_config(struct cloud_cli *c, struct sb_cli *cli)
{
    struct sb_err err = {0};

    *c = (struct cloud_cli){.cli = cli};
    if (cloud_config_from(sb_cli_conf(cli), &c->config, &err) != 0)
        return sb_cli_fail(cli, &err);
    return 0;
}

int cloud_cli_open(struct cloud_cli *c, struct sb_cli *cli, enum store_mode mode)
{
    struct sb_err err = {0};
    int status = cloud_cli_config(c, cli);

    if (status != 0)
        return status;
    return open_store(c, mode, &err) == 0 ? 0 : sb_cli_fail(cli, &err);
}

void cloud_cli_close(struct cloud_cli *c)
{
    store_close(c->store);
    c->store = NULL;
}

int cloud_cli_ask(struct cloud_cli *c, const char *verb, const char *device, int64_t wait_ms,
                  struct sb_buf *answer, struct sb_err *err)
{
    struct sb_buf request = {0};
    int rc;

    sb_put_open(&request, NULL, '{');
    sb_put_text(&request, "verb", verb);
    if (device != NULL)
        sb_put_text(&request, "device", device);
    if (wait_ms > 0)
        sb_put_i64(&request, "wait_ms", wait_ms);
    sb_put_close(&request, '}');
    rc = sb_cli_ask(c->cli, c->config.socket_path, sb_buf_span(&request), (int)wait_ms + ASK_MS,
                    answer, err);
    sb_buf_free(&request);
    return rc;
}

/* ---- requests ---- */

/* "_op-" and who asks: what a decision names as its author. */
static void operator_name(char out[SB_NAME_MAX + 1])
{
    const char *name = getenv("SUDO_USER");
    const struct passwd *user = getpwuid(geteuid());

    if (name == NULL || name[0] == '\0')
        name = user != NULL ? user->pw_name : "local";
    snprintf(out, SB_NAME_MAX + 1, "_op-%.60s", name);
    for (char *at = out; *at != '\0'; at++)
        if (!sb_name_valid((struct sb_span){at, 1}))
            *at = '-';
}

static int ask_daemon(struct cloud_cli *c, const char *by, const struct sb_request *request,
                      struct sb_buf *answer, struct sb_err *err)
{
    struct sb_buf line = {0};
    int rc;

    sb_put_open(&line, NULL, '{');
    sb_put_text(&line, "verb", "request");
    sb_put_text(&line, "by", by);
    sb_put_text(&line, "id", request->id);
    sb_put_text(&line, "op", request->op);
    sb_put_raw(&line, "args", request->args);
    sb_put_close(&line, '}');
    rc = sb_cli_ask(c->cli, c->config.socket_path, sb_buf_span(&line), REQUEST_MS, answer, err);
    sb_buf_free(&line);
    return rc;
}

static int ask_database(struct cloud_cli *c, const char *by, const struct sb_request *request,
                        struct sb_buf *answer, struct sb_err *err)
{
    const struct requester who = {.name = by, .is_operator = true, .is_local = true};
    struct ingest_config config = c->config.ingest;
    struct tables *tables = NULL;
    int rc = cloud_config_tables(&c->config, &tables, err);

    if (rc != 0)
        return rc;
    config.tables = tables;
    rc = c->store == NULL ? open_store(c, STORE_ADMIN, err) : 0;
    if (rc == 0)
        rc = requests_alone(c->store, &config, &who, request, sb_clock_now(), answer, err);
    tables_free(tables);
    return rc;
}

static int read_answer(struct sb_span text, struct sb_span *data, struct sb_err *err)
{
    struct sb_answer answer;
    int rc = sb_answer_decode(text, &answer, err);

    *data = answer.data;
    if (rc == 0 && !answer.success)
        rc = sb_fail(err, answer.code, "%s", answer.reason);
    return rc;
}

int cloud_cli_request(struct cloud_cli *c, const char *op, struct sb_span args,
                      struct sb_buf *answer, struct sb_span *data, struct sb_err *err)
{
    struct sb_request request = {.args = args};
    char by[SB_NAME_MAX + 1];
    struct sb_rng rng;
    int rc;

    sb_rng_seed_os(&rng);
    sb_uuid7(&rng, sb_clock_now().wall_us, request.id);
    memcpy(request.op, op, strlen(op) + 1);
    operator_name(by);
    rc = ask_daemon(c, by, &request, answer, err);
    if (rc == -(int)SB_ENOT_RUNNING) {
        sb_buf_clear(answer);
        rc = ask_database(c, by, &request, answer, err);
    }
    return rc == 0 ? read_answer(sb_buf_span(answer), data, err) : rc;
}

/* ---- who is online ---- */

static void add_online(struct cloud_online *online, struct sb_span name)
{
    online->names = sb_xrealloc(online->names, (online->count + 1) * sizeof(*online->names));
    if (sb_json_copy(name, online->names[online->count], sizeof(online->names[0])))
        online->count++;
}

void cloud_cli_online(struct cloud_cli *c, struct cloud_online *online)
{
    struct sb_json_field fields[] = {{.key = "connected"}, {.key = "complete"}, {.key = "online"}};
    struct sb_buf answer = {0};
    struct sb_json_iter iter;
    struct sb_span name;
    struct sb_err err;

    *online = (struct cloud_online){0};
    if (cloud_cli_ask(c, "online", NULL, 0, &answer, &err) == 0) {
        sb_json_pick(sb_buf_span(&answer), fields, 3);
        online->known = sb_field_given(&fields[2]) && sb_span_is(fields[0].value, "true");
        online->complete = sb_span_is(fields[1].value, "true");
    }
    if (online->known) {
        sb_json_iter_init(&iter, fields[2].value);
        while (sb_json_next_element(&iter, &name))
            add_online(online, name);
    }
    sb_buf_free(&answer);
}

void cloud_online_free(struct cloud_online *online)
{
    free(online->names);
    *online = (struct cloud_online){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

bool cloud_online_has(const struct cloud_online *online, const char *device)
{
    return online->count > 0 && bsearch(device, online->names, online->count,
                                        sizeof(online->names[0]), compare_names) != NULL;
}

/* ---- printing ---- */

void cloud_cli_print_json(struct sb_buf *out)
{
    sb_buf_add_char(out, '\n');
    sb_cli_print(out);
}

void cloud_csv_text(struct sb_buf *out, struct sb_span text)
{
    bool plain = text.len > 0;

    for (size_t i = 0; plain && i < text.len; i++)
        plain = strchr("\",\r\n", text.data[i]) == NULL;
    if (plain && text.data[0] != ' ' && text.data[text.len - 1] != ' ') {
        sb_buf_add_span(out, text);
        return;
    }
    sb_buf_add_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"')
            sb_buf_add_char(out, '"');
        sb_buf_add_char(out, text.data[i]);
    }
    sb_buf_add_char(out, '"');
}
