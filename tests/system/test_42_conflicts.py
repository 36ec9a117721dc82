"""Edits that contradict each other: what each policy makes of them, that both ends keep the same
record of what it cannot decide, and that a decision made anywhere is everywhere."""

import itertools
import json
import random
import uuid

import pytest

from lib.devices import SETTINGS, Fleet
from lib.flow import is_long
from lib.wait import wait_until

TABLES = {"t_merge": {}, "t_latest": {"policy": "latest"}, "t_server": {"policy": "server"},
          "t_local": {"policy": "local"}, "t_manual": {"policy": "manual"},
          "contents": {"arrays": {"/nodes": "id"}}, "flows": {"arrays": {"/flows/*/nodes": "id"}}}


@pytest.fixture(scope="module")
def fleet(certs):
    fleet = Fleet(certs, tables=TABLES)
    try:
        yield fleet.start()
    finally:
        fleet.close()


@pytest.fixture
def home(fleet, request):
    fleet.recover()
    user = request.node.name.removeprefix("test_")
    user = "".join(c if c.isalnum() else "-" for c in user)[:60].strip("-")
    fleet.bind(user)
    yield user
    fleet.unbind(user)


@pytest.fixture
def abc(fleet):
    return fleet.devices


def meet(fleet, user, table, id_, base, edits, order):
    """Every device has `base`; offline each makes its edit (None: deletes); they come back in
    that order, one after the other."""
    devices = [device for device, _ in edits]
    if base is not None:
        devices[0].put(user, base, table, id_)
        fleet.wait_same(user, table, id_, value=base)
    for device in devices:
        device.stop()
    for device, value in edits:
        if value is None:
            device.delete(user, table, id_)
        else:
            device.put(user, value, table, id_)
    for device in order:
        device.start()
        device.wait_settled()


def contradict(fleet, user, table=SETTINGS, id_=None):
    """a wins because it is there first; b has one open conflict. Returns it."""
    a, b, _ = fleet.devices
    meet(fleet, user, table, id_, {"v": 0, "w": 0, "x": 0},
         [(a, {"v": 1, "w": 0, "x": 0, "a": 1}), (b, {"v": 2, "w": 2, "x": 0})], [a, b])
    conflict, = b.wait_conflicts(user)
    fleet.wait_same(user, table, id_, value={"v": 1, "w": 0, "x": 0, "a": 1})
    return conflict


# ---- what a policy makes of two edits ----

BASE = {"v": 0, "in": {"p": 0, "q": 0}, "l": [1], "gone": 0}
LEFT = {"v": 1, "in": {"p": 1, "q": 0}, "l": [1, 2], "left": 1}
RIGHT = {"v": 2, "in": {"p": 2, "q": 2}, "l": [0, 1], "gone": 1, "right": 1}
# undecided: v, in/p, l, gone (removed against edited)
UNION = {"in": {"q": 2}, "left": 1, "right": 1}


def mixed(side):
    """The merge with that side's value at every undecided place."""
    value = {"v": side["v"], "in": {"p": side["in"]["p"], "q": 2}, "l": side["l"], "left": 1,
             "right": 1}
    if "gone" in side:
        value["gone"] = side["gone"]
    return value


@pytest.mark.parametrize("order", ["left first", "right first"])
@pytest.mark.parametrize("policy", ["latest", "server", "local"])
def test_a_policy_decides_every_place_by_itself(fleet, home, abc, policy, order):
    """right was made after left; server is who came first, local who came last, latest who wrote
    last, whatever the order."""
    a, b, _ = abc
    table = f"t_{policy}"
    meet(fleet, home, table, "d", BASE, [(a, LEFT), (b, RIGHT)],
         [a, b] if order == "left first" else [b, a])
    first, last = (LEFT, RIGHT) if order == "left first" else (RIGHT, LEFT)
    wanted = {"latest": RIGHT, "server": first, "local": last}[policy]
    fleet.wait_same(home, table, "d", value=mixed(wanted))
    assert fleet.open_conflicts(home) == []
    for device in abc:
        assert device.conflicts(home, everything=True) == []
    # what lost is in the history
    submitted = [json.loads(text) for _, _, text, _ in fleet.versions(home, table, "d")]
    assert LEFT in submitted and RIGHT in submitted


