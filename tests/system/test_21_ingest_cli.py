"""cloud_ingest's command line: every verb, what its JSON promises, exit statuses."""

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lib.plain import PlainClient, new_epoch
from lib.stack import (HOST, Stack, bucket_of, clean_environment, ingest_program, reply_topic,
                       up_topic, write_ini)
from lib.wait import wait_until

FIGURES = {"made", "stored", "duplicates", "revised", "rejected", "conflict", "holes", "branched",
           "dropped", "pending", "missing", "lost", "doubles"}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


@pytest.fixture(scope="module")
def stack(certs):
    stack = Stack(certs)
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def own_stack(certs):
    stacks = []

    def make(**values):
        stacks.append(Stack(certs, **values))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.close()


@pytest.fixture
def client():
    clients = []

    def make(*args, **options):
        clients.append(PlainClient(*args, **options))
        return clients[-1]

    yield make
    for one in clients:
        one.close()


@pytest.fixture
def bare(tmp_path):
    """bare(**values): runs the program with a configuration of its own and no daemon."""
    program = ingest_program()

    def run(*args, env=None, **values):
        values = {name.replace("__", ".", 1): value for name, value in values.items()}
        config = write_ini(tmp_path / "bare.conf", {"ingest.state_dir": tmp_path / "state", **values})
        return subprocess.run([program, "--config", config, *map(str, args)], capture_output=True,
                              text=True, timeout=20, check=False,
                              env={**clean_environment(), **(env or {})})

    return run


def sensor_rows(first, count):
    return [[f"2026-01-02T03:04:{seq % 60:02}Z", seq * 0.5] for seq in range(first, first + count)]


def say_hello(device, streams, epochs=None):
    """A hello as an outbox says it; returns the welcome. streams: {name: (made, settled, held)}."""
    nonce = str(uuid.uuid4())
    listed = [{"stream": name, "made": made, "settled": settled, "held": held}
              for name, (made, settled, held) in streams.items()]
    hello = {"v": 1, "kind": "hello", "nonce": nonce, "device": device.device, "receipt": None,
             "epoch": device.epoch, "page": 1, "pages": 1, "sent_at": "2026-01-02T03:04:00Z",
             "epochs": [{"epoch": device.epoch, "streams": listed}] + (epochs or [])}
    return device.ask(json.dumps(hello).encode(), "ctl", correlation=nonce.encode())


def state_of(stack, device):
    return next((entry["state"] for entry in stack.ingest.json("devices")["devices"]
                 if entry["device"] == device), None)


# --- devices and bindings ---


def test_device_add_prints_the_topics_and_may_be_repeated(stack):
    added = stack.ingest.json("device", "add", "meter-9")
    assert added["success"] and added["result"] == "added"
    assert added["device"] == added["device_id"] == "meter-9"
    assert added["bucket"] == bucket_of("meter-9")
    assert up_topic("meter-9", "ctl") in added["topics"]["publish"]
    assert "sb/v1/state/meter-9" in added["topics"]["publish"]
    assert set(added["topics"]["subscribe"]) == {
        reply_topic("meter-9"), "sb/v1/down/meter-9/notify", "sb/v1/ingest/+"}
    assert stack.ingest.json("device", "add", "meter-9")["result"] == "exists"
    text = stack.ingest.cli("device", "add", "meter-9").stdout
    assert up_topic("meter-9") in text and "device grant meter-9" in text
    for bad in ("a.b", "_op-x", "", "x" * 65):
        result = stack.ingest.cli("device", "add", bad, check=False)
        assert result.returncode == 1 and "bad_id" in result.stderr and result.stdout == ""


