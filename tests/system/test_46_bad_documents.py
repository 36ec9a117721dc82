"""What is wrong with a document, an operation or a request is answered with a code and a reason,
and changes nothing; by the command line, and by a stock MQTT client that has no agent at all."""

import json
import uuid

import pytest

from lib.devices import SETTINGS, Fleet
from lib.plain import PlainClient
from lib.stack import up_topic
from lib.wait import wait_until

USER = "user-1"
HLC = "019b7c10a1b30000"
UNKNOWN_TAG = "0123456789abcdef"


def deep(levels):
    return '{"a":' * levels + "1" + "}" * levels


@pytest.fixture(scope="module")
def fleet(certs):
    fleet = Fleet(certs, names=("dev-a",), tables={"projects": {}, "contents": {}})
    try:
        fleet.start()
        fleet.bind(USER)
        a = fleet.devices[0]
        for n in range(3):
            a.put(USER, {"v": n})
            a.put(USER, {"v": n}, "projects", f"p{n}")
        a.delete(USER, "projects", "p0")
        a.wait_settled()
        yield fleet
    finally:
        fleet.close()


@pytest.fixture
def client(fleet):
    """A device of its own, bound to the user, that speaks the protocol by hand."""
    client = Requester(fleet.stack, "meter-7")
    fleet.ingest.cli("device", "grant", "meter-7", USER)
    yield client
    client.close()


class Requester(PlainClient):
    """Numbers are given out here; each test has an epoch of its own."""

    def __init__(self, stack, device):
        super().__init__(stack, device)
        self.next = {}

    def operations(self, *records, stream=f"records/{USER}"):
        first = self.next.setdefault(stream, 1)
        reply = self.send(stream, first, list(records))
        if reply["result"] != "retry" and reply["first_seq"] is not None:
            self.next[stream] = first + len(records)
        return reply

    def request(self, op, args, id_=None):
        return self.ask({"v": 1, "kind": "request", "id": id_ or str(uuid.uuid4()), "op": op,
                         "args": args}, "ctl", correlation=str(uuid.uuid4()).encode())


@pytest.fixture
def unchanged(fleet):
    """Nothing in the cloud is another after the test."""
    def all_of():
        return [fleet.rows(f"SELECT * FROM {table}") for table in
                ("documents", "versions", "users")]

    before = all_of()
    yield
    assert all_of() == before


# ---- the command line ----

BAD = {"a list": ("[1]", "bad_type"), "a text": ('"gAAAAABh"', "bad_type"),
       "a number": ("1", "bad_type"), "null": ("null", "bad_type"),
       "half of it": ('{"a":', "bad_json"), "two": ('{"a":1} {"b":2}', "bad_json"),
       "a comment": ('{"a":1 /* one */}', "bad_json"), "a comma": ('{"a":1,}', "bad_json"),
       "a key twice": ('{"a":1,"b":{"c":1,"\\u0063":2}}', "duplicate_key"),
       "half a pair": ('{"a":"\\ud83d"}', "bad_utf8"), "NUL": ('{"a":"\\u0000"}', "bad_utf8"),
       "30 levels": (deep(30), "too_deep"), "no number": ('{"a":01}', "bad_json"),
       "not a number": ('{"a":NaN}', "bad_json"), "too large": (
           '{"a":"%s"}' % ("x" * (1 << 20)), "too_large")}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("table", [SETTINGS, "projects"])
def test_a_put_of_what_is_no_document_is_refused(fleet, unchanged, what, table):
    a = fleet.devices[0]
    text, code = BAD[what]
    before = a.text(USER, table, "p1")
    result = a.put(USER, text, table, "p1", check=False)
    assert result.returncode == 1, result
    answer = json.loads(result.stdout)
    assert answer["success"] is False and answer["code"] == code and answer["reason"], answer
    assert code in result.stderr
    assert a.text(USER, table, "p1") == before
    assert a.status()["pending_count"] == a.status()["failed_count"] == 0


