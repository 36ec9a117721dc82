"""Stages 5 to 7 alone: the real ingest and a real broker, with clients that have no outbox of ours.

What is good is stored once and answered; what is bad gets a refusal with a code and a reason and
holds nobody up; kills of the ingest and a full disk lose nothing.
"""

import csv
import gzip
import io
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import uuid

import pytest

from lib.mqtt import Client
from lib.plain import PlainClient, new_epoch
from lib.proc import Proc
from lib.stack import SOURCE, Stack, bucket_of, reply_topic, up_topic
from lib.wait import wait_until

LONG = bool(os.environ.get("SB_LONG"))
TYPE = "sensors/plain"


def ts(second):
    return f"2026-01-02T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def cpu_seconds(pid):
    """What a process has used so far, in user mode and in the kernel."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows(first, count, base=0):
    """Readings each of which has a value of its own."""
    return [[ts(seq), base + seq] for seq in range(first, first + count)]


@pytest.fixture(scope="module")
def stack(certs):
    stack = Stack(certs)
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def own_stack(certs):
    """own_stack(...): a stack for this test alone, not started."""
    stacks = []

    def make(**values):
        stacks.append(Stack(certs, **values))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.close()


@pytest.fixture
def client():
    """client(stack, device): a plain client that is closed in the end."""
    clients = []

    def make(*args, **options):
        clients.append(PlainClient(*args, **options))
        return clients[-1]

    yield make
    for one in clients:
        one.close()


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


# --- a batch by hand ---


def by_hand_blocks():
    text = (SOURCE / "common" / "PROTOCOL.md").read_text()
    return re.findall(r"```sh by-hand\n(.*?)```", text, re.DOTALL)


def run_by_hand(stack, identity, blocks, timeout=60):
    """The blocks of the page in one bash, as a reader would type them; their output by block."""
    need("mosquitto_rr", "mosquitto_pub", "bash")
    marker = "@@next@@"
    script = f"\necho {marker}\n".join(blocks)
    result = subprocess.run(
        ["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=timeout, check=False,
        env={"PATH": os.environ["PATH"], "BROKER": stack.broker.host,
             "PORT": str(stack.broker.device_port), "CA": str(identity.ca),
             "CERT": str(identity.cert), "KEY": str(identity.key), "DEVICE": identity.name})
    assert result.returncode == 0, result.stderr
    return [part.strip() for part in result.stdout.split(marker)]


def test_a_batch_by_hand_as_the_protocol_page_shows(stack, certs):
    blocks = by_hand_blocks()
    assert len(blocks) == 3
    outputs = run_by_hand(stack, certs.device("by-hand"), blocks)
    first, again = json.loads(outputs[0]), json.loads(outputs[1])
    assert (first["result"], first["accepted"], first["duplicates"]) == ("stored", 2, 0)
    assert (again["result"], again["accepted"], again["duplicates"]) == ("duplicate", 0, 2)
    assert first["total"] == again["total"] == 2
    stored = wait_until(lambda: found if len(found := stack.ingest.readings(
        "by-hand", "air_quality")) == 4 else None, 5, "the compressed batch")
    assert [row["seq"] for row in stored] == [1, 2, 3, 4]
    assert [row["values"]["pm2_5"] for row in stored] == [2.5, 2.75, 2.5, 2.75]
    assert [row["values"]["pm10"] for row in stored] == [10, 11, 10, 11]
    assert stored[0]["ts"] == "2026-01-02T03:04:05Z"
    assert stored[0]["values"]["aqi"] is None


def test_changed_content_is_kept_in_a_branch_and_an_operators_tool_sees_it(stack, certs, client, tmp_path):
    need("mosquitto_sub", "mosquitto_pub")
    watcher = Proc(["mosquitto_sub", *stack.tool_args(certs.operator("alice"), operator=True), "-v",
                    "-F", "%t %r %p", "-t", "sb/v1/state/+", "-t", "sb/v1/event/+", "-t",
                    "sb/v1/ingest/+"], tmp_path / "sub.log")
    try:
        watcher.wait_for_log(r"^sb/v1/ingest/1 1 .*\"online\"")
        device = client(stack, "branched")
        assert device.send(TYPE, 1, rows(1, 3))["result"] == "stored"
        reply = device.send(TYPE, 2, rows(2, 1, base=1000))
        assert (reply["result"], reply["accepted"], reply["first_seq"]) == ("stored", 1, 2)
        assert device.send(TYPE, 2, rows(2, 1, base=1000))["result"] == "duplicate"
        assert device.send(TYPE, 1, rows(1, 3))["duplicates"] == 3
        device.mqtt.publish("sb/v1/state/branched", b'{"v":1,"kind":"state","state":"online"}',
                            retain=True)
        watcher.wait_for_log(r'^sb/v1/state/branched 0 .*"online"')
        watcher.wait_for_log(r'^sb/v1/event/branched 0 .*"event":"registered"')
        match = watcher.wait_for_log(r'^sb/v1/event/branched 0 (.*"event":"branch".*)$')
        event = json.loads(match.group(1))
        assert event["device"] == "branched" and event["stream"] == TYPE
    finally:
        watcher.kill()
    stored = stack.ingest.readings("branched", "plain")
    assert sorted((row["seq"], row.get("branch", 0), row["values"]["value"]) for row in stored) == [
        (1, 0, 1), (2, 0, 2), (2, 1, 1002), (3, 0, 3)]
    total = stack.ingest.verify(device="branched")["total"]
    assert (total["made"], total["stored"], total["branched"], total["missing"]) == (3, 3, 1, 0)


def test_values_come_back_as_they_were(stack, client):
    """By the text of the answer: reading it as numbers would hide what a double cannot hold."""
    values = ["0", "-0.5", "9007199254740993", "-9223372036854775808", "9223372036854775807",
              "0.1", "2.5e-300", "1.7976931348623157e308", "5e-324", "12345678901234567890", "3.0",
              "1e2", "null", "true", '"g\\u00fcn\\"stig\\n,x"', '""', '" a "']
    device = client(stack, "exact")
    text = ",".join(f'["{ts(i)}",{value},{value}]' for i, value in enumerate(values))
    for number, type_ in enumerate(("air_quality", "undeclared")):
        fields = '["ts","pm2_5","other"]' if type_ == "air_quality" else '["ts","a","other"]'
        batch_id = str(uuid.uuid4())
        reply = device.ask(
            f'{{"v":1,"batch_id":"{batch_id}","device":"exact","epoch":"{device.epoch}",'
            f'"stream":"sensors/{type_}","first_seq":1,"last_seq":{len(values)},'
            f'"fields":{fields},"rows":[{text}]}}'.encode(), correlation=batch_id.encode())
        refused = {entry["seq"] for entry in reply["rejected"]}
        for entry in reply["rejected"]:
            refused.update(range(entry["seq"], entry.get("last", entry["seq"]) + 1))
        # A declared number column takes numbers and null alone.
        assert refused == ({14, 15, 16, 17} if number == 0 else set())
        result = stack.ingest.cli("readings", "--device", "exact", "--type", type_)
        by_seq = {json.loads(line)["seq"]: line for line in result.stdout.splitlines()}
        assert set(by_seq) == set(range(1, len(values) + 1)) - refused
        for seq, line in by_seq.items():
            shown = re.search(r'"other":((?:"(?:[^"\\]|\\.)*"|[^,}])+)', line).group(1)
            want = values[seq - 1]
            if want.startswith('"'):
                assert json.loads(shown) == json.loads(want)
            else:
                assert shown == want
            if number == 0:
                column = re.search(r'"pm2_5":([^,}]+)', line).group(1)
                assert column == want or (float(column) == float(want) and "." in column + want
                                          or "e" in want), (column, want)


def test_csv_tells_null_from_an_empty_text(stack, client):
    device = client(stack, "table")
    fields = ["ts", "name", "n"]
    assert device.send("sensors/csv", 1, [[ts(1), 'a "b", c\nd', 1], [ts(2), None, None],
                                          [ts(3), "", 2.50]], fields=fields)["accepted"] == 3
    assert device.send("sensors/csv", 4, [[ts(4), True, [1, {"x": "y"}]]],
                       fields=["ts", "more", "n"])["accepted"] == 1
    text = subprocess.run([stack.ingest.program, "--config", stack.ingest.config, "readings",
                           "--device", "table", "--type", "csv", "--format", "csv"],
                          capture_output=True, check=True).stdout.decode()
    parsed = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["name"] for row in parsed] == ['a "b", c\nd', "", "", ""]
    assert [row["n"] for row in parsed] == ["1", "", "2.5", '[1, {"x": "y"}]']
    assert [row["more"] for row in parsed] == ["", "", "", "true"]
    lines = text.split("\r\n")
    assert lines[0] == "epoch,branch,seq,ts,ts_corrected,received_at,name,n,more"
    assert lines[2].endswith(",,,") and lines[3].endswith(',"",2.5,')


def test_without_correlation_data_the_batch_id_names_the_reply(stack, client):
    device = client(stack, "no-correlation")
    batch = device.batch(TYPE, 1, rows(1, 1))
    device.mqtt.send(up_topic(device.device), json.dumps(batch).encode())
    message = device.mqtt.wait_message(reply_topic(device.device))
    assert json.loads(message.payload)["batch_id"] == batch["batch_id"]
    assert json.loads(message.payload)["result"] == "stored"


# --- bad input ---


def mutated(member, value):
    """A good batch with one member changed, or taken away by None."""

    def make(device):
        batch = {**device.batch(TYPE, 1, rows(1, 2)), member: value}
        return {name: kept for name, kept in batch.items() if kept is not None}

    return make


def raw_batch(device, **replaced):
    """The text of a good batch with parts replaced."""
    text = json.dumps(device.batch(TYPE, 1, rows(1, 2)))
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text


def nested(depth):
    return "[" * depth + "]" * depth


# name: (payload as bytes, text or dict; code; is it kept in quarantine). A refusal of class retry is
# kept on the device and not in quarantine.
BAD = {
    "garbage": (b"\x01\x02 not json \x00", "bad_json", True),
    "nothing": (b"", "bad_json", True),
    "no_object": (b"[1,2,3]", "bad_type", True),
    "text_behind": (lambda d: raw_batch(d) + "{}", "bad_json", True),
    "cut_off": (lambda d: raw_batch(d)[:-10], "bad_json", True),
    "wrong_type": (mutated("first_seq", "1"), "bad_type", True),
    "missing_field": (mutated("epoch", None), "missing_field", True),
    "bad_epoch": (mutated("epoch", "XYZ"), "bad_id", True),
    "bad_version": (mutated("v", 2), "bad_version", True),
    "numbers_backwards": (mutated("last_seq", 0), "bad_seq", True),
    "count_differs": (mutated("last_seq", 3), "bad_seq", True),
    "number_zero": (mutated("first_seq", 0), "bad_seq", True),
    "too_deep": (lambda d: raw_batch(d, **{'"fields"': f'"x": {nested(40)}, "fields"'}), "too_deep",
                 True),
    "too_many_values": (lambda d: raw_batch(d, **{'"fields"': f'"x": [{"0," * 100001}0], "fields"'}),
                        "too_many_nodes", True),
    "invalid_utf8": (lambda d: raw_batch(d).encode().replace(b"plain", b"pl\xff\xfein"), "bad_utf8",
                     True),
    "half_a_surrogate": (lambda d: raw_batch(d, **{'"fields"': '"x": "\\ud800", "fields"'}),
                         "bad_utf8", True),
    "duplicate_key": (lambda d: raw_batch(d, **{'"v": 1': '"v": 1, "v": 1'}), "duplicate_key", True),
    "hidden_duplicate_key": (lambda d: raw_batch(d, **{'"v": 1': '"v": 1, "\\u0076": 1'}),
                             "duplicate_key", True),
    "gzip_bomb": (gzip.compress(b" " * 100_000_000), "too_large", True),
    "small_gzip_bomb": (gzip.compress(b" " * 2_000_000), "too_large", True),
    "too_large_unpacked": (lambda d: gzip.compress(json.dumps(
        d.batch(TYPE, 1, rows(1, 2), x="".join(random.Random(1).choices("ab", k=4_300_000)))).encode(), 1),
        "too_large", True),
    "broken_gzip": (lambda d: gzip.compress(raw_batch(d).encode())[:-6], "bad_gzip", True),
    "two_gzip_members": (lambda d: gzip.compress(raw_batch(d).encode()) + gzip.compress(b" "),
                         "bad_gzip", True),
    "text_behind_gzip": (lambda d: gzip.compress(raw_batch(d).encode()) + b"x", "bad_gzip", True),
    "foreign_device": (mutated("device", "somebody-else"), "wrong_device", True),
    "other_class": (lambda d: d.batch("history/user-1", 1, [{"command_id": "c", "created_at": ts(1)}]),
                    "bad_stream", True),
    "rows_of_another_form": (mutated("stream", "history/user-1"), "bad_value", True),
    "no_stream": (mutated("stream", "sensors"), "bad_stream", True),
    "unknown_class": (mutated("stream", "weather/x"), "bad_stream", True),
    "bad_type_name": (mutated("stream", "sensors/a.b"), "bad_id", True),
    "too_many_records": (lambda d: d.batch(TYPE, 1, rows(1, 1001)), "limit", False),
    "too_many_bytes": (lambda d: d.batch(TYPE, 1, [[ts(1), "x" * 70_000], [ts(2), "y" * 70_000]]),
                       "limit", False),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_code_and_holds_nobody_up(stack, client, name):
    make, code, quarantined = BAD[name]
    device = client(stack, "bad-" + name.replace("_", "-"))
    payload = make(device) if callable(make) else make
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    if isinstance(payload, str):
        payload = payload.encode()
    correlation = str(uuid.uuid4()).encode()
    reply = device.ask(payload, correlation=correlation)
    assert reply["code"] == code, reply
    assert reply["reason"], reply
    assert reply["result"] == ("rejected" if quarantined else "retry")
    assert reply["first_seq"] is None and reply["last_seq"] is None
    kept = stack.ingest.quarantine("--device", device.device)
    if quarantined:
        assert [(entry["code"], entry["topic"], entry["size"]) for entry in kept] == [
            (code, up_topic(device.device), len(payload))]
        assert kept[0]["reason"] == reply["reason"]
        shown = subprocess.run([stack.ingest.program, "--config", stack.ingest.config, "quarantine",
                                "show", str(kept[0]["id"]), "--raw"], capture_output=True, check=True)
        assert shown.stdout == payload[:65536]
    else:
        assert kept == []
    # The same stream goes on as if nothing had been, and so do others.
    assert device.send(TYPE, 1, rows(1, 2))["result"] == "stored"
    assert device.send("sensors/another", 1, rows(1, 1))["result"] == "stored"


@pytest.mark.parametrize("topic, code", [
    ("sb/v1/up/{other}/{device}/sensors", "wrong_bucket"),
    ("sb/v1/up/{bucket}/{device}/weather", "bad_topic"),
    ("sb/v1/up/0/{device}/sensors", "wrong_bucket"),
    ("sb/v1/up/zz/{device}/sensors", "wrong_bucket"),
])
def test_a_topic_that_is_none_of_ours_is_refused(stack, client, topic, code):
    name = re.sub(r"\W+", "-", topic.split("/", 3)[3].replace("{device}", "")).strip("-")
    device = client(stack, f"topic-{name}")
    bucket = bucket_of(device.device)
    topic = topic.format(device=device.device, bucket=bucket, other="00" if bucket != "00" else "01")
    reply = device.ask(device.batch(TYPE, 1, rows(1, 1)), topic=topic)
    assert (reply["result"], reply["code"]) == ("rejected", code)
    assert reply["reason"]
    kept = stack.ingest.quarantine("--device", device.device)
    assert [(entry["code"], entry["topic"]) for entry in kept] == [(code, topic)]
    assert device.send(TYPE, 1, rows(1, 2))["result"] == "stored"


def test_a_record_that_is_bad_in_itself_is_rejected_alone(stack, client):
    device = client(stack, "one-bad-record")
    good = [ts(1), 1.5, 2]
    bad = [["yesterday", 1, 1], [None, 1, 1], [ts(1), "high", 1], [ts(1), 1], [ts(1), 1, 1, 1],
           "no row", [ts(1), 1, {"aqi": 1}], [ts(1), 1, -1]]
    reply = device.send("sensors/air_quality", 1, [good, *bad, good],
                        fields=["ts", "pm2_5", "aqi"])
    assert reply["result"] == "stored" and reply["accepted"] == 2
    codes = {}
    for entry in reply["rejected"]:
        assert entry["reason"]
        codes.update(dict.fromkeys(range(entry["seq"], entry.get("last", entry["seq"]) + 1),
                                   entry["code"]))
    assert set(codes) == set(range(2, 10))
    assert codes[2] == codes[4] == codes[9] == "bad_value"
    total = stack.ingest.verify(device=device.device)["total"]
    assert (total["made"], total["stored"], total["rejected"], total["missing"]) == (10, 2, 8, 0)


@pytest.mark.parametrize("user", ["a.b", "a%b", "..", "a" * 65, "", "a\uff0fb", "a b", "a/b"])
def test_a_bad_user_id_is_refused(stack, client, user):
    device = client(stack, "bad-user")
    reply = device.send(f"history/{user}", 1, [{"command_id": "c", "created_at": ts(1)}])
    assert reply["result"] == "rejected"
    assert reply["code"] in ("bad_id", "bad_stream") and reply["reason"]


def test_an_unbound_user_is_asked_to_wait_and_the_grant_lets_it_in(stack, client):
    device = client(stack, "unbound")
    record = {"command_id": "c-1", "status": "running", "created_at": ts(1)}
    reply = device.send("history/user-9", 1, [record])
    assert (reply["result"], reply["code"]) == ("retry", "forbidden")
    assert reply["reason"]
    assert stack.ingest.quarantine("--device", "unbound") == []
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
    device.mqtt.subscribe("sb/v1/down/unbound/notify")
    granted = stack.ingest.json("device", "grant", "unbound", "user-9")
    assert granted["success"] and granted["told"]
    device.mqtt.wait_message("sb/v1/down/unbound/notify")
    assert device.send("history/user-9", 1, [record])["result"] == "stored"
    stack.ingest.cli("device", "revoke", "unbound", "--user", "user-9")
    reply = device.send("history/user-9", 2, [{**record, "command_id": "c-2"}])
    assert (reply["result"], reply["code"]) == ("retry", "forbidden")


def test_a_revoked_device_waits_until_it_is_allowed_again(stack, client):
    device = client(stack, "revoked")
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
    stack.ingest.cli("device", "revoke", "revoked")
    reply = device.send(TYPE, 2, rows(2, 1))
    assert (reply["result"], reply["code"]) == ("retry", "revoked")
    assert device.send(TYPE, 1, rows(1, 1))["code"] == "revoked"
    stack.ingest.cli("device", "revoke", "revoked", "--undo")
    assert device.send(TYPE, 2, rows(2, 1))["result"] == "stored"


def test_quarantine_is_told_to_operators(stack, certs, client):
    with Client(certs.operator("bob"), stack.broker.operator_port) as operator:
        operator.subscribe("sb/v1/event/+")
        device = client(stack, "told")
        device.ask(b"{", correlation=str(uuid.uuid4()).encode())
        event = json.loads(operator.wait_message("sb/v1/event/told").payload)
        assert event["event"] == "quarantine" and event["code"] == "bad_json" and event["reason"]


def test_a_retained_batch_is_not_taken_at_every_connect(own_stack, certs, client):
    stack = own_stack().start()
    device = client(stack, "retained")
    batch = device.batch(TYPE, 1, rows(1, 1))
    device.mqtt.publish(up_topic("retained"), json.dumps(batch).encode(), retain=True)
    device.mqtt.wait_message(reply_topic("retained"))
    stack.ingest.restart()
    wait_until(lambda: stack.ingest.counters()["ignored"] == 1, 5, "the retained batch")
    assert stack.ingest.counters()["batches"] == 0
    assert len(stack.ingest.readings("retained", "plain")) == 1


# --- presence, one instance ---


def test_its_state_is_online_offline_or_lost(own_stack, certs):
    stack = own_stack()
    stack.broker.start()
    with Client(certs.operator("alice"), stack.broker.operator_port) as operator:
        operator.subscribe("sb/v1/ingest/+")

        def state():
            messages = [m for m in operator.messages if m.topic == "sb/v1/ingest/1"]
            return json.loads(messages[-1].payload) if messages else {}

        def wait_state(word):
            return wait_until(lambda: state() if state().get("state") == word else None, 10, word)

        stack.ingest.start()
        online = wait_state("online")
        assert online["boot"] == stack.ingest.status()["boot"]
        assert online["limits"]["max_batch_records"] == 1000
        stack.ingest.stop()
        assert wait_state("offline")["boot"] == online["boot"]
        stack.ingest.start()
        again = wait_state("online")
        assert again["boot"] != online["boot"]
        stack.ingest.kill()
        assert wait_state("lost")["boot"] == again["boot"]
    with Client(certs.operator("bob"), stack.broker.operator_port) as late:
        late.subscribe("sb/v1/ingest/+")
        assert late.wait_message("sb/v1/ingest/1").retain


def test_a_second_one_is_told_that_it_is_running(stack):
    result = stack.ingest.cli("run", check=False)
    assert result.returncode == 1
    assert "already running" in result.stderr and str(stack.ingest.pid) in result.stderr
    assert stack.ingest.status()["running"]


def test_a_reload_changes_the_log_level_alone(own_stack):
    stack = own_stack(log__level="warn").start()
    assert "connected" not in stack.ingest.log()
    stack.ingest.configure(log__level="info")
    stack.ingest.proc.signal(signal.SIGHUP)
    stack.ingest.proc.wait_for_log("reloaded")
    stack.ingest.configure(log__level="loud")
    stack.ingest.proc.signal(signal.SIGHUP)
    stack.ingest.proc.wait_for_log("what was in force stays")
    assert stack.ingest.running()


# --- kills ---


class Sender(threading.Thread):
    """Sends numbered batches, several at a time, each again until it is answered for good."""

    WINDOW = 8

    def __init__(self, device, batches, size):
        super().__init__(daemon=True)
        self.device, self.batches, self.size = device, batches, size
        self.sent_again = 0
        self.answered = {}
        self.failure = None

    def run(self):
        try:
            self._run()
        except Exception as error:  # shown by the test, which waits for the end of the thread
            self.failure = error

    def _run(self):
        flying, coming = {}, iter(range(self.batches))
        deadline = time.monotonic() + 300
        while len(self.answered) < self.batches and time.monotonic() < deadline:
            while len(flying) < self.WINDOW and (number := next(coming, None)) is not None:
                flying[number] = self._send(number)
            for number, (correlation, at) in list(flying.items()):
                reply = self.device.reply(correlation)
                if reply and reply["result"] in ("stored", "duplicate"):
                    self.answered[number] = reply["result"]
                    del flying[number]
                elif reply or time.monotonic() - at > 0.5:
                    assert not reply or reply["result"] == "retry", reply
                    self.sent_again += 1
                    flying[number] = self._send(number)
            time.sleep(0.002)

    def _send(self, number):
        first = number * self.size + 1
        batch = self.device.batch(TYPE, first, rows(first, self.size))
        return self.device.publish(batch), time.monotonic()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_an_ingest_that_ends_at_any_moment_loses_and_doubles_nothing(own_stack, client, end):
    stack = own_stack().start()
    rounds = 50 if LONG else 8
    chance = random.Random(20)
    sender = Sender(client(stack, "killed"), rounds * 25, 10)
    sender.start()
    for _ in range(rounds):
        before = len(sender.answered)
        wait_until(lambda: len(sender.answered) >= min(before + 5, sender.batches) or sender.failure,
                   60, "batches that are answered")
        pause = time.monotonic() + chance.random() * 0.05
        wait_until(lambda: time.monotonic() >= pause, 1, "a random moment")
        getattr(stack.ingest, end)()
        stack.ingest.start()
    sender.join(300)
    assert sender.failure is None and len(sender.answered) == sender.batches, sender.failure
    stored = [row["values"]["value"] for row in stack.ingest.readings("killed", "plain")]
    assert sorted(stored) == list(range(1, sender.batches * sender.size + 1))
    total = stack.ingest.verify()["total"]
    assert total["missing"] == total["doubles"] == total["branched"] == 0
    assert total["stored"] == len(stored)


def test_a_broker_that_is_killed_is_connected_to_again(own_stack, client):
    stack = own_stack().start()
    device = client(stack, "again")
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
    for number in range(2, 5):
        stack.broker.kill()
        wait_until(lambda: not stack.ingest.status()["broker"]["connected"], 5, "the loss")
        stack.broker.wipe_state()
        stack.broker.start()
        wait_until(lambda: stack.ingest.status()["broker"]["connected"], 10, "a connection")
        device.connect()
        assert device.send(TYPE, number, rows(number, 1))["result"] == "stored"
    assert len(stack.ingest.readings("again", "plain")) == 4


# --- a database without room ---


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB, where that can be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder],
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {result.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Takes all room that is left; returns the file that does."""
    path = folder / "ballast"
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            pass
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            pass
    return path


