"""conflicts list | show | resolve and what settings say of a losing edit: two devices, one cloud."""

import json

import pytest

from lib.stack import Stack
from lib.wait import wait_until

BASE = {"theme": "dark", "size": 1, "list": [1, 2], "same": {"deep": True}}


@pytest.fixture(scope="module")
def stack(certs):
    stack = Stack(certs, records__tables="projects")
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def user(stack, request):
    name = request.node.name.translate({ord("_"): "-", ord("["): "-", ord("]"): None})
    return name[5:60]


@pytest.fixture
def pair(stack, user):
    """Two devices with the user added and BASE in force."""
    edges = [stack.edge(f"dev-{n}") for n in (1, 2)]
    for edge in edges:
        if not edge.running():
            edge.start()
        stack.ingest.cli("device", "grant", edge.device, user)
        edge.cli("user", "add", user)
    put(edges[0], user, BASE)
    wait_value(edges[1], user, BASE)
    yield edges
    for edge in edges:
        if not edge.running():
            edge.start()


def put(edge, user, value, *args):
    edge.cli("settings", "put", "--user", user, *args, json.dumps(value))
    if edge.running():
        wait_until(edge.settled, 10, "in the cloud")


def value(edge, user):
    result = edge.cli("settings", "get", "--user", user, check=False)
    return json.loads(result.stdout) if result.returncode == 0 else None


def wait_value(edge, user, wanted):
    wait_until(lambda: value(edge, user) == wanted, 10,
               lambda: f"{wanted} on {edge.device}: {value(edge, user)}\n{edge.log()[-2000:]}")


def open_conflicts(edge, user):
    return edge.json("conflicts", "list", "--user", user)["conflicts"]


def fight(pair, user, mine, theirs):
    """Device 2 edits offline, device 1 meanwhile: the edit of device 2 loses. Its conflict."""
    one, two = pair
    two.stop()
    put(two, user, mine)
    put(one, user, theirs)
    two.start()
    wait_until(lambda: open_conflicts(two, user), 10, lambda: f"a conflict: {two.log()[-3000:]}")
    conflict, = open_conflicts(two, user)
    return conflict


def test_whoever_repeats_an_edit_that_lost_is_told_of_the_conflict(pair, user):
    one, two = pair
    two.stop()
    again = ("settings", "put", "--user", user, "--id", "lost-1", "--wait", "10s",
             '{"theme":"mine"}')
    assert two.json(*again)["cached"]
    put(one, user, {"theme": "theirs"})
    two.start()
    wait_until(lambda: open_conflicts(two, user), 10, lambda: f"a conflict: {two.log()[-3000:]}")
    told = two.json(*again)
    assert told["result"] == "conflict" and not told["synced"] and told["updated_at"]
    two.stop()
    two.start()  # another process: it knows from the outbox, which keeps no times
    told = two.json(*again)
    assert told["result"] == "conflict" and not told["synced"] and told["updated_at"] is None
    assert "conflicts list" in told["message"]


