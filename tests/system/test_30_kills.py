"""kill -9 of every part at random moments while records flow: each put that returned success is in
the cloud exactly once, one that failed or was killed once or not at all, and nothing else is there.

The broker has its stock limits. The moments are chance: SB_SEED repeats the choices, not the timing.
"""

import random
import time

import pytest

from lib.flow import (SETTINGS, USER, Flow, is_long, read_rows, seed_of_run, settings_in_order,
                      wait_for_progress)
from lib.stack import Stack

ROUNDS = 10  # of one stack; an outage is young for a minute
STACKS = 5 if is_long() else 1
DEVICE = "edge-001"


def any_moment(rng, longest):
    """Nothing is waited for: the moment of what follows is the chance that is tested."""
    time.sleep(rng.uniform(0, longest))


def kill_edge(stack, rng):
    edge = stack.edge()
    edge.kill()
    any_moment(rng, 0.2)
    edge.launch()


def kill_broker(stack, rng):
    """What it has not saved is gone, which is everything unless it was stopped before; sometimes
    its state folder too."""
    stack.broker.kill()
    if rng.random() < 0.4:
        stack.broker.wipe_state()
    any_moment(rng, 0.2)
    stack.broker.start()


def kill_ingest(stack, rng):
    stack.ingest.kill()
    any_moment(rng, 0.2)
    stack.ingest.launch()


def kill_two(stack, rng):
    """One is killed while another one is down."""
    first, second = rng.sample([stack.edge(), stack.broker, stack.ingest], 2)
    first.kill()
    any_moment(rng, 0.1)
    second.kill()
    any_moment(rng, 0.2)
    for part in rng.sample([first, second], 2):
        part.start() if part is stack.broker else part.launch()
        any_moment(rng, 0.2)


VICTIMS = {"edge": kill_edge, "broker": kill_broker, "ingest": kill_ingest, "any": None}


def run_rounds(stack, flow, rng, kill, rounds):
    for number in range(rounds):
        act = kill or rng.choice([kill_edge, kill_broker, kill_ingest, kill_two])
        any_moment(rng, 0.3)
        check_alive(stack)
        print(f"round {number}: {act.__name__}, {flow.ledger.count()} promised")
        act(stack, rng)
        if rng.random() < 0.6:  # else the next one comes while this one is being got over
            wait_for_progress(stack)
        flow.check_alive()
    wait_for_progress(stack)
    flow.finish()


def check_alive(stack):
    """Nothing but this test ends a daemon."""
    for part in (stack.edge(), stack.broker, stack.ingest):
        assert part.running(), f"{part}: {part.log()[-3000:]}"


def check_all(stack, flow):
    stack.wait_settled(60)
    check_alive(stack)
    flow.ledger.check(stack)
    report = stack.verified()
    for name in ("missing", "doubles", "unequal", "pending", "rejected", "holes", "branched",
                 "lost", "conflict"):
        assert report["total"][name] == 0, report
    order = settings_in_order(stack.ingest.database)
    assert order == sorted(order)
    status = stack.edge().status()
    assert status["failed_count"] == status["conflicts"] == 0, status
    assert stack.ingest.quarantine() == []
    # kill -9 of a daemon rolls nothing back: nobody may have believed that
    database = stack.ingest.database
    assert read_rows(database, "SELECT count(*) FROM epochs") == [(1,)]
    if order:
        assert stack.ingest.settings(USER)["settings"] == {"mark": order[-1]}


@pytest.mark.parametrize("number", range(STACKS))
@pytest.mark.parametrize("victim", VICTIMS)
def test_nothing_is_lost_or_doubled(certs, victim, number):
    seed = seed_of_run()
    rng = random.Random(f"{seed} {victim} {number}")
    stack = Stack(certs, broker__flap_wait="20ms")
    try:
        stack.edge(DEVICE, broker__flap_wait="20ms")
        stack.start()
        stack.ingest.cli("device", "grant", DEVICE, USER)
        stack.edge().start()
        with Flow(stack.edge(), f"{seed} {victim} {number}") as flow:
            wait_for_progress(stack)
            run_rounds(stack, flow, rng, VICTIMS[victim], ROUNDS if is_long() else 5)
        check_all(stack, flow)
        assert all(flow.ledger.promised.get(writer.stream) for writer in flow.writers)
        assert SETTINGS in flow.ledger.promised
        print(f"{flow.ledger.count()} promised, verify: {stack.ingest.verify()['total']}")
    finally:
        stack.close()
