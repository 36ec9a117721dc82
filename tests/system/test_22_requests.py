"""Requests over a real broker with stock clients: changes, documents, versions, conflicts, what is
answered once, operators on their own topics, hints, and the command line beside all that."""

import gzip
import json
import os
import random
import shutil
import sqlite3
import string
import subprocess
import uuid

import pytest

from lib.mqtt import Client
from lib.plain import PlainClient
from lib.proc import Proc
from lib.stack import Stack, clean_environment, reply_topic, up_topic
from lib.wait import wait_until

USER = "user-1"
ME = "_op-" + (os.environ.get("SUDO_USER") or subprocess.run(
    ["id", "-un"], capture_output=True, text=True, check=True).stdout.strip())


def new_id():
    return str(uuid.uuid4())


@pytest.fixture(scope="module")
def stack(certs):
    if shutil.which("mosquitto_rr") is None:
        pytest.skip("mosquitto_rr is not installed")
    stack = Stack(certs, records__tables="projects, contents", records__policy="merge",
                  settings__policy="merge", admin__operators="_op-alice")
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def user(stack, request):
    """A user of this test alone, bound to the devices a, b and reader."""
    name = "u-" + "".join(c for c in request.node.name.removeprefix("test_")
                          if c.isalnum() or c == "_")[:60]
    for device in ("a", "b", "reader"):
        stack.ingest.cli("device", "add", device)
        stack.ingest.cli("device", "grant", device, name)
    return name


class Writer(PlainClient):
    """A plain client that sends operations on documents, one a batch."""

    def __init__(self, stack, device):
        super().__init__(stack, device)
        self.numbers = {}

    def operation(self, stream, record):
        self.numbers[stream] = self.numbers.get(stream, 0) + 1
        return self.send(stream, self.numbers[stream], [record])

    def settings(self, user, op, base, document):
        return self.operation(f"settings/{user}", {
            "op_id": op, "hlc": f"019b7c10a1b3{len(self.numbers):04}", "base": base,
            "settings": document})

    def record(self, user, op, base, table, id_, document, operation="update"):
        record = {"op_id": op, "hlc": "019b7c10a1b30001", "base": base, "table": table, "id": id_,
                  "operation": operation}
        if operation != "delete":
            record["data"] = document
        return self.operation(f"records/{user}", record)


@pytest.fixture
def writer(stack):
    writers = []

    def make(device):
        writers.append(Writer(stack, device))
        return writers[-1]

    yield make
    for one in writers:
        one.close()


def text_of(payload):
    return gzip.decompress(payload) if payload[:2] == b"\x1f\x8b" else payload


def request_text(op, args, id_=None, **more):
    return json.dumps({"v": 1, "kind": "request", "id": id_ or new_id(), "op": op, "args": args,
                       **more})


def rr(stack, identity, request_topic, answer_topic, text, operator=False):
    """One request by a stock client; the answer."""
    id_ = json.loads(text)["id"]
    result = subprocess.run(
        ["mosquitto_rr", *stack.tool_args(identity, operator=operator), "-q", "1", "-W", "10",
         "-t", request_topic, "-e", answer_topic, "-D", "publish", "correlation-data", id_, "-m",
         text], capture_output=True, timeout=20, check=False, env=clean_environment())
    assert result.returncode == 0, (result.returncode, result.stderr)
    answer = json.loads(text_of(result.stdout.removesuffix(b"\n")))
    assert (answer["kind"], answer["id"]) == ("answer", id_)
    return answer


def ask(stack, op, args, device="reader", id_=None, **more):
    return rr(stack, stack.certs.device(device), up_topic(device, "ctl"), reply_topic(device),
              request_text(op, args, id_, **more))


def ask_operator(stack, op, args, name="alice", id_=None):
    topic = f"sb/v1/admin/_op-{name}"
    return rr(stack, stack.certs.operator(name), f"{topic}/req", f"{topic}/reply",
              request_text(op, args, id_), operator=True)


def data(answer):
    assert answer["success"], answer
    return answer["data"]


def refusal(answer):
    assert not answer["success"] and answer["reason"], answer
    return answer["code"]


def rows(stack, sql, *args):
    with sqlite3.connect(f"file:{stack.ingest.database}?mode=ro", uri=True) as database:
        return database.execute(sql, args).fetchall()


