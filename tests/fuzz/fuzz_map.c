/* Extraction maps: a map that is taken can be used, one that is not says why. */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/json_scan.h"
#include "edge_agent/extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_map(const struct extract_map *map)
{
    const struct sb_span cells[] = {SB_SPAN("2026-01-02T03:04:05Z"), SB_SPAN("1.50"), SB_SPAN("x")};
    const struct sb_span names[] = {SB_SPAN("time"), SB_SPAN("a"), SB_SPAN("b")};
    const struct sb_json_limits limits = {65536, 32, 10000};
    struct extract_places places = {0};
    struct sb_buf record = {0};
    struct sb_err err;

    (void)extract_skips(map, "2026-01-02T03:04:05Z,1.50,x");
    (void)extract_is_header_line(map, "time,a,b");
    if (map->ndjson) {
        (void)extract_object(map, SB_SPAN("{\"time\":\"2026-01-02T03:04:05Z\",\"a\":{\"b\":1.50}}"),
                             SB_UP_SENSORS, &record, &err);
    } else {
        (void)extract_read_header(map, names, 3, &places, &err);
        for (size_t count = 1; record.len == 0 && count <= 3; count++)
            (void)extract_row(map, &places, cells, count, &record, &err);
    }
    if (record.len > 0)
        SB_CHECK(sb_json_check(sb_buf_span(&record), &limits, NULL, &err) == 0);
    sb_buf_free(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_span text = {(const char *)data, size};
    struct sb_err err = {0};
    struct extract_map map;

    if (extract_map_parse(text, size % 2 == 0 ? SB_UP_SENSORS : SB_UP_HISTORY, &map, &err) != 0) {
        SB_CHECK(err.code == SB_ECONFIG && err.msg[0] != '\0');
        return 0;
    }
    use_map(&map);
    extract_map_fini(&map);
    return 0;
}
