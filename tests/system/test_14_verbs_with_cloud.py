"""edge_agent's verbs while the cloud answers: what they say must be what happened."""

import json

import pytest

from lib.stack import Stack
from lib.wait import wait_until

AIR = "sensors/air_quality"


@pytest.fixture(scope="module")
def stack(certs):
    stack = Stack(certs)
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def edge(stack, request):
    """A device of its own for each test, connected."""
    name = "dev-" + request.node.name.replace("_", "-")[5:60]
    edge = stack.edge(name).start()
    yield edge
    edge.close()


def put(edge, *args, code=0):
    result = edge.cli("put", *args, "--json", check=False)
    assert result.returncode == code, result
    return json.loads(result.stdout)


def test_wait_returns_with_the_clouds_answer(edge):
    receipt = put(edge, AIR, "--id", "a-1", "--wait", "10s", '{"pm2_5":12.5}')
    assert receipt["success"] and receipt["queued"] and receipt["synced"] and not receipt["cached"]
    assert receipt["result"] == "stored" and receipt["task_id"] == receipt["op_id"] == "a-1"
    assert receipt["updated_at"] and receipt["message"] == "synced"
    again = put(edge, AIR, "--id", "a-1", "--wait", "10s", '{"pm2_5":12.5}')
    assert again["repeat"] and again["synced"] and again["seq"] == receipt["seq"]
    text = edge.cli("put", AIR, "--wait", "10s", '{"pm2_5":12.5}').stdout
    assert text == f"queued {AIR} seq 2, synced\n"


def test_whoever_asks_after_the_answer_is_told_it_all_the_same(edge):
    asked = {"good": '{"pm2_5":1}', "bad": '{"pm2_5":"much"}'}
    first = {name: put(edge, AIR, "--id", name, record) for name, record in asked.items()}
    wait_until(edge.settled, 20, "both answered before anybody asks")
    good, bad = (put(edge, AIR, "--id", name, "--wait", "10s", record, code=int(name == "bad"))
                 for name, record in asked.items())
    assert good["seq"] == first["good"]["seq"] and bad["seq"] == first["bad"]["seq"]
    assert good["synced"] and good["result"] == "stored" and good["updated_at"]
    assert bad["result"] == "rejected" and "pm2_5" in bad["message"] and bad["updated_at"]

    edge.stop()
    edge.start()  # another process: it knows from the outbox, which keeps no times
    wait_until(lambda: edge.status()["is_online"], 20, "online again")
    good, bad = (put(edge, AIR, "--id", name, "--wait", "10s", record, code=int(name == "bad"))
                 for name, record in asked.items())
    assert good["synced"] and good["result"] == "stored" and good["updated_at"] is None
    assert bad["result"] == "rejected" and "pm2_5" in bad["message"] and bad["updated_at"] is None
    edge.json("dead", "drop", "--all")
    bad = put(edge, AIR, "--id", "bad", "--wait", "10s", asked["bad"], code=1)
    assert bad["result"] == "rejected" and bad["message"] == "refused before"


def test_a_record_that_shrinks_to_nearly_nothing_holds_nothing_up(edge):
    edge.put("sensors/map", [{"cells": "0" * 900_000}, {"cells": "1"}])
    wait_until(edge.settled, 30, "both answered")


def test_status_and_flush_when_all_is_well(edge):
    edge.put(AIR, [{"pm2_5": n} for n in range(100)])
    counts = edge.json("flush", "--timeout", "20s")
    assert counts["success"] and counts["remaining"] == counts["failed"] == 0
    assert counts["sent"] == counts["synced"] <= counts["total"] <= 100
    assert "remaining" in edge.cli("flush").stdout
    status = edge.status()
    assert status["sync_status"] == "synced" and status["is_online"] and status["running"]
    assert status["pending_count"] == 0 and status["pending_by_type"] == {}
    assert status["last_sync"] and status["oldest_pending"] is None
    assert edge.json("queue", "list")["items"] == []
    text = edge.cli("status").stdout
    assert "status       synced" in text and "daemon       running" in text


def test_what_the_cloud_refuses_is_in_the_dead_letter_with_its_reason(edge, stack):
    record = '{"ts":"2026-01-02T03:04:05Z","pm2_5":"much","pm10":1.50}'
    receipt = put(edge, AIR, "--id", "bad", "--wait", "10s", record, code=1)
    assert receipt["queued"] and receipt["result"] == "rejected" and not receipt["synced"]
    assert "pm2_5" in receipt["message"]
    again = put(edge, AIR, "--id", "bad", "--wait", "10s", record, code=1)  # answered long ago
    assert again["seq"] == receipt["seq"] and again["result"] == "rejected"
    assert "pm2_5" in again["message"]
    good = put(edge, AIR, "--wait", "10s", '{"pm2_5":1}')
    assert good["synced"]
    letters = edge.json("dead", "list")
    letter, = letters["items"]
    assert letters["failed_count"] == edge.status()["failed_count"] == 1
    assert letter["stream"] == AIR and letter["seq"] == receipt["seq"]
    assert letter["op_id"] == f"{receipt['epoch']}:{AIR}:{receipt['seq']}"
    assert letter["code"] in ("bad_type", "bad_value") and "pm2_5" in letter["reason"]
    assert letter["sync_status"] == "failed" and letter["dead_at"]
    shown = edge.cli("dead", "show", letter["id"], "--json").stdout
    assert '"row":["2026-01-02T03:04:05Z","much",1.50]' in shown
    assert json.loads(shown)["fields"] == ["ts", "pm2_5", "pm10"]
    assert '"much",1.50' in edge.cli("dead", "show", letter["id"]).stdout

    assert edge.json("dead", "retry", letter["id"]) == {"success": True, "retried": 1}
    wait_until(lambda: retried(edge), 20, lambda: f"the second refusal: {edge.json('dead', 'list')}")
    assert len(stack.ingest.readings(edge.device, "air_quality")) == 1

    assert edge.cli("dead", "drop", "999", check=False).returncode == 5
    assert edge.json("dead", "drop", "--all") == {"success": True, "dropped": 1}
    assert edge.json("dead", "list") == {"items": [], "failed_count": 0}
    assert stack.ingest.verify(fresh=10, device=edge.device)["success"]


