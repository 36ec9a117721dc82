#include "json_put.h"
#include "json_read.h"
#include "notify.h"
#include "ranges.h"

void sb_notify_encode(const struct sb_notify *notify, struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"v\":1");
    sb_put_text(out, "kind", "notify");
    if (notify->hello)
        sb_put_bool(out, "hello", true);
    if (notify->user[0] != '\0')
        sb_put_text(out, "user", notify->user);
    if (notify->table[0] != '\0')
        sb_put_text(out, "table", notify->table);
    if (notify->version > 0)
        sb_put_u64(out, "version", notify->version);
    sb_put_close(out, '}');
}

int sb_notify_decode(struct sb_span text, struct sb_notify *out, struct sb_err *err)
{
    struct sb_json_field f[] = {{.key = "v"},    {.key = "kind"},  {.key = "hello"},
                                {.key = "user"}, {.key = "table"}, {.key = "version"}};
    struct sb_span object;
    int rc = sb_json_check_object(text, &sb_down_limits, &object, err);

    *out = (struct sb_notify){.hello = false};
    if (rc < 0)
        return rc;
    sb_json_pick(object, f, sizeof(f) / sizeof(f[0]));
    rc = sb_field_version(&f[0], err);
    if (rc == 0)
        rc = sb_field_kind(&f[1], "notify", err);
    if (rc == 0 && sb_field_given(&f[2]))
        rc = sb_field_bool(&f[2], &out->hello, err);
    if (rc == 0 && sb_field_given(&f[3]))
        rc = sb_field_name(&f[3], out->user, err);
    if (rc == 0 && sb_field_given(&f[4]))
        rc = sb_field_table(&f[4], out->table, err);
    if (rc == 0 && sb_field_given(&f[5]))
        rc = sb_field_u64(&f[5], 0, SB_SEQ_MAX, &out->version, err);
    return rc;
}