def test_a_conflict_is_listed_shown_and_kept_until_it_is_decided(pair, user):
    one, two = pair
    mine, theirs = {**BASE, "theme": "mine", "own": 1}, {**BASE, "theme": "theirs", "size": 2}
    conflict = fight(pair, user, mine, theirs)
    assert conflict["user_id"] == user and conflict["table"] == conflict["document"] == "settings"
    assert conflict["pointers"] == ["/theme"] and conflict["policy"] == "merge"
    assert conflict["server_device"] == one.device and conflict["server_updated_at"]
    assert conflict["server_version"] == 2 and conflict["opened_at"] and len(conflict["ops"]) == 1
    assert conflict["resolved_at"] is None and conflict["resolution"] is None
    assert value(two, user) == theirs == value(one, user)  # nothing of the edit is in force
    assert open_conflicts(one, user) == []

    shown = two.json("conflicts", "show", conflict["id"])
    assert shown["base"] == BASE and shown["local"] == mine and shown["server"]["data"] == theirs
    text = two.cli("conflicts", "show", conflict["id"]).stdout
    rows = [line.split() for line in text.splitlines()]
    assert ["*", "/theme", '"dark"', '"mine"', '"theirs"'] in rows
    assert ["/own", "-", "1", "-"] in rows and ["/size", "1", "1", "2"] in rows
    assert one.device in text and conflict["ops"][0] in text and "/same" not in text

    lost = two.cli("settings", "get", "--user", user, "--conflict").stdout
    assert json.loads(lost) == mine
    details = two.json("settings", "get", "--user", user, "--conflict")
    assert details["local"] == mine and details["pointers"] == ["/theme"]
    assert two.json("settings", "get", "--user", user)["open_conflicts"] == [conflict["id"]]
    assert two.json("status", "--user", user)["sync_status"] == "conflict"
    assert two.json("sync", "--user", user)["conflicts"] == 1
    assert user in two.cli("conflicts", "list").stdout


@pytest.mark.parametrize("choice", ["--keep-local", "--use-server", "--merge"])
def test_a_decision_is_in_force_everywhere(pair, user, tmp_path, choice):
    one, two = pair
    mine, theirs = {**BASE, "theme": "mine", "own": 1}, {**BASE, "theme": "theirs", "size": 2}
    conflict = fight(pair, user, mine, theirs)
    merged = {"theme": "both", "new": None}
    (tmp_path / "merged.json").write_text(json.dumps(merged))
    args = [choice, tmp_path / "merged.json"] if choice == "--merge" else [choice]
    decided = two.json("conflicts", "resolve", conflict["id"], *args)
    assert decided["success"] and decided["id"] == conflict["id"]
    assert decided["queued"] == (choice != "--use-server")
    wanted = {"--keep-local": {**theirs, "theme": "mine", "own": 1}, "--use-server": theirs,
              "--merge": merged}[choice]
    for edge in pair:
        wait_value(edge, user, wanted)
    assert open_conflicts(two, user) == []
    closed, = two.json("conflicts", "list", "--user", user, "--all")["conflicts"]
    assert closed["resolution"] == decided["choice"] and closed["resolved_at"]
    again = two.cli("conflicts", "resolve", conflict["id"], choice, *args[1:], check=False)
    assert again.returncode == 5 and "decided already" in again.stderr
    assert two.cli("settings", "get", "--user", user, "--conflict", check=False).returncode == 5
    wait_until(lambda: two.json("status", "--user", user)["sync_status"] == "synced", 10, "synced")


def test_a_conflict_of_a_record_blocks_nothing(pair, user):
    one, two = pair
    args = ("--table", "projects", "--user", user, "--id", "p/1")

    def record(edge):
        result = edge.cli("records", "get", *args, check=False)
        return json.loads(result.stdout) if result.returncode == 0 else None

    one.cli("records", "put", *args, '{"v":1}')
    wait_until(lambda: record(two) == {"v": 1}, 10, "the record")
    two.stop()
    two.cli("records", "put", *args, '{"v":2}')
    one.cli("records", "delete", *args, "--wait", "10s")
    two.start()
    wait_until(lambda: open_conflicts(two, user), 10, "a conflict")
    conflict, = open_conflicts(two, user)
    assert conflict["table"] == "projects" and conflict["document"] == "p/1"
    assert record(two) is None and "projects/p/1" in two.cli("conflicts", "list").stdout
    shown = two.json("conflicts", "show", conflict["id"])
    assert shown["base"] == {"v": 1} and shown["local"] == {"v": 2} and shown["server"]["deleted"]
    assert '{"v":2}' in two.cli("conflicts", "show", conflict["id"]).stdout
    two.cli("records", "put", "--table", "projects", "--user", user, "--id", "q", "--wait", "10s", "{}")
    two.cli("conflicts", "resolve", conflict["id"], "--keep-local")
    for edge in pair:
        wait_until(lambda edge=edge: record(edge) == {"v": 2}, 10, "the losing edit in force")