@pytest.mark.parametrize("order", ["left first", "right first"])
def test_what_merge_cannot_decide_is_the_same_conflict_on_both_ends(fleet, home, abc, order):
    a, b, c = abc
    order = [a, b] if order == "left first" else [b, a]
    meet(fleet, home, "t_merge", "d", BASE, [(a, LEFT), (b, RIGHT)], order)
    winner, loser = order
    wins, loses = (LEFT, RIGHT) if winner is a else (RIGHT, LEFT)
    conflict, = loser.wait_conflicts(home)
    assert conflict["pointers"] == ["/gone", "/in/p", "/l", "/v"]
    assert (conflict["table"], conflict["document"], conflict["policy"]) == ("t_merge", "d", "merge")
    assert conflict["server_device"] == winner.name and conflict["server_updated_at"]
    # nothing of the losing edit is applied anywhere
    fleet.wait_same(home, "t_merge", "d", value=wins)
    assert winner.conflicts(home) == c.conflicts(home) == []
    shown = loser.edge.json("conflicts", "show", conflict["id"])
    assert (shown["base"], shown["local"], shown["server"]["data"]) == (BASE, loses, wins)
    # the cloud's record
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    assert there["pointers"] == conflict["pointers"] and there["device"] == loser.name
    assert there["op_id"] in conflict["ops"] and there["resolved_at"] is None
    record = fleet.operator.ask("conflicts.show", id=there["id"])
    assert record["base_document"] == {"data": BASE} and record["submitted"] == {"data": loses}
    assert record["server"]["data"] == wins
    assert loser.status()["sync_status"] == "conflict" and loser.status()["conflicts"] == 1
    assert loser.about(home, "t_merge", "d")["open_conflicts"] == [conflict["id"]]
    listed, = [entry for entry in cloud_conflicts(fleet, home)]
    assert listed["pointers"] == conflict["pointers"]
    loser.resolve(conflict["id"], "--use-server")


def cloud_conflicts(fleet, user):
    return fleet.ingest.json("conflicts", "list", "--user", user)["conflicts"]


@pytest.mark.parametrize("order", ["left first", "right first"])
def test_manual_merges_nothing(fleet, home, abc, order):
    """Not even edits of different members; an edit of what is in force is fine."""
    a, b, _ = abc
    order = [a, b] if order == "left first" else [b, a]
    edits = {a: {"v": 0, "a": 1}, b: {"v": 0, "b": 1}}
    meet(fleet, home, "t_manual", "d", {"v": 0}, list(edits.items()), order)
    conflict, = order[1].wait_conflicts(home)
    assert conflict["pointers"] == [""] and conflict["policy"] == "manual"
    fleet.wait_same(home, "t_manual", "d", value=edits[order[0]])
    order[1].put(home, {"v": 9}, "t_manual", "d")
    fleet.wait_same(home, "t_manual", "d", value={"v": 9})
    order[1].resolve(conflict["id"], "--keep-local")
    loser = edits[order[1]]
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "told")
    fleet.wait_same(home, "t_manual", "d", value={"v": 9, **{k: 1 for k in loser if k != "v"}})


@pytest.mark.parametrize("who_deletes", ["first", "last"])
def test_a_removal_against_an_edit_is_undecided_at_the_document(fleet, home, abc, who_deletes):
    a, b, _ = abc
    table = "t_merge"
    edits = [(a, None), (b, {"v": 1})] if who_deletes == "first" else [(a, {"v": 1}), (b, None)]
    meet(fleet, home, table, "d", {"v": 0}, edits, [a, b])
    conflict, = b.wait_conflicts(home)
    assert conflict["pointers"] == [""]
    fleet.wait_same(home, table, "d", value=edits[0][1])
    b.resolve(conflict["id"], "--keep-local")
    fleet.wait_same(home, table, "d", value=edits[1][1])
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "told")


