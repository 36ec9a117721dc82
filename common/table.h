#ifndef SB_TABLE_H
#define SB_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "buf.h"

/* A table for people: columns as wide as they need to be, two blanks between them, a head line in
 * capitals. All of it is kept in memory until it is printed. Control characters and bytes that are
 * not UTF-8 are shown as \xNN: what a device sent cannot drive a terminal. */
struct sb_table;

/* heads: one per column, a leading '>' aligns it to the right; borrowed. */
struct sb_table *sb_table_new(const char *const *heads, size_t columns);
void sb_table_free(struct sb_table *table);

/* The next cell; the row is full after the last column. An empty one shows as "-". */
void sb_table_text(struct sb_table *table, const char *text);
void sb_table_span(struct sb_table *table, struct sb_span text);
void sb_table_u64(struct sb_table *table, uint64_t value);
void sb_table_time_ms(struct sb_table *table, int64_t wall_ms); /* RFC 3339 in UTC, "-" for 0 */
/* Shows the cell just added as good or bad where there is colour. */
void sb_table_good(struct sb_table *table);
void sb_table_bad(struct sb_table *table);

size_t sb_table_rows(const struct sb_table *table);

/* The last row must be full. */
void sb_table_print(const struct sb_table *table, bool colour, FILE *out);

/* Text with what could drive a terminal made visible. */
void sb_print_safe(struct sb_span text, struct sb_buf *out);

/* "3 s", "4 min", "5 h", "6 days": how long ago. */
void sb_print_age(int64_t age_ms, char *out, size_t size);

#endif