def test_devices_lists_what_is_known_of_each(stack, client):
    device = client(stack, "listed")
    device.send("sensors/a", 1, sensor_rows(1, 3))
    device.send("sensors/b", 1, sensor_rows(1, 2))
    stack.ingest.cli("device", "grant", "listed", "user-l")
    stack.ingest.cli("device", "grant", "listed", "user-a")
    stack.ingest.cli("device", "grant", "listed", "user-a")
    found = {entry["device"]: entry for entry in stack.ingest.json("devices")["devices"]}["listed"]
    assert found["device_id"] == "listed"
    assert (found["streams"], found["records"], found["epochs"]) == (2, 5, 1)
    assert found["users"] == ["user-a", "user-l"]
    assert found["revoked"] is False and found["state"] in ("offline", "unknown")
    assert TIME.match(found["added_at"]) and TIME.match(found["last_seen"])
    assert found["hello_at"] is None
    device.mqtt.publish("sb/v1/state/listed", b'{"v":1,"state":"online"}', retain=True)
    wait_until(lambda: state_of(stack, "listed") == "online", 5, "the state")
    assert say_hello(device, {})["kind"] == "welcome"
    found = stack.ingest.json("devices", "--user", "user-l")["devices"]
    assert [entry["device"] for entry in found] == ["listed"]
    assert found[0]["state"] == "online" and TIME.match(found[0]["hello_at"])
    assert stack.ingest.json("devices", "--user", "nobody") == {"devices": []}
    table = stack.ingest.cli("devices").stdout.splitlines()
    assert table[0].startswith("DEVICE") and any(
        re.match("listed +online ", line) for line in table)


def test_device_list_grant_and_revoke(stack):
    stack.ingest.cli("device", "grant", "bound", "user-1")
    listed = stack.ingest.json("device", "list", "--device", "bound")["bindings"]
    assert [(entry["device"], entry["user"]) for entry in listed] == [("bound", "user-1")]
    assert TIME.match(listed[0]["granted_at"])
    assert stack.ingest.json("device", "revoke", "bound", "--user", "user-1")["result"] == "revoked"
    assert stack.ingest.json("device", "list", "--device", "bound") == {"bindings": []}
    result = stack.ingest.cli("device", "revoke", "bound", "--user", "user-1", check=False)
    assert result.returncode == 5 and "no binding" in result.stderr
    for args in (("grant", "bound", "a.b"), ("grant", "a/b", "user-1"), ("revoke", "a+b")):
        result = stack.ingest.cli("device", *args, check=False)
        assert result.returncode == 1 and "bad_id" in result.stderr, args
    stack.ingest.cli("device", "revoke", "banned")
    states = {entry["device"]: entry for entry in stack.ingest.json("devices")["devices"]}
    assert states["banned"]["revoked"] and states["banned"]["state"] == "revoked"
    stack.ingest.cli("device", "revoke", "banned", "--undo")
    states = {entry["device"]: entry for entry in stack.ingest.json("devices")["devices"]}
    assert not states["banned"]["revoked"]


# --- readings ---


