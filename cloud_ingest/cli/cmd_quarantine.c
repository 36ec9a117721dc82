/* quarantine: what came and could not be read or placed. */
#include "cloud_cli.h"

#include <string.h>

#include <openssl/evp.h>

#define LIMIT_DEFAULT 100

const struct sb_cli_option quarantine_list_options[] = {
    {.name = "device", .kind = SB_CLI_TEXT, .value = "DEVICE", .help = "of this device alone"},
    {.name = "limit", .kind = SB_CLI_NUMBER, .value = "N", .help = "so many, 100 unless told"},
    {0}};
const struct sb_cli_option quarantine_show_options[] = {
    {.name = "raw", .kind = SB_CLI_FLAG, .help = "print the bytes as they came and nothing else"},
    {0}};

const char quarantine_help[] =
    "Newest first. Bytes that came again are counted, not kept again; of large payloads the\n"
    "beginning is kept. Nothing here was stored anywhere else, and its sender was told.\n"
    "\n"
    "examples:\n"
    "  cloud_ingest quarantine list --device edge-001\n"
    "  cloud_ingest quarantine show 7\n"
    "  cloud_ingest quarantine show 7 --raw | zcat\n";

struct quarantine {
    struct cloud_cli c;
    struct sb_table *table;
    struct sb_buf out; /* JSON */
};

static void put_entry(struct sb_buf *out, const struct quarantine_info *info)
{
    sb_put_i64(out, "id", info->id);
    sb_put_text_or_null(out, "device", info->device);
    sb_put_span(out, "topic", info->topic);
    sb_put_text(out, "code", sb_code_name(info->code));
    sb_put_text(out, "reason", info->reason);
    sb_put_u64(out, "times", info->times);
    sb_put_u64(out, "size", info->size);
    sb_put_u64(out, "kept", info->payload.len);
    sb_put_time_ms(out, "first_at", info->first_ms);
    sb_put_time_ms(out, "last_at", info->last_ms);
}

static bool list_entry(void *ctx, const struct quarantine_info *info)
{
    struct quarantine *q = ctx;

    if (sb_cli_json(q->c.cli)) {
        sb_put_open(&q->out, NULL, '{');
        put_entry(&q->out, info);
        sb_put_close(&q->out, '}');
        return true;
    }
    sb_table_u64(q->table, (uint64_t)info->id);
    sb_table_text(q->table, info->device);
    sb_table_text(q->table, sb_code_name(info->code));
    sb_table_text(q->table, info->reason);
    sb_table_u64(q->table, info->times);
    sb_table_u64(q->table, info->size);
    sb_table_time_ms(q->table, info->last_ms);
    sb_table_span(q->table, info->topic);
    return true;
}

int cmd_quarantine_list(struct sb_cli *cli)
{
    static const char *const heads[] = {"ID",     "DEVICE", "CODE", "REASON",
                                        ">TIMES", ">SIZE",  "LAST", "TOPIC"};
    uint64_t limit = (uint64_t)sb_cli_number(cli, "limit", LIMIT_DEFAULT);
    struct quarantine q = {0};
    struct sb_err err = {0};
    int rc, status = cloud_cli_open(&q.c, cli, STORE_READ);

    if (status != 0)
        return status;
    q.table = sb_table_new(heads, sizeof(heads) / sizeof(heads[0]));
    sb_put_open(&q.out, NULL, '{');
    sb_put_open(&q.out, "quarantine", '[');
    rc = store_quarantine(q.c.store, sb_cli_text(cli, "device"), limit, list_entry, &q, &err);
    if (rc == 0 && sb_cli_json(cli)) {
        sb_put_close(&q.out, ']');
        sb_put_close(&q.out, '}');
        cloud_cli_print_json(&q.out);
    } else if (rc == 0) {
        sb_table_print(q.table, sb_cli_colour(cli), stdout);
    }
    sb_table_free(q.table);
    sb_buf_free(&q.out);
    cloud_cli_close(&q.c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}

/* ---- one entry ---- */

static void put_base64(struct sb_buf *out, const char *key, struct sb_span bytes)
{
    size_t room = bytes.len / 3 * 4 + 5;
    unsigned char *text = sb_xmalloc(room);
    int len = EVP_EncodeBlock(text, (const unsigned char *)bytes.data, (int)bytes.len);

    sb_put_span(out, key, (struct sb_span){(const char *)text, (size_t)len});
    free(text);
}

static void print_json(const struct quarantine_info *info)
{
    struct sb_buf out = {0};

    sb_put_open(&out, NULL, '{');
    put_entry(&out, info);
    if (sb_utf8_valid(info->payload, NULL))
        sb_put_span(&out, "payload", info->payload);
    else
        sb_put_null(&out, "payload");
    put_base64(&out, "payload_base64", info->payload);
    sb_put_close(&out, '}');
    cloud_cli_print_json(&out);
    sb_buf_free(&out);
}

static void print_line(const char *label, struct sb_span value)
{
    struct sb_buf safe = {0};

    sb_print_safe(value, &safe);
    printf("%-8s %s\n", label, safe.len > 0 ? safe.data : "-");
    sb_buf_free(&safe);
}

static void print_text(const struct quarantine_info *info)
{
    struct sb_buf safe = {0};
    char at[SB_TIME_TEXT];

    sb_time_print(info->last_ms * 1000, at);
    printf("%-8s %lld\n", "id", (long long)info->id);
    print_line("device", sb_span_of(info->device));
    print_line("topic", info->topic);
    printf("%-8s %s\n", "code", sb_code_name(info->code));
    print_line("reason", sb_span_of(info->reason));
    printf("%-8s %llu, last at %s\n", "times", (unsigned long long)info->times, at);
    printf("%-8s %llu bytes, %zu kept\n\n", "size", (unsigned long long)info->size,
           info->payload.len);
    sb_print_safe(info->payload, &safe);
    sb_buf_add_char(&safe, '\n');
    sb_cli_print(&safe);
    sb_buf_free(&safe);
}

static bool show_entry(void *ctx, const struct quarantine_info *info)
{
    const struct sb_cli *cli = ctx;

    if (sb_cli_given(cli, "raw"))
        fwrite(info->payload.data, 1, info->payload.len, stdout);
    else if (sb_cli_json(cli))
        print_json(info);
    else
        print_text(info);
    return true;
}

int cmd_quarantine_show(struct sb_cli *cli)
{
    const char *text = sb_cli_arg(cli, 0);
    struct sb_span digits = sb_span_of(text);
    struct cloud_cli c;
    struct sb_err err = {0};
    int64_t id;
    int rc, status;

    if (!sb_json_i64(digits, &id) || id < 1)
        return sb_cli_usage(cli, "'%.40s': an id of `quarantine list` is wanted", text);
    status = cloud_cli_open(&c, cli, STORE_READ);
    if (status != 0)
        return status;
    rc = store_quarantine_show(c.store, id, show_entry, cli, &err);
    cloud_cli_close(&c);
    return rc == 0 ? 0 : sb_cli_fail(cli, &err);
}
