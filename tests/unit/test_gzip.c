/* gzip with caps: what was packed comes back, what is damaged, too large or more than one member is
 * refused, and a refusal leaves the stream fit for the next payload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/gzip.h"
#include "common/rng.h"

#define LIMIT 4194304

static struct sb_gzip *gzip;

static int setup(void **state)
{
    (void)state;
    gzip = sb_gzip_new(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sb_gzip_free(gzip);
    sb_gzip_free(NULL);
    return 0;
}

static struct sb_buf text_of(size_t len)
{
    struct sb_buf text = {0};

    while (text.len < len)
        sb_buf_add_fmt(&text, "[\"2026-01-02T03:04:%02zuZ\",%zu.5,%zu],", text.len % 60,
                       text.len % 97, text.len);
    text.len = len;
    return text;
}

static struct sb_buf packed_of(struct sb_span data)
{
    struct sb_buf out = {0};

    sb_gzip_pack(gzip, data, &out);
    return out;
}

static int unpack(struct sb_span payload, size_t limit, struct sb_buf *out, struct sb_err *err)
{
    char *copy = malloc(payload.len > 0 ? payload.len : 1);
    int rc;

    assert_non_null(copy);
    if (payload.len > 0)
        memcpy(copy, payload.data, payload.len);
    rc = sb_gzip_unpack(gzip, (struct sb_span){copy, payload.len}, limit, out, err);
    free(copy);
    return rc;
}

static void what_was_packed_comes_back(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 1024, 1025, 5000, 65535, 65536, 65537, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct sb_buf text = text_of(sizes[i]), out = {0};
        struct sb_buf packed = packed_of(sb_buf_span(&text));

        assert_int_equal(sb_gzip_is(sb_buf_span(&packed)), sizes[i] > SB_GZIP_MIN_BYTES);
        assert_true(packed.len <= text.len);
        sb_buf_add_str(&out, "kept");
        assert_int_equal(unpack(sb_buf_span(&packed), LIMIT, &out, NULL), 0);
        assert_int_equal(out.len, text.len + 4);
        assert_memory_equal(out.data, "kept", 4);
        if (text.len > 0)
            assert_memory_equal(out.data + 4, text.data, text.len);
        sb_buf_free(&text);
        sb_buf_free(&packed);
        sb_buf_free(&out);
    }
}

static void packing_twice_gives_the_same_bytes(void **state)
{
    struct sb_buf text = text_of(20000);
    struct sb_buf a = packed_of(sb_buf_span(&text)), b = packed_of(sb_buf_span(&text));

    (void)state;
    assert_true(sb_span_eq(sb_buf_span(&a), sb_buf_span(&b)));
    sb_buf_free(&text);
    sb_buf_free(&a);
    sb_buf_free(&b);
}

static void what_gzip_does_not_make_smaller_stays_plain(void **state)
{
    struct sb_buf noise = {0}, packed;
    struct sb_rng rng;

    (void)state;
    sb_rng_seed(&rng, 5);
    while (noise.len < 4000)
        sb_buf_add_char(&noise, (char)sb_rng_below(&rng, 256));
    noise.data[0] = '[';
    packed = packed_of(sb_buf_span(&noise));
    assert_true(sb_span_eq(sb_buf_span(&packed), sb_buf_span(&noise)));
    sb_buf_free(&noise);
    sb_buf_free(&packed);
}

/* A document of zeros shrinks to less than the other end believes. */
static void what_shrinks_too_well_comes_back_all_the_same(void **state)
{
    static const size_t sizes[] = {65536, 65537, 70000, 300000, 1000000};

    (void)state;
    for (int level = 1; level <= 9; level += 4) {
        struct sb_gzip *packer = sb_gzip_new(level);

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct sb_buf text = {0}, packed = {0}, out = {0};

            while (text.len < sizes[i])
                sb_buf_add_str(&text, "0,");
            sb_gzip_pack(packer, sb_buf_span(&text), &packed);
            assert_true(packed.len < text.len / 4);
            assert_int_equal(unpack(sb_buf_span(&packed), LIMIT, &out, NULL), 0);
            assert_true(sb_span_eq(sb_buf_span(&out), sb_buf_span(&text)));
            sb_buf_free(&text);
            sb_buf_free(&packed);
            sb_buf_free(&out);
        }
        sb_gzip_free(packer);
    }
}