def test_29_levels_are_not_too_many(fleet):
    a = fleet.devices[0]
    a.put(USER, deep(29), "contents", "deep")
    fleet.wait_same(USER, "contents", "deep", text=deep(29))


def test_bad_names_are_refused(fleet, unchanged):
    a = fleet.devices[0]
    for user in ("", "a b", "a/b", "a+b", "#", "x" * 65, "ä"):
        assert a.put(user, {"v": 1}, check=False).returncode in (1, 2), user
        assert a.edge.cli("user", "add", user, check=False).returncode in (1, 2), user
    for table in ("", "Projects", "a-b", "1a", "x" * 65, "a/b"):
        assert a.put(USER, {"v": 1}, table or "''", "p1", check=False).returncode in (1, 2), table
    for id_ in ("", "x" * 129, "a\nb", "\x7f"):
        result = a.put(USER, {"v": 1}, "projects", id_, check=False)
        assert result.returncode in (1, 2), id_
    assert a.status()["pending_count"] == 0


def test_what_is_not_there_is_not_found(fleet, unchanged):
    a = fleet.devices[0]
    for verb in (["records", "get", "--table", "projects", "--user", USER, "--id", "nothing"],
                 ["records", "get", "--table", "projects", "--user", USER, "--id", "p0"],
                 ["settings", "get", "--user", "nobody"],
                 ["settings", "get", "--user", USER, "--conflict"],
                 ["conflicts", "show", "1"], ["user", "remove", "nobody"]):
        result = a.edge.cli(*verb, check=False)
        assert result.returncode == 5 and result.stderr, (verb, result)
    gone = a.delete(USER, "projects", "nothing", check=False)
    assert gone.returncode == 5, gone


# ---- operations of a plain client ----

def operation(**more):
    return {"op_id": str(uuid.uuid4()), "hlc": HLC, "table": "projects", "id": "p1",
            "operation": "update", "base": None, "data": {"v": 1}, **more}


def without(member):
    return {key: value for key, value in operation().items() if key != member}


