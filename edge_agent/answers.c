/* The cloud's latest answers: a ring. */
#include "edge_agent/answers.h"

#include <string.h>

void answers_add(struct answers *answers, const struct answer *answer)
{
    answers->kept[answers->count++ % ANSWERS_MAX] = *answer;
}

const struct answer *answers_find(const struct answers *answers, const char *epoch,
                                  const char *stream, uint64_t seq)
{
    size_t kept = answers->count < ANSWERS_MAX ? answers->count : ANSWERS_MAX;

    for (size_t back = 1; back <= kept; back++) {
        const struct answer *one = &answers->kept[(answers->count - back) % ANSWERS_MAX];

        if (one->lo <= seq && seq <= one->hi && strcmp(one->stream, stream) == 0 &&
            strcmp(one->epoch, epoch) == 0)
            return one;
    }
    return NULL;
}
