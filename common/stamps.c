#include "stamps.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json_scan.h"
#include "json_sides.h"
#include "pointers.h"

int sb_stamp_order(const struct sb_stamp *a, const struct sb_stamp *b)
{
    if (a->hlc != b->hlc)
        return a->hlc < b->hlc ? -1 : 1;
    return strcmp(a->device, b->device);
}

struct sb_stamp sb_stamp_of(uint64_t hlc, struct sb_span device)
{
    struct sb_stamp stamp = {.hlc = hlc};

    SB_CHECK(device.len <= SB_NAME_MAX);
    if (device.len > 0)
        memcpy(stamp.device, device.data, device.len);
    return stamp;
}

static void take_higher(struct sb_stamp *to, const struct sb_stamp *stamp)
{
    if (sb_stamp_order(to, stamp) < 0)
        *to = *stamp;
}

/* ---- the set ---- */

void sb_stamps_free(struct sb_stamps *stamps)
{
    free(stamps->place);
    sb_buf_free(&stamps->text);
    *stamps = (struct sb_stamps){0};
}

void sb_stamps_clear(struct sb_stamps *stamps)
{
    sb_stamps_free(stamps);
}

void sb_stamps_copy(struct sb_stamps *to, const struct sb_stamps *from)
{
    if (to == from)
        return;
    sb_stamps_clear(to);
    for (size_t i = 0; i < from->count; i++)
        sb_stamps_raise(to, sb_stamps_pointer(from, i), &from->place[i].stamp);
}

struct sb_span sb_stamps_pointer(const struct sb_stamps *stamps, size_t i)
{
    return (struct sb_span){stamps->text.data + stamps->place[i].at, stamps->place[i].len};
}

