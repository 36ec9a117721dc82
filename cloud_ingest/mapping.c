#include "mapping.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mapping_files.h"

static const struct {
    enum column_type type;
    const char *name;
} column_types[] = {
    {COLUMN_NUMBER, "number"},
    {COLUMN_INTEGER, "integer"},
    {COLUMN_STRING, "string"},
    {COLUMN_BOOLEAN, "boolean"},
};

#define COLUMN_TYPES (sizeof(column_types) / sizeof(column_types[0]))

const char *column_type_name(enum column_type type)
{
    for (size_t i = 0; i < COLUMN_TYPES; i++)
        if (column_types[i].type == type)
            return column_types[i].name;
    return "unknown";
}

bool column_type_parse(struct sb_span name, enum column_type *type)
{
    for (size_t i = 0; i < COLUMN_TYPES; i++) {
        if (sb_span_is(name, column_types[i].name)) {
            *type = column_types[i].type;
            return true;
        }
    }
    return false;
}

/* ---- the set ---- */

struct mapping_set {
    struct mapping **at; /* pointers: what was handed out stays where it is */
    size_t count;
};

struct mapping_set *mapping_set_new(void)
{
    return sb_xcalloc(1, sizeof(struct mapping_set));
}

void mapping_fini(struct mapping *mapping)
{
    for (size_t i = 0; i < mapping->count; i++)
        free(mapping->columns[i].from);
    free(mapping->columns);
    *mapping = (struct mapping){0};
}

void mapping_set_free(struct mapping_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->count; i++) {
        mapping_fini(set->at[i]);
        free(set->at[i]);
    }
    free(set->at);
    free(set);
}

size_t mapping_set_count(const struct mapping_set *set)
{
    return set->count;
}

const struct mapping *mapping_set_at(const struct mapping_set *set, size_t index)
{
    return set->at[index];
}

const struct mapping *mapping_set_get(const struct mapping_set *set, const char *type)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->at[i]->type, type) == 0)
            return set->at[i];
    return NULL;
}

int mapping_set_take(struct mapping_set *set, struct mapping *mapping, struct sb_err *err)
{
    /* Names of tables do not tell capitals apart. */
    for (size_t i = 0; i < set->count; i++)
        if (strcasecmp(set->at[i]->type, mapping->type) == 0)
            return sb_fail(err, SB_ECONFIG, "type %s is declared twice", mapping->type);
    set->at = sb_xrealloc(set->at, (set->count + 1) * sizeof(*set->at));
    set->at[set->count] = sb_xmalloc(sizeof(*mapping));
    *set->at[set->count++] = *mapping;
    *mapping = (struct mapping){0};
    return 0;
}

int mapping_set_add(struct mapping_set *set, struct sb_span text, struct sb_err *err)
{
    struct mapping mapping = {0};
    int rc = mapping_decode(text, &mapping, err);

    if (rc == 0)
        rc = mapping_set_take(set, &mapping, err);
    mapping_fini(&mapping);
    return rc;
}

/* ---- files ---- */

static int take_file(void *ctx, const char *stem, struct sb_span text, struct sb_err *err)
{
    struct mapping_set *set = ctx;
    int rc = mapping_set_add(set, text, err);

    if (rc == 0 && strcmp(set->at[set->count - 1]->type, stem) != 0)
        rc = sb_fail(err, SB_ECONFIG, "declares the type %s", set->at[set->count - 1]->type);
    return rc;
}

int mapping_set_load(struct mapping_set *set, const char *folder, struct sb_err *err)
{
    return mapping_files(folder, MAPPING_FILE_TYPE, take_file, set, err);
}

/* ---- which field goes where ---- */

static bool takes(const struct column *column, struct sb_span field)
{
    for (size_t i = 0; i < column->from_count; i++)
        if (sb_span_is(field, column->from[i]))
            return true;
    return sb_span_is(field, column->name);
}

static int target_of(const struct mapping *mapping, struct sb_span field)
{
    if (sb_span_is(field, "ts"))
        return PLAN_TS;
    for (size_t i = 0; mapping != NULL && i < mapping->count; i++)
        if (takes(&mapping->columns[i], field))
            return (int)i;
    return PLAN_EXTRA;
}

static void place_field(struct plan *plan, size_t index)
{
    int target = target_of(plan->mapping, plan->fields[index]);

    plan->target[index] = target;
    if (target == PLAN_TS)
        plan->ts = (int)index;
    if (target < 0)
        return;
    if ((plan->columns >> target & 1) != 0)
        plan->clash = target;
    plan->columns |= UINT64_C(1) << target;
}

void plan_make(struct plan *plan, const struct mapping *mapping, const struct sb_span *fields,
               size_t count)
{
    struct sb_buf text = {0};

    *plan = (struct plan){.mapping = mapping, .field_count = count, .ts = -1, .clash = -1};
    plan->required = -1;
    for (size_t i = 0; i < count; i++)
        sb_buf_add_span(&text, fields[i]);
    plan->text = sb_buf_take(&text);
    for (size_t i = 0, at = 0; i < count; at += fields[i++].len) {
        plan->fields[i] = (struct sb_span){plan->text + at, fields[i].len};
        place_field(plan, i);
    }
    for (size_t i = 0; mapping != NULL && i < mapping->count; i++)
        if (mapping->columns[i].required && (plan->columns >> i & 1) == 0)
            plan->required = (int)i;
}

void plan_fini(struct plan *plan)
{
    free(plan->text);
    *plan = (struct plan){0};
}
