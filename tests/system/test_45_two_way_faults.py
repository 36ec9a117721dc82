"""Three devices that edit the same documents while parts are killed, go back in time or go away:
all end with the same texts, and every edit that was taken is in the history or in a conflict.

Documents are of two kinds: in `private` ones each device has a member of its own, so its last edit
must stand; in `shared` ones they contradict and remove each other's."""

import base64
import json
import random
import shutil
import sqlite3
import threading

import pytest

from lib.copies import backup, swap
from lib.devices import SETTINGS, Device, Fleet
from lib.flow import is_long, seed_of_run
from lib.wait import wait_until

USER = "user-1"
TABLES = {"private": {}, "shared": {}, "latest": {"policy": "latest"}}
ROUNDS = 50 if is_long() else 5
PRIVATE, SHARED = ["p1", "p2"], [("shared", "s1"), ("shared", "s2"), ("latest", "l1")]


class Editors:
    """A fleet, what its devices were promised, and chance. sealed: the user is encrypted."""

    def __init__(self, certs, name, sealed=False):
        seed = seed_of_run()
        self.rng = random.Random(f"{seed} {name}")
        self.sealed = sealed
        key = certs.folder / "faults.key"
        if sealed and not key.exists():
            key.write_text(base64.urlsafe_b64encode(bytes(range(32))).decode() + "\n")
            key.chmod(0o600)
        edge = {"encryption__users": "*", "encryption__key_file": key} if sealed else {}
        self.fleet = Fleet(certs, tables=TABLES, edge=edge)
        self.devices = self.fleet.devices
        self.wanted = {}   # (table, id): {device: mark}
        self.promised = {}  # op_id: (device, table, id)
        self.marks = 0

    def begin(self):
        self.fleet.start()
        self.fleet.bind(USER)
        self.wanted = {("private", id_): {device.name: 0 for device in self.devices}
                       for id_ in PRIVATE}
        self.wanted[SETTINGS, None] = {device.name: 0 for device in self.devices}
        for (table, id_), value in self.wanted.items():
            self.note(self.devices[0].put(USER, value, table, id_), self.devices[0], table, id_)
            self.wait_same(table, id_, value=value)

    def wait_same(self, table, id_, **options):
        if self.sealed:
            return self.fleet.wait_same_text(USER, table, id_, **options)
        return self.fleet.wait_same(USER, table, id_, **options)

    def note(self, receipt, device, table, id_):
        assert receipt["queued"], receipt
        self.promised[receipt["op_id"]] = device.name, table, id_

    def edit(self, device):
        self.marks += 1
        mark = self.marks
        if self.rng.random() < 0.6:
            table, id_ = self.rng.choice(list(self.wanted))
            device.edit(USER, table, id_, lambda value: {**value, device.name: mark},
                        note=lambda receipt: self.note(receipt, device, table, id_))
            self.wanted[table, id_][device.name] = mark
            return
        table, id_ = self.rng.choice(SHARED)
        if self.rng.random() < 0.2 and device.text(USER, table, id_) is not None:
            result = device.delete(USER, table, id_, check=False)
            if result.returncode == 5:  # somebody else's removal came in between
                return
            assert result.returncode == 0, result
            self.note(json.loads(result.stdout), device, table, id_)
            return
        member = self.rng.choice(["v", "w", device.name])
        device.edit(USER, table, id_, lambda value: {**(value or {}), member: mark},
                    note=lambda receipt: self.note(receipt, device, table, id_))

    def edits(self, count):
        for _ in range(count):
            self.edit(self.rng.choice(self.devices))

    def check(self, private=True, rolled_back=False):
        """Everybody is back; private: nobody contradicted in the private documents. rolled_back:
        the cloud was."""
        fleet = self.fleet
        fleet.recover()
        for device in self.devices:
            device.plug(20)
        fleet.settle(timeout=40)
        for (table, id_), value in self.wanted.items():
            self.wait_same(table, id_, timeout=40, **({"value": value} if private else {}))
        for table, id_ in SHARED:
            self.wait_same(table, id_, timeout=40)
        fleet.settle(timeout=40)
        # every edit is there: applied, or kept as a conflict; the record of a conflict that was
        # opened before the cloud was rolled back is on its device alone
        kept = {op_id for op_id, in fleet.rows(
            "SELECT op_id FROM versions UNION SELECT op_id FROM conflicts")}
        if rolled_back:
            kept |= {op_id for device in self.devices for conflict in
                     device.conflicts(USER, everything=True) for op_id in conflict["ops"]}
        lost = {op_id: where for op_id, where in self.promised.items() if op_id not in kept}
        assert not lost, lost
        for device in self.devices:
            assert device.status()["failed_count"] == 0
        # no operation made two versions
        assert fleet.rows("SELECT device, op_id FROM versions GROUP BY device, stream, op_id"
                          " HAVING count(*) > 1") == []
        (versions, merged), = fleet.rows("SELECT count(*), coalesce(sum(merged), 0) FROM versions")
        conflicts = fleet.rows("SELECT count(*), coalesce(sum(resolution = 'merge'), 0),"
                               " sum(resolved_ms IS NULL) FROM conflicts")
        print(f"{len(self.promised)} edits, {versions} versions, {merged} of them merged;"
              f" conflicts, merged, open: {conflicts}")
        total = fleet.verified()["total"]
        assert total["missing"] == total["doubles"] == 0, total
        return total

    def check_conflicts(self):
        """What is open in the cloud is open on the device that made it, and nothing else."""
        def same():
            there = sorted((device, op_id) for device, op_id in self.fleet.rows(
                "SELECT device, op_id FROM conflicts WHERE resolved_ms IS NULL"))
            here = sorted((device.name, op_id) for device in self.devices
                          for conflict in device.conflicts(USER) for op_id in conflict["ops"])
            return there == here

        wait_until(same, 20, lambda: "the same conflicts on both ends: " + str(self.fleet.rows(
            "SELECT device, op_id FROM conflicts WHERE resolved_ms IS NULL")) + str(
                {device.name: device.conflicts(USER) for device in self.devices}))


