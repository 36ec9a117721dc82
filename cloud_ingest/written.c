#include "written.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "limits.h"

static struct written *find(const struct written_list *list, const char *user, const char *table,
                            const char *author)
{
    /* most often the one before: the operations of a batch are one author's */
    for (size_t i = list->count; i > 0; i--) {
        struct written *w = &list->at[i - 1];

        if (strcmp(w->user, user) == 0 && strcmp(w->table, table) == 0 &&
            strcmp(w->author, author) == 0)
            return w;
    }
    return NULL;
}

void written_add(struct written_list *list, const char *user, const char *table, const char *author,
                 uint64_t version, bool merged)
{
    struct written *w = find(list, user, table, author);

    if (w == NULL && list->count == LIMIT_WRITTEN) {
        list->left_out++;
        return;
    }
    if (w == NULL) {
        list->at = sb_xgrow(list->at, list->count, sizeof(*list->at));
        w = &list->at[list->count++];
        *w = (struct written){.version = 0};
        memcpy(w->user, user, strlen(user) + 1);
        memcpy(w->table, table, strlen(table) + 1);
        memcpy(w->author, author, strlen(author) + 1);
    }
    w->version = version > w->version ? version : w->version;
    w->merged |= merged;
}

void written_clear(struct written_list *list)
{
    list->count = list->left_out = 0;
}

void written_free(struct written_list *list)
{
    free(list->at);
    *list = (struct written_list){0};
}
