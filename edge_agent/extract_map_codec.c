/* The JSON text of an extraction map (IMPORT.md) → struct extract_map. */
#include "edge_agent/extract.h"

#include <stdlib.h>
#include <string.h>

#include "common/ids.h"
#include "common/json.h"

#define MAP_MAX_BYTES 262144
#define PATTERN_MAX   256 /* characters of a regular expression */
#define REPEATS_MAX   12  /* its * + ? */

static void column_fini(struct extract_column *column)
{
    free(column->name);
}

static void schema_fini(struct extract_schema *schema)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        free(schema->fields[i].field);
        column_fini(&schema->fields[i].column);
    }
    free(schema->fields);
    column_fini(&schema->time);
    time_format_fini(&schema->time_format);
    free(schema->time_field);
    free(schema->name);
}

void extract_map_fini(struct extract_map *map)
{
    for (size_t i = 0; i < map->schema_count; i++)
        schema_fini(&map->schemas[i]);
    for (size_t i = 0; i < map->skip_count; i++)
        regfree(&map->skip[i]);
    for (size_t i = 0; i < map->null_count; i++)
        free(map->nulls[i]);
    for (size_t i = 0; i < map->constant_count; i++) {
        free(map->constants[i].field);
        free(map->constants[i].json);
    }
    if (map->header_line != NULL)
        regfree(map->header_line);
    free(map->header_line);
    free(map->skip);
    free(map->nulls);
    free(map->constants);
    free(map->schemas);
    *map = (struct extract_map){0};
}

/* ---- pieces ---- */

static int fail_at(struct sb_err *err, const char *key, const char *what)
{
    return sb_fail(err, SB_ECONFIG, "map: %.60s: %s", key, what);
}

/* Every member of an object must be known. */
static int check_members(const cJSON *object, const char *const *known, const char *where,
                         struct sb_err *err)
{
    const cJSON *member;

    cJSON_ArrayForEach(member, object)
    {
        const char *const *name = known;

        while (*name != NULL && strcmp(*name, member->string) != 0)
            name++;
        if (*name == NULL)
            return sb_fail(err, SB_ECONFIG, "map: %sunknown member '%.60s'", where, member->string);
    }
    return 0;
}

/* An optional text; *out stays NULL when it is absent. */
static int text_member(const cJSON *object, const char *key, const char **out, struct sb_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    *out = NULL;
    if (item == NULL)
        return 0;
    if (!cJSON_IsString(item))
        return fail_at(err, key, "not a text");
    *out = item->valuestring;
    return 0;
}

static int character_member(const cJSON *object, const char *key, char fallback, char *out,
                            struct sb_err *err)
{
    const char *text;
    int rc = text_member(object, key, &text, err);

    *out = fallback;
    if (rc != 0 || text == NULL)
        return rc;
    if (strlen(text) != 1 || text[0] == '"' || text[0] == '\n' || text[0] == '\r')
        return fail_at(err, key, "not one character");
    *out = text[0];
    return 0;
}

/* glibc copies what "+" and "{n}" repeat, so that repeated repetition eats all memory. */
static bool costly(const char *pattern)
{
    unsigned repeats = 0;
    bool bracket = false, repeated = false;
    char before = 'x';

    for (; *pattern != '\0'; before = *pattern++) {
        bool again = !bracket && strchr("*+?", *pattern) != NULL;

        if (bracket) {
            bracket = *pattern != ']' || before == '[' || before == '^';
        } else if (*pattern == '[') {
            bracket = true;
        } else if (*pattern == '\\' && pattern[1] != '\0') {
            pattern++;
        } else if (*pattern == '{' || (again && repeated)) {
            return true;
        }
        repeats += again;
        repeated = again;
    }
    return repeats > REPEATS_MAX || bracket;
}

static int compile(regex_t *regex, const char *pattern, const char *key, struct sb_err *err)
{
    char text[120];
    int rc;

    if (strlen(pattern) > PATTERN_MAX || costly(pattern))
        return sb_fail(err, SB_ECONFIG,
                       "map: %s: '%.60s': at most %d characters, %d of * + ? and no {}", key,
                       pattern, PATTERN_MAX, REPEATS_MAX);
    rc = regcomp(regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (rc == 0)
        return 0;
    regerror(rc, regex, text, sizeof(text));
    return sb_fail(err, SB_ECONFIG, "map: %s: '%.60s' is no regular expression: %s", key, pattern,
                   text);
}

static int skip_member(const cJSON *root, struct extract_map *map, struct sb_err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "skip"), *item;

    if (list == NULL)
        return 0;
    if (!cJSON_IsArray(list))
        return fail_at(err, "skip", "not a list of regular expressions");
    map->skip = sb_xcalloc((size_t)cJSON_GetArraySize(list), sizeof(*map->skip));
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            return fail_at(err, "skip", "not a list of texts");
        if (compile(&map->skip[map->skip_count], item->valuestring, "skip", err) != 0)
            return -(int)SB_ECONFIG;
        map->skip_count++;
    }
    return 0;
}