@pytest.fixture
def sealed():
    return False


@pytest.fixture
def editors(certs, request, sealed):
    editors = Editors(certs, request.node.name, sealed)
    try:
        editors.begin()
        yield editors
    finally:
        editors.fleet.close()


# ---- kills ----

def kill_edge(editors):
    device = editors.rng.choice(editors.devices)
    if device.edge.running():
        device.edge.kill()
    editors.edits(editors.rng.randint(0, 2))
    device.edge.launch()


def kill_broker(editors):
    fleet = editors.fleet
    fleet.broker.kill()
    if editors.rng.random() < 0.5:
        fleet.broker.wipe_state()
    editors.edits(editors.rng.randint(0, 2))
    fleet.broker.start()


def kill_ingest(editors):
    fleet = editors.fleet
    fleet.ingest.kill()
    editors.edits(editors.rng.randint(0, 2))
    fleet.ingest.launch()


def lose_answers(editors):
    device = editors.rng.choice(editors.devices)
    device.cable.deaf = True
    editors.edits(editors.rng.randint(1, 3))
    device.cable.drop()
    device.cable.deaf = False


def cut_off(editors):
    device = editors.rng.choice(editors.devices)
    device.cable.cut()
    editors.edits(editors.rng.randint(1, 4))
    device.cable.mend()


ACTS = [kill_edge, kill_broker, kill_ingest, lose_answers, cut_off]


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted"])
def test_kills_at_any_moment_lose_no_edit_and_all_end_the_same(editors):
    for number in range(ROUNDS):
        for act in editors.rng.sample(ACTS, len(ACTS)):
            print(f"round {number}: {act.__name__}")
            editors.edits(editors.rng.randint(1, 4))
            act(editors)
        if editors.rng.random() < 0.3:
            editors.fleet.settle(timeout=40)
    editors.check()
    editors.check_conflicts()
    decide_all(editors)
    editors.check()
    editors.check_conflicts()


