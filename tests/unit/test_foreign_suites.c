/* Conformance suites and corpora of others, read where they lie ($SB_SHARED_DATA, by default
 * ../shared/data beside the sources). Each case is skipped when its folder is not there, the whole
 * program when none is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/gzip.h"
#include "common/ids.h"
#include "data_kit.h"
#include "json_kit.h"

#define SKIPPED 77

static const struct sb_json_limits wide = {1 << 24, SB_JSON_MAX_DEPTH, SB_JSON_MAX_NODES};

/* ---- archives: ustar with names up to 255 characters ---- */

struct member {
    char name[256 + 2];
    struct sb_span data;
};

static bool next_member(const struct sb_buf *tar, size_t *at, struct member *member)
{
    while (*at + 512 <= tar->len && tar->data[*at] != '\0') {
        const char *header = tar->data + *at;
        size_t size = strtoul(header + 124, NULL, 8);
        bool file = header[156] == '0' || header[156] == '\0';

        assert_true(memcmp(header + 257, "ustar", 5) == 0 && (file || header[156] == '5'));
        assert_true(*at + 512 + size <= tar->len);
        snprintf(member->name, sizeof(member->name), "%.155s%s%.100s", header + 345,
                 header[345] != '\0' ? "/" : "", header);
        member->data = (struct sb_span){header + 512, size};
        *at += 512 + (size + 511) / 512 * 512;
        if (file)
            return true;
    }
    return false;
}

/* The named line of a table: the fields behind the name, split at tabs. */
static bool line_of(const struct sb_buf *table, const char *name, const char *fields[6])
{
    static char line[1024];
    char key[300];
    const char *at, *end;
    char *part;

    snprintf(key, sizeof(key), "\n%s\t", name);
    at = strstr(table->data, key);
    if (at == NULL)
        return false;
    at += strlen(key);
    end = strchr(at, '\n');
    snprintf(line, sizeof(line), "%.*s", (int)(end != NULL ? end - at : (long)strlen(at)), at);
    part = line;
    for (int i = 0; i < 6; i++) {
        fields[i] = part != NULL ? part : "";
        part = part != NULL ? strchr(part, '\t') : NULL;
        if (part != NULL)
            *part++ = '\0';
    }
    return true;
}

/* ---- JSON ---- */

/* Checks a copy of exactly that size; what is accepted must be what cJSON reads. */
static bool accepted(struct sb_span text, struct sb_err *err)
{
    char *copy = malloc(text.len > 0 ? text.len : 1);
    struct sb_span value;
    cJSON *tree;
    bool ok;

    assert_non_null(copy);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    ok = sb_json_check((struct sb_span){copy, text.len}, &wide, &value, err) == 0;
    if (ok) {
        tree = cJSON_ParseWithLength(value.data, value.len);
        assert_true(tree != NULL || kit_has_long_number(value));
        assert_true(tree == NULL || kit_same_as_tree(value, tree));
        cJSON_Delete(tree);
    }
    free(copy);
    return ok;
}

/* What our rules refuse beyond RFC 8259: a key twice, U+0000. */
static bool refused_by_our_rules(struct sb_span text, const struct sb_err *err)
{
    if (err->code == SB_EDUPLICATE_KEY)
        return true;
    return err->code == SB_EBAD_UTF8 && memmem(text.data, text.len, "\\u0000", 6) != NULL &&
           strstr(err->msg, "\\u0000") != NULL;
}

static void json_test_suite(void **state)
{
    struct sb_buf tar = data_contents("json-test-suite/JSONTestSuite.tar.gz");
    unsigned good = 0, bad = 0, free_choice = 0, ours = 0;
    struct member member;
    size_t at = 0;

    (void)state;
    while (next_member(&tar, &at, &member)) {
        const char *name = strrchr(member.name, '/') + 1;
        struct sb_err err = {0};
        bool ok = accepted(member.data, &err);

        if (strncmp(name, "y_", 2) == 0) {
            good++;
            ours += !ok && refused_by_our_rules(member.data, &err);
            if (!ok && !refused_by_our_rules(member.data, &err))
                fail_msg("%s: refused: %s", name, err.msg);
            if (!ok && strstr(name, "duplicated_key") == NULL && strstr(name, "null") == NULL)
                fail_msg("%s: refused by a rule of ours: %s", name, err.msg);
        } else if (strncmp(name, "n_", 2) == 0) {
            bad++;
            if (ok)
                fail_msg("%s: accepted", name);
        } else if (strncmp(name, "i_", 2) == 0) {
            /* our choice: numbers of any size are texts and accepted; what is not Unicode is not */
            free_choice++;
            if (ok != (strncmp(name, "i_number", 8) == 0))
                fail_msg("%s: %s", name, ok ? "accepted" : err.msg);
        }
    }
    assert_true(good > 50 && bad > 100 && free_choice > 20);
    print_message("json-test-suite: %u y_ (%u refused by our own rules), %u n_, %u i_\n", good,
                  ours, bad, free_choice);
    sb_buf_free(&tar);
}