static void still_works(void)
{
    struct sb_buf text = text_of(3000), packed = packed_of(sb_buf_span(&text)), out = {0};

    assert_int_equal(unpack(sb_buf_span(&packed), LIMIT, &out, NULL), 0);
    assert_true(sb_span_eq(sb_buf_span(&out), sb_buf_span(&text)));
    sb_buf_free(&text);
    sb_buf_free(&packed);
    sb_buf_free(&out);
}

static void refuses(struct sb_span payload, enum sb_code code)
{
    struct sb_buf out = {0};
    struct sb_err err = {0};

    sb_buf_add_str(&out, "kept");
    assert_int_equal(unpack(payload, LIMIT, &out, &err), -(int)code);
    assert_int_equal(err.code, code);
    assert_string_equal(out.data, "kept");
    assert_int_equal(out.len, 4);
    sb_buf_free(&out);
    still_works();
}

static void every_cut_off_member_is_refused(void **state)
{
    struct sb_buf text = text_of(2000), packed = packed_of(sb_buf_span(&text));

    (void)state;
    for (size_t len = 2; len < packed.len; len++)
        refuses((struct sb_span){packed.data, len}, SB_EBAD_GZIP);
    sb_buf_free(&text);
    sb_buf_free(&packed);
}

static void more_than_one_member_or_anything_behind_it_is_refused(void **state)
{
    struct sb_buf text = text_of(2000), packed = packed_of(sb_buf_span(&text));
    size_t len = packed.len;

    (void)state;
    sb_buf_add_char(&packed, '\0');
    refuses(sb_buf_span(&packed), SB_EBAD_GZIP);
    packed.len = len;
    sb_buf_reserve(&packed, len);
    sb_buf_add(&packed, packed.data, len);
    refuses(sb_buf_span(&packed), SB_EBAD_GZIP);
    sb_buf_free(&text);
    sb_buf_free(&packed);
}

static void a_wrong_checksum_or_length_is_refused(void **state)
{
    struct sb_buf text = text_of(2000), packed = packed_of(sb_buf_span(&text));

    (void)state;
    for (size_t i = 1; i <= 8; i++) {
        packed.data[packed.len - i] ^= 1;
        refuses(sb_buf_span(&packed), SB_EBAD_GZIP);
        packed.data[packed.len - i] ^= 1;
    }
    sb_buf_free(&text);
    sb_buf_free(&packed);
}

/* Whatever is flipped: refused or (header bits that say nothing) the same text. */
static void flipped_bits_never_give_another_text(void **state)
{
    struct sb_buf text = text_of(2000), packed = packed_of(sb_buf_span(&text)), out = {0};

    (void)state;
    for (size_t bit = 0; bit < packed.len * 8; bit++) {
        packed.data[bit / 8] ^= (char)(1 << bit % 8);
        sb_buf_clear(&out);
        if (sb_gzip_is(sb_buf_span(&packed)) &&
            unpack(sb_buf_span(&packed), LIMIT, &out, NULL) == 0)
            assert_true(sb_span_eq(sb_buf_span(&out), sb_buf_span(&text)));
        packed.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    still_works();
    sb_buf_free(&text);
    sb_buf_free(&packed);
    sb_buf_free(&out);
}

static struct sb_buf member_of(const char *data, size_t len)
{
    struct sb_buf out = {0};
    z_stream stream = {0};

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    sb_buf_reserve(&out, deflateBound(&stream, len) + 32);
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)len;
    stream.next_out = (Bytef *)out.data;
    stream.avail_out = (uInt)out.cap;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.len = stream.total_out;
    deflateEnd(&stream);
    return out;
}