# ---- reading ----


def test_changes_of_a_table_from_a_cursor(stack, user, writer):
    a = writer("a")
    for number in range(5):
        a.record(user, f"add-{number}", None, "projects", f"p{number}", {"n": number}, "add")
    a.record(user, "c", None, "contents", "c1", {"other": "table"}, "add")
    a.record(user, "up", {"op_id": "add-1"}, "projects", "p1", {"n": "桌面"})
    a.record(user, "del", {"op_id": "add-3"}, "projects", "p3", None, "delete")

    first = data(ask(stack, "changes", {"user": user, "table": "projects", "since": None,
                                        "limit": 2}))
    assert [(c["id"], c["version"]) for c in first["changes"]] == [("p0", 1), ("p2", 3)]
    assert first["has_more"] and first["cursor"]["version"] == 3
    assert first["latest_version"] == 8
    rest = data(ask(stack, "changes", {"user": user, "table": "projects",
                                       "since": first["cursor"]}))
    assert [(c["id"], c["operation"]) for c in rest["changes"]] == [
        ("p4", "update"), ("p1", "update"), ("p3", "delete")]
    assert rest["changes"][1]["data"] == {"n": "桌面"} and rest["changes"][1]["device"] == "a"
    assert rest["changes"][2]["deleted"] is True and "data" not in rest["changes"][2]
    assert not rest["has_more"] and rest["cursor"]["version"] == 8
    # nothing new; and the cursor holds for another table too
    assert data(ask(stack, "changes", {"user": user, "table": "contents",
                                       "since": rest["cursor"]}))["changes"] == []
    forged = {"version": 8, "tag": "0" * 16}
    assert refusal(ask(stack, "changes", {"user": user, "table": "projects",
                                          "since": forged})) == "cursor_unknown"
    ahead = {**rest["cursor"], "version": 9}
    assert refusal(ask(stack, "changes", {"user": user, "table": "projects",
                                          "since": ahead})) == "cursor_unknown"


def test_a_document_too_large_for_a_page_is_fetched_by_itself(stack, user, writer):
    noise = "".join(random.Random(5).choices(string.ascii_letters + string.digits, k=900_000))
    a = writer("a")
    assert a.record(user, "big", None, "contents", "big", {"x": noise}, "add")["accepted"] == 1
    a.record(user, "small", None, "contents", "small", {"x": 1}, "add")
    page = data(ask(stack, "changes", {"user": user, "table": "contents"}))
    assert [(c["id"], c.get("fetch")) for c in page["changes"]] == [("big", True)]
    assert page["has_more"]
    got = data(ask(stack, "document.get", {"user": user, "table": "contents", "id": "big"}))
    assert got["data"] == {"x": noise} and got["as_of"] == 2
    page = data(ask(stack, "changes", {"user": user, "table": "contents",
                                       "since": page["cursor"]}))
    assert [(c["id"], c["data"]) for c in page["changes"]] == [("small", {"x": 1})]


def test_documents_and_their_versions(stack, user, writer):
    a = writer("a")
    a.settings(user, "s1", None, {"n": 1})
    a.settings(user, "s2", {"op_id": "s1"}, {"n": 22})
    got = data(ask(stack, "settings.get", {"user": user}))
    assert (got["id"], got["version"], got["data"]) == ("settings", 2, {"n": 22})
    settings = {"user": user, "table": "settings", "id": "settings"}
    assert data(ask(stack, "document.get", settings)) == got
    listed = data(ask(stack, "versions", settings))
    assert [(v["version"], v["op_id"], v["size"], v["deleted"]) for v in listed["versions"]] == [
        (2, "s2", 9, False), (1, "s1", 8, False)]
    assert not listed["has_more"]
    old = data(ask(stack, "version.get", {**settings, "version": 1}))
    assert (old["data"], old["op_id"], old["tag"]) == ({"n": 1}, "s1", listed["versions"][1]["tag"])
    assert refusal(ask(stack, "version.get", {**settings, "version": 3})) == "not_found"
    none = data(ask(stack, "document.get", {"user": user, "table": "projects", "id": "x"}))
    assert none == {"id": "x", "exists": False, "as_of": 2}


