"""Devices, clouds and brokers that come back older than they were, or twice: both histories are
kept, nothing is doubled, and what cannot be brought back is declared (DESIGN section 5)."""

import json
import random
import shutil
import signal
import time
from collections import Counter

import pytest

from lib.copies import backup, swap
from lib.flow import (HISTORY, PLAIN, SETTINGS, TYPED, USER, Flow, Ledger, cloud_marks, is_long,
                      read_rows, reading, seed_of_run, settings_in_order, wait_for_progress)
from lib.mqtt import Client
from lib.stack import SOURCE, Edge, Stack
from lib.wait import wait_until

DEVICE = "edge-001"


class Timeline:
    """A stack with one device, an operator who listens, and records with marks."""

    def __init__(self, certs, **edge_values):
        self.stack = Stack(certs, broker__flap_wait="20ms")
        self.ledger = Ledger()
        self.events = None
        try:
            self.stack.start()
            self.edge = self.stack.edge(DEVICE, broker__flap_wait="20ms", **edge_values)
            self.ingest, self.broker = self.stack.ingest, self.stack.broker
            self.ingest.cli("device", "grant", DEVICE, USER)
            self.listen()
        except BaseException:
            self.close()
            raise

    def listen(self):
        """Events from now on."""
        self.events = Client(self.stack.certs.operator("alice"), self.broker.operator_port)
        self.events.subscribe("sb/v1/event/+")

    def raised(self):
        """Kinds of events so far."""
        return Counter(json.loads(message.payload)["event"] for message in self.events.messages)

    def wait_raised(self, kind):
        wait_until(lambda: self.raised()[kind], 10, lambda: f"event {kind}; had {self.raised()}")

    # ---- records ----

    def put(self, prefix, count, stream=PLAIN, edge=None, promise=True):
        """Marks prefix-000 and so on; returns them."""
        marks = [f"{prefix}-{number:03}" for number in range(count)]
        edge = edge or self.edge
        if stream == HISTORY:
            edge.put("history", [{"command_id": mark, "mark": mark,
                                  "created_at": "2026-01-02T03:04:05Z"} for mark in marks],
                     "--user", USER)
        elif stream == SETTINGS:
            for mark in marks:
                edge.cli("settings", "put", "--user", USER, json.dumps({"mark": mark}))
        else:
            edge.put(stream, [reading(stream, mark) for mark in marks])
        if promise:
            self.ledger.promise(stream, marks)
        return marks

    def settle(self):
        self.stack.wait_settled(60)

    def check(self):
        """All that was promised is in the cloud once, and verify agrees. Returns its totals."""
        self.settle()
        self.ledger.check(self.stack)
        report = self.stack.verified()
        return {**report["total"], "streams": report["streams"]}

    # ---- copies ----

    def copy_edge(self, name):
        """Of the device's folder; it is not running."""
        assert not self.edge.running()
        target = self.stack.folder / name
        shutil.copytree(self.edge.state, target, ignore=shutil.ignore_patterns("*.sock"))
        return target

    def put_edge_back(self, copy):
        assert not self.edge.running()
        shutil.rmtree(self.edge.state)
        shutil.copytree(copy, self.edge.state)

    def clone(self, copy, name):
        """A second machine with the same certificate and that folder."""
        other = Edge(self.broker, self.stack.certs.device(DEVICE), self.stack.folder / name,
                     broker__flap_wait="20ms")
        shutil.copytree(copy, other.state)
        self.stack.edges[name] = other
        return other

    def copy_cloud(self):
        """As `sqlite3 ingest.db '.backup old.db'` makes it, the ingest running or not."""
        target = self.stack.folder / "old.db"
        target.unlink(missing_ok=True)
        backup(self.ingest.database, target)
        return target

    def close(self):
        if self.events is not None and self.events.connected():
            self.events.disconnect()
        self.stack.close()


@pytest.fixture
def timeline(certs):
    made = []

    def make(**edge_values):
        made.append(Timeline(certs, **edge_values))
        return made[-1]

    yield make
    for each in made:
        each.close()


# ---- the device ----

