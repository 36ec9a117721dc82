#include "hello.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "document_codec.h"

/* Both messages are a header and entries by epoch; entries are laid out over as many messages as
 * they need, and the headers, which say how many these are, are written afterwards. */

struct sheet {
    struct sb_buf entries;      /* inside of "epochs":[ … ] */
    const char *epoch, *stream; /* of the last entry; stream NULL for an epoch without any */
};

struct layout {
    size_t max_bytes; /* of the entries of one message */
    struct sheet *sheets;
    size_t count;
};

static struct sheet *new_sheet(struct layout *layout)
{
    struct sheet *sheet;

    layout->sheets = sb_xgrow(layout->sheets, layout->count, sizeof(*layout->sheets));
    sheet = &layout->sheets[layout->count++];
    *sheet = (struct sheet){0};
    return sheet;
}

static void add_epoch(struct sheet *sheet, const char *epoch)
{
    sb_buf_add_str(&sheet->entries, sheet->epoch != NULL ? "]},{\"epoch\":\"" : "{\"epoch\":\"");
    sb_buf_add_str(&sheet->entries, epoch);
    sb_buf_add_str(&sheet->entries, "\",\"streams\":[");
    sheet->epoch = epoch;
    sheet->stream = NULL;
}

/* text: the entry's JSON object; empty for an epoch without streams */
static void add_entry(struct layout *layout, const char *epoch, const char *stream,
                      struct sb_span text)
{
    const size_t frame = 64; /* what naming the epoch, a comma and the closing may take */
    struct sheet *sheet = &layout->sheets[layout->count - 1];

    if (sheet->epoch != NULL && sheet->entries.len + text.len + frame > layout->max_bytes)
        sheet = new_sheet(layout);
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): every entry has an epoch */
    if (sheet->epoch == NULL || strcmp(sheet->epoch, epoch) != 0)
        add_epoch(sheet, epoch);
    if (sheet->stream != NULL)
        sb_buf_add_char(&sheet->entries, ',');
    if (stream != NULL)
        sheet->stream = stream;
    sb_buf_add_span(&sheet->entries, text);
}

static void begin_layout(struct layout *layout, size_t page_bytes, size_t header_bytes)
{
    *layout = (struct layout){0};
    layout->max_bytes = page_bytes > header_bytes ? page_bytes - header_bytes : 0;
    new_sheet(layout);
}

/* What follows a header. */
static void add_sheet(const struct sheet *sheet, struct sb_buf *out)
{
    sb_buf_add_str(out, ",\"epochs\":[");
    sb_buf_add_span(out, sb_buf_span(&sheet->entries));
    sb_buf_add_str(out, sheet->epoch != NULL ? "]}]}" : "]}");
}

static void end_layout(struct layout *layout)
{
    for (size_t i = 0; i < layout->count; i++)
        sb_buf_free(&layout->sheets[i].entries);
    free(layout->sheets);
}

static void add_ranges(struct sb_buf *out, const char *key, const struct sb_ranges *ranges)
{
    sb_buf_add_str(out, ",\"");
    sb_buf_add_str(out, key);
    sb_buf_add_str(out, "\":");
    sb_ranges_print(ranges, out);
}

static void add_time(struct sb_buf *out, const char *key, int64_t wall_us)
{
    char time[SB_TIME_TEXT];

    sb_time_print(wall_us, time);
    sb_add_text(out, key, time);
}

/* ---- hello ---- */

static void add_hello_header(const struct sb_hello *hello, uint64_t page, uint64_t pages,
                             struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"v\":1,\"kind\":\"hello\"");
    sb_add_text(out, "nonce", hello->nonce);
    sb_add_text(out, "device", hello->device);
    if (hello->device_boot[0] != '\0')
        sb_add_text(out, "device_boot", hello->device_boot);
    if (hello->receipt.boot[0] != '\0') {
        sb_buf_add_str(out, ",\"receipt\":{\"boot\":\"");
        sb_buf_add_str(out, hello->receipt.boot);
        sb_buf_add_char(out, '"');
        sb_add_u64(out, "commit", hello->receipt.commit);
        sb_buf_add_char(out, '}');
    } else {
        sb_add_text(out, "receipt", "");
    }
    sb_add_text(out, "epoch", hello->epoch);
    sb_add_u64(out, "page", page);
    sb_add_u64(out, "pages", pages);
    add_time(out, "sent_at", hello->sent_at_us);
}

static void lay_out_epoch(const struct sb_hello *hello, const char *epoch, struct layout *layout)
{
    struct sb_buf text = {0};
    bool any = false;

    for (size_t i = 0; i < hello->claim_count; i++) {
        const struct sb_claim *claim = &hello->claims[i];

        if (strcmp(claim->epoch, epoch) != 0)
            continue;
        sb_buf_clear(&text);
        sb_buf_add_str(&text, "{\"stream\":\"");
        sb_buf_add_str(&text, claim->stream);
        sb_buf_add_char(&text, '"');
        sb_add_u64(&text, "made", claim->made);
        add_ranges(&text, "settled", &claim->settled);
        add_ranges(&text, "held", &claim->held);
        sb_buf_add_char(&text, '}');
        add_entry(layout, epoch, claim->stream, sb_buf_span(&text));
        any = true;
    }
    if (!any)
        add_entry(layout, epoch, NULL, sb_buf_span(&text));
    sb_buf_free(&text);
}

