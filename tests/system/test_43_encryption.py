"""Users whose documents the cloud cannot read: what is encrypted stays so on the whole way, keys
are changed, and nothing that was altered, swapped, replayed or locked overwrites anything."""

import base64
import contextlib
import gzip
import itertools
import json
import random
import shutil
import sqlite3
import subprocess
import uuid
import zlib

import pytest

from lib.devices import SETTINGS, Fleet
from lib.mqtt import Client
from lib.plain import PlainClient
from lib.stack import clean_environment
from lib.wait import wait_until

fernet = pytest.importorskip("cryptography.fernet", reason="python3-cryptography is missing")

TABLES = {"projects": {}, "t_latest": {"policy": "latest"}, "t_manual": {"policy": "manual"},
          "contents": {"arrays": {"/nodes": "id"}}}
MARK = "zq7kPlaintextMarker"  # stands in documents of encrypted users, in keys and values
NUMBERS = itertools.count()
OPEN_MARK = "zq7kReadableMarker"  # in those of others: the search would find it


class Keys:
    """Key files of a fleet: one folder per device, <user>.key inside."""

    def __init__(self, fleet):
        self.fleet = fleet

    def folder(self, device):
        folder = self.fleet.stack.folder / f"keys-{device}"
        folder.mkdir(exist_ok=True)
        return folder

    def give(self, user, keys, devices=None, mode=0o600):
        """keys: texts, the first encrypts."""
        for device in devices or [device.name for device in self.fleet.devices]:
            file = self.folder(device) / f"{user}.key"
            file.write_text("".join(f"{key}\n" for key in keys))
            file.chmod(mode)

    def take(self, user, device):
        (self.folder(device) / f"{user}.key").unlink(missing_ok=True)


def new_key():
    return fernet.Fernet.generate_key().decode()


@pytest.fixture(scope="module")
def fleet(certs):
    """Three devices that encrypt everybody but `readable`; alice may see all traffic."""
    fleet = Fleet(certs, names=(), tables=TABLES, before_start=lambda stack: stack.open_to_alice())
    try:
        fleet.keys = Keys(fleet)
        for name in ("dev-a", "dev-b", "dev-c"):
            fleet.add(name, encryption__users="*", encryption__key_dir=fleet.keys.folder(name))
        yield fleet.start()
    finally:
        fleet.close()


@pytest.fixture
def home(fleet, request):
    """A user with one key on all devices."""
    fleet.recover()
    user = request.node.name.removeprefix("test_")
    user = "".join(c if c.isalnum() else "-" for c in user)[:30] + f"-{next(NUMBERS)}"
    fleet.keys.give(user, [new_key()])
    fleet.bind(user)
    yield user
    fleet.unbind(user)


@pytest.fixture
def abc(fleet):
    return fleet.devices


def key_of(fleet, user, device="dev-a"):
    return (fleet.keys.folder(device) / f"{user}.key").read_text().split()[0]


def opened(fleet, user, table=SETTINGS, id_=None, key=None):
    """What is inside of the token that the cloud has in force, by Python's cryptography."""
    token = json.loads(fleet.cloud_text(user, table, id_))
    assert isinstance(token, str)
    return json.loads(fernet.Fernet(key or key_of(fleet, user)).decrypt(token.encode()))


# ---- nobody on the way can read it ----

class Sniffer:
    """Everything that goes over the broker."""

    def __init__(self, fleet):
        self._client = Client(fleet.stack.certs.operator("alice"), fleet.broker.operator_port)
        self._client.subscribe("sb/v1/up/+/+/+", "sb/v1/down/+/+", "sb/v1/state/+",
                               "sb/v1/event/+", "sb/v1/ingest/+")

    def bytes(self):
        """Each message as it travelled and unpacked, with its topic and properties."""
        for message in self._client.messages:
            yield message.topic.encode() + repr(message.properties).encode() + message.payload
            if message.payload[:2] == b"\x1f\x8b":
                yield gzip.decompress(message.payload)

    def wait_for(self, text):
        wait_until(lambda: any(text in data for data in self.bytes()), 10, f"{text} on its way")

    def close(self):
        self._client.disconnect()