def test_a_wiped_device_begins_anew_and_what_it_held_is_listed_as_lost(timeline):
    t = timeline()
    t.edge.start()
    for stream in (PLAIN, TYPED, HISTORY, SETTINGS):
        t.put("before", 5, stream)
    t.settle()
    # the cloud hears that these are held, and does not take them: no binding
    t.edge.put("history", [{"command_id": f"x{i}", "mark": f"x{i}"} for i in range(3)],
               "--user", "nobody")
    wait_until(lambda: t.edge.status()["parked"], 10, "a parked stream")
    assert t.stack.ingest.verify(fresh=10)["total"]["pending"] == 3
    t.edge.stop()
    old = t.edge.status()["epoch"]
    shutil.rmtree(t.edge.state)
    t.edge.start()
    for stream in (PLAIN, TYPED, HISTORY):
        t.put("after", 5, stream)
    total = t.check()
    assert t.edge.status()["epoch"] != old
    assert (total["lost"], total["pending"], total["branched"], total["holes"]) == (3, 0, 0, 0)
    assert {entry["epoch"] for entry in total["streams"] if not entry["named"]} == {old}
    t.wait_raised("new_epoch")
    assert not {"branch", "clone_alarm", "restored", "hole"} & t.raised().keys()


def test_a_wiped_device_gets_its_settings_back(timeline):
    t = timeline()
    t.edge.start()
    last = t.put("before", 3, SETTINGS)[-1]
    t.settle()
    t.edge.stop()
    shutil.rmtree(t.edge.state)
    t.edge.start()
    t.edge.cli("settings", "restore", "--user", USER)
    assert t.edge.json("settings", "get", "--user", USER)["settings"] == {"mark": last}
    t.put("after", 2, SETTINGS)  # on the document that was restored: no conflict
    assert t.check()["conflict"] == 0
    assert t.ingest.settings(USER)["settings"] == {"mark": "after-001"}


def test_settings_of_a_wiped_device_lose_to_the_clouds_and_are_kept(timeline):
    t = timeline()
    t.edge.start()
    t.put("before", 1, SETTINGS)
    t.settle()
    t.edge.stop()
    shutil.rmtree(t.edge.state)
    t.put("blind", 1, SETTINGS, promise=False)
    t.edge.start()
    t.settle()
    wait_until(lambda: t.edge.status()["sync_status"] == "conflict", 10, "the conflict shown")
    assert t.edge.json("settings", "get", "--user", USER)["settings"] == {"mark": "before-000"}
    total = t.check()
    assert total["conflict"] == 1
    assert read_rows(t.edge.state / "outbox.db", "SELECT record ->> '$.settings.mark' FROM conflicts"
                     ) == [("blind-000",)]
    t.put("after", 1, SETTINGS)  # an edit of the document in force
    assert t.check()["conflict"] == 1
    t.wait_raised("conflict_opened")


@pytest.mark.parametrize("offline", [0, 20, 60], ids=["no work", "less work", "more work"])
def test_a_device_rolled_back_keeps_both_histories(timeline, offline):
    """Its folder is an old copy; it worked offline under numbers that the cloud knows otherwise."""
    t = timeline()
    t.edge.start()
    for stream in (PLAIN, TYPED, HISTORY):
        t.put("common", 30, stream)
    t.settle()
    t.edge.stop()
    copy = t.copy_edge("copy")
    t.edge.start()
    for stream in (PLAIN, TYPED, HISTORY):
        t.put("first", 40, stream)
    t.settle()
    t.edge.stop()
    t.put_edge_back(copy)
    old = t.edge.status()["epoch"]
    for stream in (PLAIN, TYPED, HISTORY) if offline else ():
        t.put("second", offline, stream)
    t.edge.start()
    total = t.check()
    assert total["branched"] == 3 * min(offline, 40)
    assert total["rows"] == 3 * (30 + 40 + offline)
    assert (t.edge.status()["epoch"] != old) == (offline < 40)
    assert t.edge.status()["new_epochs"] == (offline < 40)
    for stream in (PLAIN, TYPED, HISTORY):
        t.put("third", 10, stream)
    total = t.check()
    assert total["branched"] == 3 * min(offline, 40)
    assert t.raised()["branch"] == 0 or offline
    assert "restored" not in t.raised()
    if offline:
        t.wait_raised("branch")
    if offline < 40:
        t.wait_raised("new_epoch")
    # nothing goes on moving
    t.edge.restart()
    assert t.check()["rows"] == 3 * (30 + 40 + offline + 10)
    assert t.edge.status()["new_epochs"] == 0


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_an_outbox_that_goes_under_the_running_agent_is_followed(timeline, how):
    """What `put` enqueues by the path is sent, though the agent had another file open there."""
    t = timeline()
    t.edge.start()
    t.put("before", 3)
    t.settle()
    path = t.edge.state / "outbox.db"
    copy = t.stack.folder / "copy.db"
    backup(path, copy)
    t.put("between", 3)
    t.settle()
    if how == "replaced":
        swap(copy, path)
    else:
        for file in t.edge.state.glob("outbox.db*"):
            file.unlink()
    t.put("after", 3)
    wait_until(lambda: sum(row["values"]["mark"].startswith("after") for row in
                           t.ingest.readings(DEVICE, PLAIN.split("/")[1])) == 3, 20, "the records")
    assert t.edge.running()
    t.check()


