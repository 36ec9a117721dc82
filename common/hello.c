#include "hello.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

/* Ids that come from our own tables; longer ones would be a bug. */
static void copy_id(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    SB_CHECK(len < size);
    memcpy(out, text, len + 1);
}

void sb_hello_init(struct sb_hello *hello)
{
    *hello = (struct sb_hello){.page = 1, .pages = 1};
}

void sb_hello_free(struct sb_hello *hello)
{
    for (size_t i = 0; i < hello->claim_count; i++) {
        sb_ranges_free(&hello->claims[i].settled);
        sb_ranges_free(&hello->claims[i].held);
    }
    free(hello->claims);
    free(hello->epochs);
    *hello = (struct sb_hello){0};
}

static bool names_epoch(const struct sb_hello *hello, const char *epoch)
{
    /* claims come epoch by epoch: the last one is the likely one */
    for (size_t i = hello->epoch_count; i-- > 0;)
        if (strcmp(hello->epochs[i], epoch) == 0)
            return true;
    return false;
}

void sb_hello_add_epoch(struct sb_hello *hello, const char *epoch)
{
    if (names_epoch(hello, epoch))
        return;
    hello->epochs = sb_xgrow(hello->epochs, hello->epoch_count, sizeof(*hello->epochs));
    copy_id(hello->epochs[hello->epoch_count++], sizeof(*hello->epochs), epoch);
}

struct sb_claim *sb_hello_add_claim(struct sb_hello *hello, const char *epoch, const char *stream)
{
    struct sb_claim *claim;

    sb_hello_add_epoch(hello, epoch);
    hello->claims = sb_xgrow(hello->claims, hello->claim_count, sizeof(*hello->claims));
    claim = &hello->claims[hello->claim_count++];
    *claim = (struct sb_claim){0};
    copy_id(claim->epoch, sizeof(claim->epoch), epoch);
    copy_id(claim->stream, sizeof(claim->stream), stream);
    return claim;
}

void sb_welcome_init(struct sb_welcome *welcome)
{
    *welcome = (struct sb_welcome){.page = 1, .pages = 1, .part = 1};
}

void sb_welcome_free(struct sb_welcome *welcome)
{
    for (size_t i = 0; i < welcome->standing_count; i++) {
        sb_ranges_free(&welcome->standings[i].decided);
        sb_ranges_free(&welcome->standings[i].holes);
    }
    free(welcome->standings);
    free(welcome->tables);
    *welcome = (struct sb_welcome){0};
}

struct sb_standing *sb_welcome_add(struct sb_welcome *welcome, const char *epoch,
                                   const char *stream)
{
    struct sb_standing *standing;

    welcome->standings =
        sb_xgrow(welcome->standings, welcome->standing_count, sizeof(*welcome->standings));
    standing = &welcome->standings[welcome->standing_count++];
    *standing = (struct sb_standing){0};
    copy_id(standing->epoch, sizeof(standing->epoch), epoch);
    copy_id(standing->stream, sizeof(standing->stream), stream);
    return standing;
}