def send_until(device, result, first=1, most=400):
    """Batches of 100 until one has that result; (its reply, numbers stored before it)."""
    for number in range(most):
        seq = first + number * 100
        reply = device.send(TYPE, seq, rows(seq, 100), timeout=15)
        if reply["result"] == result:
            return reply, seq - 1
        assert reply["result"] == "stored", reply
    raise AssertionError(f"no {result} within {most} batches")


def test_a_full_disk_is_busy_until_there_is_room(own_stack, client, small_disk):
    stack = own_stack(store__path=small_disk / "cloud.db").start()
    device = client(stack, "full")
    assert device.send(TYPE, 1, rows(1, 100))["result"] == "stored"
    ballast = fill(small_disk)
    reply, stored = send_until(device, "retry", first=101)
    assert reply["code"] == "busy" and reply["reason"] and reply["retry_after_ms"] >= 0
    assert stack.ingest.running() and stack.ingest.status()["counters"]["retries"] >= 1
    for _ in range(3):
        assert device.send(TYPE, stored + 1, rows(stored + 1, 100), timeout=15)["code"] == "busy"
    assert len(stack.ingest.readings("full", "plain")) == stored
    ballast.unlink()
    assert device.send(TYPE, stored + 1, rows(stored + 1, 100), timeout=15)["result"] == "stored"
    assert len(stack.ingest.readings("full", "plain")) == stored + 100
    assert stack.ingest.verify()["success"]


