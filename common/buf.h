#ifndef SB_BUF_H
#define SB_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory that runs out ends the process (sb_xrealloc): every size that input can ask for is capped
 * before, and a killed process loses nothing by design, so there is nothing better to do. */
void *sb_xmalloc(size_t size);
void *sb_xcalloc(size_t count, size_t size);
void *sb_xrealloc(void *ptr, size_t size);
/* The array with room for one more element: its memory doubles whenever count is a power of two,
 * so a list that only grows needs no capacity of its own. NULL with count 0 at first. */
void *sb_xgrow(void *array, size_t count, size_t size);
char *sb_xstrdup(const char *text);
char *sb_xstrndup(const char *text, size_t len);

/* Bytes somebody else owns; not NUL-terminated. Valid as long as what it points into. */
struct sb_span {
    const char *data;
    size_t len;
};

#define SB_SPAN(literal) ((struct sb_span){literal, sizeof(literal) - 1})
#define SB_SPAN_FMT      "%.*s"
#define SB_SPAN_ARG(s)   (int)(s).len, (s).data

struct sb_span sb_span_of(const char *text);
bool sb_span_eq(struct sb_span a, struct sb_span b);
bool sb_span_is(struct sb_span a, const char *text);

/* A growing byte buffer. Zero-initialised is empty. A NUL always follows the contents once anything
 * was appended, so data can be handed to C string functions where the contents hold no NUL. */
struct sb_buf {
    char *data;
    size_t len;
    size_t cap;
};

void sb_buf_free(struct sb_buf *buf);  /* frees the contents; the struct is empty again */
void sb_buf_clear(struct sb_buf *buf); /* keeps the memory */
void sb_buf_reserve(struct sb_buf *buf, size_t more);
void sb_buf_add(struct sb_buf *buf, const void *data, size_t len);
void sb_buf_add_span(struct sb_buf *buf, struct sb_span span);
void sb_buf_add_str(struct sb_buf *buf, const char *text);
void sb_buf_add_char(struct sb_buf *buf, char c);
void sb_buf_add_u64(struct sb_buf *buf, uint64_t value);
void sb_buf_add_fmt(struct sb_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends text as a JSON string with quotes; text must be valid UTF-8. Only `"`, `\` and control
 * characters are escaped, everything else keeps its bytes. */
void sb_buf_add_json(struct sb_buf *buf, struct sb_span text);

/* Takes the contents over; the caller frees them with free(). The buffer is empty afterwards. */
char *sb_buf_take(struct sb_buf *buf);
struct sb_span sb_buf_span(const struct sb_buf *buf);

#endif
