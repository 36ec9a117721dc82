"""Users of a device and their switches, the scheduler, sync, and the indicator; with the cloud."""

import json
import signal

import pytest

from lib.stack import Stack
from lib.wait import wait_until


@pytest.fixture(scope="module")
def stack(certs):
    stack = Stack(certs, records__tables="projects, contents")
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def user(stack, request):
    return request.node.name.replace("_", "-")[5:60]


@pytest.fixture
def pair(stack, request, user):
    """Two devices of a test's own, bound to its user; connected, with the user added on neither."""
    name = "d-" + request.node.name.replace("_", "-")[5:50]
    edges = [stack.edge(f"{name}-{n}").start() for n in (1, 2)]
    for edge in edges:
        stack.ingest.cli("device", "grant", edge.device, user)
    yield edges
    for edge in edges:
        edge.close()


def settings(edge, user):
    result = edge.cli("settings", "get", "--user", user, check=False)
    return json.loads(result.stdout) if result.returncode == 0 else None


def put(edge, user, document, *args):
    return edge.json("settings", "put", "--user", user, *args, json.dumps(document))


def entry(edge, user):
    return next((each for each in edge.json("user", "list")["users"] if each["user_id"] == user),
                None)


def wait_settings(edge, user, document, timeout=10):
    wait_until(lambda: settings(edge, user) == document, timeout,
               lambda: f"{document} on {edge.device}: {settings(edge, user)}\n{edge.log()[-3000:]}")


# ---- users ----

def test_add_begins_with_a_first_sync(pair, user):
    one, two = pair
    put(one, user, {"v": 1}, "--wait", "10s")
    added = two.json("user", "add", user)
    assert added == {"success": True, "user_id": user, "added": True, "sync_started": True}
    wait_settings(two, user, {"v": 1})
    wait_until(lambda: entry(two, user)["synced_at"], 10, "the end of the first sync")
    again = two.json("user", "add", user)
    assert not again["added"] and again["success"]
    assert entry(one, user) is None  # put alone adds nobody
    assert user in two.cli("user", "list").stdout


def test_many_are_added_while_the_cloud_is_away(pair, user, stack):
    """More than rounds have places: each has its first sync once it is back, and `sync` its place."""
    one, two = pair
    names = [f"{user[:50]}-{n}" for n in range(18)]
    for name in (names[0], names[-1]):
        stack.ingest.cli("device", "grant", one.device, name)
        put(one, name, {"v": name}, "--wait", "10s")
    for name in names:
        stack.ingest.cli("device", "grant", two.device, name)
    stack.ingest.stop()
    for name in names:
        assert two.json("user", "add", name)["sync_started"], name
    late = two.cli("sync", "--timeout", "500ms", check=False)
    assert late.returncode == 3 and "busy" not in late.stderr, late
    stack.ingest.start()
    for name in (names[0], names[-1]):
        wait_settings(two, name, {"v": name})
    wait_until(lambda: all(entry(two, name)["synced_at"] for name in names), 20,
               lambda: f"the end of each first sync: {two.log()[-2000:]}")


def test_without_the_daemon_the_first_sync_is_at_its_start(pair, user):
    one, two = pair
    put(one, user, {"v": 1}, "--wait", "10s")
    two.stop()
    assert not two.json("user", "add", user)["sync_started"]
    two.start()
    wait_settings(two, user, {"v": 1})