static int header_members(const cJSON *root, struct extract_map *map, struct sb_err *err)
{
    const char *text;
    int rc = text_member(root, "header", &text, err);

    if (rc != 0)
        return rc;
    if (text == NULL || strcmp(text, "auto") == 0)
        map->header = EXTRACT_HEADER_AUTO;
    else if (strcmp(text, "yes") == 0)
        map->header = EXTRACT_HEADER_YES;
    else if (strcmp(text, "no") == 0)
        map->header = EXTRACT_HEADER_NO;
    else
        return fail_at(err, "header", "not yes, no or auto");
    rc = text_member(root, "header_line", &text, err);
    if (rc != 0 || text == NULL)
        return rc;
    map->header_line = sb_xmalloc(sizeof(*map->header_line));
    rc = compile(map->header_line, text, "header_line", err);
    if (rc != 0) {
        free(map->header_line);
        map->header_line = NULL;
    }
    return rc;
}

static int null_member(const cJSON *root, struct extract_map *map, struct sb_err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "null"), *item;

    if (list == NULL)
        return 0;
    if (!cJSON_IsArray(list))
        return fail_at(err, "null", "not a list of texts");
    map->nulls = sb_xcalloc((size_t)cJSON_GetArraySize(list), sizeof(char *));
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            return fail_at(err, "null", "not a list of texts");
        map->nulls[map->null_count++] = sb_xstrdup(item->valuestring);
    }
    return 0;
}

/* Values keep their own text: read by the scanner, not printed by cJSON. */
static int constants_member(struct sb_span text, struct extract_map *map, struct sb_err *err)
{
    struct sb_span constants, key, value;
    struct sb_json_iter iter;

    if (!sb_json_get(text, "constants", &constants))
        return 0;
    if (sb_json_type_of(constants) != SB_JSON_OBJECT)
        return fail_at(err, "constants", "not an object");
    map->constants = sb_xcalloc(sb_json_count(constants), sizeof(*map->constants));
    sb_json_iter_init(&iter, constants);
    while (sb_json_next_member(&iter, &key, &value)) {
        struct extract_constant *constant = &map->constants[map->constant_count++];

        constant->field = sb_xstrndup(key.data, key.len);
        constant->json = sb_xstrndup(value.data, value.len);
        if (!sb_name_valid(key))
            return sb_fail(err, SB_ECONFIG, "map: constants: '%.60s' is no field name",
                           constant->field);
    }
    return 0;
}

/* ---- schemas ---- */

static int column_member(const cJSON *object, bool ndjson, struct extract_column *out,
                         struct sb_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "column");

    if (cJSON_IsString(item) && item->valuestring[0] != '\0') {
        out->name = sb_xstrdup(item->valuestring);
        return 0;
    }
    if (ndjson)
        return fail_at(err, "column", "not a member's name or a pointer");
    if (!cJSON_IsNumber(item) || item->valuedouble < 1 || item->valuedouble > EXTRACT_COLUMNS_MAX ||
        item->valuedouble != (double)(unsigned)item->valuedouble)
        return fail_at(err, "column", "not a name and not a number from 1 to 256");
    out->number = (unsigned)item->valuedouble;
    return 0;
}

static int type_member(const cJSON *object, enum extract_type *out, struct sb_err *err)
{
    static const char *const names[] = {
        [EXTRACT_AUTO] = "auto", [EXTRACT_NUMBER] = "number",   [EXTRACT_INTEGER] = "integer",
        [EXTRACT_TEXT] = "text", [EXTRACT_BOOLEAN] = "boolean",
    };
    const char *text;
    int rc = text_member(object, "type", &text, err);

    *out = EXTRACT_AUTO;
    if (rc != 0 || text == NULL)
        return rc;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum extract_type)i;
            return 0;
        }
    }
    return fail_at(err, "type", "not auto, number, integer, text or boolean");
}

