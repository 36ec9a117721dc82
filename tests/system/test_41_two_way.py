"""Settings and records of users who have several devices: what one saves the others have, whoever
was offline meanwhile; users come and go, switches hold back and let go, applications read files."""

import itertools
import json
import random
import shutil
import stat
import threading
import time

import pytest

from lib.devices import SETTINGS, Fleet
from lib.flow import seed_of_run
from lib.wait import wait_until

TABLES = {"projects": {}, "contents": {"arrays": {"/nodes": "id"}}, "skill": {}}


@pytest.fixture(scope="module")
def fleet(certs):
    """Three devices; whoever is asked for a page gives few documents, so that there are pages."""
    fleet = Fleet(certs, tables=TABLES)
    try:
        yield fleet.start()
    finally:
        fleet.close()


@pytest.fixture
def home(fleet, request):
    """A user of the test's own on all devices, and the devices as they should be."""
    fleet.recover()
    user = request.node.name.removeprefix("test_").replace("[", "-").replace("]", "")
    user = "".join(c if c.isalnum() else "-" for c in user)[:50]
    fleet.bind(user)
    yield user
    fleet.unbind(user)


@pytest.fixture
def abc(fleet):
    return fleet.devices


def unplugged(devices):
    for device in devices:
        device.stop()


# ---- travelling ----