def test_a_command_that_was_put_again_after_a_roll_back_is_one_command(timeline):
    """The application repeats its history; other numbers, the same commands."""
    t = timeline()
    t.edge.start()
    t.put("common", 5, HISTORY)
    t.settle()
    t.edge.stop()
    copy = t.copy_edge("copy")
    t.edge.start()
    t.put("first", 10, HISTORY)
    t.settle()
    t.edge.stop()
    t.put_edge_back(copy)
    t.put("other", 3, HISTORY)
    t.put("first", 10, HISTORY)
    t.edge.start()
    total = t.check()
    assert total["rows"] == 5 + 10 + 3 and total["doubles"] == 0
    assert total["identity_duplicates"] + total["repeats"] >= 10
    assert len(t.ingest.history(USER)) == 18


def test_settings_of_a_device_rolled_back_end_in_a_conflict(timeline):
    t = timeline()
    t.edge.start()
    t.put("common", 2, SETTINGS)
    t.settle()
    t.edge.stop()
    copy = t.copy_edge("copy")
    t.edge.start()
    t.put("first", 2, SETTINGS)
    t.settle()
    t.edge.stop()
    t.put_edge_back(copy)
    t.put("second", 2, SETTINGS, promise=False)
    t.edge.start()
    assert t.check()["rows"] == 4
    assert len(t.ingest.settings(USER)["conflicts"]) == 2
    assert t.edge.json("settings", "get", "--user", USER)["settings"] == {"mark": "first-001"}
    kept = read_rows(t.edge.state / "outbox.db",
                     "SELECT record ->> '$.settings.mark' FROM conflicts ORDER BY id")
    assert kept == [("second-000",), ("second-001",)]
    t.put("third", 2, SETTINGS)
    assert t.check()["rows"] == 6
    assert len(t.ingest.settings(USER)["conflicts"]) == 2
    assert t.ingest.settings(USER)["settings"] == {"mark": "third-001"}


def test_two_copies_that_take_turns_keep_all_and_raise_the_alarm(timeline):
    t = timeline()
    t.edge.start()
    t.put("common", 20)
    t.settle()
    t.edge.stop()
    copies = [t.edge, t.clone(t.copy_edge("copy"), "clone")]
    for turn in range(6):
        edge = copies[turn % 2]
        for stream in (PLAIN, HISTORY):
            t.put(f"turn{turn}", 10 - turn, stream, edge)
        edge.start()
        wait_until(edge.settled, 30, lambda edge=edge: f"settled: {edge.status()}")
        for stream in (PLAIN, HISTORY):
            t.put(f"online{turn}", 5, stream, edge)
        wait_until(edge.settled, 30, lambda edge=edge: f"settled: {edge.status()}")
        edge.stop()
    t.wait_raised("clone_alarm")
    t.edge.start()
    t.ledger.check(t.stack)
    report = t.stack.verified()["total"]
    assert report["rows"] == 20 + 2 * (10 + 9 + 8 + 7 + 6 + 5) + 6 * 10
    assert read_rows(t.ingest.database, "SELECT count(*) FROM epochs")[0][0] <= 3


def test_two_copies_at_the_same_time_deliver_everything(timeline):
    """They throw each other out again and again; each gets through in the end."""
    t = timeline()
    t.edge.start()
    t.put("common", 20)
    t.settle()
    t.edge.stop()
    other = t.clone(t.copy_edge("copy"), "clone")
    t.edge.launch()
    other.launch()
    bursts = 10 if is_long() else 3
    for burst in range(bursts):
        for edge, name, count in ((t.edge, "a", 20), (other, "b", 15)):
            t.put(f"{name}{burst}", count, PLAIN, edge)
            t.put(f"{name}{burst}", 5, HISTORY, edge)
        wait_until(lambda: t.edge.settled() and other.settled(), 60,
                   lambda: f"both settled: {t.edge.status()} {other.status()}")
    assert t.edge.running() and other.running()
    t.wait_raised("clone_alarm")
    flapping = [edge.status()["last_error"] for edge in (t.edge, other)]
    assert any(error and error["code"] == "identity" and "another client uses this identity"
               in error["message"] for error in flapping), flapping
    other.stop()
    wait_until(lambda: t.edge.status()["is_online"], 30, "the one that is left online")
    total = t.check()
    assert total["rows"] == 20 + bursts * (25 + 20)
    assert total["doubles"] == total["missing"] == total["unequal"] == 0