WRONG = [
    (without("op_id"), "missing_field", "op_id"), (without("table"), "missing_field", "table"),
    (without("operation"), "missing_field", "operation"),
    (without("id"), "missing_field", "id"), (without("data"), "missing_field", "data"),
    (operation(data=[1]), "bad_type", "data"), (operation(data=1), "bad_type", "data"),
    (operation(data=None), ("missing_field", "bad_type"), "data"),
    (operation(data="plain words"), ("bad_type", "bad_value"), "data"),
    (operation(data="gAAAA"), ("bad_type", "bad_value"), "data"),
    (operation(operation="upsert"), "bad_value", "operation"),
    (operation(operation="delete"), "bad_value", "data"),
    (operation(hlc="yesterday"), "bad_id", "hlc"), (operation(hlc=5), "bad_type", "hlc"),
    (operation(id=""), "bad_id", "id"), (operation(id="x" * 129), "bad_id", "id"),
    (operation(id="a\tb"), "bad_id", "id"), (operation(id=7), ("bad_type", "bad_id"), "id"),
    (operation(op_id=""), ("bad_id", "bad_value"), "op_id"),
    (operation(op_id="x" * 129), ("bad_id", "bad_value", "too_large"), "op_id"),
    (operation(base="tag"), ("bad_type", "bad_value"), "base"),
    (operation(base={}), ("bad_value", "missing_field"), "base"),
    (operation(base={"tag": "XYZ"}), "bad_id", "tag"),
    (operation(base={"version": 1}), ("bad_value", "missing_field"), "base"),
    (operation(base={"op_id": 1}), "bad_type", "op_id"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_an_operation_that_is_wrong_is_rejected_alone(fleet, client, unchanged, number):
    record, codes, member = WRONG[number]
    reply = client.operations(record)
    assert reply["result"] == "rejected", reply
    rejected, = reply["rejected"]
    assert rejected["code"] in (codes if isinstance(codes, tuple) else (codes,)), rejected
    assert member in rejected["reason"] and rejected["reason"], rejected
    assert (reply["accepted"], reply["conflicts"], reply["versions"]) == (0, [], [])


def test_a_document_that_is_too_deep_is_refused_with_its_batch(fleet, client, unchanged):
    before = len(fleet.ingest.quarantine())
    reply = client.operations(operation(data=json.loads(deep(30))))
    assert (reply["result"], reply["code"], reply["first_seq"]) == ("rejected", "too_deep", None)
    assert reply["reason"] and len(fleet.ingest.quarantine()) == before + 1


def test_one_bad_operation_among_good_ones(fleet, client):
    ids = [str(uuid.uuid4()) for _ in range(3)]
    reply = client.operations(operation(id=f"g-{ids[0]}"), operation(data=[]),
                              operation(id=f"g-{ids[1]}"))
    assert reply["result"] == "stored" and reply["accepted"] == 2, reply
    assert [entry["seq"] for entry in reply["rejected"]] == [2]
    assert [seq for seq, _ in reply["versions"]] == [1, 3]


@pytest.mark.parametrize("table,id_", [("settings", "settings"), ("projects", "p1"),
                                       ("projects", "p0"), ("projects", "never-there")])
@pytest.mark.parametrize("base", [{"tag": UNKNOWN_TAG}, {"op_id": "nobody's"}])
def test_an_unknown_base_is_a_conflict_that_names_what_is_in_force(fleet, client, unchanged, table,
                                                                  id_, base):
    if table == "settings":
        record = {"op_id": str(uuid.uuid4()), "hlc": HLC, "base": base, "settings": {"v": 9}}
        reply = client.operations(record, stream=f"settings/{USER}")
    else:
        record = operation(table=table, id=id_, base=base)
        reply = client.operations(record)
    assert reply["result"] == "conflict", reply
    conflict, = reply["conflicts"]
    assert (conflict["code"], conflict["pointers"]) == ("base_unknown", [])
    assert conflict["op_id"] == record["op_id"] and conflict["policy"] == "merge"
    server = conflict["server"]
    if id_ == "never-there":
        assert server is None and conflict["as_of"] > 0
    elif id_ == "p0":
        assert server["deleted"] is True and "data" not in server
    else:
        assert server["data"] == fleet.cloud(USER, table, id_) and server["device"] == "dev-a"
    # once more, under another number: the same outcome, no second record
    client.epoch = client.epoch[::-1]
    client.next = {}
    stream = f"settings/{USER}" if table == "settings" else f"records/{USER}"
    again = client.operations(record, stream=stream)
    assert again["conflicts"][0]["code"] == "base_unknown"
    assert fleet.rows("SELECT count(*) FROM conflicts WHERE op_id = ?", record["op_id"]) == [(1,)]


def test_a_table_that_is_not_declared_waits_as_a_whole(fleet, client, unchanged):
    reply = client.operations(operation(table="diaries"), operation(id="p9"))
    assert (reply["result"], reply["code"]) == ("retry", "unknown_table") and reply["reason"]
    assert "diaries" in reply["reason"], reply
    reply = client.operations(operation(table="settings", id="settings"))
    assert reply["result"] in ("retry", "rejected") and reply.get("code") != "internal", reply
    answer = client.request("changes", {"user": USER, "table": "diaries", "since": None})
    assert (answer["success"], answer["code"]) == (False, "unknown_table")


def test_another_users_documents_are_out_of_reach(fleet, client, unchanged):
    reply = client.operations(operation(id="p9"), stream="records/user-2")
    assert (reply["result"], reply["code"]) == ("retry", "forbidden") and reply["reason"]
    reply = client.operations({"op_id": "s-1", "hlc": HLC, "base": None, "settings": {}},
                              stream="settings/user-2")
    assert (reply["result"], reply["code"]) == ("retry", "forbidden")
    for op, args in (("settings.get", {}), ("document.get", {"table": "projects", "id": "p1"}),
                     ("changes", {"table": "projects", "since": None}),
                     ("versions", {"table": "projects", "id": "p1"}),
                     ("version.get", {"table": "projects", "id": "p1", "version": 1}),
                     ("conflicts.list", {})):
        answer = client.request(op, {"user": "user-2", **args})
        assert (answer["success"], answer["code"]) == (False, "forbidden"), (op, answer)
        assert answer["reason"] and "data" not in answer


def test_a_conflict_of_a_foreign_user_can_neither_be_seen_nor_decided(fleet, client):
    other = Requester(fleet.stack, "meter-8")
    fleet.ingest.cli("device", "grant", "meter-8", "user-8")
    reply = other.operations(operation(base={"tag": UNKNOWN_TAG}, data={"secret": 1}),
                             stream="records/user-8")
    other.close()
    assert reply["result"] == "conflict"
    (id_,), = fleet.rows("SELECT id FROM conflicts WHERE user = 'user-8'")
    op_id = reply["conflicts"][0]["op_id"]
    for op, args in (("conflicts.show", {"id": id_}),
                     ("conflicts.resolve", {"id": id_, "choice": "server"})):
        answer = client.request(op, args)
        assert not answer["success"] and answer["reason"], answer
        assert answer["code"] in ("forbidden", "not_found", "bad_value")
        assert "secret" not in json.dumps(answer)
    told = client.request("conflicts.resolve", {"ops": [op_id], "choice": "server"})
    assert not told["success"] or told["data"]["unknown"] == 1, told
    assert fleet.rows("SELECT resolved_ms FROM conflicts WHERE id = ?", id_) == [(None,)]


# ---- requests ----

REQUESTS = [
    ("changes", {}, "missing_field"), ("changes", {"table": 1}, "bad_type"),
    ("changes", {"table": "No Table", "since": None}, ("bad_id", "bad_value")),
    ("changes", {"table": "projects", "since": None, "limit": 0}, "bad_value"),
    ("changes", {"table": "projects", "since": None, "limit": 1001}, "bad_value"),
    ("changes", {"table": "projects", "since": None, "limit": -1}, ("bad_value", "bad_type")),
    ("changes", {"table": "projects", "since": {"version": 1}}, "missing_field"),
    ("changes", {"table": "projects", "since": {"version": 1, "tag": 5}}, "bad_type"),
    ("changes", {"table": "projects", "since": 7}, ("bad_type", "bad_value")),
    ("changes", {"table": "projects", "since": {"version": 1, "tag": UNKNOWN_TAG}},
     "cursor_unknown"),
    ("changes", {"table": "projects", "since": {"version": 999999, "tag": UNKNOWN_TAG}},
     "cursor_unknown"),
    ("document.get", {"table": "projects"}, "missing_field"),
    ("document.get", {"table": "projects", "id": ""}, ("bad_id", "bad_value")),
    ("versions", {"table": "projects", "id": "p1", "before": "x"}, "bad_type"),
    ("version.get", {"table": "projects", "id": "p1", "version": 999999}, "not_found"),
    ("version.get", {"table": "projects", "id": "p1"}, "missing_field"),
    ("conflicts.list", {"ops": "all"}, "bad_type"),
    ("conflicts.list", {"ops": [str(n) for n in range(101)]}, "bad_value"),
    ("conflicts.show", {"id": 424242}, "not_found"),
    ("conflicts.resolve", {"choice": "server"}, ("missing_field", "bad_value")),
    ("conflicts.resolve", {"id": 424242, "choice": "server"}, ("not_found", "bad_value")),
    ("conflicts.resolve", {"ops": ["x"], "choice": "coin"}, "bad_value"),
    ("document.put", {"table": "projects", "id": "p1", "data": {}}, "unknown_op"),
]


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_a_bad_request_is_refused_with_code_and_reason(fleet, client, unchanged, number):
    op, args, codes = REQUESTS[number]
    answer = client.request(op, {"user": USER, **args})
    assert answer["success"] is False and answer["reason"], answer
    assert answer["code"] in (codes if isinstance(codes, tuple) else (codes,)), answer


def test_a_request_that_is_no_request_is_answered_and_kept_aside(fleet, client, unchanged):
    before = len(fleet.ingest.quarantine())
    for body in ({"v": 1, "kind": "request", "id": str(uuid.uuid4()), "op": "changes", "args": []},
                 {"v": 1, "kind": "request", "id": str(uuid.uuid4()), "args": {}},
                 {"v": 2, "kind": "request", "id": str(uuid.uuid4()), "op": "changes", "args": {}},
                 {"v": 1, "kind": "request", "op": "changes", "args": {}}):
        answer = client.ask(body, "ctl", correlation=str(uuid.uuid4()).encode())
        assert answer.get("success") is False or answer.get("result") == "rejected", answer
        assert answer["code"] and answer["reason"], answer
    client.publish(b'{"v":1,"kind":"request"', topic=up_topic(client.device, "ctl"))
    wait_until(lambda: len(fleet.ingest.quarantine()) > before, 5, "kept in quarantine")


# ---- what a plain client reads is all there is, in the order of commits ----

@pytest.mark.parametrize("limit", [1, 2, 100])
def test_changes_are_read_page_by_page(fleet, client, limit):
    a = fleet.devices[0]
    for n in range(4):
        a.put(USER, {"n": n, "text": "漢" * 100}, "contents", f"c{limit}-{n}")
    a.delete(USER, "contents", f"c{limit}-1")
    a.put(USER, {"n": "again"}, "contents", f"c{limit}-0")
    a.wait_settled()
    since, found, pages = None, [], 0
    while True:
        args = {"table": "contents", "since": since, "limit": limit}
        data = client.request("changes", args)["data"]  # bound to one user alone
        assert len(data["changes"]) <= limit and (data["user"], data["table"]) == (USER, "contents")
        found += data["changes"]
        since, pages = data["cursor"], pages + 1
        if not data["has_more"]:
            break
    versions = [change["version"] for change in found]
    assert versions == sorted(set(versions)) and since["version"] == data["latest_version"]
    now = {change["id"]: change for change in found}
    assert len(now) == len(found), "each document once"
    assert now[f"c{limit}-1"]["operation"] == "delete" and now[f"c{limit}-1"]["deleted"] is True
    there = fleet.cloud_table(USER, "contents")
    assert {id_: change["data"] for id_, change in now.items() if "data" in change} == {
        id_: json.loads(text) for id_, text in there.items()}
    assert pages >= len(found) // limit
    # nothing newer: the same cursor, and then only what is new
    data = client.request("changes", {"table": "contents", "since": since})["data"]
    assert data["changes"] == [] and data["cursor"] == since and not data["has_more"]
    a.put(USER, {"n": "new"}, "contents", f"c{limit}-2")
    a.wait_settled()
    data = client.request("changes", {"table": "contents", "since": since})["data"]
    assert [change["id"] for change in data["changes"]] == [f"c{limit}-2"]


def test_versions_of_a_document_are_listed_and_read(fleet, client):
    a = fleet.devices[0]
    for n in range(5):
        a.put(USER, f'{{"n": {n},  "t": "as it was"}}', "contents", "versions")
    a.delete(USER, "contents", "versions")
    a.wait_settled()
    name = {"user": USER, "table": "contents", "id": "versions"}
    first = client.request("versions", {**name, "limit": 4})["data"]
    assert len(first["versions"]) == 4 and first["has_more"]
    rest = client.request("versions", {**name, "before": first["versions"][-1]["version"]})["data"]
    entries = first["versions"] + rest["versions"]
    assert not rest["has_more"] and len(entries) == 6
    assert entries[0]["deleted"] and entries[0]["size"] == 0
    for n, entry in enumerate(reversed(entries[1:])):
        assert entry["size"] == len(f'{{"n": {n},  "t": "as it was"}}')
        got = client.request("version.get", {**name, "version": entry["version"]})["data"]
        assert got["data"] == {"n": n, "t": "as it was"} and got["device"] == "dev-a"
        assert got["tag"] == entry["tag"] and got["op_id"] == entry["op_id"]