def test_readings_since_and_limit(stack, client):
    device = client(stack, "ranges")
    now = datetime.now(timezone.utc)
    times = [(now - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (50, 3, 1)]
    device.send("sensors/x", 1, [[time, number] for number, time in enumerate(times)])
    got = stack.ingest.readings("ranges", "x")
    assert [row["seq"] for row in got] == [1, 2, 3]
    assert [row["ts"] for row in got] == times
    assert {(row["device"], row["type"], row["epoch"]) for row in got} == {
        ("ranges", "x", device.epoch)}
    assert all(TIME.match(row["received_at"]) for row in got)
    assert [r["seq"] for r in stack.ingest.readings("ranges", "x", "--limit", 2)] == [1, 2]
    assert [r["seq"] for r in stack.ingest.readings("ranges", "x", "--since", "24h")] == [2, 3]
    assert [r["seq"] for r in stack.ingest.readings("ranges", "x", "--since", times[2])] == [3]
    for args in (("--since", "soon"), ("--limit", "0"), ("--limit", "-1"), ("--format", "xml")):
        result = stack.ingest.cli("readings", "--device", "ranges", "--type", "x", *args, check=False)
        assert result.returncode == 2 and result.stdout == "", args
    for args in (("--device", "nobody", "--type", "x"), ("--device", "ranges", "--type", "y")):
        result = stack.ingest.cli("readings", *args, check=False)
        assert result.returncode == 5 and result.stdout == "" and "no such readings" in result.stderr


def test_many_readings_stream_with_flat_memory(own_stack, client):
    """500,000 rows: seconds, and no more memory than a hundredth of them take."""
    stack = own_stack().start()
    device = client(stack, "many")
    few, many, size, window = 5, 500, 1000, 16

    def send(batches):
        flying = {}
        for number in batches:
            while len(flying) >= window:
                take(flying)
            first = number * size + 1
            batch = device.batch("sensors/many", first, [
                [f"2026-01-02T03:04:{i % 60:02}.{i % 1000:03}Z", i * 0.5, i, "some text", None]
                for i in range(first, first + size)], fields=["ts", "a", "b", "c", "d"])
            flying[device.publish(batch)] = batch
        while flying:
            take(flying)

    def take(flying):
        correlation = next(iter(flying))
        assert device.wait_reply(correlation, 30)["result"] == "stored"
        del flying[correlation]
        device.mqtt.messages.clear() if not flying else None

    def measure(format_):
        """Seconds, peak memory in KiB as far as it was seen, lines."""
        started, lines, peak = datetime.now(), 0, 0
        with subprocess.Popen([stack.ingest.program, "--config", stack.ingest.config, "readings",
                               "--device", "many", "--type", "many", "--format", format_],
                              stdout=subprocess.PIPE, bufsize=0, env=clean_environment()) as process:
            while chunk := process.stdout.read(1 << 16):
                lines += chunk.count(b"\n")
                seen = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
                peak = max(peak, int(seen.group(1)) if seen else 0)
        assert process.returncode == 0
        return (datetime.now() - started).total_seconds(), peak, lines

    send(range(few))
    base = {format_: measure(format_) for format_ in ("ndjson", "csv")}
    send(range(few, many))
    for format_, (_, memory, _) in base.items():
        seconds, peak, lines = measure(format_)
        print(f"{format_}: {lines} lines in {seconds:.2f} s, {peak} KiB (small: {memory} KiB)")
        assert lines == many * size + (format_ == "csv")
        assert seconds < 30
        assert 0 < peak < memory + 12 * 1024  # the page cache, which is bounded, and no more


def test_a_reader_that_leaves_early_ends_it_quietly(stack, client):
    device = client(stack, "pipe")
    for number in range(5):
        device.send("sensors/x", number * 1000 + 1, sensor_rows(number * 1000 + 1, 1000))
    args = [stack.ingest.program, "--config", stack.ingest.config, "readings", "--device", "pipe",
            "--type", "x"]
    reader = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert reader.stdout.readline().startswith(b"{")
    reader.stdout.close()
    assert reader.wait(10) == -signal.SIGPIPE
    assert reader.stderr.read() == b""
    reader.stderr.close()
    with open("/dev/full", "wb") as full:
        result = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1 and "standard output" in result.stderr


# --- history and settings ---


def command(number, **more):
    return {"command_id": f"cmd-{number:03}", "robot_id": "arm-1", "command_type": "move",
            "status": "running", "created_at": f"2026-01-02T03:04:{number:02}Z", **more}


def test_history_pages_newest_commit_first(stack, client):
    stack.ingest.cli("device", "grant", "robot", "user-h")
    device = client(stack, "robot")
    big = '{"command_id":"cmd-000","robot_id":"arm-1","status":"running","created_at":' \
          '"2026-01-02T03:04:00Z","n":12345678901234567890,"x":1.50, "none":null}'
    batch = device.batch("history/user-h", 1, ["here"])
    text = json.dumps(batch).replace('"here"', big)
    assert device.ask(text.encode(), "history",
                      correlation=batch["batch_id"].encode())["result"] == "stored"
    for number in range(1, 5):
        device.send("history/user-h", number + 1, [command(number)])
    reply = device.send("history/user-h", 6, [command(2, status="succeeded", hlc="019b7c10a1b20001")])
    assert reply["revised"] == 1
    assert device.send("history/user-h", 7, [command(3)])["duplicates"] == 1
    page = stack.ingest.json("history", "--user", "user-h")
    assert page["user"] == page["user_id"] == "user-h"
    assert (page["limit"], page["offset"], page["total"]) == (100, 0, 5)
    assert [r["command_id"] for r in page["records"]] == [
        "cmd-002", "cmd-004", "cmd-003", "cmd-001", "cmd-000"]
    newest = page["records"][0]
    assert newest["status"] == "succeeded"
    assert newest["_sync"]["device"] == "robot" and newest["_sync"]["revisions"] == 2
    assert TIME.match(newest["_sync"]["received_at"])
    page = stack.ingest.json("history", "--user", "user-h", "--limit", 2, "--offset", 1)
    assert [r["command_id"] for r in page["records"]] == ["cmd-004", "cmd-003"]
    assert page["total"] == 5
    raw = stack.ingest.cli("history", "--user", "user-h", "--offset", 4, "--json").stdout
    assert big[:-1] in raw
    assert stack.ingest.json("history", "--user", "no-one")["total"] == 0
    nobody = stack.ingest.cli("history", "--user", "no-one", check=False)
    assert nobody.returncode == 5 and nobody.stdout == "" and "no-one" in nobody.stderr
    assert "5 of 5" in stack.ingest.cli("history", "--user", "user-h").stdout
    assert stack.ingest.cli("history", "--user", "a.b", check=False).returncode == 2
    assert stack.ingest.cli("history", check=False).returncode == 2


def test_a_record_with_a_member_of_our_name_keeps_its_own(stack, client):
    stack.ingest.cli("device", "grant", "robot-2", "user-m")
    device = client(stack, "robot-2")
    assert device.send("history/user-m", 1, [command(1, _sync="mine")])["result"] == "stored"
    assert stack.ingest.history("user-m")[0]["_sync"] == "mine"


def test_what_a_device_sent_does_not_drive_the_terminal(stack, client):
    stack.ingest.cli("device", "grant", "evil", "user-e")
    device = client(stack, "evil")
    assert device.send("history/user-e", 1, [command(1, command_id="c\x1b[2J\u009bx\n")])[
        "result"] == "stored"
    assert device.ask(b"\x1b[2J{", correlation=str(uuid.uuid4()).encode())["result"] == "rejected"
    listed = stack.ingest.quarantine("--device", "evil")
    for args in (("history", "--user", "user-e"), ("quarantine", "list", "--device", "evil"),
                 ("quarantine", "show", listed[0]["id"])):
        text = stack.ingest.cli(*args).stdout
        assert "\x1b" not in text and "\u009b" not in text, args
    assert "c\\x1b[2J\\xc2\\x9bx\\x0a" in stack.ingest.cli("history", "--user", "user-e").stdout
    assert stack.ingest.history("user-e")[0]["command_id"] == "c\x1b[2J\u009bx\n"


def test_settings_print_the_document_as_it_was_sent(stack, client):
    for name in ("set-1", "set-2"):
        stack.ingest.cli("device", "grant", name, "user-s")
    first, second = client(stack, "set-1"), client(stack, "set-2")
    document = '{"theme":"dark", "big":12345678901234567890,"x":1.50,"none":null,"list":[1,2]}'

    def put(device, seq, op_id, base, settings):
        batch = device.batch("settings/user-s", seq, ["here"])
        operation = f'{{"op_id":"{op_id}","hlc":"019b7c10a1b3000{seq}","base":{base},' \
                    f'"settings":{settings}}}'
        return device.ask(json.dumps(batch).replace('"here"', operation).encode(), "settings",
                          correlation=batch["batch_id"].encode())

    result = stack.ingest.cli("settings", "--user", "user-s", check=False)
    assert result.returncode == 5 and result.stdout == ""
    none = stack.ingest.json("settings", "--user", "user-s")
    assert none["exists"] is False and none["settings"] is None and none["as_of"] == 0
    assert put(first, 1, "op-1", "null", document)["result"] == "stored"
    assert put(second, 1, "op-2", "null", '{"theme":"light"}')["result"] == "conflict"
    assert stack.ingest.cli("settings", "--user", "user-s").stdout == document + "\n"
    shown = stack.ingest.json("settings", "--user", "user-s")
    assert shown["exists"] and shown["user"] == shown["user_id"] == "user-s"
    assert shown["device"] == shown["edge_id"] == "set-1"
    assert (shown["version"], shown["op_id"], shown["as_of"]) == (1, "op-1", 1)
    assert re.fullmatch("[0-9a-f]{16}", shown["tag"]) and TIME.match(shown["updated_at"])
    assert document in stack.ingest.cli("settings", "--user", "user-s", "--json").stdout
    assert [(c["op_id"], c["device"], c["code"], c["settings"]) for c in shown["conflicts"]] == [
        ("op-2", "set-2", None, {"theme": "light"})]
    assert stack.ingest.cli("settings", "--user", "a/b", check=False).returncode == 2


# --- quarantine ---


def test_quarantine_lists_and_shows(stack, client):
    device = client(stack, "kept")
    for payload in (b"\xff{", b"not json", b"not json"):
        device.ask(payload, correlation=str(uuid.uuid4()).encode())
    listed = stack.ingest.quarantine("--device", "kept")
    assert [(entry["code"], entry["times"], entry["size"], entry["kept"]) for entry in listed] == [
        ("bad_json", 2, 8, 8), ("bad_utf8", 1, 2, 2)] or [entry["code"] for entry in listed] == [
        "bad_json", "bad_json"]
    assert all(TIME.match(entry["first_at"]) and TIME.match(entry["last_at"]) for entry in listed)
    shown = stack.ingest.json("quarantine", "show", listed[0]["id"])
    assert shown["payload"] == "not json" and shown["payload_base64"] == "bm90IGpzb24="
    shown = stack.ingest.json("quarantine", "show", listed[1]["id"])
    assert shown["payload"] is None and shown["payload_base64"] == "/3s="
    assert "not json" in stack.ingest.cli("quarantine", "show", listed[0]["id"]).stdout
    assert len(stack.ingest.quarantine("--limit", 1)) == 1
    assert stack.ingest.quarantine("--device", "nobody") == []
    assert stack.ingest.cli("quarantine", "show", 999999, check=False).returncode == 5
    for bad in ("x", "0", "-1", "1.5"):
        assert stack.ingest.cli("quarantine", "show", "--", bad, check=False).returncode == 2


# --- verify ---


def test_verify_counts_per_stream_and_in_total(stack, client):
    device = client(stack, "audited")
    stack.ingest.cli("device", "grant", "audited", "user-v")
    device.send("sensors/air_quality", 1, [["2026-01-02T03:04:05Z", 1], ["bad", 2]],
                fields=["ts", "pm2_5"])
    device.send("history/user-v", 1, [command(1)])
    device.send("history/user-v", 2, [command(1), command(1, status="done")])
    hole = device.batch("sensors/air_quality", 3, [], last_seq=5, rows=None, fields=None,
                        hole={"reason": "evicted"})
    assert device.ask(hole)["result"] == "stored"
    report = stack.ingest.verify(device="audited")
    assert report["success"] and report["fresh"] is None and report["age_ms"] is None
    by_stream = {entry["stream"]: entry for entry in report["streams"]}
    assert set(by_stream) == {"sensors/air_quality", "history/user-v"}
    for entry in (*report["streams"], report["total"]):
        assert FIGURES <= set(entry), FIGURES - set(entry)
    sensors, history = by_stream["sensors/air_quality"], by_stream["history/user-v"]
    assert (sensors["made"], sensors["stored"], sensors["rejected"], sensors["holes"]) == (5, 1, 1, 3)
    assert (history["made"], history["stored"], history["duplicates"], history["revised"]) == (
        3, 1, 1, 1)
    assert {entry["epoch"] for entry in report["streams"]} == {device.epoch}
    assert all(entry["missing"] == 0 and entry["missing_numbers"] == [] for entry in report["streams"])
    assert report["total"]["made"] == 8
    table = stack.ingest.cli("verify", "--device", "audited").stdout.splitlines()
    assert table[0].split()[:4] == ["DEVICE", "EPOCH", "STREAM", "MADE"]
    assert table[-1].split()[0] == "total" and len(table) == 4


def test_verify_says_what_is_missing_and_what_was_lost(own_stack, client):
    stack = own_stack().start()
    device = client(stack, "gaps")
    device.send("sensors/x", 1, sensor_rows(1, 5))
    # Numbers 6 to 10 are answered, the device says; the cloud knows nothing of them.
    assert say_hello(device, {"sensors/x": (12, [[1, 10]], [[11, 12]])})["kind"] == "welcome"
    result = stack.ingest.cli("verify", check=False)
    assert result.returncode == 1 and "missing 5" in result.stderr
    report = stack.ingest.verify()
    entry = report["streams"][0]
    assert (entry["made"], entry["stored"], entry["pending"], entry["missing"]) == (12, 5, 2, 5)
    assert entry["missing_numbers"] == [[6, 10]] and entry["named"]
    assert TIME.match(entry["told_at"]) and 0 <= entry["age_ms"] < 60000
    assert device.send("sensors/x", 6, sensor_rows(6, 7))["accepted"] == 7
    assert stack.ingest.verify()["success"]
    # The device is wiped: what its old outbox held is lost with it, which is not "missing".
    say_hello(device, {"sensors/x": (20, [[1, 12]], [[13, 20]])})
    device.epoch = new_epoch()
    say_hello(device, {"sensors/x": (0, [], [])})
    report = stack.ingest.verify()
    assert report["success"] and (report["total"]["lost"], report["total"]["pending"]) == (8, 0)
    result = stack.ingest.cli("verify", "--device", "gasp", check=False)
    assert result.returncode == 5 and "not known" in result.stderr and result.stdout == ""


def test_verify_notices_rows_that_are_gone(own_stack, client):
    stack = own_stack().start()
    device = client(stack, "damaged")
    assert device.send("sensors/air_quality", 1, sensor_rows(1, 5),
                       fields=["ts", "pm2_5"])["accepted"] == 5
    stack.ingest.stop()
    database = sqlite3.connect(stack.ingest.database)
    with database:
        assert database.execute("DELETE FROM sensor_air_quality WHERE seq = 3").rowcount == 1
    database.close()
    report = stack.ingest.verify()
    assert not report["success"] and report["total"]["unequal"] == 1


def test_fresh_asks_the_devices_that_are_online(own_stack, client):
    stack = own_stack().start()
    edge = stack.edge("edge-001").start()
    edge.put("sensors/x", [{"value": number} for number in range(5)])
    stack.wait_settled()
    silent, offline = client(stack, "silent"), client(stack, "offline")
    for device in (silent, offline):
        device.send("sensors/x", 1, sensor_rows(1, 1))
    report = stack.ingest.verify(fresh="5s")
    assert report["fresh"] is True and report["success"]
    entry = next(e for e in report["streams"] if e["device"] == "edge-001")
    assert entry["age_ms"] < 5000 and (entry["made"], entry["stored"]) == (5, 5)
    before = entry["told_at"]
    report = stack.ingest.verify(fresh="5s", device="edge-001")
    assert report["fresh"] is True and report["streams"][0]["told_at"] > before
    silent.mqtt.publish("sb/v1/state/silent", b'{"v":1,"state":"online"}', retain=True)
    silent.mqtt.subscribe("sb/v1/down/silent/notify")
    wait_until(lambda: state_of(stack, "silent") == "online", 5, "the state")
    result = stack.ingest.cli("verify", "--fresh", "1s", "--json")
    assert json.loads(result.stdout)["fresh"] is False
    assert "no answer in time from: silent" in result.stderr
    assert json.loads(silent.mqtt.wait_message("sb/v1/down/silent/notify").payload)["hello"] is True


def test_fresh_without_a_daemon_says_so_and_tells_the_age(own_stack, client):
    stack = own_stack().start()
    device = client(stack, "old")
    device.send("sensors/x", 1, sensor_rows(1, 2))
    say_hello(device, {"sensors/x": (2, [[1, 2]], [])})
    stack.broker.stop()
    result = stack.ingest.cli("verify", "--fresh", "300ms", "--json")
    assert json.loads(result.stdout)["fresh"] is False and "not connected" in result.stderr
    stack.ingest.stop()
    result = stack.ingest.cli("verify", "--fresh", "5s", "--json")
    report = json.loads(result.stdout)
    assert report["fresh"] is False and report["age_ms"] >= 0
    assert "cloud_ingest run is not running" in result.stderr
    assert " s\n" in stack.ingest.cli("verify").stdout


# --- status, usage, configuration ---


def test_status_of_the_daemon(own_stack):
    stack = own_stack()
    result = stack.ingest.cli("status", "--json", check=False)
    assert result.returncode == 3 and json.loads(result.stdout)["running"] is False
    assert "cloud_ingest run is not running" in result.stderr
    stack.start()
    status = stack.ingest.status()
    assert status["success"] and status["running"] and status["pid"] == stack.ingest.pid
    assert status["n"] == 1 and status["broker"]["connected"] and status["store"]["open"]
    assert status["counters"]["batches"] == 0 and TIME.match(status["started_at"])
    text = stack.ingest.cli("status").stdout
    assert re.search(rf"^broker +mqtts://{HOST}:", text, re.MULTILINE)
    assert status["devices_online"] == 0
    stack.broker.stop()
    status = wait_until(lambda: found if not (found := stack.ingest.status())["broker"][
        "connected"] else None, 5, "the loss")
    assert status["broker"]["error"]["reason"] and status["broker"]["error"]["code"]


@pytest.mark.parametrize("args, status, text", [
    ((), 2, "a verb is needed"),
    (("verfy",), 2, "did you mean 'verify'?"),
    (("device",), 2, "one of add, list, grant, revoke"),
    (("device", "grant", "a"), 2, "DEVICE USER"),
    (("readings", "--device", "a"), 2, "--type is needed"),
    (("verify", "--fresh", "soon"), 2, "a time is wanted"),
    (("verify", "x"), 2, "unexpected argument 'x'"),
    (("devices", "--jsn"), 2, "did you mean '--json'?"),
    (("verify",), 5, "no database yet"),
    (("devices",), 5, "no database yet"),
    (("device", "add", "a"), 5, "no database yet"),
    (("status",), 3, "cloud_ingest run is not running"),
    (("run",), 6, "not configured: [broker] url"),
    (("config", "check"), 6, "not configured: [broker] url"),
    (("config", "get", "broker.urll"), 5, "broker.url"),
    (("verify", "--set", "store.pth=x"), 6, "did you mean 'store.path'"),
    (("verify", "--set", "broker.password=x"), 6, ""),
    (("run", "--set", "broker.url=mqtts://localhost:1", "--set", "broker.cert_file=/none",
      "--set", "broker.key_file=/none"), 4, "no such file"),
])
def test_what_is_wrong_has_its_exit_status(bare, args, status, text):
    result = bare(*args)
    assert result.returncode == status, result
    assert text in result.stderr and result.stdout == ""


def test_an_ingest_needs_its_own_certificate(bare, certs):
    device = certs.device("edge-001")
    result = bare("run", broker__url="mqtts://localhost:1", broker__ca_file=device.ca,
                  broker__cert_file=device.cert, broker__key_file=device.key)
    assert result.returncode == 4 and "_ingest-<n>" in result.stderr
    ingest = certs.ingest(1)
    result = bare("run", broker__url="mqtts://localhost:1", broker__ca_file=ingest.ca,
                  broker__cert_file=ingest.cert, broker__key_file=ingest.key, ingest__n="2")
    assert result.returncode == 6 and "_ingest-1" in result.stderr


def test_a_foreign_database_is_left_alone(bare, certs, tmp_path):
    path, ingest = tmp_path / "other.db", certs.ingest(1)
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    values = dict(broker__url="mqtts://localhost:1", broker__ca_file=ingest.ca,
                  broker__cert_file=ingest.cert, broker__key_file=ingest.key, store__path=path)
    for verb in ("run", "verify"):
        result = bare(verb, **values)
        assert result.returncode == 1 and "corrupt" in result.stderr, result
    database = sqlite3.connect(path)
    assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    database.close()
    path.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    assert bare("verify", **values).returncode == 1


def test_configuration_is_printed_and_checked(bare, certs, tmp_path):
    sample = bare("config", "sample")
    assert sample.returncode == 0 and "[broker]" in sample.stdout and "#url =" in sample.stdout
    values = json.loads(bare("config", "get", "--json", ingest__group_rows="77").stdout)
    assert values["ingest.group_rows"]["value"] == 77
    assert re.search(r"bare\.conf:\d+$", values["ingest.group_rows"]["origin"])
    assert values["log.level"] == {"value": "info", "origin": "default"}
    assert bare("config", "get", "log.level", env={"SB_LOG_LEVEL": "warn"}).stdout == \
        "log.level = warn  # SB_LOG_LEVEL\n"
    ingest = certs.ingest(1)
    good = dict(broker__url="mqtts://localhost:8883", broker__ca_file=ingest.ca,
                broker__cert_file=ingest.cert, broker__key_file=ingest.key)
    assert json.loads(bare("config", "check", "--json", **good).stdout) == {"success": True}
    for key, value, status in (("url", "ftp://localhost", 6), ("url", "mqtts://localhost:99999", 6),
                               ("ca_file", tmp_path / "none", 4), ("cert_file", tmp_path / "none", 4),
                               ("key_file", tmp_path / "none", 4), ("key_file", certs.ingest(2).key, 4)):
        result = bare("config", "check", **{**good, f"broker__{key}": value})
        assert result.returncode == status and str(value) in result.stderr, (key, result)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "x.json").write_text('{"type":"x","columns":[{"name":"a","type":"colour"}]}')
    result = bare("config", "check", **good, mappings__dir=tmp_path / "maps")
    assert result.returncode == 6 and "x.json" in result.stderr
    result = bare("config", "check", "--json", **good, mappings__dir=tmp_path / "none")
    assert result.returncode == 6 and json.loads(result.stdout)["code"] == "config"
    result = bare("verify", ingest__group_row="1")
    assert result.returncode == 6 and "bare.conf:" in result.stderr and "group_rows" in result.stderr