# ---- the cloud ----

def fill(t, prefix):
    for stream in (PLAIN, TYPED, HISTORY, SETTINGS):
        t.put(prefix, 20 if stream != SETTINGS else 3, stream)


def stop_swap_start(t, copy):
    t.ingest.stop()
    swap(copy, t.ingest.database)
    t.ingest.start()


def swap_under_it(t, copy):
    """mv of an old copy onto the database of a running ingest."""
    swap(copy, t.ingest.database)


def restore_under_it(t, copy):
    """`sqlite3 ingest.db '.restore old.db'` beside a running ingest."""
    backup(copy, t.ingest.database)


def take_away_and_bring_later(t, copy):
    """rm, and mv some moments later: no new database may be made meanwhile."""
    for suffix in ("", "-wal", "-shm"):
        t.ingest.database.with_name(t.ingest.database.name + suffix).unlink(missing_ok=True)
    wait_until(lambda: not t.ingest.status()["store"]["open"], 10, "the ingest to notice")
    assert t.ingest.status()["store"]["error"]["code"] == "not_found"
    assert not t.ingest.database.exists()
    swap(copy, t.ingest.database)


@pytest.mark.parametrize("how", [stop_swap_start, swap_under_it, restore_under_it,
                                 take_away_and_bring_later])
def test_a_cloud_rolled_back_gets_all_again(timeline, how):
    t = timeline()
    t.edge.start()
    fill(t, "old")
    t.settle()
    copy = t.copy_cloud()
    fill(t, "new")
    t.settle()
    how(t, copy)
    fill(t, "after")
    wait_until(lambda: t.edge.status()["restored"] > 0, 30,
               lambda: f"the edge told: {t.edge.status()}\n{t.ingest.log()[-2000:]}")
    total = t.check()
    assert total["rows"] == total["stored"] == 3 * 63
    assert total["holes"] == total["branched"] == total["conflict"] == 0
    assert t.ingest.settings(USER)["settings"] == {"mark": "after-002"}
    t.wait_raised("restored")
    assert not {"branch", "clone_alarm", "hole"} & t.raised().keys()
    # and it is told once
    t.edge.restart()
    assert t.check()["rows"] == 3 * 63
    assert t.edge.status()["restored"] == 0


def test_a_cloud_that_lost_everything_gets_all_again(timeline):
    t = timeline()
    t.edge.start()
    fill(t, "old")
    t.settle()
    t.ingest.stop()
    shutil.rmtree(t.ingest.state)
    t.ingest.start()
    t.ingest.cli("device", "grant", DEVICE, USER)  # the bindings are gone too
    fill(t, "after")
    total = t.check()
    assert total["rows"] == 2 * 63 and total["holes"] == 0
    assert t.edge.status()["failed_count"] == 0


def test_what_is_purged_on_the_device_is_declared_to_a_cloud_rolled_back(timeline):
    t = timeline(outbox__resend_days=0, outbox__purge_interval="1s")
    t.edge.start()
    t.put("old", 20)
    t.settle()
    copy = t.copy_cloud()
    gone = {stream: t.put("new", 20 if stream != SETTINGS else 3, stream, promise=False)
            for stream in (PLAIN, TYPED, HISTORY, SETTINGS)}
    t.settle()
    wait_until(lambda: read_rows(t.edge.state / "outbox.db", "SELECT count(*) FROM outbox")
               == [(0,)], 20, "the rows purged")
    stop_swap_start(t, copy)
    t.put("after", 20)
    total = t.check()
    assert total["holes"] == sum(map(len, gone.values())) == 63
    assert total["rows"] == 40
    reasons = read_rows(t.ingest.database, "SELECT DISTINCT reason FROM holes")
    assert len(reasons) == 1
    t.wait_raised("hole")
    t.wait_raised("restored")


