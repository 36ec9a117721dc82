#include "rng.h"

#include <sys/random.h>

#include "check.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void sb_rng_seed(struct sb_rng *rng, uint64_t seed)
{
    int i;

    for (i = 0; i < 4; i++) { /* splitmix64, as its authors advise for seeding */
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        rng->s[i] = z ^ (z >> 31);
    }
}

void sb_rng_seed_os(struct sb_rng *rng)
{
    uint64_t seed[4];

    SB_CHECK(getrandom(seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
    for (int i = 0; i < 4; i++)
        rng->s[i] = seed[i];
    rng->s[0] |= 1;
}

uint64_t sb_rng_u64(struct sb_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t sb_rng_below(struct sb_rng *rng, uint64_t below)
{
    uint64_t limit, x;

    SB_CHECK(below > 0);
    limit = UINT64_MAX - UINT64_MAX % below;
    do
        x = sb_rng_u64(rng);
    while (x >= limit);
    return x % below;
}

double sb_rng_unit(struct sb_rng *rng)
{
    return (double)(sb_rng_u64(rng) >> 11) * 0x1.0p-53;
}