static void a_bomb_is_refused_by_its_ratio_and_by_its_size(void **state)
{
    char *zeros = calloc(1, LIMIT * 4);
    struct sb_buf bomb;

    (void)state;
    assert_non_null(zeros);
    bomb = member_of(zeros, LIMIT - 1); /* within the limit, 1000 times the payload */
    refuses(sb_buf_span(&bomb), SB_ETOO_LARGE);
    sb_buf_free(&bomb);
    bomb = member_of(zeros, LIMIT * 4);
    refuses(sb_buf_span(&bomb), SB_ETOO_LARGE);
    sb_buf_free(&bomb);
    free(zeros);
}

static void up_to_64_kib_the_ratio_says_nothing(void **state)
{
    char *spaces = malloc(65537);
    struct sb_buf out = {0}, packed;

    (void)state;
    assert_non_null(spaces);
    memset(spaces, ' ', 65537);
    packed = member_of(spaces, 65536);
    assert_int_equal(unpack(sb_buf_span(&packed), LIMIT, &out, NULL), 0);
    assert_int_equal(out.len, 65536);
    sb_buf_free(&packed);
    packed = member_of(spaces, 65537);
    refuses(sb_buf_span(&packed), SB_ETOO_LARGE);
    sb_buf_free(&packed);
    sb_buf_free(&out);
    free(spaces);
}

static void the_size_limit_is_exact(void **state)
{
    struct sb_buf text = text_of(100000), packed = packed_of(sb_buf_span(&text)), out = {0};

    (void)state;
    assert_int_equal(unpack(sb_buf_span(&packed), 100000, &out, NULL), 0);
    assert_int_equal(unpack(sb_buf_span(&packed), 99999, &out, NULL), -SB_ETOO_LARGE);
    assert_int_equal(out.len, 100000);
    assert_int_equal(unpack((struct sb_span){text.data, 1000}, 1000, &out, NULL), 0);
    assert_int_equal(unpack((struct sb_span){text.data, 1001}, 1000, &out, NULL), -SB_ETOO_LARGE);
    assert_int_equal(out.len, 101000);
    sb_buf_free(&text);
    sb_buf_free(&packed);
    sb_buf_free(&out);
}

static void empty_members_and_header_fields_are_read(void **state)
{
    struct sb_buf packed = member_of("", 0), out = {0}, named = {0};

    (void)state;
    assert_int_equal(unpack(sb_buf_span(&packed), LIMIT, &out, NULL), 0);
    assert_int_equal(out.len, 0);
    sb_buf_add(&named, packed.data, 10);
    named.data[3] = 0x08; /* FNAME */
    sb_buf_add(&named, "name", 5);
    sb_buf_add(&named, packed.data + 10, packed.len - 10);
    assert_int_equal(unpack(sb_buf_span(&named), LIMIT, &out, NULL), 0);
    named.data[3] = (char)0xe8; /* reserved flags */
    refuses(sb_buf_span(&named), SB_EBAD_GZIP);
    sb_buf_free(&packed);
    sb_buf_free(&named);
    sb_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_packed_comes_back),
        cmocka_unit_test(packing_twice_gives_the_same_bytes),
        cmocka_unit_test(what_gzip_does_not_make_smaller_stays_plain),
        cmocka_unit_test(what_shrinks_too_well_comes_back_all_the_same),
        cmocka_unit_test(every_cut_off_member_is_refused),
        cmocka_unit_test(more_than_one_member_or_anything_behind_it_is_refused),
        cmocka_unit_test(a_wrong_checksum_or_length_is_refused),
        cmocka_unit_test(flipped_bits_never_give_another_text),
        cmocka_unit_test(a_bomb_is_refused_by_its_ratio_and_by_its_size),
        cmocka_unit_test(up_to_64_kib_the_ratio_says_nothing),
        cmocka_unit_test(the_size_limit_is_exact),
        cmocka_unit_test(empty_members_and_header_fields_are_read),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
