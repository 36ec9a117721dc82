"""Three devices that edit the same documents while parts are killed, go back in time or go away:
all end with the same texts, and every edit that was taken is in the history or in a conflict.

Documents are of two kinds: in `private` ones each device has a member of its own, so its last edit
must stand; in `shared` ones they contradict and remove each other's."""

import json
import random
import shutil

import pytest

from lib.copies import backup, swap
from lib.devices import SETTINGS, Fleet
from lib.flow import is_long, seed_of_run
from lib.wait import wait_until

USER = "user-1"
TABLES = {"private": {}, "shared": {}, "latest": {"policy": "latest"}}
ROUNDS = 50 if is_long() else 5
PRIVATE, SHARED = ["p1", "p2"], [("shared", "s1"), ("shared", "s2"), ("latest", "l1")]


class Editors:
    """A fleet, what its devices were promised, and chance."""

    def __init__(self, certs, name):
        seed = seed_of_run()
        self.rng = random.Random(f"{seed} {name}")
        self.fleet = Fleet(certs, tables=TABLES)
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
            self.fleet.wait_same(USER, table, id_, value=value)

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

    def check(self, private=True):
        """Everybody is back; private: nobody contradicted in the private documents."""
        fleet = self.fleet
        fleet.recover()
        for device in self.devices:
            device.plug(20)
        fleet.settle(timeout=40)
        for (table, id_), value in self.wanted.items():
            fleet.wait_same(USER, table, id_, timeout=40, **({"value": value} if private else {}))
        for table, id_ in SHARED:
            fleet.wait_same(USER, table, id_, timeout=40)
        fleet.settle(timeout=40)
        # every edit is there: applied, or kept as a conflict
        kept = {op_id for op_id, in fleet.rows(
            "SELECT op_id FROM versions UNION SELECT op_id FROM conflicts")}
        lost = {op_id: where for op_id, where in self.promised.items() if op_id not in kept}
        assert not lost, lost
        for device in self.devices:
            assert device.status()["failed_count"] == 0
        # no operation made two versions
        assert fleet.rows("SELECT device, op_id FROM versions GROUP BY device, stream, op_id"
                          " HAVING count(*) > 1") == []
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
def editors(certs, request):
    editors = Editors(certs, request.node.name)
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
    editors.check()


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
        fleet.wait_same(USER, table, id_)
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
    editors.check()


def test_a_cloud_without_its_database_is_filled_again(editors):
    fleet = editors.fleet
    editors.edits(10)
    fleet.settle()
    for table, id_ in [*editors.wanted, *SHARED]:
        fleet.wait_same(USER, table, id_)
    fleet.ingest.stop()
    for path in fleet.ingest.database.parent.glob("ingest.db*"):
        path.unlink()
    fleet.ingest.start()
    for device in editors.devices:
        fleet.ingest.cli("device", "grant", device.name, USER)
    for device in editors.devices:
        device.edge.cli("flush", "--timeout", "5s", check=False)
    editors.edits(3)
    editors.check()


@pytest.mark.parametrize("offline", [0, 4])
def test_a_device_that_is_rolled_back_overwrites_nothing(editors, offline):
    fleet, device = editors.fleet, editors.devices[0]
    editors.edits(6)
    fleet.settle()
    for table, id_ in [*editors.wanted, *SHARED]:
        fleet.wait_same(USER, table, id_)
    device.stop()
    copy = fleet.stack.folder / "copy"
    shutil.copytree(device.edge.state, copy, ignore=shutil.ignore_patterns("*.sock"))
    device.start()
    editors.edits(8)
    fleet.settle()
    before = {(table, id_): fleet.wait_same(USER, table, id_) for table, id_ in
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
    editors.check()