WRONG = [
    ("settings.set", {}, "unknown_op"),
    ("changes", {}, "missing_field"),
    ("changes", {"table": "skills"}, "unknown_table"),
    ("changes", {"table": "Projects"}, "bad_id"),
    ("changes", {"table": "projects", "limit": 1001}, "bad_value"),
    ("changes", {"table": "projects", "since": {"version": 1}}, "missing_field"),
    ("changes", {"table": "projects", "since": 7}, "bad_type"),
    ("document.get", {"table": "projects"}, "missing_field"),
    ("document.get", {"table": "projects", "id": "a\nb"}, "bad_id"),
    ("document.get", {"table": "settings", "id": "other"}, "bad_id"),
    ("versions", {"table": "projects", "id": "p", "before": 0}, "bad_value"),
    ("conflicts.list", {"ops": []}, "bad_value"),
    ("conflicts.show", {"id": 10 ** 9}, "not_found"),
    ("conflicts.resolve", {"id": 1, "choice": "local"}, "bad_value"),
    ("conflicts.resolve", {"ops": ["x"], "choice": "whatever"}, "bad_value"),
    ("conflicts.resolve", {"ops": ["x"]}, "missing_field"),
]


def test_wrong_requests_get_a_code_and_a_reason_and_change_nothing(stack, user, writer):
    a = writer("a")
    a.settings(user, "s1", None, {"n": 1})
    assert a.settings(user, "s2", None, {"n": 2})["result"] == "conflict"
    a.close()
    before = rows(stack, "SELECT (SELECT count(*) FROM versions), (SELECT count(*) FROM answers),"
                         " (SELECT count(*) FROM conflicts WHERE resolved_ms IS NULL)")
    asking = PlainClient(stack, "a")
    for op, args, code in WRONG:
        if "table" in args or op == "conflicts.list":
            args = {"user": user, **args}
        answer = asking.ask(request_text(op, args).encode(), "ctl")
        assert (answer["success"], answer["code"]) == (False, code), (op, args, answer)
        assert answer["reason"]
    foreign = {"user": "somebody", "table": "projects", "id": "x"}
    for op in ("settings.get", "document.get", "changes", "versions", "conflicts.list"):
        answer = asking.ask(request_text(op, foreign).encode(), "ctl")
        assert (answer["success"], answer["code"]) == (False, "forbidden"), (op, answer)
    fenced = asking.ask(request_text("settings.get", {"user": user}, boot=new_id()).encode(), "ctl")
    assert (fenced["success"], fenced["code"]) == (False, "hello")
    asking.close()
    assert rows(stack, "SELECT (SELECT count(*) FROM versions), (SELECT count(*) FROM answers),"
                       " (SELECT count(*) FROM conflicts WHERE resolved_ms IS NULL)") == before


# ---- conflicts ----


def make_conflict(user, a, b):
    """{"theme":"light"} in force, by b; a's "lost" wanted it dark."""
    a.settings(user, "base", None, {"theme": "none", "volume": 7})
    tag = b.settings(user, "won", {"op_id": "x"}, {})["conflicts"][0]["server"]["tag"]
    assert b.settings(user, "won2", {"tag": tag}, {"theme": "light", "volume": 7})["accepted"] == 1
    lost = a.settings(user, "lost", {"op_id": "base"}, {"theme": "dark", "volume": 7})
    conflict, = lost["conflicts"]
    assert (conflict["pointers"], conflict["policy"]) == (["/theme"], "merge")
    assert conflict["server"]["data"] == {"theme": "light", "volume": 7}
    a.close()
    b.close()


def conflict_of(stack, user, op="lost"):
    found = data(ask_operator(stack, "conflicts.list", {"user": user}))["conflicts"]
    return next(entry for entry in found if entry["op_id"] == op)