void sb_hello_encode(const struct sb_hello *hello, size_t page_bytes,
                     void (*emit)(void *ctx, struct sb_span json), void *ctx)
{
    struct sb_buf out = {0};
    struct layout layout;

    add_hello_header(hello, SB_HELLO_MAX_PAGES, SB_HELLO_MAX_PAGES, &out);
    begin_layout(&layout, page_bytes, out.len);
    for (size_t i = 0; i < hello->epoch_count; i++)
        lay_out_epoch(hello, hello->epochs[i], &layout);
    for (size_t i = 0; i < layout.count; i++) {
        sb_buf_clear(&out);
        add_hello_header(hello, i + 1, layout.count, &out);
        add_sheet(&layout.sheets[i], &out);
        emit(ctx, sb_buf_span(&out));
    }
    end_layout(&layout);
    sb_buf_free(&out);
}

/* ---- welcome ---- */

static void add_limits(const struct sb_welcome *welcome, struct sb_buf *out)
{
    sb_buf_add_str(out, ",\"limits\":{\"max_batch_bytes\":");
    sb_buf_add_u64(out, welcome->limits.max_batch_bytes);
    sb_add_u64(out, "max_batch_records", welcome->limits.max_batch_records);
    sb_add_u64(out, "max_record_bytes", welcome->limits.max_record_bytes);
    sb_buf_add_str(out, "},\"tables\":[");
    for (size_t i = 0; i < welcome->table_count; i++) {
        sb_buf_add_str(out, i > 0 ? ",\"" : "\"");
        sb_buf_add_str(out, welcome->tables[i]);
        sb_buf_add_char(out, '"');
    }
    sb_buf_add_char(out, ']');
}

/* last: the last entry of a part that is not the last; NULL for the last part */
static void add_welcome_header(const struct sb_welcome *welcome, uint64_t part,
                               const struct sheet *last, struct sb_buf *out)
{
    sb_buf_add_str(out, "{\"v\":1,\"kind\":\"welcome\"");
    sb_add_text(out, "nonce", welcome->nonce);
    sb_add_text(out, "boot", welcome->boot);
    sb_add_u64(out, "commit", welcome->commit);
    sb_buf_add_str(out, welcome->restored ? ",\"restored\":true" : ",\"restored\":false");
    sb_add_u64(out, "page", welcome->page);
    sb_add_u64(out, "pages", welcome->pages);
    sb_add_u64(out, "part", part);
    if (last != NULL) {
        sb_buf_add_str(out, ",\"more\":{\"epoch\":\"");
        sb_buf_add_str(out, last->epoch);
        sb_buf_add_char(out, '"');
        sb_add_text(out, "stream", last->stream);
        sb_buf_add_char(out, '}');
    } else {
        sb_add_text(out, "more", "");
    }
    add_time(out, "server_time", welcome->server_time_us);
    add_limits(welcome, out);
}

static bool laid_out_before(const struct sb_welcome *welcome, size_t index)
{
    for (size_t i = index; i-- > 0;)
        if (strcmp(welcome->standings[i].epoch, welcome->standings[index].epoch) == 0)
            return true;
    return false;
}

/* All standings of the epoch of the one at `from`, which is the first of them. */
static void lay_out_standings(const struct sb_welcome *welcome, size_t from, struct layout *layout)
{
    struct sb_buf text = {0};

    for (size_t i = from; i < welcome->standing_count; i++) {
        const struct sb_standing *standing = &welcome->standings[i];

        if (strcmp(standing->epoch, welcome->standings[from].epoch) != 0)
            continue;
        sb_buf_clear(&text);
        sb_buf_add_str(&text, "{\"stream\":\"");
        sb_buf_add_str(&text, standing->stream);
        sb_buf_add_char(&text, '"');
        add_ranges(&text, "decided", &standing->decided);
        add_ranges(&text, "holes", &standing->holes);
        sb_buf_add_char(&text, '}');
        add_entry(layout, standing->epoch, standing->stream, sb_buf_span(&text));
    }
    sb_buf_free(&text);
}

void sb_welcome_encode(const struct sb_welcome *welcome, size_t page_bytes,
                       void (*emit)(void *ctx, struct sb_span json), void *ctx)
{
    const size_t more_bytes = 160; /* what "more" and a long part number may take */
    struct sb_buf out = {0};
    struct layout layout;

    add_welcome_header(welcome, 1, NULL, &out);
    begin_layout(&layout, page_bytes, out.len + more_bytes);
    for (size_t i = 0; i < welcome->standing_count; i++)
        if (!laid_out_before(welcome, i))
            lay_out_standings(welcome, i, &layout);
    for (size_t i = 0; i < layout.count; i++) {
        sb_buf_clear(&out);
        add_welcome_header(welcome, i + 1, i + 1 < layout.count ? &layout.sheets[i] : NULL, &out);
        add_sheet(&layout.sheets[i], &out);
        emit(ctx, sb_buf_span(&out));
    }
    end_layout(&layout);
    sb_buf_free(&out);
}
