#ifndef CLOUD_MAPPING_H
#define CLOUD_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/envelope.h"
#include "common/err.h"
#include "common/ids.h"

/* Sensor types: which columns a reading has in the cloud, of which type and range, and under which
 * local names devices send them. The cloud's schema is the truth; a field that is not declared is
 * kept as JSON. One file per type, mappings/<type>.json:
 *
 *   {"type":"air_quality","columns":[{"name":"pm2_5","type":"number","min":0,"max":100000,
 *     "required":false,"from":["pm25","P2"]},…]}
 *
 * A field goes to the column whose `from` names it or whose name it has. `ts` is part of every
 * reading and is not declared. Optional: "identity":["dev_eui","fcnt","payload"], columns by which
 * a frame is known that was handed to the device twice: within a device, a reading with all of them
 * equal to a stored one is a duplicate whatever its number. */

#define MAPPING_COLUMNS_MAX 64

/* Stored in the database; never renumber. */
enum column_type {
    COLUMN_NUMBER = 1,  /* integers and doubles, each as it came */
    COLUMN_INTEGER = 2, /* 64-bit signed; a number without fraction counts */
    COLUMN_STRING = 3,
    COLUMN_BOOLEAN = 4
};

const char *column_type_name(enum column_type type);
bool column_type_parse(struct sb_span name, enum column_type *type);

struct column {
    char name[SB_NAME_MAX + 1];
    enum column_type type;
    bool required; /* neither missing nor null */
    bool has_min, has_max;
    double min, max; /* inclusive; number and integer */
    char (*from)[SB_NAME_MAX + 1];
    size_t from_count;
};

struct mapping {
    char type[SB_NAME_MAX + 1];
    struct column *columns;
    size_t count;
    uint64_t identity; /* bit i: column i is part of it; 0 = none */
};

struct mapping_set;

struct mapping_set *mapping_set_new(void);
void mapping_set_free(struct mapping_set *set);

/* Adds one type from the text of its file. SB_ECONFIG says what is wrong: not JSON, an unknown
 * member, a name twice, a type declared before. */
int mapping_set_add(struct mapping_set *set, struct sb_span text, struct sb_err *err);

/* Adds every *.json of a folder that is no table's (tables.h), in the order of their names; the
 * type must be the file's name. A folder that does not exist is SB_ENOT_FOUND. */
int mapping_set_load(struct mapping_set *set, const char *folder, struct sb_err *err);

/* NULL when the type is not declared. Borrowed from the set. */
const struct mapping *mapping_set_get(const struct mapping_set *set, const char *type);
size_t mapping_set_count(const struct mapping_set *set);
const struct mapping *mapping_set_at(const struct mapping_set *set, size_t index);

/* Takes over a mapping that is allocated like those of the codec. For the codec and tests. */
int mapping_set_take(struct mapping_set *set, struct mapping *mapping, struct sb_err *err);
void mapping_fini(struct mapping *mapping);
int mapping_decode(struct sb_span text, struct mapping *out, struct sb_err *err);

/* ---- one reading ---- */

enum value_kind { VALUE_NULL = 0, VALUE_INT, VALUE_REAL, VALUE_TEXT };

struct value {
    enum value_kind kind;
    int64_t i;
    double d;
    struct sb_span text; /* a string's characters; of a number that fits neither, its digits */
};

/* Where each field of a `fields` list goes. */
#define PLAN_EXTRA (-1)
#define PLAN_TS    (-2)

struct plan {
    const struct mapping *mapping; /* NULL: not declared, every field is extra */
    size_t field_count;
    struct sb_span fields[SB_FIELDS_MAX]; /* raw names, pointing into the plan's own copy */
    int target[SB_FIELDS_MAX];            /* column index, PLAN_EXTRA or PLAN_TS */
    uint64_t columns;                     /* bit i: column i gets a value */
    int ts;                               /* field index or -1 */
    int required;                         /* a required column that no field fills, or -1 */
    int clash;                            /* a column that two fields would fill, or -1 */
    char *text;                           /* the copy */
};

void plan_make(struct plan *plan, const struct mapping *mapping, const struct sb_span *fields,
               size_t count);
void plan_fini(struct plan *plan);

struct reading {
    int64_t ts_us;
    struct sb_span ts_text; /* as it came, where the shortest print is another; else empty */
    struct value values[MAPPING_COLUMNS_MAX]; /* by column; those of plan.columns are set */
    struct sb_buf extra;                      /* JSON object of undeclared fields, or empty */
    struct sb_buf strings;                    /* memory of unescaped strings */
    enum sb_code code;                        /* SB_OK, or why it is rejected */
    char reason[160];
};
void reading_free(struct reading *reading);

/* Reads one row into `reading` (reused from row to row; its texts point into the row or into the
 * reading). False with reading->code and reason set when the record is to be rejected. */
bool reading_read(struct reading *reading, const struct plan *plan, const struct sb_record *record,
                  const struct sb_cell *cells);

/* A hash of the identity of the reading that was read last; false when it has none: the type
 * declares none, or a part of it is missing. */
bool reading_identity(const struct reading *reading, const struct plan *plan, uint64_t *hash);

/* ---- comparison of a repeat ---- */

/* One value of a stored row, by the name of its column. */
struct stored_value {
    const char *name;
    enum column_type type;
    struct value value;
};

struct stored_reading {
    int64_t ts_us;
    struct sb_span ts_text;                          /* empty: the shortest print of ts_us */
    struct stored_value values[MAPPING_COLUMNS_MAX]; /* without NULLs */
    size_t count;
    struct sb_span extra; /* JSON object or empty */
    int64_t rx_ms;
};

/* Is the incoming row what is stored? As parsed values, nulls and absent fields being the same,
 * whatever the mapping says of ranges today. */
bool reading_matches(const struct plan *plan, const struct sb_record *record,
                     const struct sb_cell *cells, const struct stored_reading *stored);

/* Has the stored row the identity of the reading that was read last? */
bool reading_same_identity(const struct reading *reading, const struct plan *plan,
                           const struct stored_reading *stored);

/* To recognise a rejected record when it comes again: over names and values as JSON. */
uint64_t reading_hash(const struct plan *plan, const struct sb_record *record,
                      const struct sb_cell *cells);

#endif