static void json_fuzz_corpus(void **state)
{
    struct sb_buf tar = data_contents("json-fuzz-corpus/go-fuzz-json.tar.gz"), table = {0};
    unsigned counts[2][2] = {{0}}, ours = 0;
    struct member member;
    size_t at = 0;

    (void)state;
    assert_true(next_member(&tar, &at, &member) && strcmp(member.name, "MANIFEST.tsv") == 0);
    sb_buf_add_span(&table, member.data);
    while (next_member(&tar, &at, &member)) {
        const char *fields[6];
        struct sb_err err = {0};
        bool ok = accepted(member.data, &err), valid;

        assert_true(line_of(&table, member.name, fields));
        valid = strcmp(fields[0], "valid") == 0;
        counts[valid][ok]++;
        if (ok && !valid)
            fail_msg("%s: accepted, but it is %s", member.name, fields[0]);
        if (ok || !valid)
            continue;
        /* half a surrogate pair is valid JSON for the others */
        ours++;
        if (!refused_by_our_rules(member.data, &err) && err.code != SB_ETOO_DEEP &&
            strstr(err.msg, "surrogate") == NULL)
            fail_msg("%s: refused: %s", member.name, err.msg);
    }
    print_message("json-fuzz-corpus: %u valid accepted, %u refused by our own rules, %u refused\n",
                  counts[1][1], ours, counts[0][0]);
    assert_true(counts[1][1] > 500 && counts[0][0] > 100);
    sb_buf_free(&tar);
    sb_buf_free(&table);
}

/* Characters → JSON by sb_buf_add_json → check → the same characters, as a value and as a key. */
static void round_trip(struct sb_span plain)
{
    struct sb_buf text = {0}, back = {0};
    struct sb_span value, member, key;
    struct sb_json_iter iter;

    sb_buf_add_char(&text, '{');
    sb_buf_add_json(&text, plain);
    sb_buf_add_char(&text, ':');
    sb_buf_add_json(&text, plain);
    sb_buf_add_char(&text, '}');
    assert_true(accepted(sb_buf_span(&text), NULL));
    assert_int_equal(sb_json_check(sb_buf_span(&text), &wide, &value, NULL), 0);
    sb_json_iter_init(&iter, value);
    assert_true(sb_json_next_member(&iter, &key, &member));
    sb_json_unescape(member, &back);
    assert_true(sb_span_eq(sb_buf_span(&back), plain));
    sb_buf_clear(&back);
    sb_json_unescape(key, &back);
    assert_true(sb_span_eq(sb_buf_span(&back), plain));
    sb_buf_free(&text);
    sb_buf_free(&back);
}

static bool plain_name(struct sb_span text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t n = 0;

    while (n < text.len && text.data[n] != '\0' && strchr(allowed, text.data[n]) != NULL)
        n++;
    return n == text.len && n >= 1 && n <= 64;
}

static void naughty_strings(void **state)
{
    struct sb_buf text = data_contents("naughty-strings/blns.json"), plain = {0};
    struct sb_span value, element;
    struct sb_json_iter iter;
    unsigned count = 0, names = 0;
    struct sb_err err;

    (void)state;
    if (!accepted(sb_buf_span(&text), &err))
        fail_msg("blns.json: %s", err.msg);
    assert_int_equal(sb_json_check(sb_buf_span(&text), &wide, &value, NULL), 0);
    sb_json_iter_init(&iter, value);
    for (; sb_json_next_element(&iter, &element); count++) {
        sb_buf_clear(&plain);
        sb_json_unescape(element, &plain);
        round_trip(sb_buf_span(&plain));
        assert_int_equal(sb_name_valid(sb_buf_span(&plain)), plain_name(sb_buf_span(&plain)));
        names += sb_name_valid(sb_buf_span(&plain));
    }
    print_message("naughty-strings: %u, of which %u are valid names\n", count, names);
    assert_true(count > 400 && names > 0);
    sb_buf_free(&text);
    sb_buf_free(&plain);
}

