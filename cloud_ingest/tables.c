#include "tables.h"

#include <stdlib.h>
#include <string.h>

#include "common/json_read.h"
#include "common/reply.h"
#include "limits.h"
#include "mapping_files.h"

struct tables {
    struct table *at[1 + LIMIT_TABLES]; /* [0] is settings */
    size_t count;
};

static struct table *add(struct tables *tables, const char *name, enum sb_policy policy)
{
    struct table *table = sb_xcalloc(1, sizeof(*table));

    memcpy(table->name, name, strlen(name) + 1);
    table->policy = policy;
    tables->at[tables->count++] = table;
    return table;
}

struct tables *tables_new(void)
{
    struct tables *tables = sb_xcalloc(1, sizeof(*tables));

    add(tables, SB_TABLE_SETTINGS, SB_POLICY_MERGE);
    return tables;
}

void tables_free(struct tables *tables)
{
    if (tables == NULL)
        return;
    for (size_t i = 0; i < tables->count; i++) {
        sb_array_keys_free(&tables->at[i]->keys);
        sb_buf_free(&tables->at[i]->arrays);
        free(tables->at[i]);
    }
    free(tables);
}

/* A service has a dozen tables: the names are looked through. */
static struct table *find(const struct tables *tables, const char *name)
{
    for (size_t i = 0; i < tables->count; i++)
        if (strcmp(tables->at[i]->name, name) == 0)
            return tables->at[i];
    return NULL;
}

const struct table *tables_get(const struct tables *tables, const char *name)
{
    return find(tables, name);
}

size_t tables_count(const struct tables *tables)
{
    return tables->count - 1;
}

const struct table *tables_at(const struct tables *tables, size_t index)
{
    return tables->at[1 + index];
}

int tables_declare(struct tables *tables, const char *name, enum sb_policy policy,
                   struct sb_err *err)
{
    if (strcmp(name, SB_TABLE_SETTINGS) == 0) {
        tables->at[0]->policy = policy;
        return 0;
    }
    if (!sb_table_valid(sb_span_of(name)))
        return sb_fail(err, SB_ECONFIG, "table '%.80s': not [a-z][a-z0-9_]{0,63}", name);
    if (find(tables, name) != NULL)
        return sb_fail(err, SB_ECONFIG, "table %s is declared twice", name);
    if (tables_count(tables) == LIMIT_TABLES)
        return sb_fail(err, SB_ECONFIG, "more than %d tables", LIMIT_TABLES);
    add(tables, name, policy);
    return 0;
}

/* ---- files ---- */

struct file {
    char name[SB_NAME_MAX + 1];
    enum sb_policy policy; /* SB_POLICY_NONE: not said */
    bool has_arrays;
    struct sb_array_keys keys;
};

static int read_policy(const struct sb_json_field *field, enum sb_policy *policy,
                       struct sb_err *err)
{
    char name[16];
    int rc = sb_field_text(field, name, sizeof(name), err);

    if (rc == 0 && !sb_policy_parse(sb_span_of(name), policy))
        rc = sb_fail(err, SB_ECONFIG, "policy: not merge, latest, server, local or manual");
    return rc;
}

static int check_members(struct sb_span object, const struct sb_json_field *fields, size_t count,
                         struct sb_err *err)
{
    struct sb_json_iter iter;
    struct sb_span key, value;
    size_t i;

    sb_json_iter_init(&iter, object);
    while (sb_json_next_member(&iter, &key, &value)) {
        for (i = 0; i < count && !sb_span_is(key, fields[i].key); i++)
            ;
        if (i == count)
            return sb_fail(err, SB_ECONFIG, "unknown member " SB_SPAN_FMT, SB_SPAN_ARG(key));
    }
    return 0;
}

/* It has to fit into a conflict. */
static int check_arrays(const struct sb_array_keys *keys, struct sb_err *err)
{
    struct sb_buf text = {0};
    size_t len;

    sb_array_keys_print(keys, &text);
    len = text.len;
    sb_buf_free(&text);
    if (len > SB_ARRAYS_MAX_BYTES || keys->count > SB_ARRAYS_MAX)
        return sb_fail(err, SB_ECONFIG, "more than %d, or than %d bytes of them", SB_ARRAYS_MAX,
                       SB_ARRAYS_MAX_BYTES);
    return 0;
}

static int read_members(struct sb_span object, struct file *file, struct sb_err *err)
{
    enum { TABLE, POLICY, ARRAYS, FIELDS, COUNT }; /* fields: for devices, of the same file */
    struct sb_json_field f[COUNT] = {[TABLE] = {.key = "table"},
                                     [POLICY] = {.key = "policy"},
                                     [ARRAYS] = {.key = "arrays"},
                                     [FIELDS] = {.key = "fields"}};
    int rc = check_members(object, f, COUNT, err);

    if (rc != 0)
        return rc;
    sb_json_pick(object, f, COUNT);
    rc = sb_field_text(&f[TABLE], file->name, sizeof(file->name), err);
    if (rc == 0 && !sb_table_valid(sb_span_of(file->name)))
        rc = sb_fail(err, SB_ECONFIG, "table: not [a-z][a-z0-9_]{0,63}");
    if (rc == 0 && sb_field_given(&f[POLICY]))
        rc = read_policy(&f[POLICY], &file->policy, err);
    file->has_arrays = sb_field_given(&f[ARRAYS]);
    if (rc == 0 && file->has_arrays) {
        rc = sb_array_keys_parse(&file->keys, f[ARRAYS].value, err);
        if (rc == 0)
            rc = check_arrays(&file->keys, err);
        if (rc != 0)
            sb_err_prefix(err, "arrays");
    }
    return rc;
}

static void take_over(struct table *table, struct file *file)
{
    if (file->policy != SB_POLICY_NONE)
        table->policy = file->policy;
    if (!file->has_arrays)
        return;
    sb_array_keys_free(&table->keys);
    table->keys = file->keys;
    file->keys = (struct sb_array_keys){0};
    sb_buf_clear(&table->arrays);
    if (table->keys.count > 0)
        sb_array_keys_print(&table->keys, &table->arrays);
}

int tables_add(struct tables *tables, struct sb_span text, const char *name, struct sb_err *err)
{
    static const struct sb_json_limits limits = {MAPPING_FILE_MAX, 5, 10000};
    struct file file = {.policy = SB_POLICY_NONE};
    struct sb_span object;
    struct table *table;
    int rc = sb_json_check(text, &limits, &object, err);

    if (rc == 0 && sb_json_type_of(object) != SB_JSON_OBJECT)
        rc = sb_fail(err, SB_ECONFIG, "not an object");
    if (rc == 0)
        rc = read_members(object, &file, err);
    if (rc == 0 && name != NULL && strcmp(file.name, name) != 0)
        rc = sb_fail(err, SB_ECONFIG, "declares the table %s", file.name);
    if (rc == 0) {
        table = find(tables, file.name);
        if (table != NULL)
            take_over(table, &file);
    } else if (err != NULL) {
        err->code = SB_ECONFIG; /* whatever it is: the file has to be mended */
    }
    sb_array_keys_free(&file.keys);
    return rc == 0 ? 0 : -(int)SB_ECONFIG;
}

static int take_file(void *ctx, const char *stem, struct sb_span text, struct sb_err *err)
{
    return tables_add(ctx, text, stem, err);
}

int tables_load(struct tables *tables, const char *folder, struct sb_err *err)
{
    return mapping_files(folder, MAPPING_FILE_TABLE, take_file, tables, err);
}
