#include "boots.h"

int boots_take(struct boots *boots, struct store *store, struct sb_rng *rng, struct sb_now now,
               struct sb_err *err)
{
    *boots = (struct boots){.commits = 0};
    sb_uuid7(rng, now.wall_us, boots->id);
    return store_boot_add(store, boots->id, now.wall_us / 1000, err);
}

int boots_check(const struct boots *boots, struct store *store, struct sb_err *err)
{
    uint64_t commits;
    bool known;
    int rc = store_boot_commits(store, boots->id, &known, &commits, err);

    if (rc == 0 && (!known || commits != boots->commits))
        rc = sb_fail(err, SB_EHELLO, "the database is not the one this process wrote to");
    return rc;
}

int boots_number(struct boots *boots, struct store *store, uint64_t *number, struct sb_err *err)
{
    bool won = true;
    int rc = 0;

    *number = boots->commits + 1;
    if (!boots->advanced)
        rc = store_boot_advance(store, boots->id, boots->commits, &won, err);
    if (rc == 0 && !won)
        return sb_fail(err, SB_EHELLO, "the database is not the one this process wrote to");
    boots->advanced = rc == 0;
    return rc;
}

void boots_committed(struct boots *boots)
{
    boots->commits += boots->advanced;
    boots->advanced = false;
}

void boots_undone(struct boots *boots)
{
    boots->advanced = false;
}