@pytest.mark.parametrize("removed_by", ["first", "last"])
@pytest.mark.parametrize("policy", ["latest", "server", "local"])
def test_a_policy_decides_between_a_removal_and_an_edit(fleet, home, abc, policy, removed_by):
    """b's was made later and comes first; a's comes last."""
    a, b, _ = abc
    edits = [(a, {"v": 1}), (b, None)] if removed_by == "first" else [(a, None), (b, {"v": 1})]
    meet(fleet, home, f"t_{policy}", "d", {"v": 0}, edits, [b, a])
    wanted = edits[0][1] if policy == "local" else edits[1][1]
    fleet.wait_same(home, f"t_{policy}", "d", value=wanted)
    assert fleet.open_conflicts(home) == []
    for device in abc:
        assert device.conflicts(home, everything=True) == []
    abc[2].put(home, {"v": "again"}, f"t_{policy}", "d")
    fleet.wait_same(home, f"t_{policy}", "d", value={"v": "again"})


def test_an_operator_may_decide_that_the_document_goes(fleet, home, abc):
    contradict(fleet, home, "t_merge", "d")
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    fleet.operator.ask("conflicts.resolve", id=there["id"], choice="merge", data=None)
    fleet.wait_same(home, "t_merge", "d", value=None)
    abc[1].wait_conflicts(home, 0)


def test_arrays_by_key_below_any_member(fleet, home, abc):
    """A pointer of the mapping has a star: /flows/*/nodes."""
    a, b, _ = abc
    base = {"flows": {"f1": {"nodes": [{"id": "n1", "x": 0}, {"id": "n2", "x": 0}], "tags": [1]},
                      "f2": {"nodes": []}}}
    mine, theirs = (json.loads(json.dumps(base)) for _ in range(2))
    mine["flows"]["f1"]["nodes"][0]["x"] = 1
    mine["flows"]["f2"]["nodes"].append({"id": "a"})
    theirs["flows"]["f1"]["nodes"][1]["x"] = 2
    theirs["flows"]["f2"]["nodes"].append({"id": "b"})
    meet(fleet, home, "flows", "d", base, [(a, mine), (b, theirs)], [b, a])
    text = fleet.wait_same(home, "flows", "d")
    found = json.loads(text)["flows"]
    assert found["f1"]["nodes"] == [{"id": "n1", "x": 1}, {"id": "n2", "x": 2}]
    assert sorted(node["id"] for node in found["f2"]["nodes"]) == ["a", "b"]
    assert fleet.open_conflicts(home) == []


def test_both_add_the_same_id_with_other_content(fleet, home, abc):
    a, b, _ = abc
    meet(fleet, home, "t_merge", "d", None,
         [(a, {"k": 1, "same": [1], "a": 1}), (b, {"k": 2, "same": [1], "b": 1})], [b, a])
    conflict, = a.wait_conflicts(home)
    assert conflict["pointers"] == ["/k"]
    fleet.wait_same(home, "t_merge", "d", value={"k": 2, "same": [1], "b": 1})
    a.resolve(conflict["id"], "--keep-local")
    # the document was made here: it is what was set
    fleet.wait_same(home, "t_merge", "d", value={"k": 1, "same": [1], "a": 1})


def test_keyed_arrays_conflict_inside_of_an_element(fleet, home, abc):
    a, b, _ = abc
    nodes = [{"id": "n1", "x": 0}, {"id": "n2", "x": 0}]
    meet(fleet, home, "contents", "d", {"nodes": nodes},
         [(a, {"nodes": [{"id": "n1", "x": 1}, nodes[1]]}),
          (b, {"nodes": [{"id": "n1", "x": 2}, {"id": "n2", "x": 2}]})], [a, b])
    conflict, = b.wait_conflicts(home)
    assert conflict["pointers"] != [""] and conflict["pointers"] != ["/nodes"], conflict
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    assert there["pointers"] == conflict["pointers"]
    b.resolve(conflict["id"], "--keep-local")
    fleet.wait_same(home, "contents", "d",
                    value={"nodes": [{"id": "n1", "x": 2}, {"id": "n2", "x": 2}]})