def test_a_device_lists_shows_and_tells_of_its_conflicts_once(stack, user, writer):
    make_conflict(user, writer("a"), writer("b"))
    listed = data(ask(stack, "conflicts.list", {"user": user}))["conflicts"]
    assert [(c["op_id"], c["device"], c["code"]) for c in listed] == [
        ("won", "b", "base_unknown"), ("lost", "a", None)]
    shown = data(ask(stack, "conflicts.show", {"id": listed[1]["id"]}))
    assert shown["base_document"] == {"data": {"theme": "none", "volume": 7}}
    assert shown["submitted"] == {"data": {"theme": "dark", "volume": 7}}
    assert shown["server"]["data"] == {"theme": "light", "volume": 7}

    # another's operations are not one's own
    told = data(ask(stack, "conflicts.resolve", {"ops": ["lost"], "choice": "local"}))
    assert (told["resolved"], told["unknown"]) == (0, 1)
    id_ = new_id()
    first = ask(stack, "conflicts.resolve", {"ops": ["lost"], "choice": "merge"}, "a", id_)
    assert (data(first)["resolved"], first["commit"] > 0) == (1, True)
    again = ask(stack, "conflicts.resolve", {"ops": ["lost"], "choice": "merge"}, "a", id_)
    assert data(again) == data(first)
    assert refusal(ask(stack, "conflicts.resolve", {"ops": ["lost"], "choice": "server"}, "a",
                       id_)) == "id_reused"
    # also after a restart
    stack.ingest.restart()
    again = ask(stack, "conflicts.resolve", {"ops": ["lost"], "choice": "merge"}, "a", id_)
    assert data(again) == data(first) and again["boot"] != first["boot"]
    mine, = data(ask(stack, "conflicts.list", {"ops": ["lost", "base"]}, "a"))["conflicts"]
    assert (mine["resolution"], mine["resolved_by"]) == ("merge", "a")
    assert rows(stack, "SELECT max(version) FROM versions WHERE user = ?", user) == [(2,)]


def test_an_operator_decides_on_its_own_topic(stack, user, writer, certs, tmp_path):
    make_conflict(user, writer("a"), writer("b"))
    watcher = Proc(["mosquitto_sub", *stack.tool_args(certs.operator("alice"), operator=True), "-v",
                    "-t", "sb/v1/event/+", "-t", "sb/v1/ingest/+"], tmp_path / "sub.log")
    try:
        watcher.wait_for_log("^sb/v1/ingest/1 ")
        conflict = conflict_of(stack, user)
        id_ = new_id()
        asked = {"id": conflict["id"], "choice": "local", "note": "by phone"}
        told = data(ask_operator(stack, "conflicts.resolve", asked, id_=id_))
        assert (told["resolved"], told["version"]) == (1, 3)
        assert data(ask_operator(stack, "conflicts.resolve", asked, id_=id_)) == told
        match = watcher.wait_for_log(r'^sb/v1/event/a (.*"event":"conflict_resolved".*)$')
        event = json.loads(match.group(1))
        assert (event["id"], event["by"], event["resolution"]) == (conflict["id"], "_op-alice",
                                                                   "local")
    finally:
        watcher.kill()
    got = data(ask(stack, "settings.get", {"user": user}))
    assert got["data"] == {"theme": "dark", "volume": 7}
    assert (got["device"], got["version"], got["tag"]) == ("_op-alice", 3, told["tag"])
    assert rows(stack, "SELECT note FROM conflicts WHERE id = ?", conflict["id"]) == [("by phone",)]
    # what it can do is what devices can, for any user that it names
    assert data(ask_operator(stack, "changes", {"user": user, "table": "settings"}))["changes"]
    assert refusal(ask_operator(stack, "settings.get", {})) == "missing_field"
    assert refusal(ask_operator(stack, "conflicts.resolve", {"ops": ["lost"],
                                                             "choice": "local"})) == "bad_value"


def test_an_operator_that_is_not_configured_may_not(stack, user):
    assert refusal(ask_operator(stack, "settings.get", {"user": user}, "bob")) == "forbidden"


def test_what_is_no_request_is_answered_to_the_operator(stack, certs):
    with Client(certs.operator("alice"), stack.broker.operator_port) as alice:
        alice.subscribe("sb/v1/admin/_op-alice/reply")
        id_ = new_id()
        alice.publish("sb/v1/admin/_op-alice/req", b"{", correlation=id_.encode())
        answer = json.loads(alice.wait_message("sb/v1/admin/_op-alice/reply").payload)
        assert (answer["id"], answer["success"], answer["code"]) == (id_, False, "bad_json")


# ---- hints ----


def notifies(client):
    return [json.loads(m.payload) for m in client.messages if m.topic.endswith("/notify")]