def forms(mark):
    """The mark as it may stand somewhere: plain, UTF-16, hex, base64 at its three offsets."""
    raw = mark.encode()
    found = {raw, mark.encode("utf-16-le"), raw.hex().encode()}
    for lead in range(3):
        text = base64.b64encode(b"\0" * lead + raw)
        found.add(text[4 if lead else 0:len(text) // 4 * 4 - 4])
    return found


def files_with(folder, mark):
    return [path for path in folder.rglob("*") if path.is_file()
            and any(form in path.read_bytes() for form in forms(mark))]


def test_the_cloud_the_broker_and_the_logs_have_no_plain_text(fleet, home, abc):
    a, b, _ = abc
    sniffer = Sniffer(fleet)
    document = {f"key {MARK}": f"value {MARK} 漢字", "n": 1}
    a.put(home, document)
    a.put(home, document, "projects", "p1")
    a.put(home, {**document, "long": f"{MARK} " * 3000}, "projects", "long")
    fleet.wait_same_text(home, "projects", "long")
    # a conflict, its merge, its decision and a removal travel too
    b.stop()
    b.put(home, {**document, "n": 2, MARK: "b"})
    a.put(home, {**document, "n": 3})
    a.wait_settled()
    b.start()
    conflict, = b.wait_conflicts(home)
    b.resolve(conflict["id"], "--keep-local")
    b.delete(home, "projects", "p1")
    fleet.wait_same_text(home)
    fleet.settle()
    bad = b.put(home, f'{{"{MARK}": 1, "{MARK}": 2}}', check=False)  # a refusal that is logged
    assert bad.returncode == 1
    # the control: a user that is not encrypted is found by the same search
    plain = PlainClient(fleet.stack, "dev-plain")
    fleet.ingest.cli("device", "grant", "dev-plain", "readable")
    reply = plain.send("settings/readable", 1, [
        {"op_id": "o-1", "hlc": "019b7c10a1b30000", "base": None, "settings": {OPEN_MARK: 1}}])
    assert reply["result"] == "stored"
    plain.close()
    sniffer.wait_for(OPEN_MARK.encode())
    sniffer.wait_for(f'"user":"{home}"'.encode())  # ids are clear, and were seen
    for data in sniffer.bytes():
        assert not any(form in data for form in forms(MARK)), data[:300]
    sniffer.close()
    cloud, broker = fleet.ingest.folder, fleet.broker.folder
    assert files_with(cloud, OPEN_MARK)
    assert files_with(cloud, MARK) == []
    fleet.broker.restart()  # saves what it keeps
    for device in abc:
        device.plug()
    assert files_with(broker, MARK) == []
    fleet.ingest.restart()  # writes its log file back into the database
    assert files_with(cloud, MARK) == []
    for device in abc:
        assert MARK not in device.edge.log()
    assert fleet.operator.ask("document.get", user=home, table="settings",
                              id="settings")["data"].startswith("gAAAA")
    # cloud_ingest itself shows the token
    shown = fleet.ingest.cli("settings", "--user", home).stdout
    assert MARK not in shown and "gAAAA" in shown


# ---- there and back ----

def test_documents_come_back_as_they_went_in(fleet, home, abc):
    a = abc[0]
    rng = random.Random(264)
    text = '{"n": 12345678901234567890, "f": 0.10, "e": 1E+2, "名": "漢字 😀 \\u202e", "a":[ 1 ]}'
    large = json.dumps({f"k{n}": f"{rng.getrandbits(256):064x}" for n in range(3500)})
    assert 264000 <= len(large) < 300000
    a.put(home, text)
    a.put(home, large, "projects", "large")
    fleet.wait_opened(home, text)
    fleet.wait_opened(home, large, "projects", "large", timeout=20)
    a.stop()
    shutil.rmtree(a.edge.state)
    a.start()
    a.edge.cli("settings", "restore", "--user", home)
    assert a.text(home) == text
    for entry in abc[1].edge.json("user", "list")["users"]:
        a.add_user(entry["user_id"])
    fleet.wait_opened(home, large, "projects", "large", timeout=20)
    assert a.about(home)["encrypted"]


def test_arrays_are_merged_by_key_on_the_edge(fleet, home, abc):
    """The cloud tells which ones, though it sees none."""
    a, b, _ = abc
    nodes = [{"id": "n1", "x": 0}, {"id": "n2", "x": 0}]
    a.put(home, {"nodes": nodes}, "contents", "c")
    fleet.wait_same_text(home, "contents", "c", value={"nodes": nodes})
    b.stop()
    b.put(home, {"nodes": [nodes[0], {"id": "n2", "x": 2}, {"id": "n3"}]}, "contents", "c")
    a.put(home, {"nodes": [{"id": "n1", "x": 1}, nodes[1]]}, "contents", "c")
    a.wait_settled()
    b.start()
    fleet.wait_same_text(home, "contents", "c", value={
        "nodes": [{"id": "n1", "x": 1}, {"id": "n2", "x": 2}, {"id": "n3"}]})
    assert all(device.conflicts(home) == [] for device in abc)


def test_large_encrypted_documents_are_merged_on_the_edge(fleet, home, abc):
    """The token is no part of the reply any more: it is read by id, opened and merged."""
    a, b, _ = abc
    rng = random.Random(43)
    long = {f"k{n}": f"{rng.getrandbits(2048):0512x}" for n in range(1200)}
    base = {**long, "a": 0, "b": 0}
    a.put(home, base, "projects", "p")
    fleet.wait_opened(home, json.dumps(base), "projects", "p", timeout=20)
    b.stop()
    b.put(home, {**base, "b": 1}, "projects", "p")
    a.put(home, {**base, "a": 1}, "projects", "p")
    a.wait_settled()
    b.start()
    fleet.wait_same_text(home, "projects", "p", value={**base, "a": 1, "b": 1}, timeout=20)
    too_large = b.put(home, {"v": "x" * 800000}, "projects", "p2", check=False)  # its token is
    assert too_large.returncode == 1 and "too_large" in too_large.stderr, too_large.stderr
    assert b.text(home, "projects", "p2") is None


def test_pythons_cryptography_opens_what_the_cloud_has(fleet, home, abc):
    a = abc[0]
    a.put(home, {"v": 1})
    a.wait_settled()
    a.put(home, {"v": 2}, "projects", "p ü")
    a.wait_settled()
    inside = opened(fleet, home)
    assert inside["data"] == {"v": 1} and inside["v"] == 1
    assert (inside["user"], inside["stream"], inside["table"], inside["id"], inside["device"]) == (
        home, "settings", "settings", "settings", "dev-a")
    assert inside["base"] is None and len(inside["hlc"]) == len(inside["top"]) == 16
    (op_id, device), = fleet.rows("SELECT op_id, device FROM versions WHERE user = ? AND doc ="
                                  " 'settings'", home)
    assert (inside["op_id"], inside["device"]) == (op_id, device)
    record = opened(fleet, home, "projects", "p ü")
    assert (record["stream"], record["table"], record["id"], record["data"]) == (
        "records", "projects", "p ü", {"v": 2})
    key = key_of(fleet, home)
    for other in (new_key(), ("B" if key[0] == "A" else "A") + key[1:]):
        with pytest.raises((fernet.InvalidToken, ValueError)):
            opened(fleet, home, key=other)


def seal(key, user, device, op_id, data, base=None, hlc="019b7c10a1b30000", **other):
    """A token as another client makes it."""
    inside = {"v": 1, "user": user, "stream": "settings", "table": SETTINGS, "id": SETTINGS,
              "device": device, "op_id": op_id, "base": base, "hlc": hlc, "top": hlc, "data": data,
              **other}
    return fernet.Fernet(key).encrypt(json.dumps(inside).encode()).decode()


def test_a_token_of_pythons_cryptography_is_taken(fleet, home, abc):
    fleet.ingest.cli("device", "grant", "py-1", home)
    client = PlainClient(fleet.stack, "py-1")
    token = seal(key_of(fleet, home), home, "py-1", "op-py", {"from": "python", "n": 2**63})
    reply = client.send(f"settings/{home}", 1, [
        {"op_id": "op-py", "hlc": "019b7c10a1b30000", "base": None, "settings": token}])
    client.close()
    assert reply["result"] == "stored", reply
    for device in abc:
        wait_until(lambda device=device: device.get(home) == {"from": "python", "n": 2**63}, 10,
                   lambda device=device: f"{device}: {device.text(home)} {device.edge.log()[-700:]}")
    abc[1].put(home, {"from": "dev-b"})
    fleet.wait_opened(home, '{"from": "dev-b"}')
    assert fleet.open_conflicts(home) == []


# ---- merging without the cloud's help ----

@pytest.mark.parametrize("order", ["a first", "b first"])
@pytest.mark.parametrize("table", [SETTINGS, "projects"])
def test_offline_edits_are_merged_on_the_edge(fleet, home, abc, table, order):
    a, b, c = abc
    id_ = None if table == SETTINGS else "p"
    base = {"keep": 1, "a": 0, "b": 0, "in": {"x": 0, "y": 0}}
    a.put(home, base, table, id_)
    fleet.wait_opened(home, json.dumps(base), table, id_)
    for device in (a, b):
        device.stop()
    a.put(home, {**base, "a": 1}, table, id_)
    a.put(home, {**base, "a": 2, "in": {"x": 1, "y": 0}, "new a": []}, table, id_)
    b.put(home, {**base, "b": 1, "in": {"x": 0, "y": 1}, "new b": {}}, table, id_)
    for device in [a, b] if order == "a first" else [b, a]:
        device.start()
        device.wait_settled()
    text = fleet.wait_same_text(home, table, id_, value={
        "keep": 1, "a": 2, "b": 1, "in": {"x": 1, "y": 1}, "new a": [], "new b": {}})
    assert list(json.loads(text)) == ["keep", "a", "b", "in", "new a", "new b"]
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "told that they are merged")
    for device in abc:
        assert device.conflicts(home) == []
    assert opened(fleet, home, table, id_)["data"] == json.loads(text)


def test_what_cannot_be_merged_is_a_conflict_that_only_devices_decide(fleet, home, abc):
    a, b, _ = abc
    a.put(home, {"v": 0, "w": 0}, "projects", "p")
    fleet.wait_same_text(home, "projects", "p", value={"v": 0, "w": 0})
    b.stop()
    b.put(home, {"v": 2, "w": 2}, "projects", "p")
    a.put(home, {"v": 1, "w": 0}, "projects", "p")
    a.wait_settled()
    b.start()
    conflict, = b.wait_conflicts(home)
    assert conflict["pointers"] == ["/v"] and conflict["policy"] == "merge"
    fleet.wait_same_text(home, "projects", "p", value={"v": 1, "w": 0})
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    assert there["code"] == "base_unknown" and there["pointers"] == []
    for more in ({"choice": "local"}, {"choice": "merge", "data": {"v": 3}}):
        refused = fleet.operator.request("conflicts.resolve", id=there["id"], **more)
        assert not refused["success"] and refused["code"] == "bad_value", refused
    assert len(b.conflicts(home)) == 1
    b.resolve(conflict["id"], "--keep-local")
    fleet.wait_same_text(home, "projects", "p", value={"v": 2, "w": 2})
    wait_until(lambda: fleet.open_conflicts(home) == [], 10, "told")


def test_an_operator_may_close_a_conflict_it_cannot_read(fleet, home, abc):
    a, b, _ = abc
    a.put(home, {"v": 0})
    fleet.wait_same_text(home, value={"v": 0})
    b.stop()
    b.put(home, {"v": 2})
    a.put(home, {"v": 1})
    a.wait_settled()
    b.start()
    b.wait_conflicts(home)
    there, = fleet.operator.ask("conflicts.list", user=home)["conflicts"]
    fleet.operator.ask("conflicts.resolve", id=there["id"], choice="server")
    b.wait_conflicts(home, 0)
    fleet.wait_same_text(home, value={"v": 1})


@pytest.mark.parametrize("order", ["a first", "b first"])
def test_latest_is_decided_on_the_edge(fleet, home, abc, order):
    a, b, _ = abc
    a.put(home, {"v": 0, "w": 0}, "t_latest", "d")
    fleet.wait_same_text(home, "t_latest", "d", value={"v": 0, "w": 0})
    for device in (a, b):
        device.stop()
    a.put(home, {"v": 1, "w": 0, "a": 1}, "t_latest", "d")
    b.put(home, {"v": 2, "w": 0}, "t_latest", "d")
    b.put(home, {"v": 2, "w": 2}, "t_latest", "d")
    for device in [a, b] if order == "a first" else [b, a]:
        device.start()
        device.wait_settled()
    fleet.wait_same_text(home, "t_latest", "d", value={"v": 2, "w": 2, "a": 1})
    assert all(device.conflicts(home) == [] for device in abc)


def test_an_edit_that_is_merged_late_keeps_its_time(fleet, home, abc):
    """a's is older than b's, and is made anew on c's after b's was written: b's still wins."""
    a, b, c = abc
    a.put(home, {"v": 0, "u": 0}, "t_latest", "d")
    fleet.wait_same_text(home, "t_latest", "d", value={"v": 0, "u": 0})
    a.put(home, {"v": 0, "u": 1}, "t_latest", "d")  # the policy is known on all after this
    fleet.wait_same_text(home, "t_latest", "d", value={"v": 0, "u": 1})
    for device in (a, b):
        device.stop()
    a.put(home, {"v": "older", "u": 1}, "t_latest", "d")
    b.put(home, {"v": "newer", "u": 1}, "t_latest", "d")
    c.put(home, {"v": 0, "u": 3}, "t_latest", "d")
    c.wait_settled()
    a.start()
    a.wait_settled()
    wait_until(lambda: c.get(home, "t_latest", "d") == {"v": "older", "u": 3}, 10, "a's, on c's")
    b.start()
    fleet.wait_same_text(home, "t_latest", "d", value={"v": "newer", "u": 3})


def test_manual_leaves_it_to_people(fleet, home, abc):
    a, b, _ = abc
    a.put(home, {"v": 0}, "t_manual", "d")
    fleet.wait_same_text(home, "t_manual", "d", value={"v": 0})
    b.stop()
    b.put(home, {"v": 0, "b": 1}, "t_manual", "d")
    a.put(home, {"v": 0, "a": 1}, "t_manual", "d")
    a.wait_settled()
    b.start()
    conflict, = b.wait_conflicts(home)
    assert conflict["pointers"] == [""]
    fleet.wait_same_text(home, "t_manual", "d", value={"v": 0, "a": 1})
    b.resolve(conflict["id"], "--merge", {"v": 0, "a": 1, "b": 1})
    fleet.wait_same_text(home, "t_manual", "d", value={"v": 0, "a": 1, "b": 1})


# ---- keys ----

def test_another_key_opens_nothing_and_overwrites_nothing(fleet, home, abc):
    a, b, c = abc
    a.put(home, {"v": 1})
    fleet.wait_same_text(home, value={"v": 1})
    right = key_of(fleet, home)
    fleet.keys.give(home, [new_key()], ["dev-b"])
    a.put(home, {"v": 2})
    wait_until(lambda: c.get(home) == {"v": 2}, 10, "the edit on the third device")
    wait_trouble(b, home, "wrong_key")
    assert b.get(home) == {"v": 1}
    # the one with the wrong key saves on top: nothing of it is read elsewhere, nothing is lost
    fleet.keys.give(home, [right], ["dev-b"])
    b.sync(home)
    wait_until(lambda: b.get(home) == {"v": 2}, 10, "the document, with the right key")
    assert b.about(home)["trouble"] is None


def wait_trouble(device, user, *codes):
    wait_until(lambda: device.about(user)["trouble"] in codes, 10,
               lambda: f"{codes}: {device.about(user)}\n{device.edge.log()[-700:]}")
    status = device.edge.json("status", "--user", user)
    assert [entry["code"] for entry in status["trouble"] if entry["table"] == SETTINGS] == [
        device.about(user)["trouble"]], status
    assert device.status()["trouble"] >= 1
    assert status["sync_status"] == device.status()["sync_status"] == "conflict"


def test_what_a_wrong_key_wrote_is_kept_apart(fleet, home, abc):
    a, b, c = abc
    a.put(home, {"v": 1})
    fleet.wait_same_text(home, value={"v": 1})
    right = key_of(fleet, home)
    wrong = new_key()
    fleet.keys.give(home, [wrong], ["dev-b"])
    b.put(home, {"v": "with another key"})
    b.wait_settled()
    for device in (a, c):
        wait_trouble(device, home, "wrong_key")
        assert device.get(home) == {"v": 1}
    fleet.keys.give(home, [right, wrong])  # once they are all known
    for device in (a, c):
        device.sync(home)
    fleet.wait_same_text(home, value={"v": "with another key"}, key=wrong)


def test_an_edit_made_with_a_wrong_key_goes_once_the_key_is_replaced(fleet, home, abc):
    """Without the wrong one beside it: who mends such a device has thrown it away."""
    a, b, _ = abc
    right = key_of(fleet, home)
    a.put(home, {"v": 1})
    fleet.wait_same_text(home, value={"v": 1})
    fleet.keys.give(home, [new_key()], ["dev-b"])
    a.put(home, {"v": 2})
    wait_trouble(b, home, "wrong_key")
    for n in range(2):
        b.put(home, {"v": 1, "mine": n})
        b.wait_settled()
    wait_trouble(b, home, "wrong_key")
    fleet.keys.give(home, [right], ["dev-b"])
    b.sync(home)
    fleet.wait_same_text(home, value={"v": 2, "mine": 1})
    assert b.about(home)["trouble"] is None and b.conflicts(home) == []


def test_without_a_key_nothing_leaves_and_nothing_is_overwritten(fleet, home, abc):
    a, b, _ = abc
    a.put(home, {"v": 1})
    fleet.wait_same_text(home, value={"v": 1})
    right = key_of(fleet, home)
    fleet.keys.take(home, "dev-b")
    refused = b.put(home, {"v": "in the clear?"}, check=False)
    assert refused.returncode == 6 and "no_key" in refused.stderr, refused
    a.put(home, {"v": 2})
    a.wait_settled()
    wait_trouble(b, home, "no_key")
    assert b.get(home) == {"v": 1}
    fleet.keys.give(home, [right], ["dev-b"])
    b.sync(home)
    fleet.wait_same_text(home, value={"v": 2})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(fleet, home, abc, mode):
    b = abc[1]
    b.put(home, {"v": 1})
    fleet.wait_same_text(home, value={"v": 1})
    file = fleet.keys.folder("dev-b") / f"{home}.key"
    file.chmod(mode)
    refused = b.put(home, {"v": 2}, check=False)
    assert refused.returncode == 6 and "no_key" in refused.stderr, refused
    assert str(file.name) in refused.stderr and "others" in refused.stderr, refused.stderr
    assert b.get(home) == {"v": 1} and fleet.cloud_tokens(home) == 1
    b.edge.configure(encryption__users=home)  # listed by name, so that its key is checked
    warned = b.edge.json("reload")["warnings"]
    assert len(warned) == 1 and file.name in warned[0], warned
    assert file.name in b.edge.cli("reload").stdout
    file.chmod(0o600)
    assert b.edge.json("reload")["warnings"] == []
    b.edge.configure(encryption__users="*")
    b.edge.cli("reload")
    b.put(home, {"v": 2})
    fleet.wait_same_text(home, value={"v": 2})


def test_a_common_key_file_is_checked_and_a_key_never_comes_from_the_command_line(fleet):
    device = fleet.devices[0]
    folder = fleet.stack.folder / "checked"
    folder.mkdir(exist_ok=True)
    key = folder / "common.key"
    made = device.edge.cli("key", "generate", "--out", key)
    assert key.read_text().strip() not in made.stdout
    assert key.stat().st_mode & 0o777 == 0o600
    fernet.Fernet(key.read_text().strip())
    assert device.edge.cli("key", "generate", "--out", key, check=False).returncode == 1
    printed = device.edge.cli("key", "generate").stdout.strip()
    fernet.Fernet(printed)

    def check(*sets, env=None):
        args = [arg for each in sets for arg in ("--set", each)]
        return subprocess.run(
            [device.edge.program, "config", "check", *args], capture_output=True, text=True,
            check=False, env={**clean_environment(), **(env or {})})

    everybody = ["encryption.users=*", f"agent.state_dir={folder}"]
    good = check(*everybody, f"encryption.key_file={key}")
    assert good.returncode == 0, good.stderr
    key.chmod(0o644)
    bad = check(*everybody, f"encryption.key_file={key}")
    assert bad.returncode == 6 and str(key) in bad.stderr, bad
    key.chmod(0o600)
    key.write_text("short\n")
    bad = check(*everybody, f"encryption.key_file={key}")
    assert bad.returncode == 6 and "short" not in bad.stderr, bad
    assert check(*everybody, env={"SB_ENCRYPTION_KEY": printed}).returncode == 0
    for name in ("key", "keys"):
        refused = check(*everybody, f"encryption.{name}={printed}")
        assert refused.returncode in (2, 6) and printed not in refused.stderr, refused
    assert check("encryption.users=*").returncode == 6  # and no key at all


def test_a_key_is_changed_on_all_devices_and_the_old_one_goes(fleet, home, abc):
    """First encrypts, all decrypt; reencrypt writes what is there anew; then the old key is not
    needed any more, not by a new device either."""
    a, b, c = abc
    old, new = key_of(fleet, home), new_key()
    a.put(home, {"v": 1})
    a.put_many(home, "projects", {f"p{n}": f'{{"n": {n}}}' for n in range(5)})
    a.put(home, {"v": 0}, "projects", "removed")
    a.delete(home, "projects", "removed")
    fleet.wait_same_text(home, "projects", "p4", value={"n": 4})
    fleet.keys.give(home, [old, new])
    fleet.keys.give(home, [new, old], ["dev-a"])
    a.put(home, {"v": 2})
    fleet.wait_same_text(home, value={"v": 2}, key=new)
    assert opened(fleet, home, "projects", "p0", old)["data"] == {"n": 0}
    b.put(home, {"v": 3})  # still with the old one
    fleet.wait_same_text(home, value={"v": 3}, key=old)
    fleet.keys.give(home, [new, old])
    answer = c.edge.json("key", "reencrypt", "--user", home)
    assert answer["documents"] == 6, answer
    c.wait_settled()
    fleet.keys.give(home, [new])
    assert opened(fleet, home, key=new)["data"] == {"v": 3}
    for n in range(5):
        assert opened(fleet, home, "projects", f"p{n}", new)["data"] == {"n": n}
    for device in abc:
        device.sync(home)
        assert device.get(home) == {"v": 3} and device.about(home)["trouble"] is None
    fresh = fleet.add("dev-fresh", encryption__users="*",
                      encryption__key_dir=fleet.keys.folder("dev-fresh"))
    try:
        fleet.keys.give(home, [new], ["dev-fresh"])
        fresh.start()
        fleet.bind(home, [fresh])
        wait_until(lambda: fresh.get(home) == {"v": 3}, 10, lambda: f"{fresh.edge.log()[-700:]}")
        wait_until(lambda: len(fresh.list(home, "projects")) == 5, 10, "the records")
    finally:
        fleet.devices.remove(fresh)
        fresh.close()
    assert fleet.open_conflicts(home) == []


# ---- a cloud that alters what it keeps ----

@contextlib.contextmanager
def cloud_altered(fleet):
    """The cloud's database, open for changes; the ingest is not running meanwhile."""
    fleet.ingest.stop()
    database = sqlite3.connect(fleet.ingest.database, timeout=10)
    try:
        with database:
            yield database
    finally:
        database.close()
        fleet.ingest.start()


def newest(database, user, doc):
    return database.execute("SELECT version, submitted, op_id, device, hlc FROM versions WHERE"
                            " user = ? AND doc = ? ORDER BY version DESC LIMIT 1",
                            (user, doc)).fetchone()


def give_version(fleet, user, device, value, table=SETTINGS, id_=None):
    """A further version that dev-c does not know yet: it is offline."""
    device.put(user, value, table, id_)
    device.wait_settled()


@pytest.fixture
def held(fleet, home, abc):
    """a and b go on while c, offline, holds version 2 of the settings and of a record."""
    a, _, c = abc
    for value in ({"v": 1}, {"v": 2}):
        a.put(home, value)
        a.put(home, value, "projects", "p")
        fleet.wait_same_text(home, value=value)
        fleet.wait_same_text(home, "projects", "p", value=value)
    c.stop()
    give_version(fleet, home, a, {"v": 3})
    give_version(fleet, home, a, {"v": 3}, "projects", "p")
    return c


def back_with_trouble(fleet, home, c, *codes, mend=None):
    """c pulls, refuses what it got and says so; the next good version ends it, or whoever mends
    the database."""
    a = fleet.devices[0]
    c.start()
    wait_trouble(c, home, *codes)
    assert c.get(home) == {"v": 2}
    c.sync(home, check=False)
    c.restart()
    assert c.get(home) == {"v": 2}
    assert c.about(home)["trouble"] in codes
    wait_until(lambda: c.get(home, "projects", "p") == {"v": 3}, 10, "what is good is taken")
    if mend is not None:
        with cloud_altered(fleet) as database:
            mend(database)
    for device in fleet.devices:
        device.plug(20)
    a.put(home, {"v": 4})
    fleet.wait_same_text(home, value={"v": 4})
    assert c.about(home)["trouble"] is None


def test_a_token_of_another_document_is_tampered(fleet, home, held):
    with cloud_altered(fleet) as database:
        version, *_ = newest(database, home, SETTINGS)
        _, token, *_ = newest(database, home, "projects/p")
        database.execute("UPDATE versions SET submitted = ?, result = NULL WHERE user = ? AND"
                         " version = ?", (token, home, version))
    back_with_trouble(fleet, home, held, "tampered")


@pytest.mark.parametrize("member", ["op_id", "device"])
def test_clear_members_that_do_not_belong_to_the_token_are_tampered(fleet, home, held, member):
    with cloud_altered(fleet) as database:
        version, _, op_id, device, _ = newest(database, home, SETTINGS)
        database.execute(f"UPDATE versions SET {member} = 'dev-b' WHERE user = ? AND version = ?",
                         (home, version))
    # whoever made it cannot go on from there either: nobody knows an operation of that name
    back_with_trouble(fleet, home, held, "tampered", mend=lambda database: database.execute(
        "UPDATE versions SET op_id = ?, device = ? WHERE user = ? AND version = ?",
        (op_id, device, home, version)))


def test_a_plain_document_for_an_encrypted_user_is_tampered(fleet, home, held):
    with cloud_altered(fleet) as database:
        version, *_ = newest(database, home, SETTINGS)
        database.execute("UPDATE versions SET submitted = '{\"v\":\"evil\"}', result = NULL WHERE"
                         " user = ? AND version = ?", (home, version))
    back_with_trouble(fleet, home, held, "tampered")


def test_one_changed_bit_is_noticed(fleet, home, held):
    """Fernet does not tell an altered token from another key's."""
    with cloud_altered(fleet) as database:
        version, token, *_ = newest(database, home, SETTINGS)
        at = len(token) // 2
        token = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]
        database.execute("UPDATE versions SET submitted = ?, result = NULL WHERE user = ? AND"
                         " version = ?", (token, home, version))
    back_with_trouble(fleet, home, held, "tampered", "wrong_key")


