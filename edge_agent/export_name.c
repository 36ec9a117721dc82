#include "edge_agent/export_name.h"

#include <stdio.h>
#include <string.h>

#include "common/ids.h"

#define CUT_AT   200
#define HASHED   16 /* bytes of the digest in a cut name */
#define CUT_MARK '~'

static bool stays(unsigned char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || (c == '.' && !first);
}

static void add_digest(struct sb_span id, struct sb_buf *out)
{
    unsigned char digest[32];

    sb_sha256(&id, 1, digest);
    sb_buf_add_char(out, CUT_MARK);
    for (size_t i = 0; i < HASHED; i++)
        sb_buf_add_fmt(out, "%02x", digest[i]);
}

void export_name_of_id(struct sb_span id, char out[EXPORT_NAME_MAX])
{
    struct sb_buf name = {0};
    bool whole = true;

    for (size_t i = 0; i < id.len && whole; i++) {
        unsigned char c = (unsigned char)id.data[i];

        whole = name.len + 3 <= CUT_AT;
        if (whole && stays(c, i == 0))
            sb_buf_add_char(&name, (char)c);
        else if (whole)
            sb_buf_add_fmt(&name, "%%%02X", c);
    }
    if (!whole)
        add_digest(id, &name);
    snprintf(out, EXPORT_NAME_MAX, SB_SPAN_FMT ".json", SB_SPAN_ARG(sb_buf_span(&name)));
    sb_buf_free(&name);
}

void export_place_of(const char *user, const char *table, const char *id, struct export_place *out)
{
    bool settings = strcmp(table, SB_TABLE_SETTINGS) == 0;

    *out = (struct export_place){0};
    snprintf(out->user, sizeof(out->user), "%s", user);
    if (settings) {
        snprintf(out->file, sizeof(out->file), "%s.json", SB_TABLE_SETTINGS);
        return;
    }
    snprintf(out->table, sizeof(out->table), "%s", table);
    export_name_of_id(sb_span_of(id), out->file);
}

void export_place_path(const struct export_place *place, const char *folder, struct sb_buf *out)
{
    sb_buf_add_fmt(out, "%s/%s/", folder, place->user);
    if (place->table[0] != '\0')
        sb_buf_add_fmt(out, "%s/", place->table);
    sb_buf_add_str(out, place->file);
}