def retried(edge):
    letter, = edge.json("dead", "list")["items"]
    return letter["sync_status"] == "failed" and letter["retry_count"] == 1


def test_a_user_without_a_binding_waits_and_says_why(edge, stack):
    user = "stranger"
    edge.put(f"history/{user}", {"command_id": "c-1"})
    edge.put(AIR, {"pm2_5": 1})
    parked = wait_until(lambda: edge.status().get("parked"), 20, "a parked stream")
    assert parked[0]["stream"] == f"history/{user}" and parked[0]["code"] == "forbidden"
    wait_until(lambda: edge.status()["pending_count"] == 1, 20, "the other stream in the cloud")
    waiting, = edge.json("queue")["items"]
    assert waiting["stream"] == f"history/{user}" and waiting["error_message"] == parked[0]["reason"]
    assert f"history/{user}" in edge.cli("queue").stdout and "parked" in edge.cli("status").stdout
    assert edge.status()["failed_count"] == 0
    stack.ingest.cli("device", "grant", edge.device, user)
    assert edge.json("flush", "--timeout", "20s")["remaining"] == 0
    assert [record["command_id"] for record in stack.ingest.history(user)] == ["c-1"]


def test_settings_are_restored_on_another_device(edge, stack):
    user = "user-restore"
    other = stack.edge("dev-other").start()
    for device in (edge, other):
        stack.ingest.cli("device", "grant", device.device, user)
    nothing = edge.cli("settings", "restore", "--user", user, check=False)
    assert nothing.returncode == 5 and user in nothing.stderr
    other.cli("settings", "put", "--user", user, '{"theme": "dark", "n": 9007199254740993}')
    wait_until(other.settled, 20, "the settings in the cloud")
    restored = edge.json("settings", "restore", "--user", user)
    assert restored["success"] and restored["restored"] and restored["server_version"] == 1
    assert edge.cli("settings", "get", "--user", user).stdout == (
        '{"theme": "dark", "n": 9007199254740993}\n')
    stack.ingest.kill()
    edge.cli("settings", "put", "--user", user, '{"theme":"own"}')
    late = edge.cli("settings", "restore", "--user", user, "--timeout", "500ms", check=False)
    assert late.returncode == 3
    stack.ingest.start()
    wait_until(edge.settled, 20, "the own edit in the cloud")
    assert edge.json("settings", "get", "--user", user)["settings"] == {"theme": "own"}
    assert edge.status()["conflicts"] == 0
    other.close()


def test_an_edit_that_lost_is_kept_aside_and_counted(edge, stack):
    user = "user-conflict"
    other = stack.edge("dev-rival").start()
    for device in (edge, other):
        stack.ingest.cli("device", "grant", device.device, user)
    other.cli("settings", "put", "--user", user, '{"theme":"theirs"}')
    wait_until(other.settled, 20, "their settings in the cloud")
    edge.cli("settings", "put", "--user", user, '{"theme":"mine"}')
    wait_until(lambda: edge.status()["conflicts"] == 1, 20, "the conflict")
    assert edge.status()["sync_status"] == "conflict"
    wait_until(lambda: edge.json("settings", "get", "--user", user)["settings"] == {"theme": "theirs"},
               10, "their document in force")
    edge.cli("settings", "put", "--user", user, '{"theme":"ours"}')
    wait_until(edge.settled, 20, "the edit on their document")
    assert stack.ingest.settings(user)["settings"] == {"theme": "ours"}
    other.close()


def test_the_switch_for_history_starts_from_now(edge, stack):
    user = "user-private"
    stack.ingest.cli("device", "grant", edge.device, user)
    edge.stop()
    edge.configure(sync__sync_history="no")
    edge.start()
    local = json.loads(edge.put(f"history/{user}", {"command_id": "secret"}).stdout)
    assert local["result"] == "local" and not local["queued"]
    edge.stop()
    edge.configure(sync__sync_history="yes")
    edge.start()
    edge.put(f"history/{user}", {"command_id": "public"})
    wait_until(edge.settled, 20, "everything sent")
    assert [record["command_id"] for record in stack.ingest.history(user)] == ["public"]