def test_dead_letters_of_a_cloud_rolled_back_are_declared_and_can_be_retried(timeline):
    t = timeline()
    t.edge.start()
    t.put("old", 5, TYPED)
    t.settle()
    copy = t.copy_cloud()
    t.edge.put(TYPED, [{"aqi": -1}])  # below the least
    t.put("new", 5, TYPED)
    t.settle()
    assert t.edge.status()["failed_count"] == 1
    stop_swap_start(t, copy)
    wait_until(lambda: t.edge.status()["restored"] > 0, 30, "the edge told")
    total = t.check()
    assert (total["stored"], total["rejected"], total["holes"]) == (10, 0, 1)
    assert t.edge.status()["failed_count"] == 1
    t.edge.cli("dead", "retry", "--all")
    wait_until(lambda: t.edge.json("dead", "list")["items"][0]["sync_status"] == "failed", 10,
               lambda: f"the retry answered: {t.edge.json('dead', 'list')}")
    total = t.check()
    assert total["rejected"] == 1 and t.edge.status()["failed_count"] == 1


def test_a_dead_letter_that_has_become_good_is_stored_and_goes_again_like_any_other(timeline):
    t = timeline()
    mappings = t.stack.folder / "mappings"
    shutil.copytree(SOURCE / "cloud_ingest" / "mappings", mappings)
    t.ingest.configure(mappings__dir=mappings)
    t.ingest.restart()
    t.edge.start()
    t.put("old", 5, TYPED)
    t.edge.put(TYPED, [{"aqi": -1, "aqi_level": "mended"}])
    t.put("new", 5, TYPED)
    t.settle()
    copy = t.copy_cloud()
    assert t.edge.status()["failed_count"] == 1
    mapping = json.loads((mappings / "air_quality.json").read_text())
    next(column for column in mapping["columns"] if column["name"] == "aqi")["min"] = -10
    (mappings / "air_quality.json").write_text(json.dumps(mapping))
    t.ingest.restart()
    t.edge.cli("dead", "retry", "--all")
    wait_until(lambda: t.edge.status()["failed_count"] == 0, 10, "the letter gone")
    t.ledger.promise(TYPED, ["mended"])
    total = t.check()
    assert (total["rows"], total["rejected"]) == (11, 0)
    stop_swap_start(t, copy)  # in which it is rejected
    wait_until(lambda: t.edge.status()["restored"] > 0, 30, "the edge told")
    t.settle()
    if t.edge.status()["failed_count"]:  # decided there as rejected: it is asked for once more
        t.edge.cli("dead", "retry", "--all")
        wait_until(lambda: t.edge.status()["failed_count"] == 0, 10, "the letter gone")
    total = t.check()
    assert (total["rows"], total["rejected"], total["holes"]) == (11, 0, 0)


def test_a_cloud_rolled_back_that_forgot_its_grants_waits_for_them(timeline):
    """And a device that is killed meanwhile still knows what is to go again."""
    t = timeline()
    t.ingest.cli("device", "revoke", DEVICE, "--user", USER)
    t.edge.start()
    t.put("old", 5)
    t.settle()
    copy = t.copy_cloud()
    t.ingest.cli("device", "grant", DEVICE, USER)
    for stream in (PLAIN, HISTORY, SETTINGS):
        t.put("new", 5, stream)
    t.settle()
    stop_swap_start(t, copy)
    wait_until(lambda: len(t.edge.status()["parked"]) == 2, 20,
               lambda: f"both of the user's streams parked: {t.edge.status()}")
    t.edge.kill()
    t.edge.start()
    wait_until(lambda: t.edge.status()["pending_by_type"] == {"history": 5, "settings": 5}, 10,
               lambda: f"what is to go again: {t.edge.status()}")
    assert t.edge.status()["failed_count"] == 0
    t.ingest.cli("device", "grant", DEVICE, USER)
    total = t.check()
    assert total["rows"] == 20 and total["holes"] == total["rejected"] == total["conflict"] == 0


def test_a_device_that_was_away_while_the_cloud_was_rolled_back(timeline):
    t = timeline()
    t.edge.start()
    fill(t, "old")
    t.settle()
    copy = t.copy_cloud()
    fill(t, "new")
    t.settle()
    t.edge.stop()
    stop_swap_start(t, copy)
    fill(t, "offline")
    t.edge.start()
    total = t.check()
    assert total["rows"] == 3 * 63 and total["holes"] == total["branched"] == 0


