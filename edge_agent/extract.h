#ifndef EDGE_EXTRACT_H
#define EDGE_EXTRACT_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/envelope.h"
#include "common/err.h"
#include "common/topic.h"
#include "edge_agent/time_format.h"

/* Foreign rows → records of ours, by a map (edge_agent/IMPORT.md): which column is which field, of
 * which type, how the time is written. Pure but for named time zones. A row never shifts: what does
 * not have the number of fields its schema says is refused. */

#define EXTRACT_COLUMNS_MAX 256

enum extract_type {
    EXTRACT_AUTO, /* a JSON number stays one, everything else is text */
    EXTRACT_NUMBER,
    EXTRACT_INTEGER,
    EXTRACT_TEXT,
    EXTRACT_BOOLEAN /* true/false, yes/no, on/off, 1/0 in any case */
};

/* Where a value stands: a column by its name in the header or by its number from 1; in NDJSON a
 * member's name or, beginning with '/', a JSON pointer through objects. */
struct extract_column {
    char *name;      /* NULL = by number */
    unsigned number; /* 0 = by name */
};

struct extract_field {
    char *field; /* name in the record; "" = only checked */
    struct extract_column column;
    enum extract_type type;
};

struct extract_schema {
    char *name;       /* for people */
    unsigned columns; /* fields a row has; 0 = as many as the header */
    struct extract_column time;
    struct time_format time_format;
    char *time_field; /* "ts", "created_at" */
    struct extract_field *fields;
    size_t field_count;
};

enum extract_header { EXTRACT_HEADER_AUTO, EXTRACT_HEADER_YES, EXTRACT_HEADER_NO };

struct extract_constant {
    char *field;
    char *json; /* its value */
};

struct extract_map {
    bool ndjson;
    char delimiter; /* 0 = found from the first line */
    enum extract_header header;
    char decimal;
    regex_t *header_line; /* NULL = none */
    regex_t *skip;        /* lines that are no data */
    size_t skip_count;
    char **nulls; /* texts that mean "no value", besides the empty one */
    size_t null_count;
    struct extract_constant *constants;
    size_t constant_count;
    struct extract_schema *schemas; /* none: names come from the header (extract_map_of_header) */
    size_t schema_count;
};

/* Parses a map's JSON text. Unknown members, wrong types and doubtful combinations are SB_ECONFIG
 * and name the place. class: the kind of stream the map is for (the time's default name). */
int extract_map_parse(struct sb_span text, enum sb_up_class class, struct extract_map *map,
                      struct sb_err *err);
void extract_map_default(struct extract_map *map); /* --map was not given */
void extract_map_fini(struct extract_map *map);

/* Without a map: every column is a field of its name (characters a name may not have become '_'),
 * `ts`, `timestamp` or `time` is the time (ISO 8601, UTC unless it says otherwise), values are
 * numbers where they look like one. Adds the one schema. */
int extract_map_of_header(struct extract_map *map, const struct sb_span *names, size_t count,
                          enum sb_up_class class, struct sb_err *err);

bool extract_skips(const struct extract_map *map, const char *line); /* NUL-terminated */
bool extract_is_header_line(const struct extract_map *map, const char *line);
/* header auto: no cell of a header is empty, a number or a time. */
bool extract_looks_like_header(const struct sb_span *cells, size_t count);

/* What a header line says: for each schema, where its named columns are. */
struct extract_places {
    const struct extract_schema *schema; /* the one this header belongs to, NULL = none */
    unsigned header_count;               /* 0 = no header seen */
    unsigned time;                       /* column numbers from 1 */
    unsigned fields[SB_FIELDS_MAX];
};
/* Takes the first schema all of whose named columns are there. SB_EMISSING_FIELD names the first
 * column that is not there; *out is then as before. */
int extract_read_header(const struct extract_map *map, const struct sb_span *names, size_t count,
                        struct extract_places *out, struct sb_err *err);

/* Why a row was refused; the names are part of the import's JSON. */
#define EXTRACT_REASONS(X)                                                                         \
    X(EXTRACT_OK, "ok")                                                                            \
    X(EXTRACT_COLUMNS, "columns")   /* not as many fields as any schema has */                     \
    X(EXTRACT_TIME, "time")         /* the time is missing or does not parse */                    \
    X(EXTRACT_VALUE, "value")       /* a value is not of its type */                               \
    X(EXTRACT_UTF8, "utf8")         /* a text is not valid UTF-8 */                                \
    X(EXTRACT_QUOTE, "quote")       /* a quote is left open or text follows it */                  \
    X(EXTRACT_TOO_LONG, "too_long") /* the line is longer than a record may be */                  \
    X(EXTRACT_JSON, "json")         /* NDJSON: not a JSON object */                                \
    X(EXTRACT_MISSING, "missing")   /* NDJSON: a mapped member is not there */                     \
    X(EXTRACT_NUL, "nul")           /* the line holds a NUL byte */                                \
    X(EXTRACT_REFUSED, "refused")   /* the agent does not take such a record */
#define EXTRACT_REASON_ENUM(id, name) id,
enum extract_reason { EXTRACT_REASONS(EXTRACT_REASON_ENUM) EXTRACT_REASON_COUNT };
#undef EXTRACT_REASON_ENUM
const char *extract_reason_name(enum extract_reason reason);

/* One CSV row → a record (a JSON object), appended to out. On refusal out is as before and err says
 * which column and what is wrong with it. */
enum extract_reason extract_row(const struct extract_map *map, const struct extract_places *places,
                                const struct sb_span *cells, size_t count, struct sb_buf *out,
                                struct sb_err *err);

/* One line of NDJSON (a checked JSON object) → a record. Without schemas the object goes as it is;
 * of a reading `timestamp` or `time` becomes "ts" where that is not there. */
enum extract_reason extract_object(const struct extract_map *map, struct sb_span object,
                                   enum sb_up_class class, struct sb_buf *out, struct sb_err *err);

#endif