/* ---- UTF-8 ---- */

static void from_hex(const char *hex, size_t len, struct sb_buf *out)
{
    char digits[3] = "";
    size_t have = 0;

    for (size_t i = 0; i < len; i++) {
        if (hex[i] == ' ')
            continue;
        digits[have++] = hex[i];
        if (have == 2)
            sb_buf_add_char(out, (char)strtoul(digits, NULL, 16));
        have %= 2;
    }
    assert_int_equal(have, 0);
}

/* Raw between quotes: accepted exactly when it is valid; and then it makes the round trip. */
static void one_utf8_case(const struct sb_buf *bytes, bool valid, const char *line)
{
    bool has_nul = bytes->len > 0 && memchr(bytes->data, '\0', bytes->len) != NULL;
    struct sb_buf text = {0};
    struct sb_err err = {0};

    if (sb_utf8_valid(sb_buf_span(bytes), NULL) != (valid && !has_nul))
        fail_msg("%.40s: judged otherwise", line);
    if (valid && !has_nul) {
        round_trip(sb_buf_span(bytes));
        return;
    }
    sb_buf_add_char(&text, '"');
    sb_buf_add_span(&text, sb_buf_span(bytes));
    sb_buf_add_char(&text, '"');
    if (accepted(sb_buf_span(&text), &err) || (err.code != SB_EBAD_UTF8 && !has_nul))
        fail_msg("%.40s: %s", line, err.msg);
    sb_buf_free(&text);
}

static void utf8_tests(void **state)
{
    struct sb_buf file = data_contents("utf8-tests/utf8tests.txt"), bytes = {0};
    unsigned valid = 0, invalid = 0;
    char *line, *rest = NULL;

    (void)state;
    for (line = strtok_r(file.data, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *kind = strchr(line, ':'), *data = kind != NULL ? strchr(kind + 1, ':') : NULL;

        if (line[0] == '#' || data == NULL)
            continue;
        sb_buf_clear(&bytes);
        data++;
        kind += 1 + (kind[1] == ' ');
        if (strncmp(kind, "valid:", 6) == 0) {
            sb_buf_add_str(&bytes, data);
            valid++;
        } else if (strncmp(kind, "valid hex:", 10) == 0) {
            from_hex(data, strlen(data), &bytes);
            valid++;
        } else if (strncmp(kind, "invalid hex:", 12) == 0) {
            from_hex(data, strcspn(data, ":"), &bytes);
            invalid++;
        } else {
            fail_msg("a line of another form: %s", line);
        }
        one_utf8_case(&bytes, kind[0] == 'v', line);
    }
    print_message("utf8-tests: %u valid, %u invalid\n", valid, invalid);
    assert_true(valid > 20 && invalid > 50);
    sb_buf_free(&file);
    sb_buf_free(&bytes);
}

/* ---- gzip ---- */

static void same_digest(struct sb_span data, const char *hex)
{
    unsigned char digest[32];
    char text[65];

    sb_sha256(&data, 1, digest);
    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, hex);
}