@pytest.mark.parametrize("policy", ["latest", "server", "local", "manual"])
def test_settings_have_a_policy_too(fleet, home, abc, policy):
    a, b, _ = abc
    fleet.ingest.stop()
    fleet.ingest.configure(settings__policy=policy)
    fleet.ingest.start()
    try:
        meet(fleet, home, SETTINGS, None, {"v": 0}, [(a, {"v": 1, "a": 1}), (b, {"v": 2, "b": 2})],
             [b, a])
        wanted = {"latest": {"v": 2, "a": 1, "b": 2}, "server": {"v": 2, "a": 1, "b": 2},
                  "local": {"v": 1, "a": 1, "b": 2}, "manual": {"v": 2, "b": 2}}[policy]
        fleet.wait_same(home, value=wanted)
        assert len(a.conflicts(home)) == (policy == "manual")
    finally:
        fleet.ingest.stop()
        fleet.ingest.configure(settings__policy="merge")
        fleet.ingest.start()


# ---- decisions ----

@pytest.mark.parametrize("table", [SETTINGS, "t_merge"])
@pytest.mark.parametrize("choice", ["local", "server", "merge"])
def test_a_decision_on_the_device_is_everywhere(fleet, home, abc, choice, table):
    a, b, c = abc
    id_ = None if table == SETTINGS else "d"
    conflict = contradict(fleet, home, table, id_)
    assert conflict["pointers"] == ["/v"]
    if table == SETTINGS:  # the losing edit is shown, the document in force is the cloud's
        lost = b.edge.cli("settings", "get", "--user", home, "--conflict").stdout
        assert json.loads(lost) == {"v": 2, "w": 2, "x": 0}
        assert a.edge.cli("settings", "get", "--user", home, "--conflict",
                          check=False).returncode == 5
    c.put(home, {"v": 1, "w": 0, "x": 5, "a": 1}, table, id_)  # life goes on
    fleet.wait_same(home, table, id_, value={"v": 1, "w": 0, "x": 5, "a": 1})
    merged = {"merged": "by hand", "n": 12345678901234567890}
    args = {"local": ["--keep-local"], "server": ["--use-server"], "merge": ["--merge", merged]}
    answer = b.resolve(conflict["id"], *args[choice])
    assert answer["success"] and answer["queued"] == (choice != "server"), answer
    # V8: the members the losing edit changed, on the document in force
    wanted = {"local": {"v": 2, "w": 2, "x": 5, "a": 1},
              "server": {"v": 1, "w": 0, "x": 5, "a": 1}, "merge": merged}[choice]
    fleet.wait_same(home, table, id_, value=wanted)
    assert b.conflicts(home) == []
    decided, = b.conflicts(home, everything=True)
    assert (decided["resolution"], decided["resolved_by"]) == (choice, b.name)
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "the cloud told")
    there, = fleet.operator.ask("conflicts.list", user=home, open=False)["conflicts"]
    assert (there["resolution"], there["resolved_by"]) == (choice, b.name)
    # the loser stays in the record of what was
    record = fleet.operator.ask("conflicts.show", id=there["id"])
    assert record["submitted"] == {"data": {"v": 2, "w": 2, "x": 0}}
    again = b.edge.cli("conflicts", "resolve", conflict["id"], "--keep-local", check=False)
    assert again.returncode == 5, again
    assert b.status()["conflicts"] == 0 or b.user(home)["conflicts"] == 0