def test_what_cannot_be_decided_is_said(pair, user, tmp_path):
    one, _ = pair
    bad = tmp_path / "bad.json"
    for verb, code in ((("show", "999"), 5), (("show", "x"), 2), (("show",), 2),
                       (("resolve", "999", "--use-server"), 5), (("resolve", "1"), 2),
                       (("resolve", "1", "--use-server", "--keep-local"), 2),
                       (("resolve", "0", "--use-server"), 2), (("list", "--user", "a/b"), 1),
                       (("resolve", "999", "--merge", str(tmp_path / "none.json")), 5)):
        assert one.cli("conflicts", *verb, check=False).returncode == code, verb
    for text in ("[1]", '{"a":', ""):
        bad.write_text(text)
        result = one.cli("conflicts", "resolve", "999", "--merge", bad, check=False)
        assert result.returncode == 1 and result.stderr, text


def test_settings_are_compared_and_rolled_back(pair, user):
    one, two = pair
    put(one, user, {**BASE, "theme": "second"})
    wait_value(two, user, {**BASE, "theme": "second"})
    versions = two.json("settings", "history", "--user", user, "--cloud")["versions"]
    assert [version["version"] for version in versions] == [2, 1]
    assert {version["device"] for version in versions} == {one.device} and versions[0]["size"] > 0
    assert "dev-1" in two.cli("settings", "history", "--user", user, "--cloud").stdout
    assert len(two.json("settings", "history", "--user", user, "--cloud", "--limit", 1)[
        "versions"]) == 1

    assert two.json("settings", "diff", "--user", user)["same"]
    diff = two.json("settings", "diff", "--user", user, "--version", 1)
    assert not diff["same"] and diff["server_version"] == 1
    assert diff["changes"] == [{"pointer": "/theme", "local": "second", "cloud": "dark"}]
    text = two.cli("settings", "diff", "--user", user, "--version", 1).stdout
    assert '"second"' in text and '"dark"' in text and "/size" not in text
    assert two.cli("settings", "diff", "--user", user).stdout == "no differences\n"

    kept, = two.json("settings", "history", "--user", user)["versions"]
    assert not kept["deleted"] and kept["server_version"] == 1 and kept["kept_at"]
    two.cli("settings", "rollback", "--user", user, "--to", kept["n"])
    for edge in pair:
        wait_value(edge, user, BASE)
    one.json("settings", "rollback", "--user", user, "--to", 2, "--cloud")
    for edge in pair:
        wait_value(edge, user, {**BASE, "theme": "second"})
    for args in (("rollback", "--to", "999"), ("rollback", "--to", "999", "--cloud"),
                 ("diff", "--version", "999")):
        result = two.cli("settings", args[0], "--user", user, *args[1:], check=False)
        assert result.returncode == 5, args
    two.stop()
    assert two.cli("settings", "diff", "--user", user, check=False).returncode == 3


def test_what_is_not_in_the_cloud_cannot_be_restored(pair, user, stack):
    one, _ = pair
    verbs = (("restore",), ("diff",), ("history", "--cloud"), ("rollback", "--cloud", "--to", "1"))
    for verb in verbs:
        result = one.cli("settings", verb[0], "--user", "stranger", *verb[1:], check=False)
        assert result.returncode == 4 and "[forbidden]" in result.stderr, verb
    stack.ingest.cli("device", "grant", one.device, "nobody-yet")
    for verb in verbs:
        result = one.cli("settings", verb[0], "--user", "nobody-yet", *verb[1:], check=False)
        assert result.returncode == 5 and result.stdout == "", verb
        assert "cloud" in result.stderr or "version" in result.stderr
    assert one.cli("settings", "restore", "--user", user).returncode == 0