def test_help_of_every_verb(bare):
    text = bare("--help").stdout
    verbs = re.findall(r"^  ((?:[a-z]+ )?[a-z]+)  +\S", text.split("verbs:")[1].split("options:")[0],
                       re.MULTILINE)
    assert {"run", "status", "verify", "devices", "readings", "history", "settings", "records",
            "conflicts list", "conflicts show", "conflicts resolve", "quarantine list",
            "quarantine show", "device add", "device list", "device grant", "device revoke",
            "config sample", "config check", "config get"} == set(verbs)
    for verb in verbs:
        result = bare(*verb.split(), "--help")
        assert result.returncode == 0 and result.stdout.startswith(f"usage: cloud_ingest {verb}")
        if not verb.startswith(("config", "device list")):
            assert "examples:\n  cloud_ingest" in result.stdout, verb
    assert re.match(r"cloud_ingest \d", bare("--version").stdout)


def test_colour_is_for_terminals_alone(stack):
    def on_terminal(**more):
        master, slave = pty.openpty()
        try:
            subprocess.run([stack.ingest.program, "--config", stack.ingest.config, "devices"],
                           stdout=slave, check=True,
                           env={**clean_environment(), "TERM": "xterm", **more})
            return os.read(master, 65536).decode()
        finally:
            os.close(master)
            os.close(slave)

    assert "\x1b[1mDEVICE" in on_terminal()
    assert "\x1b" not in on_terminal(NO_COLOR="1")
    assert "\x1b" not in on_terminal(TERM="dumb")
    assert "\x1b" not in stack.ingest.cli("devices", env={**clean_environment(), "TERM": "xterm"}).stdout


def test_an_installed_program_finds_its_mappings(tmp_path):
    """As the package lays them out: sbin/cloud_ingest, share/sb/mappings."""
    program = tmp_path / "sbin" / "cloud_ingest"
    program.parent.mkdir()
    shutil.copy(ingest_program(), program)
    folder = tmp_path / "share" / "sb" / "mappings"
    folder.mkdir(parents=True)
    (folder / "broken.json").write_text("{")
    certs = ["--set", "broker.url=mqtts://localhost:1", "--set", "ingest.n=1"]
    result = subprocess.run([program, "config", "check", *certs, "--set",
                             f"ingest.state_dir={tmp_path}"], capture_output=True, text=True,
                            check=False, env=clean_environment())
    assert result.returncode == 6 and "broken.json" in result.stderr