@pytest.mark.parametrize("number", range(10 if is_long() else 1))
def test_a_cloud_that_is_rolled_back_while_records_flow_and_parts_are_killed(timeline, number):
    """What was promised comes again each time: nothing was purged."""
    seed = f"{seed_of_run()} {number}"
    rng = random.Random(seed)
    t = timeline()
    t.edge.start()
    with Flow(t.edge, seed) as flow:
        for _ in range(5 if is_long() else 2):
            wait_for_progress(t.stack)
            copy = t.copy_cloud()
            wait_for_progress(t.stack)
            how = rng.choice([stop_swap_start, swap_under_it, restore_under_it])
            print(f"{how.__name__}, {flow.ledger.count()} promised")
            how(t, copy)
            time.sleep(rng.uniform(0, 0.3))  # any moment of what follows
            for part in rng.sample([t.edge, t.ingest], rng.randrange(3)):
                part.kill()
                part.launch()
        wait_for_progress(t.stack)
        flow.finish()
    t.settle()
    flow.ledger.check(t.stack)
    total = t.stack.verified()["total"]
    assert total["pending"] == total["holes"] == total["branched"] == total["conflict"] == 0
    order = settings_in_order(t.ingest.database)
    assert order == sorted(order)


# ---- the broker ----

def freeze(t):
    t.ingest.proc.signal(signal.SIGSTOP)


def thaw(t):
    t.ingest.proc.signal(signal.SIGCONT)


def stop_broker_and_copy(t):
    """A clean stop saves sessions, queues and retained messages; the copy is kept."""
    t.events.disconnect()
    t.broker.stop()
    copy = t.stack.folder / "broker-copy"
    shutil.copytree(t.broker.state, copy)
    assert (copy / "mosquitto.db").exists()
    return copy


def put_broker_back(t, copy):
    t.broker.wipe_state()
    owner = t.broker.folder.stat()
    for file in copy.iterdir():
        shutil.copy2(file, t.broker.state)
        shutil.chown(t.broker.state / file.name, owner.st_uid, owner.st_gid)


def test_an_old_copy_of_the_brokers_state_changes_nothing(timeline):
    """With batches of long ago in its queue for the ingest, and old retained states."""
    t = timeline()
    t.edge.start()
    fill(t, "old")
    t.settle()
    freeze(t)
    t.put("queued", 200, TYPED)
    wait_until(lambda: t.edge.status()["in_flight"] > 0, 10, "batches in flight")
    copy = stop_broker_and_copy(t)
    thaw(t)
    t.broker.start()
    t.settle()
    t.ingest.restart()  # another boot since
    fill(t, "new")
    t.settle()
    rows = cloud_marks(t.ingest.database)
    t.broker.stop()
    put_broker_back(t, copy)
    before = t.ingest.counters()
    t.broker.start()
    wait_until(lambda: t.ingest.counters()["messages"] > before["messages"], 20,
               "the old batches delivered again")
    t.listen()
    t.put("after", 20)
    total = t.check()
    for stream, marks in rows.items():
        assert not marks - cloud_marks(t.ingest.database)[stream]
    assert total["rows"] == 2 * 63 + 200 + 20 and total["branched"] == 0
    assert not {"branch", "clone_alarm", "restored", "hole", "new_epoch"} & t.raised().keys()


def test_batches_of_long_ago_are_not_looked_at_by_a_cloud_rolled_back(timeline):
    """An operation that comes before those it was made on would be in a conflict for good."""
    t = timeline()
    t.edge.start()
    t.put("first", 1, SETTINGS)
    t.settle()
    cloud = t.copy_cloud()
    t.put("second", 2, SETTINGS)
    t.settle()
    freeze(t)
    t.put("third", 1, SETTINGS)
    wait_until(lambda: t.edge.status()["in_flight"] > 0, 10, "a batch in flight")
    broker = stop_broker_and_copy(t)
    thaw(t)
    t.broker.start()
    t.settle()
    t.edge.stop()
    t.ingest.stop()
    t.broker.stop()
    swap(cloud, t.ingest.database)
    put_broker_back(t, broker)
    t.broker.start()
    t.ingest.start()
    wait_until(lambda: t.ingest.counters()["batches"] > 0, 10, "the old batch delivered again")
    t.edge.start()
    total = t.check()
    assert (total["rows"], total["conflict"], total["rejected"]) == (4, 0, 0)
    assert settings_in_order(t.ingest.database) == ["first-000", "second-000", "second-001",
                                                    "third-000"]