def test_started_on_a_full_disk_it_waits_for_room(own_stack, client, small_disk):
    stack = own_stack(store__path=small_disk / "cloud.db")
    ballast = fill(small_disk)
    stack.broker.start()
    stack.ingest.launch()
    status = wait_until(lambda: found if (found := stack.ingest.json("status")).get("store", {}).get(
        "error") else None, 10, "the error in its status")
    assert status["store"]["error"]["code"] == "disk_full" and not status["store"]["open"]
    assert not status["broker"]["connected"]
    ballast.unlink()
    wait_until(lambda: stack.ingest.status()["broker"]["connected"], 10, "a connection")
    assert client(stack, "late").send(TYPE, 1, rows(1, 1))["result"] == "stored"


def test_a_database_at_its_own_limit_is_busy_and_loses_nothing(own_stack, client):
    stack = own_stack(store__max_bytes="1M").start()
    device = client(stack, "limited")
    reply, stored = send_until(device, "retry")
    assert reply["code"] == "busy" and reply["reason"]
    assert len(stack.ingest.readings("limited", "plain")) == stored
    stack.ingest.configure(store__max_bytes="64M")
    stack.ingest.restart()
    assert device.send(TYPE, stored + 1, rows(stored + 1, 100))["result"] == "stored"
    assert stack.ingest.verify()["success"]