def test_remove_keeps_what_is_here_and_purge_only_what_is_in_the_cloud(pair, user, stack):
    one, two = pair
    two.cli("user", "add", user)
    put(two, user, {"v": 1}, "--wait", "10s")
    two.cli("records", "put", "--table", "projects", "--user", user, "--id", "p", "--wait", "10s", "{}")
    two.put(f"history/{user}", {"command_id": "c-1"})
    wait_until(two.settled, 10, "all in the cloud")
    removed = two.json("user", "remove", user)
    assert removed["removed"] and not removed["purged"]
    assert settings(two, user) == {"v": 1} and entry(two, user) is None
    assert two.cli("user", "remove", user, check=False).returncode == 5
    two.stop()
    put(two, user, {"v": 2})
    refused = two.cli("user", "remove", user, "--purge", "--json", check=False)
    assert refused.returncode == 1 and json.loads(refused.stdout)["code"] == "busy"
    assert settings(two, user) == {"v": 2}
    two.start()
    wait_until(two.settled, 10, "the last edit in the cloud")
    assert two.json("user", "remove", user, "--purge")["purged"]
    assert settings(two, user) is None
    assert two.cli("records", "list", "--user", user, check=False).returncode in (0, 5)
    assert stack.ingest.settings(user)["settings"] == {"v": 2}
    for verb in (("remove", "nobody"), ("remove", "nobody", "--purge"),
                 ("set", "nobody", "sync=no")):
        assert two.cli("user", *verb, check=False).returncode == 5, verb
    for verb in (("add",), ("add", "a", "b"), ("set", user), ("set", user, "sync=maybe"),
                 ("set", user, "colour=red"), ("set", user, "sync=no", "--table", "projects")):
        assert two.cli("user", *verb, check=False).returncode == 2, verb
    assert two.cli("user", "add", "a/b", check=False).returncode == 1
    assert two.cli("user", "set", user, "sync=no", "--stream", "sensors", check=False).returncode != 0


def test_a_table_that_the_cloud_does_not_have_is_refused_at_once(pair, user):
    one, _ = pair
    args = ("records", "put", "--table", "no_such_table", "--user", user)
    one_record = one.cli(*args, "--id", "x", "--json", "{}", check=False)
    assert one_record.returncode == 1 and json.loads(one_record.stdout)["code"] == "unknown_table"
    lines = one.cli(*args, stdin='{"id":"a"}\n{"id":"b"}\n', check=False)
    assert lines.returncode == 1 and lines.stdout == "0 queued, 2 refused\n"
    switch = one.cli("user", "add", user)
    switch = one.cli("user", "set", user, "--table", "no_such_table", "auto_sync=no", check=False)
    assert switch.returncode == 1 and "[unknown_table]" in switch.stderr
    assert one.settled()


# ---- switches ----

def test_sync_off_keeps_edits_here_and_backfill_sends_them(pair, user, stack):
    one, two = pair
    for edge in pair:
        edge.cli("user", "add", user)
    put(one, user, {"v": 1}, "--wait", "10s")
    switched = one.json("user", "set", user, "sync=no", "--stream", "settings")
    assert switched["sync"] == {"settings": False, "records": True, "history": True}
    kept = put(one, user, {"v": 2})
    assert kept["result"] == "local" and not kept["queued"]
    assert entry(one, user)["unsent"] == 1 and one.json("status", "--user", user)["unsent"] == 1
    put(two, user, {"v": 1, "w": 1}, "--wait", "10s")
    one.json("sync", "--user", user)
    assert settings(one, user) == {"v": 2}  # what only a switch holds back is not overwritten
    assert stack.ingest.settings(user)["settings"] == {"v": 1, "w": 1}
    filled = one.json("user", "set", user, "sync=yes", "--backfill")
    assert filled["backfilled"] == {"documents": 1, "history": 0, "refused": 0} and filled["unsent"] == 0
    for edge in pair:
        wait_settings(edge, user, {"v": 2, "w": 1})
    assert "0 documents and 0 records" in one.cli("user", "set", user, "--backfill").stdout


def test_what_waits_when_a_switch_goes_off_is_parked_without_an_alarm(pair, user, stack):
    one, _ = pair
    one.cli("user", "add", user)
    put(one, user, {"v": 1}, "--wait", "10s")
    one.stop()
    put(one, user, {"v": 2})
    one.cli("user", "set", user, "sync=no", "--stream", "settings")
    one.start()
    result = one.json("sync", "--user", user)
    assert result["success"] and result["remaining"] == 0
    assert one.status()["pending_count"] == 1 and one.status()["parked"] == []
    assert stack.ingest.settings(user)["settings"] == {"v": 1}
    one.cli("user", "set", user, "sync=yes", "--stream", "settings")
    wait_until(one.settled, 10, "resumed")
    assert stack.ingest.settings(user)["settings"] == {"v": 2}


