/* Import: whatever bytes a CSV file holds, each is read once, and what is taken is a record that
 * the agent takes. */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/json_scan.h"
#include "edge_agent/enqueue_row.h"
#include "edge_agent/import_csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char map_text[] =
    "{\"header\":\"no\",\"delimiter\":\",\",\"null\":[\"-\"],\"constants\":{\"c\":1},"
    "\"time\":{\"column\":1},\"schemas\":["
    "{\"columns\":2,\"fields\":[{\"field\":\"n\",\"column\":2,\"type\":\"number\"}]},"
    "{\"columns\":5,\"fields\":[{\"field\":\"i\",\"column\":2,\"type\":\"integer\"},"
    "{\"field\":\"b\",\"column\":3,\"type\":\"boolean\"},{\"field\":\"t\",\"column\":4,"
    "\"type\":\"text\"},{\"field\":\"a\",\"column\":5}]}]}";

static void check_record(struct sb_span record)
{
    const struct sb_json_limits limits = {SB_PAYLOAD_MAX_BYTES, 4, 1000};
    struct sb_buf fields = {0}, row = {0};
    struct sb_span object;
    struct sb_err err;

    SB_CHECK(sb_json_check(record, &limits, &object, &err) == 0);
    SB_CHECK(enqueue_row(object, 0, &fields, &row, &err) == 0);
    SB_CHECK(sb_json_check(sb_buf_span(&row), &limits, NULL, &err) == 0);
    SB_CHECK(sb_json_count(sb_buf_span(&row)) == sb_json_count(sb_buf_span(&fields)));
    sb_buf_free(&fields);
    sb_buf_free(&row);
}

static void take_row(const struct extract_map *map, const struct csv *csv, struct sb_buf *record)
{
    const struct extract_places none = {0};
    struct sb_err err = {0};
    enum extract_reason reason;

    sb_buf_clear(record);
    reason = extract_row(map, &none, csv->cells, csv->count, record, &err);
    SB_CHECK((reason == EXTRACT_OK) == (err.code == SB_OK));
    SB_CHECK((reason == EXTRACT_OK) == (record->len > 0));
    if (reason == EXTRACT_OK)
        check_record(sb_buf_span(record));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_span rest = {(const char *)data, size};
    struct sb_buf record = {0};
    struct extract_map map;
    struct csv csv;

    SB_CHECK(extract_map_parse(sb_span_of(map_text), SB_UP_SENSORS, &map, NULL) == 0);
    csv_init(&csv, ',');
    while (rest.len > 0) {
        enum csv_result result = csv_next(&csv, rest, true);

        SB_CHECK(result != CSV_MORE && csv.used > 0 && csv.used <= rest.len);
        SB_CHECK(csv.first_line <= csv.used || result == CSV_ROW);
        if (result == CSV_ROW)
            take_row(&map, &csv, &record);
        rest.data += csv.used;
        rest.len -= csv.used;
    }
    csv_fini(&csv);
    extract_map_fini(&map);
    sb_buf_free(&record);
    return 0;
}