static int parse_field(const cJSON *item, bool ndjson, struct extract_field *out,
                       struct sb_err *err)
{
    static const char *const known[] = {"field", "column", "type", NULL};
    const char *name;
    int rc;

    if (!cJSON_IsObject(item))
        return fail_at(err, "fields", "not a list of objects");
    rc = check_members(item, known, "fields: ", err);
    if (rc == 0)
        rc = text_member(item, "field", &name, err);
    if (rc != 0)
        return rc;
    out->field = sb_xstrdup(name != NULL ? name : "");
    if (name != NULL && !sb_name_valid(sb_span_of(name)))
        return sb_fail(err, SB_ECONFIG, "map: fields: '%.60s' is no field name", name);
    rc = column_member(item, ndjson, &out->column, err);
    return rc != 0 ? rc : type_member(item, &out->type, err);
}

static int check_twice(const struct extract_schema *schema, struct sb_err *err)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const char *name = schema->fields[i].field;

        if (strcmp(name, schema->time_field) == 0)
            return sb_fail(err, SB_ECONFIG, "map: fields: '%.60s' is the time's name", name);
        for (size_t k = 0; name[0] != '\0' && k < i; k++)
            if (strcmp(name, schema->fields[k].field) == 0)
                return sb_fail(err, SB_ECONFIG, "map: fields: '%.60s' is there twice", name);
    }
    return 0;
}

static int fields_member(const cJSON *object, const struct extract_map *map,
                         struct extract_schema *out, struct sb_err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "fields"), *item;
    int rc;

    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0)
        return fail_at(err, "fields", "missing, or not a list");
    if ((size_t)cJSON_GetArraySize(list) + map->constant_count >= SB_FIELDS_MAX)
        return fail_at(err, "fields", "more than 63");
    out->fields = sb_xcalloc((size_t)cJSON_GetArraySize(list), sizeof(*out->fields));
    cJSON_ArrayForEach(item, list)
    {
        out->field_count++;
        rc = parse_field(item, map->ndjson, &out->fields[out->field_count - 1], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int time_member(const cJSON *item, bool ndjson, enum sb_up_class class,
                       struct extract_schema *out, struct sb_err *err)
{
    static const char *const known[] = {"column", "format", "zone", "field", NULL};
    const char *format, *zone, *name;
    int rc;

    if (!cJSON_IsObject(item))
        return fail_at(err, "time", "missing, or not an object");
    rc = check_members(item, known, "time: ", err);
    if (rc == 0)
        rc = column_member(item, ndjson, &out->time, err);
    if (rc == 0)
        rc = text_member(item, "format", &format, err);
    if (rc == 0)
        rc = text_member(item, "zone", &zone, err);
    if (rc == 0)
        rc = text_member(item, "field", &name, err);
    if (rc != 0)
        return rc;
    if (name != NULL && !sb_name_valid(sb_span_of(name)))
        return sb_fail(err, SB_ECONFIG, "map: time: '%.60s' is no field name", name);
    out->time_field = sb_xstrdup(name != NULL             ? name
                                 : class == SB_UP_HISTORY ? "created_at"
                                                          : "ts");
    rc = time_format_init(&out->time_format, format != NULL ? format : "iso8601", zone, err);
    if (rc != 0 && err != NULL) {
        sb_err_prefix(err, "map: time");
        err->code = SB_ECONFIG;
    }
    return rc != 0 ? -(int)SB_ECONFIG : 0;
}

static int columns_member(const cJSON *object, unsigned *out, struct sb_err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "columns");

    *out = 0;
    if (item == NULL)
        return 0;
    if (!cJSON_IsNumber(item) || item->valuedouble < 1 || item->valuedouble > EXTRACT_COLUMNS_MAX)
        return fail_at(err, "columns", "not a number from 1 to 256");
    *out = (unsigned)item->valuedouble;
    return 0;
}

/* root holds what several schemas share. */
static int parse_schema(const cJSON *object, const cJSON *root, const struct extract_map *map,
                        enum sb_up_class class, struct extract_schema *out, struct sb_err *err)
{
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(object, "time");
    const char *name;
    int rc = text_member(object, "name", &name, err);

    if (rc != 0)
        return rc;
    out->name = sb_xstrdup(name != NULL ? name : "map");
    rc = columns_member(object, &out->columns, err);
    if (rc == 0)
        rc = time_member(time != NULL ? time : cJSON_GetObjectItemCaseSensitive(root, "time"),
                         map->ndjson, class, out, err);
    if (rc == 0)
        rc = fields_member(object, map, out, err);
    if (rc == 0)
        rc = check_twice(out, err);
    if (rc == 0 && !map->ndjson && out->columns == 0 && map->header == EXTRACT_HEADER_NO)
        rc = fail_at(err, "columns", "missing: without a header nothing else tells torn lines");
    for (size_t i = 0; rc == 0 && map->header == EXTRACT_HEADER_NO && i < out->field_count; i++)
        if (!map->ndjson && map->header_line == NULL && out->fields[i].column.name != NULL)
            rc = fail_at(err, out->fields[i].column.name, "a column by name needs a header");
    return rc;
}

static int schemas_member(const cJSON *root, struct extract_map *map, enum sb_up_class class,
                          struct sb_err *err)
{
    static const char *const known[] = {"name", "columns", "time", "fields", NULL};
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "schemas"), *item;
    int rc = 0;

    if (list == NULL) {
        map->schemas = sb_xcalloc(1, sizeof(*map->schemas));
        map->schema_count = 1;
        return parse_schema(root, root, map, class, &map->schemas[0], err);
    }
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0)
        return fail_at(err, "schemas", "not a list");
    if (map->ndjson && cJSON_GetArraySize(list) > 1)
        return fail_at(err, "schemas", "ndjson has one");
    if (cJSON_GetObjectItemCaseSensitive(root, "fields") != NULL ||
        cJSON_GetObjectItemCaseSensitive(root, "columns") != NULL)
        return fail_at(err, "schemas", "fields and columns belong inside them");
    map->schemas = sb_xcalloc((size_t)cJSON_GetArraySize(list), sizeof(*map->schemas));
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsObject(item))
            return fail_at(err, "schemas", "not a list of objects");
        map->schema_count++;
        rc = check_members(item, known, "schemas: ", err);
        if (rc == 0)
            rc = parse_schema(item, root, map, class, &map->schemas[map->schema_count - 1], err);
        if (rc != 0)
            return rc;
    }
    return rc;
}