def test_no_token_at_all_is_tampered(fleet, home, held):
    with cloud_altered(fleet) as database:
        version, *_ = newest(database, home, SETTINGS)
        database.execute("UPDATE versions SET submitted = '\"not a token\"', result = NULL WHERE"
                         " user = ? AND version = ?", (home, version))
    back_with_trouble(fleet, home, held, "tampered", "wrong_key")


def test_an_old_token_as_a_new_version_is_stale(fleet, home, held):
    with cloud_altered(fleet) as database:
        version, *_ = newest(database, home, SETTINGS)
        first = database.execute(
            "SELECT submitted, op_id, device, hlc FROM versions WHERE user = ? AND doc = 'settings'"
            " ORDER BY version LIMIT 1", (home,)).fetchone()
        database.execute("UPDATE versions SET submitted = ?, op_id = ?, device = ?, hlc = ?, result"
                         " = NULL WHERE user = ? AND version = ?", (*first, home, version))
    back_with_trouble(fleet, home, held, "stale")


def test_a_plain_client_cannot_put_its_own_text_in(fleet, home, abc):
    """A device that is bound to the user but has no key: plain text, a token of its own key, one
    that says it is another device's."""
    a = abc[0]
    a.put(home, {"v": 1})
    fleet.wait_same_text(home, value={"v": 1})
    fleet.ingest.cli("device", "grant", "evil-1", home)
    client = PlainClient(fleet.stack, "evil-1")
    base = {"tag": fleet.operator.ask("settings.get", user=home)["tag"]}
    good = key_of(fleet, home)
    for n, (text, codes) in enumerate((
            ({"v": "plain"}, ("tampered",)),
            (seal(new_key(), home, "evil-1", "e-1", {"v": "own key"}), ("wrong_key",)),
            (seal(good, home, "dev-a", "e-2", {"v": "as dev-a"}), ("tampered",)),
            (seal(good, "somebody", "evil-1", "e-3", {"v": "other user"}), ("tampered",)),
            (seal(good, home, "evil-1", "e-4", {"v": "very old"}, hlc="0000000000010000"),
             ("stale",)),
            (seal(good, home, "evil-1", "e-5", {"v": "no number"}, v=2),
             ("tampered", "bad_version", "bad_value")))):
        reply = client.send(f"settings/{home}", n + 1, [
            {"op_id": f"e-{n}", "hlc": "019b7c10a1b30000", "base": base, "settings": text}])
        assert reply["result"] == "stored", reply
        version = reply["server_version"]
        base = {"tag": fleet.operator.ask("settings.get", user=home)["tag"]}
        for device in abc:
            device.sync(home, check=False)
            wait_trouble(device, home, *codes)
            assert device.get(home) == {"v": 1}, (device, codes)
    # an edit waits: it may not overwrite what it cannot be merged onto
    a.put(home, {"v": 2})
    a.wait_settled()
    assert a.about(home)["trouble"] and a.get(home) == {"v": 2}
    assert a.conflicts(home) == []
    token = seal(good, home, "evil-1", "e-6", {"v": 1, "good": 1}, top="ffff000000000000", base=base)
    reply = client.send(f"settings/{home}", n + 2, [
        {"op_id": "e-6", "hlc": "019b7c10a1b30000", "base": base, "settings": token}])
    client.close()
    assert reply["server_version"] == version + 1, reply
    fleet.wait_same_text(home, value={"v": 2, "good": 1}, timeout=20)