/* Index of the first place that is not below the pointer; they mostly come sorted. */
static size_t seek(const struct sb_stamps *stamps, struct sb_span pointer)
{
    size_t low = 0, high = stamps->count;

    if (high > 0 && sb_span_order(sb_stamps_pointer(stamps, high - 1), pointer) < 0)
        return high;
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (sb_span_order(sb_stamps_pointer(stamps, mid), pointer) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_at(const struct sb_stamps *stamps, size_t i, struct sb_span pointer)
{
    return i < stamps->count && sb_span_eq(sb_stamps_pointer(stamps, i), pointer);
}

static void insert(struct sb_stamps *stamps, size_t i, struct sb_span pointer,
                   const struct sb_stamp *stamp)
{
    stamps->place = sb_xgrow(stamps->place, stamps->count, sizeof(*stamps->place));
    memmove(stamps->place + i + 1, stamps->place + i, (stamps->count - i) * sizeof(*stamps->place));
    stamps->place[i] = (struct sb_stamp_place){
        .at = (uint32_t)stamps->text.len, .len = (uint32_t)pointer.len, .stamp = *stamp};
    sb_buf_add_span(&stamps->text, pointer);
    stamps->count++;
}

static void collapse(struct sb_stamps *stamps)
{
    struct sb_stamp highest = sb_stamps_highest(stamps);

    sb_stamps_clear(stamps);
    insert(stamps, 0, SB_SPAN(""), &highest);
}

/* The place itself, or the longest one above it that is short enough to be kept. */
static struct sb_span short_enough(struct sb_span pointer)
{
    if (pointer.len <= SB_STAMP_POINTER_MAX)
        return pointer;
    pointer.len = SB_STAMP_POINTER_MAX;
    while (pointer.data[pointer.len] != '/') /* the first byte is one */
        pointer.len--;
    return pointer;
}

void sb_stamps_raise(struct sb_stamps *stamps, struct sb_span pointer, const struct sb_stamp *stamp)
{
    size_t i;

    pointer = short_enough(pointer);
    i = seek(stamps, pointer);
    if (is_at(stamps, i, pointer))
        take_higher(&stamps->place[i].stamp, stamp);
    else
        insert(stamps, i, pointer, stamp);
    if (stamps->count > SB_STAMPS_MAX || stamps->text.len > SB_STAMPS_BYTES)
        collapse(stamps);
}

struct sb_stamp sb_stamps_highest(const struct sb_stamps *stamps)
{
    struct sb_stamp highest = {0};

    for (size_t i = 0; i < stamps->count; i++)
        take_higher(&highest, &stamps->place[i].stamp);
    return highest;
}

/* The places inside are those that begin with the pointer and a slash: neighbours. */
static void look_inside(const struct sb_stamps *stamps, struct sb_span pointer,
                        struct sb_stamp *highest, bool *any)
{
    struct sb_buf prefix = {0};

    sb_buf_add_span(&prefix, pointer);
    sb_buf_add_char(&prefix, '/');
    for (size_t i = seek(stamps, sb_buf_span(&prefix)); i < stamps->count; i++) {
        if (!sb_pointer_inside(sb_stamps_pointer(stamps, i), pointer))
            break;
        take_higher(highest, &stamps->place[i].stamp);
        *any = true;
    }
    sb_buf_free(&prefix);
}

static void look_above(const struct sb_stamps *stamps, struct sb_span pointer,
                       struct sb_stamp *highest, bool *any)
{
    struct sb_span above = {pointer.data, 0};
    size_t i;

    for (; above.len <= pointer.len && above.len <= SB_STAMP_POINTER_MAX; above.len++) {
        if (above.len < pointer.len && pointer.data[above.len] != '/')
            continue;
        i = seek(stamps, above);
        if (is_at(stamps, i, above)) {
            take_higher(highest, &stamps->place[i].stamp);
            *any = true;
        }
    }
}

struct sb_stamp sb_stamps_at(const struct sb_stamps *stamps, struct sb_span pointer,
                             const struct sb_stamp *otherwise)
{
    struct sb_stamp highest = {0};
    bool any = false;

    if (stamps != NULL && stamps->count > 0) {
        look_above(stamps, pointer, &highest, &any);
        if (pointer.len < SB_STAMP_POINTER_MAX)
            look_inside(stamps, pointer, &highest, &any);
    }
    return any ? highest : *otherwise;
}

/* ---- what an applied operation stamps ---- */

enum { BASE, SUBMITTED, RESULT };

struct apply {
    struct sb_sides sides;
    struct sb_stamps *stamps;
    const struct sb_stamp *stamp;
};

static void raise_here(struct apply *apply)
{
    sb_stamps_raise(apply->stamps, sb_buf_span(&apply->sides.path), apply->stamp);
}

/* Has the result what was set here? Into an emptied object or array others may have put something.
 */
static bool holds(struct apply *apply, const struct sb_row *row)
{
    return sb_sides_apart(&apply->sides, row, SUBMITTED, RESULT) != SB_WHOLE ||
           sb_sides_equal(&apply->sides, row, SUBMITTED, RESULT);
}

/* The place was changed: its leaves in what was submitted, or itself when it was removed. */
static void stamp_leaves(struct apply *apply, const struct sb_row *row)
{
    enum sb_apart apart = sb_sides_apart(&apply->sides, row, SUBMITTED, SUBMITTED);
    struct sb_row *rows;
    uint32_t count;
    size_t mark;

    if (apart == SB_WHOLE || apply->sides.tree[SUBMITTED].node[row->node[SUBMITTED]].count == 0) {
        if (holds(apply, row))
            raise_here(apply);
        return;
    }
    count = sb_sides_children(&apply->sides, row, apart, &rows);
    sb_sides_sort(&apply->sides, rows, count, SB_SIDES, SB_SIDES);
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].node[SUBMITTED] == SB_NO_NODE)
            continue;
        mark = sb_sides_step(&apply->sides, &rows[i]);
        stamp_leaves(apply, &rows[i]);
        sb_sides_back(&apply->sides, mark);
    }
    free(rows);
}

static bool moved(const struct sb_row *rows, uint32_t count)
{
    return !sb_sides_in_order(rows, count, BASE, SUBMITTED, false) &&
           sb_sides_in_order(rows, count, SUBMITTED, RESULT, false);
}

static void stamp_changes(struct apply *apply, const struct sb_row *row)
{
    struct sb_sides *sides = &apply->sides;
    struct sb_row *rows;
    enum sb_apart apart;
    uint32_t count;
    size_t mark;

    if (sb_sides_same_bytes(sides, row, BASE, SUBMITTED))
        return;
    apart = sb_sides_apart(sides, row, BASE, SUBMITTED);
    if (apart == SB_WHOLE) {
        if (!sb_sides_equal(sides, row, BASE, SUBMITTED))
            stamp_leaves(apply, row);
        return;
    }
    count = sb_sides_children(sides, row, apart, &rows);
    sb_sides_sort(sides, rows, count, SB_SIDES, SB_SIDES);
    if (apart == SB_ELEMENTS && sb_sides_is(sides, row, RESULT, apart) && moved(rows, count))
        raise_here(apply);
    for (uint32_t i = 0; i < count; i++) {
        mark = sb_sides_step(sides, &rows[i]);
        stamp_changes(apply, &rows[i]);
        sb_sides_back(sides, mark);
    }
    free(rows);
}