def test_an_edit_is_on_the_other_devices_in_less_than_a_second(fleet, home, abc):
    """Its text as it was written, white space and digits; from whichever device."""
    took = []
    for round_, device in enumerate([*abc, *abc]):
        text = f'{{ "round": {round_},\t"n": 9007199254740993, "x": 1.10, "名": "\\u684c\u9762" }}'
        device.put(home, text)
        began = time.monotonic()
        fleet.wait_same(home, text=text)
        took.append(time.monotonic() - began)
    took.sort()
    assert took[len(took) // 2] < 1, took  # of all three and the cloud, by their command lines


def test_records_are_added_changed_and_removed_on_all_devices(fleet, home, abc):
    a, b, c = abc
    a.put(home, {"name": "one"}, "projects", "p1")
    b.put(home, {"name": "two"}, "projects", "p 2/ä")
    c.put(home, {"name": "three"}, "skill", "p1")
    fleet.wait_same(home, "projects", "p1", value={"name": "one"})
    fleet.wait_same(home, "projects", "p 2/ä", value={"name": "two"})
    fleet.wait_same(home, "skill", "p1", value={"name": "three"})
    b.put(home, {"name": "one, changed"}, "projects", "p1")
    fleet.wait_same(home, "projects", "p1", value={"name": "one, changed"})
    c.delete(home, "projects", "p1")
    fleet.wait_same(home, "projects", "p1", value=None)
    for device in abc:
        assert device.list(home, "projects") == {"p 2/ä": {"name": "two"}}
        assert device.list(home, "skill") == {"p1": {"name": "three"}}
    a.put(home, {"name": "again"}, "projects", "p1")
    fleet.wait_same(home, "projects", "p1", value={"name": "again"})
    versions = fleet.versions(home, "projects", "p1")
    assert [(device, json.loads(text)["name"] if text else None)
            for _, device, text, _ in versions] == [
        ("dev-a", "one"), ("dev-b", "one, changed"), ("dev-c", None), ("dev-a", "again")]
    assert fleet.open_conflicts(home) == []
    fleet.settle()
    fleet.verified()


def test_removals_reach_a_device_that_was_away(fleet, home, abc):
    a, b, c = abc
    ids = [f"r{n}" for n in range(40)]
    a.put_many(home, "projects", {id_: '{"n":1}' for id_ in ids})
    for device in abc:
        wait_until(lambda device=device: len(device.list(home, "projects")) == 40, 15, "all of them")
    c.stop()
    for id_ in ids[:20]:
        a.delete(home, "projects", id_)
    b.put_many(home, "projects", {id_: '{"n":2}' for id_ in ids[20:30]})
    a.wait_settled()
    b.wait_settled()
    c.start()
    wanted = {id_: {"n": 2 if id_ in ids[20:30] else 1} for id_ in ids[20:]}
    for device in abc:
        wait_until(lambda device=device: device.list(home, "projects") == wanted, 15,
                   lambda device=device: f"{device}: {device.list(home, 'projects')}")
    for id_ in ids[:20]:
        assert c.text(home, "projects", id_) is None


BASE = {"keep": 1, "a": 1, "b": 1, "in": {"x": [1, 2], "y": {"deep": None}}, "gone-a": 0,
        "gone-b": 0, "12345678901234567890": 12345678901234567890}
MINE = {**BASE, "a": 2, "in": {"x": [1, 2, 3], "y": {"deep": None}}, "new-a": {"z": 1, "a": 2}}
THEIRS = {**BASE, "b": 2, "in": {"x": [1, 2], "y": {"deep": 1.50, "add": []}}, "new-b": "ü",
          "same": True}
MINE["same"] = True
del MINE["gone-a"], THEIRS["gone-b"]
MERGED = ('{"keep":1,"a":2,"b":2,"in":{"x":[1,2,3],"y":{"deep":1.50,"add":[]}},'
          '"12345678901234567890":12345678901234567890,"new-a":{"z":1,"a":2},"new-b":"ü",'
          '"same":true}')


@pytest.mark.parametrize("first", ["mine", "theirs"])
@pytest.mark.parametrize("table", [SETTINGS, "projects"])
def test_offline_edits_of_different_members_are_merged_in_either_order(fleet, home, abc, first,
                                                                      table):
    a, b, c = abc
    id_ = None if table == SETTINGS else "p"
    c.put(home, BASE, table, id_)
    fleet.wait_same(home, table, id_, value=BASE)
    unplugged([a, b])
    a.put(home, MINE, table, id_)
    b.put(home, json.dumps(THEIRS, ensure_ascii=False).replace("1.5,", "1.50,"), table, id_)
    for device in ([a, b] if first == "mine" else [b, a]):
        device.start()
        device.wait_settled()
    text = fleet.wait_same(home, table, id_, value=json.loads(MERGED))
    assert compact(text) == compact(MERGED)  # order of members and spelling of numbers too
    assert fleet.open_conflicts(home) == []
    for device in abc:
        assert device.conflicts(home, everything=True) == []


def compact(text):
    """Without white space between the values; numbers as they are spelled."""
    return json.dumps(json.loads(text, parse_float=lambda n: f"f{n}", parse_int=lambda n: f"i{n}"),
                      ensure_ascii=False)


def test_three_devices_edit_offline_and_come_back_in_any_order(fleet, home, abc):
    for number, order in enumerate(itertools.permutations(abc)):
        id_ = f"p{number}"
        base = {"a": 0, "b": 0, "c": 0, "all": {"dev-a": 0, "dev-b": 0, "dev-c": 0}}
        abc[0].put(home, base, "projects", id_)
        fleet.wait_same(home, "projects", id_, value=base)
        unplugged(abc)
        for device in abc:
            mine = json.loads(json.dumps(base))
            mine[device.name[-1]] = mine["all"][device.name] = number + 1
            device.put(home, mine, "projects", id_)
        for device in order:
            device.start()
            device.wait_settled()
        n = number + 1
        fleet.wait_same(home, "projects", id_, value={
            "a": n, "b": n, "c": n, "all": {"dev-a": n, "dev-b": n, "dev-c": n}})
    assert fleet.open_conflicts(home) == []


def test_arrays_that_a_mapping_names_are_merged_by_key(fleet, home, abc):
    a, b, _ = abc
    nodes = [{"id": "n1", "x": 1, "y": 1}, {"id": "n2", "x": 2}, {"id": "n3", "x": 3}]
    a.put(home, {"nodes": nodes}, "contents", "flow")
    fleet.wait_same(home, "contents", "flow", value={"nodes": nodes})
    unplugged([a, b])
    a.put(home, {"nodes": [{**nodes[0], "x": 10}, nodes[1], nodes[2], {"id": "n4"}]},
          "contents", "flow")
    b.put(home, {"nodes": [{**nodes[0], "y": 20}, nodes[2]]}, "contents", "flow")
    a.start()
    a.wait_settled()
    b.start()
    text = fleet.wait_same(home, "contents", "flow", timeout=20)
    found = {node["id"]: node for node in json.loads(text)["nodes"]}
    assert found == {"n1": {"id": "n1", "x": 10, "y": 20}, "n3": nodes[2], "n4": {"id": "n4"}}
    assert fleet.open_conflicts(home) == []


def test_chains_of_offline_edits_meet_without_a_fight(fleet, home, abc):
    """Twenty saves here, fifteen there, each on the one before; nobody fights himself, and every
    save is a version."""
    a, b, c = abc
    a.put(home, {"a": 0, "b": 0, "log": {}})
    fleet.wait_same(home, value={"a": 0, "b": 0, "log": {}})
    unplugged([a, b])
    for n in range(1, 21):
        a.put(home, {"a": n, "b": 0, "log": {f"a{m}": m for m in range(1, n + 1)}})
    for n in range(1, 16):
        b.put(home, {"a": 0, "b": n, "log": {f"b{m}": m for m in range(1, n + 1)}})
    a.edge.launch()
    b.edge.launch()
    fleet.wait_same(home, value={
        "a": 20, "b": 15, "log": {**{f"a{m}": m for m in range(1, 21)},
                                  **{f"b{m}": m for m in range(1, 16)}}}, timeout=20)
    fleet.settle()
    assert fleet.open_conflicts(home) == []
    assert fleet.rows("SELECT count(*) FROM conflicts WHERE user = ?", home) == [(0,)]
    assert len(fleet.versions(home)) == 36
    assert c.conflicts(home, everything=True) == []


def test_the_same_edit_on_both_sides_is_no_conflict(fleet, home, abc):
    a, b, _ = abc
    a.put(home, {"v": 1})
    a.put(home, {"v": 1}, "projects", "removed")
    fleet.wait_same(home, value={"v": 1})
    fleet.wait_same(home, "projects", "removed", value={"v": 1})
    unplugged([a, b])
    for device in (a, b):
        device.put(home, {"v": 2})
        device.put(home, {"both": "add it"}, "projects", "added")
        device.delete(home, "projects", "removed")
    for device in (b, a):
        device.start()
        device.wait_settled()
    fleet.wait_same(home, value={"v": 2})
    fleet.wait_same(home, "projects", "added", value={"both": "add it"})
    fleet.wait_same(home, "projects", "removed", value=None)
    assert fleet.open_conflicts(home) == []


# ---- own writes ----

def test_own_writes_do_not_come_back_as_somebody_elses(fleet, home, abc):
    """No version of the own text is kept as replaced."""
    a = abc[0]
    for n in range(5):
        a.put(home, {"n": n})
        a.put(home, {"n": n}, "projects", "p")
        a.wait_settled()
    assert a.sync(home)["success"]
    a.restart()
    assert a.sync(home)["success"]
    assert a.edge.json("settings", "history", "--user", home)["versions"] == []
    kept, = a.calls([{"verb": "document.kept", "user": home, "table": "projects", "id": "p"}])
    assert kept["versions"] == []
    fleet.wait_same(home, value={"n": 4})


def test_an_edit_made_while_others_arrive_is_not_overwritten(fleet, home, abc):
    """Both edit again and again what they see at that moment; the last of each stands."""
    a, b, _ = abc
    a.put(home, {"a": -1, "b": -1})
    fleet.wait_same(home, value={"a": -1, "b": -1})
    for n in range(12):
        for device, member in ((a, "a"), (b, "b")):
            device.edit(home, SETTINGS, None, lambda value, m=member, n=n: {**value, m: n})
    fleet.wait_same(home, value={"a": 11, "b": 11}, timeout=20)
    assert fleet.rows("SELECT count(*) FROM conflicts WHERE user = ? AND resolved_ms IS NULL",
                      home) == [(0,)]


def test_an_operation_that_is_put_again_under_its_id_is_one(fleet, home, abc):
    a, b, _ = abc
    for _ in range(3):
        a.put(home, {"v": 1}, "projects", "p", op_id="op-1")
        a.put(home, {"v": 1}, op_id="op-1")
    a.wait_settled()
    assert len(fleet.versions(home, "projects", "p")) == len(fleet.versions(home)) == 1
    other = a.put(home, {"v": 2}, "projects", "p", op_id="op-1", check=False)
    assert other.returncode == 1 and "id_reused" in other.stderr, other
    b.put(home, {"v": 3}, "projects", "p2", op_id="op-1")  # another device's
    fleet.wait_same(home, "projects", "p2", value={"v": 3})
    fleet.wait_same(home, "projects", "p", value={"v": 1})


# ---- the way back: kept versions, rollback, diff ----

def test_a_text_that_the_cloud_replaces_is_kept_and_can_be_put_back(fleet, home, abc):
    a, b, _ = abc
    a.put(home, '{"theme": "mine",  "n": 1.0}')
    fleet.wait_same(home, text='{"theme": "mine",  "n": 1.0}')
    b.put(home, {"theme": "theirs"})
    fleet.wait_same(home, value={"theme": "theirs"})
    kept, = a.edge.json("settings", "history", "--user", home)["versions"]
    assert kept["kept_at"] and not kept["deleted"]
    a.edge.cli("settings", "rollback", "--user", home, "--to", kept["n"])
    fleet.wait_same(home, text='{"theme": "mine",  "n": 1.0}')
    # a version of the cloud, on a device that never had it
    versions = b.edge.json("settings", "history", "--user", home, "--cloud")["versions"]
    assert [entry["device"] for entry in versions] == ["dev-a", "dev-b", "dev-a"]
    assert [entry["version"] for entry in versions] == sorted(
        (entry["version"] for entry in versions), reverse=True)
    b.edge.cli("settings", "rollback", "--user", home, "--to", versions[1]["version"], "--cloud")
    fleet.wait_same(home, value={"theme": "theirs"})
    missing = b.edge.cli("settings", "rollback", "--user", home, "--to", 999, check=False)
    assert missing.returncode == 5
    missing = b.edge.cli("settings", "rollback", "--user", home, "--to", 99999, "--cloud",
                         check=False)
    assert missing.returncode == 5
    assert fleet.open_conflicts(home) == []


def test_diff_names_the_places_that_differ_from_the_cloud(fleet, home, abc):
    a, b, _ = abc
    a.put(home, {"same": 1, "b": {"c": 1}, "gone": 0, "~/": 1})
    fleet.wait_same(home, value={"same": 1, "b": {"c": 1}, "gone": 0, "~/": 1})
    same = b.edge.json("settings", "diff", "--user", home)
    assert same["same"] and same["changes"] == []
    a.edge.json("user", "set", home, "--stream", "settings", "sync=no")
    a.put(home, {"same": 1, "b": {"c": 2}, "new": None, "~/": 2})
    diff = a.edge.json("settings", "diff", "--user", home)
    assert not diff["same"]
    assert {change["pointer"] for change in diff["changes"]} == {"/b/c", "/gone", "/new", "/~0~1"}
    text = a.edge.cli("settings", "diff", "--user", home).stdout
    assert "/b/c" in text and "/same" not in text
    nobody = a.edge.cli("settings", "diff", "--user", "nobody-1", check=False)
    assert nobody.returncode != 0


# ---- users ----

def test_a_user_that_is_added_gets_everything_in_pages(fleet, abc):
    a, b, _ = abc
    user = "many-documents"
    fleet.recover()
    fleet.bind(user, [a])
    texts = {f"p{n:04}": json.dumps({"n": n, "text": "x" * 500}) for n in range(420)}
    a.put_many(user, "projects", texts)
    a.put(user, {"mine": 1})
    a.wait_settled()
    assert b.text(user) is None and b.user(user) is None
    fleet.ingest.cli("device", "grant", b.name, user)
    answer = b.add_user(user)
    assert answer["added"] and answer["sync_started"]
    wait_until(lambda: len(b.all_texts(user, "projects")) == 420, 15, "the first sync")
    fleet.wait_same(user, devices=[a, b], value={"mine": 1})
    assert {id_: json.dumps(value) for id_, value in b.all_texts(user, "projects").items()} == texts
    wait_until(lambda: b.user(user)["synced_at"], 10, "the end of the first sync")
    assert not b.add_user(user)["added"]


def test_pages_are_cut_to_what_a_message_takes(fleet, abc):
    """Thirty documents of 250 kB that do not shrink, and one of almost a megabyte among them."""
    a, b, _ = abc
    fleet.recover()
    user, rng = "large-documents", random.Random(41)
    fleet.bind(user, [a])

    def text(kilobytes):
        return json.dumps({"t": f"{rng.getrandbits(4000 * kilobytes):x}"})

    texts = {f"p{n:02}": text(960 if n == 13 else 250) for n in range(30)}
    a.put_many(user, "projects", texts)
    a.wait_settled(40)
    fleet.bind(user, [b])
    wait_until(lambda: len(b.rows("SELECT 1 FROM documents WHERE user = ? AND doc IS NOT NULL",
                                  user)) == 30, 30, lambda: f"all: {b.edge.log()[-1000:]}")
    assert dict(b.rows("SELECT id, doc FROM documents WHERE user = ?", user)) == texts
    fleet.unbind(user)


def test_status_says_of_each_user_what_waits_and_what_is_open(fleet, home, abc):
    a, b, _ = abc
    fresh = b.edge.json("status", "--user", home)
    assert (fresh["user_id"], fresh["pending_count"], fresh["conflicts"]) == (home, 0, 0)
    a.put(home, {"v": 0})
    fleet.wait_same(home, value={"v": 0})
    wait_until(lambda: b.edge.json("status", "--user", home)["sync_status"] == "synced", 10, "synced")
    b.unplug()
    b.put(home, {"v": 2})
    b.put(home, {"v": 2}, "projects", "p")
    status = b.edge.json("status", "--user", home)
    assert (status["sync_status"], status["is_online"], status["pending_count"]) == (
        "offline", False, 2)
    for verb in (["restore"], ["diff"], ["history", "--cloud"]):  # they say why nothing answers
        result = b.edge.cli("settings", *verb, "--user", home, "--timeout", "500ms", check=False)
        assert result.returncode == 3 and "in time: localhost:" in result.stderr, result
    a.put(home, {"v": 1})
    a.wait_settled()
    b.plug()
    b.wait_conflicts(home)
    status = b.edge.json("status", "--user", home)
    assert (status["sync_status"], status["pending_count"], status["conflicts"]) == (
        "conflict", 0, 1)
    assert status["last_sync"] and status["last_upload"] and status["last_download"]
    assert status["last_server_version"] >= 2
    assert b.status()["sync_status"] == "conflict"
    conflict, = b.conflicts(home)
    b.resolve(conflict["id"], "--use-server")
    wait_until(lambda: b.edge.json("status", "--user", home)["sync_status"] == "synced", 10,
               lambda: f"synced again: {b.edge.json('status', '--user', home)}")
    assert b.edge.cli("status", "--user", "nobody-1", check=False).returncode == 5


def test_a_binding_that_ends_stops_both_ways_and_loses_nothing(fleet, home, abc):
    a, b, _ = abc
    a.put(home, {"v": 1})
    fleet.wait_same(home, value={"v": 1})
    fleet.ingest.cli("device", "revoke", b.name, "--user", home)
    b.put(home, {"v": 1, "b": 1})
    parked = wait_until(lambda: [p for p in b.status()["parked"] if p["stream"].endswith(home)], 10,
                        "a parked stream")
    assert parked[0]["code"] == "forbidden"
    a.put(home, {"v": 2})
    a.wait_settled()
    refused = b.sync(home, timeout="5s", check=False)
    assert refused.returncode != 0
    assert b.get(home) == {"v": 1, "b": 1} and fleet.cloud(home) == {"v": 2}
    assert b.status()["failed_count"] == 0
    fleet.ingest.cli("device", "grant", b.name, home)
    b.sync(home, check=False)
    fleet.wait_same(home, value={"v": 2, "b": 1})
    assert fleet.open_conflicts(home) == []


def test_only_users_that_were_added_are_pulled_and_nobody_elses(fleet, home, abc):
    a, b, c = abc
    b.edge.cli("user", "remove", home)
    assert b.user(home) is None or not b.user(home)["added"]
    a.put(home, {"v": 1}, "projects", "p")
    fleet.wait_same(home, "projects", "p", value={"v": 1}, devices=[a, c])
    assert b.text(home, "projects", "p") is None
    # what was there stays, changes do not come
    b.add_user(home)
    fleet.wait_same(home, "projects", "p", value={"v": 1})
    b.edge.cli("user", "remove", home)
    a.put(home, {"v": 2}, "projects", "p")
    fleet.wait_same(home, "projects", "p", value={"v": 2}, devices=[a, c])
    b.sync()
    assert b.get(home, "projects", "p") == {"v": 1}
    # own edits are still sent: merged, as from any device
    b.put(home, {"v": 1, "mine": 1}, "projects", "p")
    b.wait_settled()
    fleet.wait_same(home, "projects", "p", value={"v": 2, "mine": 1}, devices=[a, c])
    b.add_user(home)
    fleet.wait_same(home, "projects", "p", value={"v": 2, "mine": 1})


def test_a_user_without_a_binding_is_refused_and_named(fleet, abc):
    a, b, _ = abc
    fleet.recover()
    user = "not-granted"
    fleet.bind(user, [a])
    a.put(user, {"secret": "of somebody else"})
    a.wait_settled()
    b.add_user(user)
    refused = b.sync(user, timeout="5s", check=False)
    assert refused.returncode != 0 and "forbidden" in refused.stderr, refused
    assert b.text(user) is None and b.list(user, "projects") == {}
    b.put(user, {"taken": "over"})
    parked = wait_until(lambda: b.status()["parked"], 10, "a parked stream")
    assert parked[0]["code"] == "forbidden"
    fleet.ingest.cli("device", "grant", b.name, user)
    b.edge.cli("flush", "--timeout", "10s", check=False)
    b.sync(user, check=False)
    fleet.wait_same(user, devices=[a, b], value={"secret": "of somebody else", "taken": "over"})


def test_purge_removes_what_is_in_the_cloud_and_nothing_that_is_not(fleet, home, abc):
    a, b, _ = abc
    b.put(home, {"v": 1})
    b.put(home, {"marker": "purge-me"}, "projects", "p")
    fleet.wait_same(home, "projects", "p", value={"marker": "purge-me"})
    b.stop()
    b.put(home, {"v": 2})
    refused = b.edge.cli("user", "remove", home, "--purge", "--json", check=False)
    assert refused.returncode == 1 and json.loads(refused.stdout)["code"] == "busy", refused
    assert b.get(home) == {"v": 2} and b.user(home)["added"]
    b.start()
    fleet.wait_same(home, value={"v": 2})
    b.wait_settled()
    b.edge.cli("user", "remove", home, "--purge")
    assert b.text(home) is None and b.text(home, "projects", "p") is None
    assert b.user(home) is None
    assert a.get(home) == {"v": 2} and fleet.cloud(home) == {"v": 2}
    b.add_user(home)
    fleet.wait_same(home, value={"v": 2})
    fleet.wait_same(home, "projects", "p", value={"marker": "purge-me"})


def test_a_purge_in_the_middle_of_the_first_sync_is_the_last_word(fleet, abc):
    """What is still on its way from the cloud brings nothing back; who comes back gets it all."""
    a, b, _ = abc
    fleet.recover()
    user = "purged-while-pulled"
    fleet.bind(user, [a])
    a.put_many(user, "projects", {f"p{n}": json.dumps({"t": "x" * 3000}) for n in range(400)})
    a.wait_settled()
    fleet.ingest.cli("device", "grant", b.name, user)

    def count():
        return b.rows("SELECT count(*) FROM documents WHERE user = ?", user)[0][0]

    for _ in range(3):
        b.add_user(user)
        wait_until(lambda: count() > 0, 10, "the first page")
        b.edge.cli("user", "remove", user, "--purge")
        b.sync()  # everything that was under way has ended
        assert count() == 0 and b.rows("SELECT 1 FROM sync_metadata WHERE user = ?", user) == []
    b.add_user(user)
    wait_until(lambda: count() > 0, 10, "the first page")
    b.edge.cli("user", "remove", user, "--purge")
    b.add_user(user)
    wait_until(lambda: count() == 400, 15, lambda: f"all of them: {count()}")
    fleet.unbind(user)


# ---- a new device ----

def test_a_wiped_device_gets_its_users_documents_back(fleet, home, abc):
    a, b, _ = abc
    text = '{"theme": "dark", "n": 9007199254740993, "f": 0.1000}'
    a.put(home, text)
    a.put_many(home, "projects", {f"p{n}": f'{{"n": {n}}}' for n in range(120)})
    a.delete(home, "projects", "p7")
    fleet.wait_same(home, text=text)
    a.wait_settled()
    a.stop()
    shutil.rmtree(a.edge.state)
    a.start()
    restored = a.edge.json("settings", "restore", "--user", home)
    assert restored["success"] and restored["restored"]
    assert a.text(home) == text
    a.add_user(home)
    wanted = {f"p{n}": {"n": n} for n in range(120) if n != 7}
    wait_until(lambda: a.list(home, "projects") == wanted, 15, "the records")
    a.put(home, {"theme": "light"})  # an edit of what was restored
    fleet.wait_same(home, value={"theme": "light"})
    assert fleet.open_conflicts(home) == []
    for user in [entry["user_id"] for entry in b.edge.json("user", "list")["users"]]:
        a.add_user(user)  # as before, for the tests that follow


def test_nothing_in_the_cloud_to_restore_is_said(fleet, home, abc):
    result = abc[0].edge.cli("settings", "restore", "--user", home, check=False)
    assert result.returncode == 5 and home in result.stderr, result


# ---- switches ----

@pytest.mark.parametrize("stream", ["settings", "records"])
def test_a_stream_that_is_switched_off_is_kept_here_and_sent_later(fleet, home, abc, stream):
    """Parked: what waited before. Kept: what is made meanwhile, until --backfill."""
    a, b, _ = abc
    table, id_ = (SETTINGS, None) if stream == "settings" else ("projects", "p")
    a.put(home, {"v": 0, "b": 0}, table, id_)
    fleet.wait_same(home, table, id_, value={"v": 0, "b": 0})
    a.unplug()
    a.put(home, {"v": 1, "b": 0}, table, id_)  # waits
    a.edge.json("user", "set", home, "--stream", stream, "sync=no")
    local = a.put(home, {"v": 2, "b": 0}, table, id_)
    assert local["success"] and not local["queued"] and local["result"] == "local"
    a.plug()
    b.put(home, {"v": 0, "b": 7}, table, id_)
    fleet.wait_same(home, table, id_, devices=[b], value={"v": 0, "b": 7})
    a.sync(home, timeout="3s", check=False)
    # not sent, not refused, not overwritten by what came
    assert a.status()["pending_count"] == 1 and a.status()["failed_count"] == 0
    assert a.get(home, table, id_) == {"v": 2, "b": 0}
    entry = a.user(home)
    assert entry["sync"][stream] is False and entry["unsent"] == 1 and entry["pending_count"] == 1
    # resumed: what waited goes, what was made meanwhile stays here
    a.edge.json("user", "set", home, "--stream", stream, "sync=yes")
    fleet.wait_same(home, table, id_, devices=[b], value={"v": 1, "b": 7})
    a.wait_settled()
    a.sync(home)
    assert a.get(home, table, id_)["v"] == 2
    filled = a.edge.json("user", "set", home, "--backfill")
    assert filled["backfilled"]["documents"] == 1, filled
    fleet.wait_same(home, table, id_, value={"v": 2, "b": 7})
    assert fleet.open_conflicts(home) == [] and a.user(home)["unsent"] == 0


def test_history_that_was_switched_off_is_sent_when_asked_for(fleet, home, abc):
    a = abc[0]
    a.edge.put(f"history/{home}", {"command_id": "before"})
    a.edge.json("user", "set", home, "--stream", "history", "sync=no")
    for n in range(3):
        receipt = json.loads(a.edge.put(f"history/{home}", {"command_id": f"off-{n}"}).stdout)
        assert receipt["result"] == "local" and not receipt["queued"]
    a.wait_settled()
    assert [r["command_id"] for r in fleet.ingest.history(home)] == ["before"]
    filled = a.edge.json("user", "set", home, "--stream", "history", "sync=yes", "--backfill")
    assert filled["backfilled"] == {"documents": 0, "history": 3, "refused": 0}
    a.edge.put(f"history/{home}", {"command_id": "after"})
    a.wait_settled()
    assert {r["command_id"] for r in fleet.ingest.history(home)} == {
        "before", "off-0", "off-1", "off-2", "after"}


def test_one_users_switch_does_not_hold_back_another(fleet, home, abc):
    a, b, _ = abc
    other = "the-other-one"
    fleet.bind(other)
    a.edge.json("user", "set", home, "sync=no")
    a.put(home, {"v": 1})
    a.put(other, {"v": 1})
    fleet.wait_same(other, value={"v": 1})
    assert b.text(home) is None
    assert fleet.cloud_text(home) is None


# ---- tables ----

def test_a_table_that_is_not_declared_is_refused_at_once(fleet, home, abc):
    a = abc[0]
    refused = a.put(home, {"v": 1}, "diaries", "d1", check=False)
    assert refused.returncode == 1 and "unknown_table" in refused.stderr, refused
    assert a.status()["pending_count"] == 0
    reserved = a.edge.cli("records", "put", "--table", "settings", "--user", home, "--id", "x", "{}",
                      check=False)
    assert reserved.returncode == 1 and "bad_value" in reserved.stderr, reserved


def test_before_the_first_contact_any_table_is_queued_and_parked_later(fleet, abc):
    fleet.recover()
    user, fresh = "first-contact", fleet.add("dev-fresh")
    try:
        fleet.ingest.cli("device", "grant", fresh.name, user)
        fresh.put(user, {"v": 1}, "diaries", "d1")
        fresh.put(user, {"v": 2}, "projects", "p1")
        fresh.put(user, {"v": 3})
        fresh.start()
        parked = wait_until(lambda: fresh.status()["parked"], 10, "a parked stream")
        assert (parked[0]["code"], parked[0]["stream"]) == ("unknown_table", f"records/{user}")
        wait_until(lambda: fleet.cloud(user) == {"v": 3}, 10, "the settings: a stream of their own")
        assert fresh.status()["failed_count"] == 0
        fleet.ingest.stop()
        fleet.declare({**TABLES, "diaries": {}})
        fleet.ingest.start()
        wait_until(lambda: fleet.cloud(user, "diaries", "d1") == {"v": 1}, 20, "the declared table")
        wait_until(lambda: fleet.cloud(user, "projects", "p1") == {"v": 2}, 20, "what came after it")
    finally:
        fleet.declare(TABLES)
        fleet.ingest.restart()
        fleet.devices.remove(fresh)
        fresh.close()


# ---- files and hooks for applications ----

def test_applications_have_the_documents_as_files_and_a_command_on_change(fleet, home, abc):
    a, b, _ = abc
    folder, log = fleet.stack.folder / "exported", fleet.stack.folder / "changes.log"
    script = fleet.stack.folder / "on-change.sh"
    script.write_text(f'#!/bin/sh\nprintf "%s %s %s %s\\n" "$SB_USER" "$SB_TABLE" "$SB_ID"'
                      f' "$(cat "$SB_FILE" 2>/dev/null | wc -c)" >> {log}\n')
    script.chmod(0o755)
    folder.mkdir()
    log.write_text("")
    b.edge.configure(documents__export_dir=folder, documents__on_change=script)
    b.edge.cli("reload")
    file = folder / home / "settings.json"
    torn = []

    def watch(ended):
        while not ended.is_set():
            try:
                json.loads(file.read_bytes())
            except FileNotFoundError:
                pass
            except ValueError as error:
                torn.append(error)
                return

    ended = threading.Event()
    watcher = threading.Thread(target=watch, args=[ended], daemon=True)
    watcher.start()
    for n in range(20):
        a.put(home, {"n": n, "long": "x" * (n * 3000)})
    fleet.wait_same(home, value={"n": 19, "long": "x" * 57000})
    wait_until(lambda: file.exists() and file.read_text() == a.text(home) + "\n", 20, "the file")
    ended.set()
    watcher.join()
    assert not torn, torn
    b.put(home, {"own": "edit"})
    wait_until(lambda: json.loads(file.read_text()) == {"own": "edit"}, 10, "the own edit")
    assert not stat.S_IMODE(file.stat().st_mode) & 0o007
    a.put(home, {"name": "a"}, "projects", "../p/..")
    a.put(home, {"name": "b"}, "projects", "plain")
    plain = folder / home / "projects" / "plain.json"
    wait_until(plain.exists, 10, "the record")
    wait_until(lambda: len(list(folder.rglob("*.json"))) >= 3, 10, "the one with the odd name")
    assert all(path.is_relative_to(folder) for path in folder.parent.rglob("*.json")
               if "p" in path.name and "projects" in str(path))
    a.delete(home, "projects", "plain")
    wait_until(lambda: not plain.exists(), 10, "the file removed")
    wait_until(lambda: log.read_text().splitlines().count(f"{home} projects plain 0") == 1, 10,
               lambda: f"the command after the removal: {log.read_text()}")
    assert f"{home} settings settings " in log.read_text()
    # nothing changed, nothing is run
    def calls():
        """For this user; others' documents are due as well."""
        return [line for line in log.read_text().splitlines() if line.startswith(f"{home} ")]

    before = len(calls())
    b.sync(home)
    b.restart()
    a.put(home, {"marker": "the end"})
    wait_until(lambda: json.loads(file.read_text()) == {"marker": "the end"}, 10, "the last edit")
    wait_until(lambda: len(calls()) > before, 10, "its command")
    assert len(calls()) == before + 1, calls()[before:]
    # who is purged leaves no files
    b.wait_settled()
    b.edge.cli("user", "remove", home, "--purge")
    wait_until(lambda: not [path for path in (folder / home).rglob("*") if path.is_file()], 10,
               lambda: f"no files: {list((folder / home).rglob('*'))}")
    b.edge.configure(documents__export_dir="", documents__on_change="")
    b.edge.cli("reload")


def test_a_command_that_hangs_or_fails_holds_nothing_up(fleet, home, abc):
    a, b, _ = abc
    folder, log = fleet.stack.folder / "hanging", fleet.stack.folder / "hanging.log"
    script = fleet.stack.folder / "hang.sh"
    script.write_text(f'#!/bin/sh\necho "$SB_ID" >> {log}\n[ "$SB_ID" = hang ] && exec sleep 600\n'
                      '[ "$SB_ID" = fail ] && exit 7\nexit 0\n')
    script.chmod(0o755)
    folder.mkdir()
    log.write_text("")
    b.edge.configure(documents__export_dir=folder, documents__on_change=script,
                     documents__on_change_timeout="300ms")
    b.edge.cli("reload")
    try:
        for id_ in ("hang", "fail", "fine"):
            a.put(home, {"v": 1}, "projects", id_)
        fleet.wait_same(home, "projects", "fine", value={"v": 1})
        wait_until(lambda: "fine" in log.read_text().split(), 15, lambda: log.read_text())
        assert {"hang", "fail"} <= set(log.read_text().split())
        for id_ in ("hang", "fail", "fine"):
            assert json.loads((folder / home / "projects" / f"{id_}.json").read_text()) == {"v": 1}
        began = time.monotonic()
        b.put(home, {"v": 2}, "projects", "hang")
        fleet.wait_same(home, "projects", "hang", value={"v": 2})
        assert time.monotonic() - began < 5
    finally:
        b.edge.configure(documents__export_dir="", documents__on_change="")
        b.edge.cli("reload")


def test_many_who_ask_for_a_sync_at_once_are_answered_or_told_to_wait(fleet, home, abc):
    a, b, _ = abc
    a.put_many(home, "projects", {f"p{n}": '{"n": 1}' for n in range(50)})
    results = []
    callers = [threading.Thread(target=lambda: results.append(b.sync(home, check=False)))
               for _ in range(40)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert len(results) == 40
    for result in results:
        assert result.returncode == 0 or "busy" in result.stderr, result
    assert any(result.returncode == 0 for result in results)
    wait_until(lambda: len(b.list(home, "projects")) == 50, 10, "all documents")
    assert b.sync(home)["success"]


# ---- random edits ----

def test_random_edits_of_three_devices_end_the_same(fleet, home, abc):
    """Each device has members of its own in every document, so everything can be merged."""
    rng = random.Random(f"{seed_of_run()} edits")
    ids = [f"r{n}" for n in range(4)]
    wanted = {id_: {device.name: 0 for device in abc} for id_ in ids}
    for id_ in ids:
        abc[0].put(home, wanted[id_], "projects", id_)
        fleet.wait_same(home, "projects", id_, value=wanted[id_])
    for step in range(1, 61):
        device = rng.choice(abc)
        id_ = rng.choice(ids)
        if rng.random() < 0.15:
            if device.edge.running():
                device.stop()
            else:
                device.edge.launch()
                wait_until(lambda: device.status()["running"], 10, "a running daemon")
        device.edit(home, "projects", id_, lambda value: {**value, device.name: step})
        wanted[id_][device.name] = step
    fleet.recover()
    for id_ in ids:
        fleet.wait_same(home, "projects", id_, value=wanted[id_], timeout=30)
    fleet.settle()
    assert fleet.rows("SELECT count(*) FROM conflicts WHERE user = ? AND resolved_ms IS NULL",
                      home) == [(0,)]
    fleet.verified()


# ---- without any hint from the cloud: the scheduler ----

def silence(stack):
    """The ingest may answer, and not notify."""
    acl = stack.broker.acl
    text = acl.read_text()
    assert text.count("topic write sb/v1/down/+/+\n") == 1
    acl.write_text(text.replace("topic write sb/v1/down/+/+\n",
                                "topic write sb/v1/down/+/reply\n"))


@pytest.fixture(scope="module")
def quiet(certs):
    """a writes; b syncs every second; c never by itself but at its start and on coming online."""
    fleet = Fleet(certs, names=(), tables=TABLES, before_start=silence)
    try:
        for name, interval in (("quiet-a", "0"), ("quiet-b", "1s"), ("quiet-c", "0")):
            fleet.add(name, sync__sync_interval=interval)
        yield fleet.start()
    finally:
        fleet.close()


@pytest.fixture
def silent_home(quiet, request):
    user = "".join(c if c.isalnum() else "-" for c in request.node.name)[5:60]
    quiet.recover()
    quiet.bind(user)
    yield user
    quiet.unbind(user)


def test_the_scheduler_asks_at_its_interval(quiet, silent_home):
    a, b, c = quiet.devices
    user = silent_home
    c.sync(user)
    a.put(user, {"v": 1})
    a.put(user, {"v": 1}, "projects", "p")
    quiet.wait_same(user, devices=[a, b], value={"v": 1}, timeout=5)
    quiet.wait_same(user, "projects", "p", devices=[a, b], value={"v": 1}, timeout=5)
    assert c.text(user) is None and c.text(user, "projects", "p") is None  # nobody told it
    # one table alone, then all of it, on demand
    assert c.sync(user, "projects")["pulled"] >= 1
    assert c.get(user, "projects", "p") == {"v": 1} and c.text(user) is None
    answer = c.sync(user)
    assert answer["success"] and answer["remaining"] == 0 and c.get(user) == {"v": 1}
    text = c.edge.cli("sync", "--user", user).stdout
    assert "pulled" in text and "0 remaining" in text


def test_the_interval_can_be_changed_while_running(quiet, silent_home):
    a, _, c = quiet.devices
    user = silent_home
    c.sync(user)
    c.edge.configure(sync__sync_interval="1s")
    taken = c.edge.json("reload")
    assert taken["reloaded"] == ["sync.sync_interval"] and taken["restart"] == [], taken
    a.put(user, {"v": 1})
    quiet.wait_same(user, devices=[a, c], value={"v": 1}, timeout=5)
    c.edge.configure(sync__sync_interval="0")
    c.edge.cli("reload")
    wait_until(lambda: c.edge.log().count("timer stopped") >= 1, 5, "the timer's end")
    a.put(user, {"v": 2})
    a.wait_settled()
    b = quiet.devices[1]
    quiet.wait_same(user, devices=[a, b], value={"v": 2}, timeout=5)  # a round of b later
    assert c.get(user) == {"v": 1}


def test_auto_sync_is_the_schedulers_switch_alone(quiet, silent_home):
    a, b, _ = quiet.devices
    user = silent_home
    b.edge.json("user", "set", user, "--table", "projects", "auto_sync=no")
    entry = b.user(user)
    assert entry["auto_sync"]["projects"] is False and entry["auto_sync"]["contents"] is True
    b.restart()  # the switch survives
    a.put(user, {"v": 1}, "projects", "p")
    a.put(user, {"v": 1}, "contents", "c")
    quiet.wait_same(user, "contents", "c", devices=[a, b], value={"v": 1}, timeout=5)
    assert b.text(user, "projects", "p") is None
    b.put(user, {"own": 1}, "projects", "p2")  # sending is another thing
    quiet.wait_same(user, "projects", "p2", devices=[b], value={"own": 1})
    b.sync(user, "projects")
    assert b.get(user, "projects", "p") == {"v": 1}
    b.edge.json("user", "set", user, "auto_sync=yes")
    a.put(user, {"v": 2}, "projects", "p")
    quiet.wait_same(user, "projects", "p", devices=[a, b], value={"v": 2}, timeout=5)


def test_coming_online_and_starting_sync_at_once(quiet, silent_home):
    a, _, c = quiet.devices
    user = silent_home
    c.sync(user)
    c.unplug()
    a.put(user, {"v": 1})
    a.wait_settled()
    c.plug()
    quiet.wait_same(user, devices=[a, c], value={"v": 1}, timeout=5)
    c.stop()
    a.put(user, {"v": 2})
    a.wait_settled()
    c.start()
    quiet.wait_same(user, devices=[a, c], value={"v": 2}, timeout=5)
    wait_until(lambda: "start: total=" in c.edge.log(), 5, "what the start phase did")
    assert "pending" in c.edge.log()


def test_the_start_phase_is_bounded_and_goes_on_in_the_background(quiet, silent_home):
    a, _, c = quiet.devices
    user = silent_home
    c.sync(user)
    c.stop()
    c.put(user, {"mine": 1})
    for n in range(3):
        c.put(user, {"n": n}, "projects", f"p{n}")
    a.put(user, {"v": 1}, "contents", "theirs")
    a.wait_settled()
    quiet.ingest.stop()
    c.edge.configure(sync__startup_sync_timeout="3s")
    c.edge.launch()
    # ready, and taking records, before anybody answers
    wait_until(lambda: c.status()["running"], 2, "a running daemon")
    began = time.monotonic()
    c.put(user, {"mine": 2})
    assert time.monotonic() - began < 2
    c.edge.proc.wait_for_log(r"start: 4 pending \(settings 1, records 3\)")
    c.edge.proc.wait_for_log(r"start: not finished after 3 s.*left=[45]", 5)
    quiet.ingest.start()
    quiet.wait_same(user, "contents", "theirs", devices=[a, c], value={"v": 1}, timeout=10)
    wait_until(lambda: quiet.cloud(user) == {"mine": 2}, 10, "what waited")
    c.edge.proc.wait_for_log(r"start: total=\d+ synced=\d+ failed=0", 10)
    c.edge.configure(sync__startup_sync_timeout="10s")


def test_a_failed_push_or_pull_never_loses_the_place(quiet, silent_home):
    """The cursor is kept over restarts of either side in the middle of a pull: nothing is missed,
    and what is known is not asked for again."""
    a, _, c = quiet.devices
    user = silent_home
    c.sync(user)
    a.put_many(user, "projects", {f"p{n:03}": f'{{"n": {n}, "t": "{"x" * 3000}"}}'
                                  for n in range(250)})
    a.wait_settled()
    c.edge.cli("user", "add", user)
    for _ in range(4):
        syncing = threading.Thread(target=c.sync, args=[user], kwargs={"check": False}, daemon=True)
        syncing.start()
        wait_until(lambda: not syncing.is_alive() or c.rows(
            "SELECT count(*) FROM documents WHERE user = ?", user)[0][0] % 2 == 0, 10, "a moment")
        quiet.ingest.kill()
        quiet.ingest.start()
        c.edge.kill()
        c.start()
    c.sync(user)
    assert len(c.list(user, "projects")) == 250
    meta, = c.rows("SELECT cursor_version, last_server_version, last_download_us FROM sync_metadata"
                   " WHERE user = ? AND tbl = 'projects'", user)
    assert meta[0] == 250 and meta[1] >= 250 and meta[2] > 0, meta
    c.restart()
    assert c.sync(user)["pulled"] == 0