# ---- beginning with it ----

def test_a_user_becomes_encrypted_while_running(fleet, abc, certs):
    """Plain documents that are there are taken until the first encrypted one."""
    fleet.recover()
    a, b = (fleet.add(name, encryption__users="", encryption__key_dir=fleet.keys.folder(name))
            for name in ("late-a", "late-b"))
    user = "becomes-secret"
    try:
        a.start()
        b.start()
        fleet.keys.give(user, [new_key()], ["late-a", "late-b"])
        fleet.bind(user, [a, b])
        a.put(user, {"v": 1})
        a.put(user, {"v": 1}, "projects", "p")
        fleet.wait_same(user, devices=[a, b], value={"v": 1})
        b.stop()
        for device in (a, b):
            device.edge.configure(encryption__users=f"other-1, {user}")
        a.edge.cli("reload")
        a.put(user, {"v": 2})
        a.wait_settled()
        assert opened(fleet, user, key=key_of(fleet, user, "late-a"))["data"] == {"v": 2}
        b.start()
        wait_until(lambda: b.get(user) == {"v": 2}, 10, "the encrypted document")
        a.edge.json("key", "reencrypt", "--user", user)
        a.wait_settled()
        assert opened(fleet, user, "projects", "p", key_of(fleet, user, "late-a"))["data"] == {
            "v": 1}
        wait_until(lambda: b.about(user, "projects", "p")["encrypted"], 10, "the record too")
    finally:
        for device in (a, b):
            fleet.devices.remove(device)
            device.close()


def test_compression_does_not_undo_it(fleet, home, abc):
    """Two equal documents make tokens that have nothing in common."""
    a = abc[0]
    a.put_many(home, "projects", {f"p{n}": '{"same": "text", "again": "text"}' for n in range(20)})
    a.wait_settled()
    tokens = [json.loads(text) for text in fleet.cloud_table(home, "projects").values()]
    assert len(tokens) == len(set(tokens)) == 20
    raw = [base64.urlsafe_b64decode(token)[25:] for token in tokens]
    assert len({data[:16] for data in raw}) == 20
    assert len(zlib.compress(b"".join(raw), 9)) > sum(map(len, raw)) * 0.95
    assert uuid.UUID(fleet.rows("SELECT op_id FROM versions WHERE user = ?", home)[0][0])
