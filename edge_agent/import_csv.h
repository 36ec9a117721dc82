#ifndef EDGE_IMPORT_CSV_H
#define EDGE_IMPORT_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "edge_agent/extract.h"

/* CSV rows (RFC 4180) out of a byte stream that is seen through a window. Pure.
 *
 * Lines end with LF or CRLF; the last one may lack it. A field in quotes may hold delimiters,
 * doubled quotes and line breaks. A quote inside a field that does not begin with one is a
 * character like others. Dirt never swallows its neighbours: where a quoted field does not end well
 * only the first line is refused and reading goes on with the next one. */

#define CSV_ROW_MAX   1048576 /* one line */
#define CSV_QUOTE_MAX 65536   /* of a row over several lines */

struct csv {
    char delimiter;
    struct sb_span
        cells[EXTRACT_COLUMNS_MAX]; /* of the last row; the first ones when it had more */
    size_t count;                   /* how many it had */
    size_t used;                    /* bytes it took from the window, line end included */
    size_t first_line;              /* of these its first line, should the row be dropped */
    size_t lines;                   /* lines it took */
    struct sb_buf quoted;           /* fields with doubled quotes, put right */
};

void csv_init(struct csv *csv, char delimiter);
void csv_fini(struct csv *csv);

enum csv_result {
    CSV_ROW,     /* cells, count */
    CSV_BLANK,   /* an empty line */
    CSV_MORE,    /* the window ends inside the row: call again with more behind it */
    CSV_QUOTE,   /* refused: quotes */
    CSV_TOO_LONG /* refused: no line end within CSV_ROW_MAX; `used` takes what there is, the caller
                    drops everything up to the next line end */
};
/* The row at the start of the window. last: nothing comes behind it. Cells point into the window or
 * into csv->quoted and hold until the next call. */
enum csv_result csv_next(struct csv *csv, struct sb_span window, bool last);

/* The delimiter of a first line: the most frequent of , ; tab |, a comma when there is none. */
char csv_guess_delimiter(struct sb_span line);

#endif