@pytest.mark.parametrize("choice", ["local", "server", "merge"])
@pytest.mark.parametrize("how", ["command line", "admin topic"])
def test_a_decision_in_the_cloud_is_everywhere(fleet, home, abc, choice, how):
    a, b, c = abc
    conflict = contradict(fleet, home, "t_merge", "d")
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    c.put(home, {"v": 1, "w": 0, "x": 5, "a": 1}, "t_merge", "d")
    fleet.wait_same(home, "t_merge", "d", value={"v": 1, "w": 0, "x": 5, "a": 1})
    merged = {"merged": "by an operator"}
    if how == "admin topic":
        more = {"data": merged} if choice == "merge" else {}
        answer = fleet.operator.ask("conflicts.resolve", id=there["id"], choice=choice,
                                    note="asked the user", **more)
        assert answer["resolved"] == 1 and answer["already"] == 0
        assert (answer["version"] is None) == (choice == "server")
    else:
        file = fleet.stack.folder / "merged.json"
        file.write_text(json.dumps(merged))
        shown = fleet.ingest.json("conflicts", "show", there["id"])
        assert "/v" in json.dumps(shown)
        args = {"local": ["--keep-local"], "server": ["--use-server"], "merge": ["--merge", file]}
        fleet.ingest.cli("conflicts", "resolve", there["id"], *args[choice])
    wanted = {"local": {"v": 2, "w": 2, "x": 5, "a": 1},
              "server": {"v": 1, "w": 0, "x": 5, "a": 1}, "merge": merged}[choice]
    fleet.wait_same(home, "t_merge", "d", value=wanted)
    wait_until(lambda: b.conflicts(home) == [], 10, lambda: f"closed: {b.conflicts(home)}")
    decided, = b.conflicts(home, everything=True)
    assert decided["id"] == conflict["id"] and decided["resolution"] == choice
    assert decided["resolved_by"] not in (None, b.name)
    if how == "admin topic":
        assert decided["resolved_by"] == "_op-alice"
        again = fleet.operator.ask("conflicts.resolve", id=there["id"], choice="server")
        assert (again["resolved"], again["already"], again["version"]) == (0, 1, None)
    if choice != "server":
        last = fleet.versions(home, "t_merge", "d")[-1]
        assert last[1] not in ("dev-a", "dev-b", "dev-c")
    b.put(home, {"v": "next"}, "t_merge", "d")
    fleet.wait_same(home, "t_merge", "d", value={"v": "next"})


def test_operators_hear_of_conflicts_and_of_decisions(fleet, home, abc):
    """From a device that has had none: events of one kind are limited."""
    a, _, c = abc
    meet(fleet, home, "t_merge", "d", {"v": 0}, [(a, {"v": 1}), (c, {"v": 3})], [a, c])
    conflict, = c.wait_conflicts(home)
    wait_until(lambda: any(event["device"] == c.name for event in
                           fleet.operator.events("conflict_opened")), 10, "the conflict's event")
    c.resolve(conflict["id"], "--keep-local")
    wait_until(lambda: any(event["user"] == home and event["by"] == c.name
                           and event["resolution"] == "local" for event in
                           fleet.operator.events("conflict_resolved")), 10, "the decision's event")


def test_a_repeated_decision_is_done_once(fleet, home, abc):
    """The answer of a request that writes is stored with its id; the same id for something else is
    refused."""
    contradict(fleet, home, "t_merge", "d")
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    name = str(uuid.uuid4())
    first = fleet.operator.request("conflicts.resolve", id_=name, id=there["id"], choice="merge",
                                   data={"v": 3})
    assert first["success"], first
    fleet.wait_same(home, "t_merge", "d", value={"v": 3})
    abc[2].put(home, {"v": 4}, "t_merge", "d")
    fleet.wait_same(home, "t_merge", "d", value={"v": 4})
    again = fleet.operator.request("conflicts.resolve", id_=name, id=there["id"],
                                   choice="merge", data={"v": 3})
    assert again["success"] and again["data"] == first["data"]
    fleet.ingest.restart()
    kept = fleet.operator.request("conflicts.resolve", id_=name, id=there["id"],
                                  choice="merge", data={"v": 3})
    assert kept["data"] == first["data"] and kept["success"]
    other = fleet.operator.request("conflicts.resolve", id_=name, id=there["id"],
                                   choice="merge", data={"v": 5})
    assert not other["success"] and other["code"] == "id_reused"
    for device in abc:
        device.sync(home)
    fleet.wait_same(home, "t_merge", "d", value={"v": 4})
    unknown = fleet.operator.request("conflicts.resolve", id=999999, choice="server")
    assert not unknown["success"] and unknown["code"] == "not_found"