void sb_stamps_apply(struct sb_stamps *stamps, struct sb_span base, struct sb_span submitted,
                     struct sb_span result, const struct sb_stamp *stamp,
                     const struct sb_array_keys *arrays)
{
    struct apply apply = {.stamps = stamps, .stamp = stamp};
    struct sb_row root;

    sb_sides_init(&apply.sides, base, submitted, result, arrays);
    root = sb_sides_root(&apply.sides);
    stamp_changes(&apply, &root);
    sb_sides_free(&apply.sides);
}

/* ---- texts ---- */

void sb_stamps_print(const struct sb_stamps *stamps, struct sb_buf *out)
{
    char hlc[SB_EPOCH_LEN + 1];

    sb_buf_add_char(out, '{');
    for (size_t i = 0; i < stamps->count; i++) {
        if (i > 0)
            sb_buf_add_char(out, ',');
        sb_buf_add_json(out, sb_stamps_pointer(stamps, i));
        sb_hex16_of(stamps->place[i].stamp.hlc, hlc);
        sb_buf_add_fmt(out, ":[\"%s\",\"%s\"]", hlc, stamps->place[i].stamp.device);
    }
    sb_buf_add_char(out, '}');
}

/* The i-th element of a stamp, without its quotes; empty when it is no string without escapes. */
static struct sb_span text_of(struct sb_span value)
{
    if (sb_json_type_of(value) != SB_JSON_STRING || memchr(value.data, '\\', value.len) != NULL)
        return SB_SPAN("");
    return (struct sb_span){value.data + 1, value.len - 2};
}

static int bad_entry(struct sb_err *err, enum sb_code code, const char *pointer, const char *what)
{
    return sb_fail(err, code, "stamps: \"%.64s\": %s", pointer, what);
}

static int parse_stamp(struct sb_span value, const char *pointer, struct sb_stamp *stamp,
                       struct sb_err *err)
{
    struct sb_span part[2], hlc, device;
    struct sb_json_iter iter;

    if (sb_json_type_of(value) != SB_JSON_ARRAY || sb_json_count(value) != 2)
        return bad_entry(err, SB_EBAD_TYPE, pointer, "not [hlc, device]");
    sb_json_iter_init(&iter, value);
    sb_json_next_element(&iter, &part[0]);
    sb_json_next_element(&iter, &part[1]);
    hlc = text_of(part[0]);
    device = text_of(part[1]);
    if (!sb_hex16_valid(hlc))
        return bad_entry(err, SB_EBAD_VALUE, pointer, "the HLC is not 16 hex digits");
    if (!sb_name_valid(device))
        return bad_entry(err, SB_EBAD_VALUE, pointer, "not a device");
    *stamp = sb_stamp_of(sb_hex16_value(hlc.data), device);
    return 0;
}

static int parse_entry(struct sb_stamps *stamps, struct sb_span key, struct sb_span value,
                       struct sb_err *err)
{
    struct sb_buf pointer = {0};
    struct sb_stamp stamp;
    int rc;

    sb_json_unescape(key, &pointer);
    if (!sb_pointer_valid(sb_buf_span(&pointer)))
        rc = bad_entry(err, SB_EBAD_VALUE, pointer.data, "not a JSON pointer");
    else
        rc = parse_stamp(value, pointer.data != NULL ? pointer.data : "", &stamp, err);
    if (rc == 0)
        sb_stamps_raise(stamps, sb_buf_span(&pointer), &stamp);
    sb_buf_free(&pointer);
    return rc;
}

int sb_stamps_parse(struct sb_stamps *stamps, struct sb_span text, struct sb_err *err)
{
    static const struct sb_json_limits limits = {4U << 20, 2, SB_JSON_MAX_NODES};
    struct sb_span key, value;
    struct sb_json_iter iter;
    int rc;

    sb_stamps_clear(stamps);
    if (text.len == 0)
        return 0;
    rc = sb_json_check(text, &limits, &text, err);
    if (rc < 0)
        return rc;
    if (sb_json_type_of(text) != SB_JSON_OBJECT)
        return sb_fail(err, SB_EBAD_TYPE, "stamps: not an object");
    sb_json_iter_init(&iter, text);
    while (rc == 0 && sb_json_next_member(&iter, &key, &value))
        rc = parse_entry(stamps, key, value, err);
    if (rc < 0)
        sb_stamps_clear(stamps);
    return rc;
}