def test_history_that_a_switch_held_back_is_sent_later(pair, user, stack):
    one, _ = pair
    one.put(f"history/{user}", {"command_id": "before"})
    wait_until(one.settled, 10, "the first one sent")
    one.cli("user", "set", user, "sync=no", "--stream", "history")
    for n in range(3):
        result = json.loads(one.put(f"history/{user}", {"command_id": f"held-{n}"}).stdout)
        assert result["result"] == "local"
    filled = one.json("user", "set", user, "sync=yes", "--stream", "history", "--backfill")
    assert filled["backfilled"]["history"] == 3
    one.put(f"history/{user}", {"command_id": "after"})
    wait_until(one.settled, 10, "all sent")
    assert {record["command_id"] for record in stack.ingest.history(user)} == {
        "before", "held-0", "held-1", "held-2", "after"}
    assert all("hlc" in record for record in stack.ingest.history(user))


def test_auto_sync_off_leaves_a_table_to_sync(pair, user):
    one, two = pair
    for edge in pair:
        edge.cli("user", "add", user)
    two.stop()
    two.configure(sync__sync_interval="200ms")
    switched = two.json("user", "set", user, "auto_sync=no", "--table", "settings")
    assert not switched["auto_sync"]["settings"] and switched["auto_sync"]["projects"]
    put(one, user, {"v": 1}, "--wait", "10s")
    one.cli("records", "put", "--table", "projects", "--user", user, "--id", "p", "--wait", "10s",
            '{"v":1}')
    two.start()
    wait_until(lambda: two.json("records", "list", "--user", user)["items"], 10, "the record")
    wait_until(lambda: two.log().count("sync (timer)") >= 2, 10, "rounds of the timer")
    assert settings(two, user) is None
    result = two.json("sync", "--user", user)
    assert result["success"] and result["pulled"] >= 1
    assert settings(two, user) == {"v": 1}
    everything = two.json("user", "set", user, "auto_sync=no")
    assert not any(everything["auto_sync"].values())
    assert "none" in two.cli("user", "list").stdout


# ---- the scheduler ----

def test_the_start_logs_what_waits_and_what_became_of_it(pair, user):
    one, _ = pair
    one.stop()
    put(one, user, {"v": 1})
    one.cli("records", "put", "--table", "projects", "--user", user, "--id", "p", "{}")
    one.start()
    log = one.proc.wait_for_log(r"timer started \(300 s\)", 10).string
    assert "start: 2 pending (settings 1, records 1)" in log
    done = one.proc.wait_for_log(r"start: total=2 synced=2 failed=0 undecided=0 left=0", 10)
    assert done.start() < done.string.index("timer started")
    one.stop()
    log = one.log()
    assert log.index("stopping") < log.index("timer stopped")


def test_a_start_without_the_cloud_is_unfinished_and_waits_for_nobody(stack, certs, user):
    edge = stack.edge("d-late", sync__startup_sync_timeout="500ms", sync__sync_interval="0")
    stack.ingest.cli("device", "grant", edge.device, user)
    edge.cli("user", "add", user)
    stack.ingest.kill()
    try:
        edge.launch()
        edge.proc.wait_for_log("ready device=", 10)
        put(edge, user, {"v": 1})
        edge.proc.wait_for_log(r"start: not finished after 0 s, it goes on: the cloud does not answer",
                               10)
    finally:
        stack.ingest.start()
    edge.proc.wait_for_log(r"start: total=\d synced=\d failed=0", 20)
    assert stack.ingest.settings(user)["settings"] == {"v": 1}
    assert "timer started" not in edge.log()
    edge.close()