def test_both_decide_at_once_and_nothing_fights(fleet, home, abc):
    """The operator decides while the device, offline, decides otherwise: two ordinary edits."""
    a, b, _ = abc
    conflict = contradict(fleet, home, "t_merge", "d")
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    b.stop()
    b.resolve(conflict["id"], "--keep-local")
    fleet.operator.ask("conflicts.resolve", id=there["id"], choice="merge",
                       data={"v": 1, "w": 0, "x": 7, "a": 1})
    b.start()
    fleet.settle()
    fleet.wait_same(home, "t_merge", "d", value={"v": 2, "w": 2, "x": 7, "a": 1})
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "no conflict open")
    assert b.conflicts(home) == []


def test_a_decision_made_offline_waits_and_is_told(fleet, home, abc):
    a, b, _ = abc
    conflict = contradict(fleet, home)
    b.unplug()
    b.resolve(conflict["id"], "--use-server")
    assert b.conflicts(home) == []
    b.restart_offline()
    assert fleet.open_conflicts(home) != []
    b.plug()
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "told")
    fleet.wait_same(home, value={"v": 1, "w": 0, "x": 0, "a": 1})


def test_several_conflicts_of_one_document_are_decided_one_by_one(fleet, home, abc):
    a, b, c = abc
    meet(fleet, home, "t_merge", "d", {"v": 0, "w": 0},
         [(a, {"v": 1, "w": 0}), (b, {"v": 2, "w": 0}), (c, {"v": 3, "w": 3})], [a, b, c])
    of_b, = b.wait_conflicts(home)
    of_c, = c.wait_conflicts(home)
    assert of_b["pointers"] == of_c["pointers"] == ["/v"]
    assert len(fleet.open_conflicts(home)) == 2
    c.resolve(of_c["id"], "--keep-local")
    fleet.wait_same(home, "t_merge", "d", value={"v": 3, "w": 3})
    b.resolve(of_b["id"], "--keep-local")
    fleet.wait_same(home, "t_merge", "d", value={"v": 2, "w": 3})
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "both told")


def test_documents_that_no_reply_can_hold_are_conflicts_like_others(fleet, home, abc):
    """Almost a megabyte that does not shrink: the reply names the cloud's document, and the device
    asks for it; so do operators, part by part."""
    a, b, _ = abc
    rng = random.Random(42)
    long = {f"k{n}": f"{rng.getrandbits(2048):0512x}" for n in range(1700)}
    assert len(json.dumps(long)) > 850000
    meet(fleet, home, "t_merge", "d", {**long, "v": 0},
         [(a, {**long, "v": 1, "a": 1}), (b, {**long, "v": 2, "b": 1})], [a, b])
    conflict, = b.wait_conflicts(home)
    assert conflict["pointers"] == ["/v"]
    fleet.wait_same(home, "t_merge", "d", value={**long, "v": 1, "a": 1})
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    parts = {}
    for part, name in (("base", "base_document"), ("submitted", "submitted"), ("server", "server")):
        parts[part] = fleet.operator.ask("conflicts.show", id=there["id"], part=part)[name]["data"]
    assert [parts[part]["v"] for part in ("base", "submitted", "server")] == [0, 2, 1]
    b.resolve(conflict["id"], "--keep-local")
    fleet.wait_same(home, "t_merge", "d", value={**long, "v": 2, "a": 1, "b": 1}, timeout=20)
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "told")


def test_a_bad_decision_changes_nothing(fleet, home, abc):
    b = abc[1]
    conflict = contradict(fleet, home)
    for text, code in (("[1]", "bad_type"), ("{", "bad_json"), ('{"a":1,"a":2}', "duplicate_key")):
        refused = b.edge.cli("conflicts", "resolve", conflict["id"], "--merge", b.file(text),
                             check=False)
        assert refused.returncode == 1 and code in refused.stderr, refused
    assert b.edge.cli("conflicts", "resolve", conflict["id"], check=False).returncode == 2
    assert b.edge.cli("conflicts", "resolve", 99999, "--use-server", check=False).returncode == 5
    assert b.edge.cli("conflicts", "show", 99999, check=False).returncode == 5
    assert [c["id"] for c in b.conflicts(home)] == [conflict["id"]]
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    for args, code in (({"choice": "merge"}, "missing_field"), ({"choice": "x"}, "bad_value"),
                       ({"choice": "merge", "data": [1]}, "bad_type"), ({}, "missing_field"),
                       ({"choice": "server", "note": "x" * 257}, "too_large")):
        answer = fleet.operator.request("conflicts.resolve", id=there["id"], **args)
        assert not answer["success"] and answer["reason"], answer
        assert answer["code"] in (code, "bad_value"), (args, answer)
    assert len(fleet.open_conflicts(home)) == 1
    fleet.wait_same(home, value={"v": 1, "w": 0, "x": 0, "a": 1})