def test_other_devices_are_told_after_the_commit(stack, user, writer, certs):
    a = writer("a")
    with Client(certs.device("b"), stack.broker.device_port) as b:
        b.subscribe("sb/v1/down/b/notify")
        a.mqtt.subscribe("sb/v1/down/a/notify")
        a.record(user, "p", None, "projects", "p", {"n": 1}, "add")
        hint = json.loads(b.wait_message("sb/v1/down/b/notify").payload)
        assert hint == {"v": 1, "kind": "notify", "user": user, "table": "projects", "version": 1}
        assert b.messages[0].qos == 0 and not b.messages[0].retain
        # the author too, where the result is not what it sent
        a.record(user, "q", {"op_id": "p"}, "projects", "p", {"n": 1, "x": 1})
        a.record(user, "r", {"op_id": "p"}, "projects", "p", {"n": 1, "y": 1})
        wait_until(lambda: notifies(a.mqtt), 5, "the author's hint")
        assert [hint["version"] for hint in notifies(a.mqtt)] == [3]
        wait_until(lambda: len(notifies(b)) == 3, 5, "three hints")


# ---- the command line ----


def test_the_command_line_shows_and_decides_with_and_without_the_daemon(stack, user, writer,
                                                                        tmp_path):
    make_conflict(user, writer("a"), writer("b"))
    cli, shown = stack.ingest.cli, stack.ingest.json
    listed = shown("conflicts", "list", "--user", user)["conflicts"]
    assert [(c["op_id"], c["table"], c["document"]) for c in listed] == [
        ("won", "settings", "settings"), ("lost", "settings", "settings")]
    assert "lost" in cli("conflicts", "list", "--user", user).stdout
    number = listed[1]["id"]
    page = shown("conflicts", "list", "--user", user, "--limit", 1)
    assert [c["op_id"] for c in page["conflicts"]] == ["won"] and page["has_more"] is True
    said = cli("conflicts", "list", "--user", user, "--limit", 1).stderr
    assert f"--after {listed[0]['id']}" in said
    page = shown("conflicts", "list", "--user", user, "--after", listed[0]["id"], "--limit", 1)
    assert [c["op_id"] for c in page["conflicts"]] == ["lost"] and page["has_more"] is False
    one = shown("conflicts", "show", number)
    assert one["places"] == [{"pointer": "/theme", "base": "none", "submitted": "dark",
                              "server": "light"}]
    assert one["submitted"]["data"]["theme"] == "dark"
    text = cli("conflicts", "show", number).stdout
    line = next(line for line in text.splitlines() if line.startswith("/theme"))
    assert line.split() == ["/theme", '"none"', '"dark"', '"light"']

    merged = tmp_path / "merged.json"
    merged.write_text(' {"theme": "teal", "volume": 7}\n')
    tag = one["server"]["tag"]
    assert f"tag {tag}" in text
    refused = cli("conflicts", "resolve", number, "--merge", merged, "--seen", "0" * 16, check=False)
    assert refused.returncode == 1 and "stale" in refused.stderr and tag in refused.stderr
    told = shown("conflicts", "resolve", number, "--merge", merged, "--seen", tag, "--note", "asked")
    assert (told["result"], told["version"], told["resolution"]) == ("resolved", 3, "merge")
    assert cli("settings", "--user", user).stdout == '{"theme": "teal", "volume": 7}\n'
    again = shown("conflicts", "resolve", number, "--use-server")
    assert (again["result"], again["version"]) == ("already", None)
    assert [c["op_id"] for c in shown("conflicts", "list", "--user", user)["conflicts"]] == ["won"]
    by = {c["op_id"]: (c["resolved_by"], c["note"]) for c in
          shown("conflicts", "list", "--user", user, "--all")["conflicts"]}
    assert by == {"won": (None, None), "lost": (ME, "asked")}
    assert any(line.split() == ["note", "asked"]
               for line in cli("conflicts", "show", number).stdout.splitlines())

    history = shown("settings", "--user", user, "--history")["versions"]
    assert [(v["version"], v["device"]) for v in history] == [(3, ME), (2, "b"), (1, "a")]
    assert cli("settings", "--user", user, "--at", 1).stdout == (
        '{"theme": "none", "volume": 7}\n')
    assert cli("settings", "--user", user, "--at", 9, check=False).returncode == 5

    stack.ingest.stop()
    try:
        number = listed[0]["id"]
        assert shown("conflicts", "show", number)["code"] == "base_unknown"
        refused = cli("conflicts", "resolve", number, "--keep-local", check=False)
        assert refused.returncode == 1 and "base_unknown" in refused.stderr
        assert shown("conflicts", "resolve", number, "--use-server")["result"] == "resolved"
        assert shown("conflicts", "list", "--user", user)["conflicts"] == []
    finally:
        stack.ingest.start()
    assert data(ask(stack, "settings.get", {"user": user}))["version"] == 3
    assert stack.ingest.verify()["success"]