def decide_all(editors):
    """Every conflict that is open, by any of the ways, while parts are killed."""
    fleet = editors.fleet
    for device in editors.devices:
        for conflict in device.conflicts(USER):
            device.resolve(conflict["id"], editors.rng.choice(["--keep-local", "--use-server"]))
        editors.rng.choice(ACTS)(editors)
    fleet.recover()
    for device in editors.devices:
        device.plug(20)
    fleet.settle(timeout=40)


def test_many_processes_save_the_same_document(editors):
    """Eight on each of two devices, none of which waits for another: who contradicts whom is
    chance, what was taken is in the cloud."""
    taken = []

    def save(device, name):
        for n in range(6):
            receipt = device.put(USER, {name: n, "v": f"{name} {n}"}, "shared", "storm")
            taken.append((receipt["op_id"], device))

    threads = [threading.Thread(target=save, args=[device, f"{device.name} {n}"])
               for device in editors.devices[:2] for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == 96
    editors.promised.update({op_id: (device.name, "shared", "storm") for op_id, device in taken})
    editors.check()
    editors.wait_same("shared", "storm")
    editors.check_conflicts()


@pytest.mark.parametrize("whose", ["device", "cloud"])
def test_a_database_that_somebody_holds_is_waited_for(editors, whose):
    """Another process has it locked, longer than anybody waits; then all goes on by itself."""
    fleet = editors.fleet
    a, b, _ = editors.devices
    path = b.edge.state / "outbox.db" if whose == "device" else fleet.ingest.database
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    a.put(USER, {"v": 1}, "private", "held")
    if whose == "device":
        fleet.wait_same(USER, "private", "held", value={"v": 1}, devices=[a])
        wait_until(lambda: "busy" in b.edge.log(), 10, "the device finds it locked")
    else:
        b.put(USER, {"v": 2}, "private", "held too")
        wait_until(lambda: "busy" in fleet.ingest.log(), 10, "the ingest finds it locked")
    holder.execute("ROLLBACK")
    holder.close()
    fleet.wait_same(USER, "private", "held", value={"v": 1})
    if whose == "cloud":
        fleet.wait_same(USER, "private", "held too", value={"v": 2})
    editors.check()


def test_a_device_without_room_takes_what_fits_and_the_rest_later(editors):
    """The outbox limit holds for pulled documents too: nothing is half there, the cursor does not
    pass what is missing, own edits are still taken."""
    fleet, a = editors.fleet, editors.devices[0]
    rng = random.Random(45)
    texts = {f"large-{n:02}": json.dumps({"t": f"{rng.getrandbits(400000):x}"}) for n in range(30)}
    a.put_many(USER, "private", texts)
    a.wait_settled()
    small = fleet.add("dev-small", outbox__max_bytes="1M")
    fleet.ingest.cli("device", "grant", small.name, USER)
    small.start()
    small.add_user(USER)
    wait_until(lambda: "disk_full" in small.edge.log(), 10, lambda: small.edge.log()[-1500:])
    refused = small.sync(USER, timeout="3s", check=False)
    assert refused.returncode == 1 and "disk_full" in refused.stderr, refused
    there = dict(small.rows("SELECT id, doc FROM documents WHERE tbl = 'private' AND doc IS NOT"
                            " NULL"))
    assert len(there) < 30 and all(texts.get(id_, text) == text for id_, text in there.items())
    small.stop()
    small.edge.configure(outbox__max_bytes="100M")
    small.start()
    wait_until(lambda: len(small.rows("SELECT 1 FROM documents WHERE tbl = 'private' AND id LIKE"
                                      " 'large%' AND doc IS NOT NULL")) == 30, 15, "the rest")
    editors.check()


# ---- a cloud, or a device, that is older than it was ----

@pytest.mark.parametrize("number", range(5 if is_long() else 1))
def test_a_cloud_that_is_rolled_back_gets_everything_again(editors, number):
    fleet = editors.fleet
    editors.edits(6)
    fleet.settle()
    copy = fleet.stack.folder / "old.db"
    backup(fleet.ingest.database, copy)
    away = editors.rng.choice(editors.devices)
    editors.edits(4)
    fleet.settle()
    away.stop()
    editors.edits(8)
    fleet.settle()
    fleet.ingest.stop()
    swap(copy, fleet.ingest.database)
    editors.edits(5)  # while it is gone, and `away` still
    fleet.ingest.start()
    away.edge.launch()
    editors.edits(3)
    editors.check(rolled_back=True)


@pytest.mark.parametrize("number", range(5 if is_long() else 1))
def test_a_cloud_that_is_rolled_back_under_devices_that_are_away(editors, number):
    """All offline and editing when it happens; they come back one by one."""
    fleet = editors.fleet
    copy = fleet.stack.folder / "old.db"
    editors.edits(5)
    fleet.settle()
    backup(fleet.ingest.database, copy)
    editors.edits(6)
    fleet.settle()
    for table, id_ in [*editors.wanted, *SHARED]:
        editors.wait_same(table, id_)
    for device in editors.devices:
        device.stop()
    editors.edits(6)
    fleet.ingest.stop()
    swap(copy, fleet.ingest.database)
    fleet.ingest.start()
    for device in editors.rng.sample(editors.devices, 3):
        device.start()
        if editors.rng.random() < 0.5:
            device.wait_settled()
    editors.check(rolled_back=True)


def test_a_cloud_without_its_database_is_filled_again(editors):
    fleet = editors.fleet
    editors.edits(10)
    fleet.settle()
    for table, id_ in [*editors.wanted, *SHARED]:
        editors.wait_same(table, id_)
    fleet.ingest.stop()
    for path in fleet.ingest.database.parent.glob("ingest.db*"):
        path.unlink()
    fleet.ingest.start()
    for device in editors.devices:
        fleet.ingest.cli("device", "grant", device.name, USER)
    for device in editors.devices:
        device.edge.cli("flush", "--timeout", "5s", check=False)
    editors.edits(3)
    editors.check(rolled_back=True)


@pytest.mark.parametrize("offline", [0, 4])
def test_a_device_that_is_rolled_back_overwrites_nothing(editors, offline):
    fleet, device = editors.fleet, editors.devices[0]
    editors.edits(6)
    fleet.settle()
    for table, id_ in [*editors.wanted, *SHARED]:
        editors.wait_same(table, id_)
    device.stop()
    copy = fleet.stack.folder / "copy"
    shutil.copytree(device.edge.state, copy, ignore=shutil.ignore_patterns("*.sock"))
    device.start()
    editors.edits(8)
    fleet.settle()
    before = {(table, id_): editors.wait_same(table, id_) for table, id_ in
              [*editors.wanted, *SHARED]}
    device.stop()
    shutil.rmtree(device.edge.state)
    shutil.copytree(copy, device.edge.state)
    for _ in range(offline):
        editors.edit(device)
    device.start()
    editors.check(private=offline == 0)
    if not offline:
        for (table, id_), text in before.items():
            assert fleet.cloud_text(USER, table, id_) == text
    # members of the others are as they left them, whatever came of the old device's edits
    for (table, id_), value in editors.wanted.items():
        now = fleet.cloud(USER, table, id_)
        assert {name: now[name] for name in ("dev-b", "dev-c")} == {
            name: value[name] for name in ("dev-b", "dev-c")}


def test_two_copies_of_a_device_that_take_turns_lose_no_edit(editors):
    """The same certificate, the same folder at first; each goes on from what it knows."""
    fleet, first = editors.fleet, editors.devices[0]
    editors.edits(4)
    fleet.settle()
    first.stop()
    other = Device(fleet, first.name, folder="copy")
    shutil.copytree(first.edge.state, other.edge.state, ignore=shutil.ignore_patterns("*.sock"))
    for turn in range(6):
        device = (first, other)[turn % 2]
        for _ in range(2):
            editors.edit(device)
        device.start()
        device.wait_settled()
        editors.edit(device)
        editors.edit(editors.devices[1])
        device.wait_settled()
        device.stop()
    editors.check(private=False)
    other.close()


def test_forgotten_removals_reach_a_device_that_was_away_for_too_long(editors):
    """The tombstones are gone: its cursor is not known any more, and it pulls everything anew."""
    fleet = editors.fleet
    a, _, c = editors.devices
    for id_ in ("gone", "edited", "kept"):
        a.put(USER, {"v": 1}, "private", id_)
        fleet.wait_same(USER, "private", id_, value={"v": 1})
    c.stop()
    for id_ in ("gone", "edited"):
        a.delete(USER, "private", id_)
    a.put(USER, {"v": 2}, "private", "kept")
    c.put(USER, {"v": 1, "c": 1}, "private", "edited")
    fleet.settle(editors.devices[:2])
    fleet.ingest.stop()
    database = sqlite3.connect(fleet.ingest.database)
    with database:
        database.execute("UPDATE documents SET tombed_ms = tombed_ms - 366 * 86400000"
                         " WHERE tombed_ms IS NOT NULL")
    database.close()
    fleet.ingest.start()
    wait_until(lambda: fleet.rows("SELECT count(*) FROM documents WHERE tombed_ms IS NOT NULL")
               == [(0,)], 90, lambda: f"the tombstones removed: {fleet.ingest.log()[-1000:]}")
    assert fleet.rows("SELECT floor FROM users WHERE user = ?", USER)[0][0] > 0
    c.start()
    fleet.wait_same(USER, "private", "kept", value={"v": 2})
    fleet.wait_same(USER, "private", "gone", value=None)
    # nobody remembers that it was removed: the edit makes it anew
    fleet.wait_same(USER, "private", "edited", value={"v": 1, "c": 1})
    for device in editors.devices:
        assert device.conflicts(USER) == []
    fleet.verified()


def test_a_device_that_pulls_while_the_cloud_goes_back_ends_like_the_others(editors):
    """A new device in the middle of its first sync, several pages long."""
    fleet = editors.fleet
    a = editors.devices[0]
    a.put_many(USER, "private", {f"many-{n:03}": json.dumps({"n": n, "x": "y" * 2000})
                                 for n in range(300)})
    fleet.settle()
    copy = fleet.stack.folder / "old.db"
    backup(fleet.ingest.database, copy)
    a.put_many(USER, "private", {f"many-{n:03}": json.dumps({"n": -n}) for n in range(0, 300, 3)})
    a.put_many(USER, "private", {f"more-{n:03}": json.dumps({"n": n}) for n in range(20)})
    fleet.settle()
    fresh = fleet.add("dev-fresh")
    fleet.ingest.cli("device", "grant", fresh.name, USER)
    fresh.start()
    fresh.add_user(USER)
    wait_until(lambda: fresh.rows("SELECT count(*) FROM documents")[0][0] > 0, 10, "the first page")
    fleet.ingest.kill()
    swap(copy, fleet.ingest.database)
    fleet.ingest.start()
    if (fresh.name, USER) not in fleet.rows("SELECT device, user FROM bindings"):
        fleet.ingest.cli("device", "grant", fresh.name, USER)
    fresh.edge.cli("flush", "--timeout", "5s", check=False)
    fresh.sync(USER, check=False)

    def same():
        there = fleet.cloud_table(USER, "private")
        return len(there) >= 322 and all(
            dict(device.rows("SELECT id, doc FROM documents WHERE tbl = 'private' AND doc IS NOT"
                             " NULL")) == there for device in fleet.devices)

    wait_until(same, 40, lambda: "the same everywhere: " + str({
        device.name: device.rows("SELECT count(*) FROM documents WHERE tbl = 'private'")
        for device in fleet.devices}) + fresh.edge.log()[-3000:])
    editors.check(rolled_back=True)