def test_an_operator_that_is_not_named_is_refused(fleet, home, abc):
    fleet.ingest.stop()
    fleet.ingest.configure(admin__operators="_op-bob")
    fleet.ingest.start()
    try:
        answer = fleet.operator.request("conflicts.list", user=home)
        assert not answer["success"] and answer["code"] == "forbidden"
    finally:
        fleet.ingest.stop()
        fleet.ingest.configure(admin__operators="*")
        fleet.ingest.start()
    assert fleet.operator.ask("conflicts.list", user=home)["conflicts"] == []


# ---- nobody fights himself ----

def test_a_chain_that_loses_is_one_conflict_and_goes_on(fleet, home, abc):
    """Five saves offline against one of another device, in the same place: one thing to decide."""
    a, b, _ = abc
    a.put(home, {"v": 0, "log": {}})
    fleet.wait_same(home, value={"v": 0, "log": {}})
    b.stop()
    for n in range(1, 6):
        b.put(home, {"v": f"b{n}", "log": {f"b{m}": m for m in range(1, n + 1)}})
    a.put(home, {"v": "a", "log": {}})
    a.wait_settled()
    b.start()
    b.wait_settled()
    conflict, = b.wait_conflicts(home)
    assert conflict["pointers"] == ["/v"]
    fleet.wait_same(home, value={"v": "a", "log": {}})
    b.put(home, {"v": "a", "log": {"later": 1}})  # while it is open
    fleet.wait_same(home, value={"v": "a", "log": {"later": 1}})
    b.resolve(conflict["id"], "--keep-local")
    fleet.wait_same(home, value={"v": "b5", "log": {"later": 1, **{f"b{m}": m
                                                                  for m in range(1, 6)}}})
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "told of all of them")


def test_a_chain_that_an_operator_decides_is_closed_with_its_last_operation(fleet, home, abc):
    """The cloud has one conflict for each save; the device has one for all of them."""
    a, b, _ = abc
    a.put(home, {"v": 0}, "t_merge", "d")
    fleet.wait_same(home, "t_merge", "d", value={"v": 0})
    b.stop()
    for n in range(1, 4):
        b.put(home, {"v": f"b{n}", f"m{n}": n}, "t_merge", "d")
    a.put(home, {"v": "a"}, "t_merge", "d")
    a.wait_settled()
    b.start()
    conflict, = b.wait_conflicts(home)
    there = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    assert [entry["op_id"] for entry in there] == conflict["ops"] and len(there) == 3
    assert there[0]["pointers"] == conflict["pointers"] == ["/v"]
    for entry in there[:2]:
        fleet.operator.ask("conflicts.resolve", id=entry["id"], choice="server")
    b.sync(home, check=False)
    assert len(b.conflicts(home)) == 1
    fleet.operator.ask("conflicts.resolve", id=there[2]["id"], choice="merge",
                       data={"v": "b3", "m1": 1, "m2": 2, "m3": 3})
    b.wait_conflicts(home, 0)
    fleet.wait_same(home, "t_merge", "d", value={"v": "b3", "m1": 1, "m2": 2, "m3": 3})


def test_a_decision_on_the_clouds_file_needs_no_ingest(fleet, home, abc):
    contradict(fleet, home, "t_merge", "d")
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    fleet.ingest.stop()
    fleet.ingest.cli("conflicts", "resolve", there["id"], "--keep-local", "--note", "by hand")
    fleet.ingest.start()
    fleet.wait_same(home, "t_merge", "d", value={"v": 2, "w": 2, "x": 0, "a": 1})
    abc[1].wait_conflicts(home, 0)


