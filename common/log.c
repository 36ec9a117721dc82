#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"

static struct {
    const char *program;
    enum sb_log_level level;
    bool json;
    bool journal;
} settings = {.program = "sb", .level = SB_LOG_INFO};

static const char *const level_names[] = {"bug", "error", "warn", "info", "debug"};
static const int journal_priority[] = {2, 3, 4, 6, 7};

void sb_log_init(const char *program, enum sb_log_level level, bool json)
{
    settings.program = program;
    settings.level = level;
    settings.json = json;
    settings.journal = getenv("JOURNAL_STREAM") != NULL;
}

bool sb_log_level_parse(const char *name, enum sb_log_level *level)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum sb_log_level)i;
            return true;
        }
    }
    return false;
}

static void add_escaped(struct sb_buf *line, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f)
            sb_buf_add_fmt(line, "\\x%02x", c);
        else
            sb_buf_add_char(line, (char)c);
    }
}

static void format_text(struct sb_buf *line, enum sb_log_level level, const char *text)
{
    char time[SB_TIME_TEXT];

    if (settings.journal) {
        sb_buf_add_fmt(line, "<%d>", journal_priority[level]);
    } else {
        sb_time_print(sb_clock_now().wall_us, time);
        sb_buf_add_fmt(line, "%s %s ", time, level_names[level]);
    }
    sb_buf_add_fmt(line, "%s: ", settings.program);
    add_escaped(line, text);
    sb_buf_add_char(line, '\n');
}

static void format_json(struct sb_buf *line, enum sb_log_level level, const char *text)
{
    char time[SB_TIME_TEXT];

    sb_time_print(sb_clock_now().wall_us, time);
    sb_buf_add_fmt(line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"message\":", time,
                   level_names[level], settings.program);
    sb_buf_add_json(line, sb_span_of(text));
    sb_buf_add_str(line, "}\n");
}

void sb_log(enum sb_log_level level, const char *fmt, ...)
{
    struct sb_buf line = {0};
    char text[1024];
    va_list args;

    if (level > settings.level)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (settings.json)
        format_json(&line, level, text);
    else
        format_text(&line, level, text);
    if (write(STDERR_FILENO, line.data, line.len) < 0) {
        /* nobody reads the log: nothing better to do than to go on */
    }
    sb_buf_free(&line);
}

void sb_log_err(const char *what, const struct sb_err *err)
{
    enum sb_log_level level = sb_code_class(err->code) == SB_RETRY ? SB_LOG_WARN : SB_LOG_ERROR;

    sb_log(level, "%s: %s code=%s", what, err->msg, sb_code_name(err->code));
}