def test_a_locked_database_is_busy_and_recovers(own_stack, client):
    stack = own_stack(store__busy_timeout="100ms").start()
    device = client(stack, "locked")
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
    other = sqlite3.connect(stack.ingest.database, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        reply = device.send(TYPE, 2, rows(2, 1))
        assert (reply["result"], reply["code"]) == ("retry", "busy")
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert device.send(TYPE, 2, rows(2, 1))["result"] == "stored"


def test_a_backup_put_in_place_while_it_runs_is_taken_up(own_stack, client):
    stack = own_stack().start()
    device = client(stack, "restored")
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
    backup = stack.ingest.database.with_name("backup.db")
    source, target = sqlite3.connect(stack.ingest.database), sqlite3.connect(backup)
    source.backup(target)
    source.close()
    target.close()
    assert device.send(TYPE, 2, rows(2, 1))["result"] == "stored"
    boot = stack.ingest.status()["boot"]
    for suffix in ("-wal", "-shm"):
        stack.ingest.database.with_name(stack.ingest.database.name + suffix).unlink()
    backup.rename(stack.ingest.database)
    wait_until(lambda: stack.ingest.status()["boot"] not in (None, boot), 10, "another boot")
    wait_until(lambda: stack.ingest.status()["broker"]["connected"], 10, "a connection")
    assert len(stack.ingest.readings("restored", "plain")) == 1
    assert device.send(TYPE, 2, rows(2, 1))["result"] == "stored"
    assert len(stack.ingest.readings("restored", "plain")) == 2


def test_a_database_that_is_taken_away_is_waited_for_in_peace(own_stack, client):
    """Whoever puts a backup in place may take a while; the daemon neither makes a new database, nor
    claims a connection, nor turns its loop for the mail that it cannot serve."""
    stack = own_stack().start()
    device = client(stack, "patient")
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
    away = stack.ingest.database.with_name("away.db")
    stack.ingest.database.rename(away)
    wait_until(lambda: not stack.ingest.status()["store"]["open"], 10, "the database to be missed")
    wait_until(lambda: not stack.ingest.status()["broker"]["connected"], 10, "the connection's end")
    before = cpu_seconds(stack.ingest.pid)
    time.sleep(1.5)  # what is measured: a time without work
    assert cpu_seconds(stack.ingest.pid) - before < 0.3
    assert not stack.ingest.database.exists()
    away.rename(stack.ingest.database)
    wait_until(lambda: stack.ingest.status()["broker"]["connected"], 10, "a connection")
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "duplicate"


def test_a_full_mailbox_drops_and_resending_repairs_it(own_stack, client):
    """The owner is held up by a lock; what has no room meanwhile was acknowledged all the same."""
    stack = own_stack(ingest__mailbox_messages=16).start()
    device = client(stack, "flood")
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
    batches = [device.batch(TYPE, number, rows(number, 1)) for number in range(2, 402)]
    other = sqlite3.connect(stack.ingest.database, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        sent = {device.publish(batch): batch for batch in batches}
        last = device.mqtt.publish("sb/v1/state/flood", b"")  # the broker has them all
        assert last in (0x00, 0x10)
        wait_until(lambda: any(map(device.reply, sent)), 10, "a first answer")
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert wait_until(lambda: stack.ingest.counters()["dropped"], 5, "dropped messages") > 0
    for batch in batches:
        reply = device.ask(batch, correlation=str(uuid.uuid4()).encode())
        assert reply["result"] in ("stored", "duplicate"), reply
    assert sorted(row["values"]["value"] for row in stack.ingest.readings("flood", "plain")) == list(
        range(1, 402))
    assert stack.ingest.verify()["total"]["branched"] == 0


def test_sigterm_while_the_database_is_locked_ends_it_in_time(own_stack, client):
    stack = own_stack().start()
    device = client(stack, "stopping")
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
    other = sqlite3.connect(stack.ingest.database, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(5):
            device.publish(device.batch(TYPE, 2, rows(2, 1)))
        stack.ingest.stop()
    finally:
        other.close()
    stack.ingest.start()
    assert device.send(TYPE, 2, rows(2, 1))["result"] in ("stored", "duplicate")
    assert len(stack.ingest.readings("stopping", "plain")) == 2


# --- who may send at all ---


def test_without_auto_register_a_device_waits_to_be_added(own_stack, client):
    stack = own_stack(ingest__auto_register="no").start()
    device = client(stack, "unknown", epoch=new_epoch())
    reply = device.send(TYPE, 1, rows(1, 1))
    assert (reply["result"], reply["code"]) == ("retry", "unauthorized")
    assert stack.ingest.json("devices")["devices"] == []
    added = stack.ingest.json("device", "add", "unknown")
    assert added["result"] == "added" and up_topic("unknown") in added["topics"]["publish"]
    assert device.send(TYPE, 1, rows(1, 1))["result"] == "stored"