def test_the_interval_is_taken_up_by_a_reload(pair, user):
    one, _ = pair
    one.configure(sync__sync_interval="150ms", log__level="info", pacer__window=10)
    answer = one.json("reload")
    assert answer["reloaded"] == ["sync.sync_interval", "log.level"]
    assert answer["restart"] == ["pacer.window"]
    one.proc.wait_for_log(r"timer started \(0.15 s\)", 5)
    one.configure(sync__sync_interval="0")
    one.proc.signal(signal.SIGHUP)
    one.proc.wait_for_log("timer stopped", 5)
    one.proc.wait_for_log("these keys wait for a restart: pacer.window", 5)
    one.configure(sync__sync_interval="nonsense")
    refused = one.cli("reload", check=False)
    assert refused.returncode == 6  # the verb reads the same file
    one.proc.signal(signal.SIGHUP)
    one.proc.wait_for_log("what was in force stays", 5)
    one.configure(sync__sync_interval="300s")
    assert "taken up: sync.sync_interval" in one.cli("reload").stdout
    assert one.running() and one.status()["is_online"]


def test_coming_online_syncs_at_once(pair, user, stack):
    one, two = pair
    for edge in pair:
        edge.cli("user", "add", user)
    put(one, user, {"v": 1}, "--wait", "10s")
    wait_settings(two, user, {"v": 1})
    stack.broker.kill()
    wait_until(lambda: not two.status()["is_online"], 10, "offline")
    assert two.json("status", "--user", user)["sync_status"] == "offline"
    stack.broker.start()
    two.cli("flush", check=False)
    two.proc.wait_for_log(r"sync \(online\): .*left=0", 20)


# ---- sync ----

def test_sync_tells_what_it_did(pair, user, stack):
    one, two = pair
    for edge in pair:
        edge.cli("user", "add", user)
    wait_until(lambda: entry(two, user)["synced_at"], 10, "the first sync")
    one.stop()
    put(one, user, {"v": 1})
    for n in range(3):
        one.cli("records", "put", "--table", "projects", "--user", user, "--id", f"p{n}", "{}")
    one.launch()
    one.proc.wait_for_log("ready", 10)
    pushed = one.json("sync", "--user", user, "--timeout", "20s")
    assert pushed["success"] and pushed["remaining"] == pushed["failed"] == 0
    assert pushed["conflicts"] == 0 and pushed["synced"] == pushed["pushed"] <= pushed["total"] <= 4
    pulled = two.json("sync")
    assert pulled["success"]
    assert len(two.json("records", "list", "--user", user)["items"]) == 3
    assert "remaining" in two.cli("sync", "--table", "settings").stdout
    assert two.cli("sync", "--user", "nobody", check=False).returncode == 5
    assert two.cli("sync", "--user", "a/b", check=False).returncode == 1
    slip = two.cli("sync", "--table", "project", check=False)
    assert slip.returncode == 1 and "no table 'project' [unknown_table]" in slip.stderr
    two.stop()
    assert two.cli("sync", check=False).returncode == 3


def test_sync_of_a_user_without_a_binding_says_so(stack, user):
    edge = stack.edge("d-unbound").start()
    edge.cli("user", "add", user)
    put(edge, user, {"v": 1})
    result = edge.cli("sync", "--user", user, "--timeout", "5s", "--json", check=False)
    answer = json.loads(result.stdout)
    assert result.returncode != 0 and not answer["success"]
    assert answer["last_error"]["code"] == "forbidden" and answer["remaining"] == 1
    parked = wait_until(lambda: edge.status().get("parked"), 10, "a parked stream")[0]
    assert parked["stream"] == f"settings/{user}" and parked["tries"] >= 1 and parked["last_try"]
    waiting, = edge.json("queue")["items"]
    assert waiting["retry_count"] >= 1 and waiting["last_retry"] and waiting["error_message"]
    edge.stop()
    waiting, = edge.json("queue")["items"]
    assert waiting["retry_count"] is None and waiting["last_retry"] is None
    edge.start()
    stack.ingest.cli("device", "grant", edge.device, user)
    assert edge.json("sync", "--user", user, "--timeout", "20s")["success"]
    assert edge.json("queue")["items"] == []
    edge.close()