static int parse_map(const cJSON *root, struct sb_span text, enum sb_up_class class,
                     struct extract_map *map, struct sb_err *err)
{
    static const char *const known[] = {"format",      "delimiter", "header",  "header_line",
                                        "decimal",     "skip",      "null",    "constants",
                                        "description", "time",      "columns", "fields",
                                        "schemas",     "name",      NULL};
    const char *format;
    int rc;

    if (!cJSON_IsObject(root))
        return sb_fail(err, SB_ECONFIG, "map: not a JSON object");
    rc = check_members(root, known, "", err);
    if (rc == 0)
        rc = text_member(root, "format", &format, err);
    if (rc != 0)
        return rc;
    if (format != NULL && strcmp(format, "csv") != 0 && strcmp(format, "ndjson") != 0)
        return fail_at(err, "format", "not csv or ndjson");
    map->ndjson = format != NULL && strcmp(format, "ndjson") == 0;
    rc = character_member(root, "delimiter", '\0', &map->delimiter, err);
    if (rc == 0)
        rc = character_member(root, "decimal", '.', &map->decimal, err);
    if (rc == 0)
        rc = header_members(root, map, err);
    if (rc == 0)
        rc = skip_member(root, map, err);
    if (rc == 0)
        rc = null_member(root, map, err);
    if (rc == 0)
        rc = constants_member(text, map, err);
    return rc != 0 ? rc : schemas_member(root, map, class, err);
}

int extract_map_parse(struct sb_span text, enum sb_up_class class, struct extract_map *map,
                      struct sb_err *err)
{
    const struct sb_json_limits limits = {MAP_MAX_BYTES, 8, 10000};
    struct sb_span value = text;
    cJSON *root;
    int rc;

    *map = (struct extract_map){0};
    root = sb_json_parse(text, &limits, err);
    if (root == NULL) {
        if (err != NULL)
            err->code = SB_ECONFIG;
        sb_err_prefix(err, "map");
        return -(int)SB_ECONFIG;
    }
    (void)sb_json_check(text, &limits, &value, NULL);
    rc = parse_map(root, value, class, map, err);
    cJSON_Delete(root);
    if (rc != 0)
        extract_map_fini(map);
    return rc;
}
