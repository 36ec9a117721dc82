#ifndef SB_RNG_H
#define SB_RNG_H

#include <stdint.h>

/* A seeded generator (xoshiro256**, Blackman and Vigna, public domain). Everything random in a
 * daemon comes from one of these, so that the simulator can replay a run from its seed. */
struct sb_rng {
    uint64_t s[4];
};

void sb_rng_seed(struct sb_rng *rng, uint64_t seed);
void sb_rng_seed_os(struct sb_rng *rng); /* from getrandom(2) */
uint64_t sb_rng_u64(struct sb_rng *rng);

/* Uniform in [0, below); below > 0. */
uint64_t sb_rng_below(struct sb_rng *rng, uint64_t below);

/* Uniform in [0, 1). */
double sb_rng_unit(struct sb_rng *rng);

#endif