# ---- the indicator ----

def test_the_indicator_tells_whose_binding_is_missing(pair, user, stack):
    """A user that is only read for has no stream that could be parked; the others are as they are."""
    one, _ = pair
    other = f"{user}-unbound"
    for name in (user, other):
        one.cli("user", "add", name)
    why = wait_until(lambda: one.json("status", "--user", other)["last_error"], 10, "the reason")
    assert why["code"] == "forbidden" and f"device grant {one.device} {other}" in why["message"]
    assert one.json("status", "--user", other)["sync_status"] == "syncing"
    wait_until(lambda: one.json("status", "--user", user)["sync_status"] == "synced", 10, "synced")
    assert one.json("status", "--user", user)["last_error"] is None
    for words in (["status"], ["status", "--user", other]):
        assert "device grant" in one.cli(*words).stdout
    result = one.cli("sync", "--timeout", "5s", check=False)
    assert result.returncode == 4 and f"user {other}: " in result.stderr
    for verb in (("settings", "restore"), ("settings", "history", "--cloud")):
        refused = one.cli(*verb, "--user", other, check=False)
        assert refused.returncode != 0
        assert f"device grant {one.device} {other}" in refused.stderr, refused
    stack.ingest.cli("device", "grant", one.device, other)
    assert one.json("sync")["success"]
    assert one.json("status", "--user", other)["last_error"] is None
    assert one.status()["last_error"] is None and one.status()["sync_status"] == "synced"


def test_what_was_read_is_a_sync_too(pair, user):
    one, two = pair
    for edge in pair:
        edge.cli("user", "add", user)
    wait_until(lambda: entry(two, user)["synced_at"], 10, "the first sync")
    first = entry(two, user)["last_sync"]
    put(one, user, {"v": 1})
    wait_settings(two, user, {"v": 1})
    status = two.json("status", "--user", user)
    assert first < status["last_sync"] == status["last_download"] == entry(two, user)["last_sync"]
    assert two.status()["last_sync"] == status["last_sync"]


def test_the_indicator_of_one_user(pair, user):
    one, two = pair
    for edge in pair:
        edge.cli("user", "add", user)
    put(one, user, {"v": 1}, "--wait", "10s")
    one.json("sync", "--user", user)
    wait_until(lambda: one.json("status", "--user", user)["sync_status"] == "synced", 10, "synced")
    status = one.json("status", "--user", user)
    assert status["user_id"] == user and status["added"] and status["is_online"] and status["running"]
    assert status["pending_count"] == status["conflicts"] == status["unsent"] == 0
    assert status["last_sync"] and status["last_upload"] and status["last_download"]
    assert status["last_server_version"] == 1 and status["trouble"] == []
    assert {table["table"] for table in status["tables"]} >= {"settings", "projects"}
    assert one.status()["users"] == 1 and one.status()["unsent"] == 0
    assert one.status()["sync_status"] == "synced" and one.status()["last_sync"]
    assert "synced" in one.cli("status", "--user", user).stdout
    one.stop()
    put(one, user, {"v": 2})
    down = one.json("status", "--user", user)
    assert down["sync_status"] == "offline" and down["pending_count"] == 1 and not down["running"]
    assert one.cli("status", "--user", "nobody", check=False).returncode == 5


def test_wait_names_the_clouds_own_time(pair, user, stack):
    one, _ = pair
    receipt = put(one, user, {"v": 1}, "--wait", "10s")
    assert receipt["synced"] and receipt["result"] == "stored"
    version, = one.json("settings", "history", "--user", user, "--cloud")["versions"]
    assert receipt["updated_at"] == version["updated_at"]
    record = one.json("records", "put", "--table", "projects", "--user", user, "--id", "p", "--wait",
                      "10s", "{}")
    assert record["synced"] and record["updated_at"] and record["task_id"] == record["op_id"]