@pytest.mark.parametrize("what", ["broker", "answers", "ingest"])
def test_lost_answers_make_no_conflict_with_oneself(fleet, home, abc, what):
    """The cloud commits, the device never hears of it, goes on editing, and sends again."""
    a, b, _ = abc
    a.put(home, {"n": 0, "other": 0})
    fleet.wait_same(home, value={"n": 0, "other": 0})
    for round_ in range(3 if is_long() else 2):
        a.cable.deaf = True
        n = 10 * round_ + 1
        a.put(home, {"n": n, "other": 10 * round_})
        wait_until(lambda n=n: fleet.cloud(home)["n"] == n, 10, "the edit in the cloud")
        a.cable.cut()
        if what == "broker":  # with the answers that it kept for the device
            fleet.broker.kill()
            fleet.broker.wipe_state()
            fleet.broker.start()
        elif what == "ingest":
            fleet.ingest.kill()
        a.put(home, {"n": n + 1, "other": 10 * round_})  # on one that is answered, but nobody knows
        if what == "ingest":
            fleet.ingest.start()
        b.plug(20)
        b.edit(home, SETTINGS, None, lambda value, r=round_: {**value, "other": 10 * (r + 1)})
        wait_until(lambda r=round_: fleet.cloud(home)["other"] == 10 * (r + 1), 15, "theirs there")
        a.plug(20)
        fleet.wait_same(home, value={"n": n + 1, "other": 10 * (round_ + 1)}, timeout=20)
    assert fleet.rows("SELECT count(*) FROM conflicts WHERE user = ?", home) == [(0,)]
    assert a.conflicts(home, everything=True) == b.conflicts(home, everything=True) == []
    fleet.settle()
    fleet.verified()


def test_the_broker_is_killed_at_any_moment_of_a_chain(fleet, home, abc):
    a, b, _ = abc
    a.put(home, {"a": 0, "b": 0}, "t_merge", "d")
    fleet.wait_same(home, "t_merge", "d", value={"a": 0, "b": 0})
    for n in range(1, 9):
        for device, member in ((a, "a"), (b, "b")):
            device.edit(home, "t_merge", "d", lambda value, m=member, n=n: {**value, m: n})
        if n % 2:
            fleet.broker.kill()
            fleet.broker.wipe_state()
            fleet.broker.start()
            for device in abc:
                device.edge.cli("flush", "--timeout", "100ms", check=False)
    for device in abc:
        device.plug(20)
    fleet.wait_same(home, "t_merge", "d", value={"a": 8, "b": 8}, timeout=30)
    assert fleet.rows("SELECT count(*) FROM conflicts WHERE user = ? AND resolved_ms IS NULL",
                      home) == [(0,)]
    fleet.settle()
    fleet.verified()


@pytest.mark.parametrize("policy", ["merge", "latest"])
def test_three_contradicting_edits_end_the_same_in_any_order(fleet, home, abc, policy):
    """latest: the same text, whatever the order. merge: whoever is first wins at /v, nobody's edit
    is lost, and the others are named."""
    texts = set()
    orders = list(itertools.permutations(abc))
    orders = orders if is_long() else orders[::2]
    for number, order in enumerate(orders):
        id_ = f"d{number}"
        meet(fleet, home, f"t_{policy}", id_, {"v": 0, "in": {}},
             [(device, {"v": device.name, "in": {device.name: 1}}) for device in abc], order)
        if policy == "latest":
            texts.add(fleet.wait_same(home, f"t_{policy}", id_, value={
                "v": "dev-c", "in": {"dev-a": 1, "dev-b": 1, "dev-c": 1}}))
            continue
        fleet.wait_same(home, f"t_{policy}", id_,
                        value={"v": order[0].name, "in": {order[0].name: 1}})
        for loser in order[1:]:
            conflict, = [c for c in loser.conflicts(home) if c["document"] == id_]
            assert conflict["pointers"] == ["/v"]
    if policy == "latest":
        assert len(texts) == 1, texts
    else:
        assert len(fleet.open_conflicts(home)) == 2 * len(orders)