static void gzip_corpus(void **state)
{
    struct sb_buf tar = data_contents("gzip-corpus/go-fuzz-gzip.tar.gz"), table = {0}, out = {0};
    struct sb_gzip *gzip = sb_gzip_new(1);
    unsigned good = 0, refused = 0, behind = 0, plain = 0;
    struct member member;
    size_t at = 0;

    (void)state;
    assert_true(next_member(&tar, &at, &member) && strcmp(member.name, "MANIFEST.tsv") == 0);
    sb_buf_add_span(&table, member.data);
    while (next_member(&tar, &at, &member)) {
        char *copy = malloc(member.data.len + 1);
        const char *fields[6];
        struct sb_err err = {0};
        int rc;

        assert_true(copy != NULL && line_of(&table, member.name, fields));
        memcpy(copy, member.data.data, member.data.len);
        sb_buf_clear(&out);
        rc = sb_gzip_unpack(gzip, (struct sb_span){copy, member.data.len}, 65536, &out, &err);
        free(copy);
        if (!sb_gzip_is(member.data)) { /* travels as it is */
            plain++;
            assert_int_equal(rc, 0);
            assert_true(sb_span_eq(sb_buf_span(&out), member.data));
        } else if (rc == 0) {
            good++;
            if (strcmp(fields[0], "ok") != 0)
                fail_msg("%s: accepted, but it is %s", member.name, fields[0]);
            same_digest(sb_buf_span(&out), fields[4]);
        } else {
            refused++;
            assert_int_equal(rc, -SB_EBAD_GZIP);
            assert_int_equal(out.len, 0);
            /* Python takes several members, and header flags that RFC 1952 reserves */
            if (strcmp(fields[0], "ok") == 0 && strstr(err.msg, "after the gzip member") == NULL &&
                (member.data.data[3] & 0xe0) == 0)
                fail_msg("%s: refused: %s", member.name, err.msg);
            behind += strcmp(fields[0], "ok") == 0;
        }
    }
    print_message("gzip-corpus: %u unpacked, %u refused (%u that others take), %u not "
                  "gzip\n",
                  good, refused, behind, plain);
    assert_true(good > 20 && refused > 100);
    sb_gzip_free(gzip);
    sb_buf_free(&tar);
    sb_buf_free(&table);
    sb_buf_free(&out);
}

/* ---- times and UUIDs ---- */

/* Calls judge() for every string of the suite; it returns whether ours takes the string. */
static void format_suite(const char *name, bool (*judge)(struct sb_span text),
                         bool (*ours_is_stricter)(struct sb_span text))
{
    struct sb_buf file = data_contents(name), text = {0};
    struct sb_span root, group, tests, test, data, valid;
    struct sb_json_iter groups, cases;
    unsigned count = 0, stricter = 0;

    assert_int_equal(sb_json_check(sb_buf_span(&file), &wide, &root, NULL), 0);
    sb_json_iter_init(&groups, root);
    while (sb_json_next_element(&groups, &group)) {
        assert_true(sb_json_get(group, "tests", &tests));
        sb_json_iter_init(&cases, tests);
        while (sb_json_next_element(&cases, &test)) {
            assert_true(sb_json_get(test, "data", &data) && sb_json_get(test, "valid", &valid));
            if (sb_json_type_of(data) != SB_JSON_STRING)
                continue;
            sb_buf_clear(&text);
            sb_json_unescape(data, &text);
            count++;
            if (judge(sb_buf_span(&text)) == (sb_json_type_of(valid) == SB_JSON_TRUE))
                continue;
            stricter++;
            if (!ours_is_stricter(sb_buf_span(&text)))
                fail_msg("%s: %s: judged otherwise", name, text.data);
        }
    }
    print_message("%s: %u strings, ours is stricter in %u\n", name, count, stricter);
    assert_true(count > 10);
    sb_buf_free(&file);
    sb_buf_free(&text);
}

static bool time_judge(struct sb_span text)
{
    int64_t us;

    return sb_time_parse(text, &us);
}

static bool never(struct sb_span text)
{
    (void)text;
    return false;
}

static bool has_capital(struct sb_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] >= 'A' && text.data[i] <= 'F')
            return !sb_uuid_valid(text);
    return false;
}

static void times_of_rfc_3339(void **state)
{
    (void)state;
    format_suite("timestamp-format-tests/date-time.json", time_judge, never);
}

static void uuids_in_lower_case(void **state)
{
    (void)state;
    format_suite("timestamp-format-tests/uuid.json", sb_uuid_valid, has_capital);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_test_suite),     cmocka_unit_test(json_fuzz_corpus),
        cmocka_unit_test(naughty_strings),     cmocka_unit_test(utf8_tests),
        cmocka_unit_test(gzip_corpus),         cmocka_unit_test(times_of_rfc_3339),
        cmocka_unit_test(uuids_in_lower_case),
    };

    if (!data_is_there()) {
        printf("skipped: the folder of test data %s is not there\n", data_folder());
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