def test_a_decision_by_the_command_line_reaches_devices_at_once(stack, user, writer, certs):
    make_conflict(user, writer("a"), writer("b"))
    number = conflict_of(stack, user)["id"]
    with Client(certs.device("a"), stack.broker.device_port) as a:
        a.subscribe("sb/v1/down/a/notify")
        stack.ingest.cli("conflicts", "resolve", number, "--use-server")
        hint = json.loads(a.wait_message("sb/v1/down/a/notify").payload)
        assert (hint["user"], hint["table"]) == (user, "settings")


def test_wrong_command_lines_decide_nothing(stack, user, writer, tmp_path):
    make_conflict(user, writer("a"), writer("b"))
    number = conflict_of(stack, user)["id"]
    bad = tmp_path / "bad.json"

    def status(*args, text=None):
        if text is not None:
            bad.write_text(text)
        result = stack.ingest.cli("conflicts", "resolve", *args, check=False)
        assert result.stderr
        return result.returncode, result.stderr

    assert status("x", "--use-server")[0] == 2
    assert status(number)[0] == 2
    assert status(number, "--use-server", "--keep-local")[0] == 2
    assert status(number, "--use-server", "--note", "x" * 257)[0] == 2
    assert status(10 ** 9, "--use-server")[0] == 5
    assert status(number, "--merge", tmp_path / "none.json")[0] == 5
    for text, code in (("[1]", "bad_type"), ("{", "bad_json"), ('{"a":1,"a":2}', "duplicate_key"),
                       ('{"a":' * 30 + "1" + "}" * 30, "too_deep")):
        result = status(number, "--merge", bad, text=text)
        assert result[0] == 1 and code in result[1], result
    assert conflict_of(stack, user)["resolved_at"] is None
    assert rows(stack, "SELECT max(version) FROM versions WHERE user = ?", user) == [(2,)]


def test_records_are_listed_and_printed(stack, user, writer):
    a = writer("a")
    a.record(user, "1", None, "projects", "p 1/x", {"n": [1, 2]}, "add")
    a.record(user, "2", None, "projects", "p2", {"n": 2}, "add")
    a.record(user, "3", {"op_id": "2"}, "projects", "p2", None, "delete")
    a.close()
    where = ["--table", "projects", "--user", user]
    listed = stack.ingest.json("records", *where)["records"]
    assert [(r["id"], r["data"], r["version"]) for r in listed] == [("p 1/x", {"n": [1, 2]}, 1)]
    listed = stack.ingest.json("records", *where, "--deleted")["records"]
    assert [(r["id"], r["deleted"]) for r in listed] == [("p 1/x", False), ("p2", True)]
    assert "p 1/x" in stack.ingest.cli("records", *where).stdout
    assert stack.ingest.cli("records", *where, "--id", "p 1/x").stdout == '{"n": [1, 2]}\n'
    history = stack.ingest.json("records", *where, "--id", "p2", "--history")["versions"]
    assert [(v["version"], v["deleted"]) for v in history] == [(3, True), (2, False)]
    assert stack.ingest.json("records", *where, "--id", "p2", "--at", 2)["data"] == {"n": 2}
    assert stack.ingest.cli("records", *where, "--id", "none", check=False).returncode == 5
    assert stack.ingest.cli("records", *where, "--history", check=False).returncode == 2
    assert stack.ingest.cli("records", "--table", "No", "--user", user,
                            check=False).returncode == 2


def test_devices_of_a_user_with_their_last_sync(stack, user, writer):
    a = writer("a")
    a.settings(user, "s", None, {})
    devices = stack.ingest.json("devices", "--user", user)["devices"]
    assert [d["device_id"] for d in devices] == ["a", "b", "reader"]
    assert next(d for d in devices if d["device_id"] == "a")["last_sync"]
    assert stack.ingest.json("devices", "--user", "nobody")["devices"] == []
