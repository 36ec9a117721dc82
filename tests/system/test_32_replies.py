"""Only a reply that follows a commit settles, and only what it answers: replies that are lost,
repeated, late, stale, forged, retained or damaged lose nothing, double nothing, un-settle nothing."""

import gzip
import json
import os
import random
import signal
import sqlite3
import uuid
from collections import namedtuple

import pytest

from lib.copies import backup, swap
from lib.flow import (HISTORY, PLAIN, SETTINGS, TYPED, USER, Ledger, is_long, read_rows, reading,
                      seed_of_run)
from lib.mqtt import Client
from lib.stack import Stack, reply_topic
from lib.wait import wait_until

DEVICE = "edge-001"
REPLIES = reply_topic(DEVICE)
STREAMS = (PLAIN, TYPED, HISTORY, SETTINGS)

Sent = namedtuple("Sent", "payload correlation")


def unpack(payload):
    return json.loads(gzip.decompress(payload) if payload[:2] == b"\x1f\x8b" else payload)


class Wiretap:
    """A stack whose operator alice may listen to everything, and whose second ingest's certificate
    is in the wrong hands."""

    def __init__(self, certs):
        self.stack = Stack(certs, {"ingests": (1, 2)}, broker__flap_wait="20ms")
        self.ledger = Ledger()
        self.numbers = self.frozen_at = 0
        self.spy = self.forger = None
        try:
            self.stack.open_to_alice()
            self.stack.start()
            self.edge = self.stack.edge(DEVICE, broker__flap_wait="20ms")
            self.ingest, self.broker = self.stack.ingest, self.stack.broker
            self.ingest.cli("device", "grant", DEVICE, USER)
            self.listen()
            self.edge.start()
        except BaseException:
            self.close()
            raise

    def listen(self):
        certs, broker = self.stack.certs, self.broker
        self.spy = Client(certs.operator("alice"), broker.operator_port)
        self.spy.subscribe("sb/v1/up/+/+/+", "sb/v1/down/+/reply")
        self.forger = Client(certs.ingest(2), broker.device_port)

    # ---- records ----

    def put(self, count=10, streams=STREAMS):
        for stream in streams:
            marks = [f"m-{self.numbers + i:05}" for i in range(count)]
            self.numbers += count
            if stream == HISTORY:
                self.edge.put("history", [{"command_id": mark, "mark": mark} for mark in marks],
                              "--user", USER)
            elif stream == SETTINGS:
                for mark in marks:
                    self.edge.cli("settings", "put", "--user", USER, json.dumps({"mark": mark}))
            else:
                self.edge.put(stream, [reading(stream, mark) for mark in marks])
            self.ledger.promise(stream, marks)

    def pending(self):
        return self.edge.status()["pending_count"]

    def settle(self):
        self.stack.wait_settled(30)

    def check(self):
        """All is in the cloud once, and verify agrees. Returns its totals."""
        self.settle()
        self.ledger.check(self.stack)
        total = self.stack.verified()["total"]
        for name in ("missing", "doubles", "unequal", "holes", "branched", "rejected", "conflict"):
            assert total[name] == 0, total
        status = self.edge.status()
        assert status["failed_count"] == status["conflicts"] == 0, status
        return total

    # ---- the wire ----

    def batches(self):
        """Every batch seen so far, unpacked."""
        seen = (unpack(m.payload) for m in list(self.spy.messages) if m.topic.startswith("sb/v1/up/"))
        return [message for message in seen if "first_seq" in message]

    def replies(self, results=("stored", "duplicate")):
        """The cloud's replies seen so far, as they were sent."""
        return [Sent(m.payload, m.correlation) for m in list(self.spy.messages)
                if m.topic == REPLIES and unpack(m.payload).get("result") in results]

    def forge(self, payload, correlation=None, retain=False):
        """Returns when the broker has it, and so the edge has it before whatever is sent later."""
        if isinstance(payload, dict):
            correlation = correlation or payload.get("batch_id", "").encode()
            payload = json.dumps(payload).encode()
        self.forger.publish(REPLIES, payload, retain, correlation)

    def forged_reply(self, batch, **changes):
        """As the ingest would answer the batch, had it stored it."""
        count = batch["last_seq"] - batch["first_seq"] + 1
        reply = {"v": 1, "kind": "ack", "boot": batch["boot"], "commit": 1,
                 "batch_id": batch["batch_id"], "epoch": batch["epoch"], "stream": batch["stream"],
                 "first_seq": batch["first_seq"], "last_seq": batch["last_seq"],
                 "result": "stored", "accepted": count, "duplicates": 0, "revised": 0,
                 "rejected": [], "versions": [], "conflicts": [], "total": count, "code": None,
                 "server_version": None, "updated_at": None,
                 "server_time": "2026-01-02T03:04:05Z", "retry_after_ms": 0}
        return {**reply, **changes}

    def reached(self):
        """A nonce that travels the same way as the forged replies has come through: they too."""
        seen = self.edge.status()["late_replies"]
        self.forge({**self.forged_reply(self.batches()[-1]), "batch_id": str(uuid.uuid4())})
        wait_until(lambda: self.edge.status()["late_replies"] > seen, 10,
                   lambda: f"the edge to have read a reply: {self.edge.status()}")

    # ---- a standstill ----

    def freeze(self):
        """The ingest stands still: connected, and answering nothing."""
        self.ingest.proc.signal(signal.SIGSTOP)
        self.frozen_at = len(self.batches())

    def thaw(self):
        self.ingest.proc.signal(signal.SIGCONT)

    def wait_flying(self, streams=STREAMS):
        """Until a batch of each stream has been sent since freeze(); returns them all."""
        wait_until(lambda: {b["stream"] for b in self.batches()[self.frozen_at:]} >= set(streams),
                   10, lambda: f"batches of {streams}: {self.batches()[self.frozen_at:]}")
        return self.batches()[self.frozen_at:]

    def close(self):
        for client in (self.spy, self.forger):
            if client is not None and client.connected():
                client.disconnect()
        self.stack.close()


def durable_state(edge):
    """What the outbox says of every record: nothing of it may change by a reply to nothing."""
    tables = {"streams": "SELECT s, stream, next_seq, settled, refused FROM streams ORDER BY s",
              "outbox": "SELECT key, last_seq, body FROM outbox ORDER BY key",
              "dead": "SELECT * FROM dead", "conflicts": "SELECT * FROM conflicts",
              "holes": "SELECT * FROM holes", "documents": "SELECT * FROM documents",
              "epochs": "SELECT * FROM epochs", "meta": "SELECT * FROM meta"}
    return {name: read_rows(edge.state / "outbox.db", query) for name, query in tables.items()}


def stored_in_cloud(ingest):
    try:
        return read_rows(ingest.database, "SELECT coalesce(sum(stored), 0) FROM streams")[0][0]
    except sqlite3.Error:
        return 0


@pytest.fixture
def tap(certs):
    tap = Wiretap(certs)
    yield tap
    tap.close()


# ---- PUBACK is no commit ----

def test_a_puback_settles_nothing(tap):
    tap.put(5)
    tap.settle()
    tap.freeze()
    tap.put(25)
    tap.wait_flying((PLAIN, TYPED, HISTORY, SETTINGS))
    wait_until(lambda: tap.edge.status()["timeouts"] >= 12, 20,
               lambda: f"batches to go again and again: {tap.edge.status()}")
    assert tap.broker.log().count("Sending PUBACK to edge-001") > 12
    assert tap.pending() == 100
    waited = json.loads(tap.edge.put(TYPED, reading(TYPED, "waited"), "--wait", "500ms").stdout)
    tap.ledger.promise(TYPED, ["waited"])
    assert waited["queued"] and waited["cached"] and not waited["synced"]
    tap.edge.kill()
    tap.edge.launch()
    wait_until(lambda: tap.edge.status()["running"], 10, "the agent")
    assert tap.pending() == 101
    tap.broker.kill()
    tap.broker.wipe_state()  # 101 records, each acknowledged by the broker several times: gone
    assert tap.pending() == 101 and stored_in_cloud(tap.ingest) == 20
    tap.broker.start()
    tap.thaw()
    total = tap.check()
    assert total["rows"] == 121


def test_a_puback_settles_nothing_when_the_ingest_dies_with_the_batches(tap):
    """The batches were delivered and acknowledged by both the broker and the ingest's library."""
    tap.put(5)
    tap.settle()
    for _ in range(10 if is_long() else 2):
        tap.freeze()
        tap.put(5)
        tap.wait_flying()
        tap.ingest.kill()
        assert tap.pending() == 20
        tap.ingest.start()
        tap.settle()
    tap.check()


# ---- lost, late ----

def committed_but_not_told(tap):
    """Batches were delivered and are committed; the replies do not get beyond the broker, which
    stands still."""
    tap.freeze()
    tap.put(5)
    tap.wait_flying()
    before = stored_in_cloud(tap.ingest)
    os.kill(tap.broker.pid, signal.SIGSTOP)
    tap.thaw()
    # settings go one batch at a time: of them at least one has come
    wait_until(lambda: stored_in_cloud(tap.ingest) >= before + 16, 10, "the commit")
    assert tap.pending() == 20


def edge_dies(tap):
    """The broker keeps the replies and brings them to the next process, which knows no such batch."""
    tap.edge.kill()
    os.kill(tap.broker.pid, signal.SIGCONT)
    tap.edge.start()


def broker_dies(tap):
    """The replies are gone."""
    tap.broker.kill()
    tap.broker.wipe_state()
    tap.broker.start()


def broker_and_ingest_die(tap):
    """So is the process that sent them."""
    tap.broker.kill()
    tap.ingest.kill()
    tap.broker.start()
    tap.ingest.launch()


def all_die(tap):
    for part in (tap.broker, tap.ingest, tap.edge):
        part.kill()
    tap.broker.start()
    tap.edge.launch()
    tap.ingest.start()


@pytest.mark.parametrize("what_then", [edge_dies, broker_dies, broker_and_ingest_die, all_die])
def test_a_reply_that_is_lost_after_the_commit_doubles_nothing(tap, what_then):
    tap.put(5)
    tap.settle()
    for _ in range(10 if is_long() else 1):
        repeats = tap.stack.verified()["total"]["repeats"]
        committed_but_not_told(tap)
        what_then(tap)
        if not tap.spy.connected():
            tap.listen()
        total = tap.check()
        assert total["repeats"] >= repeats + 16  # they were sent again, and recognised


def test_a_reply_that_comes_after_its_batch_went_again_settles_once(tap):
    tap.put(5)
    tap.settle()
    tap.freeze()
    tap.put(10)
    tap.wait_flying()
    before = tap.edge.status()["timeouts"]
    wait_until(lambda: tap.edge.status()["timeouts"] >= before + 8, 20, "timeouts")
    tap.thaw()
    total = tap.check()
    assert total["rows"] == 60
    wait_until(lambda: tap.stack.verified()["total"]["repeats"] >= 30, 10, "the repeats answered")
    assert tap.edge.status()["pending_count"] == 0


# ---- repeated, stale, forged ----

def test_replies_that_come_again_settle_nothing_else(tap):
    """Real ones, byte by byte, while other records of the same streams are on their way."""
    tap.put(10)
    tap.settle()
    old = tap.replies()
    assert len(old) >= 4
    tap.freeze()
    tap.put(10)
    tap.wait_flying()
    before = durable_state(tap.edge)
    for sent in old * 3:
        tap.forge(*sent)
    tap.reached()
    assert tap.pending() == 40
    assert durable_state(tap.edge) == before
    tap.thaw()
    tap.check()
    settled = durable_state(tap.edge)
    for sent in tap.replies() * 2:
        tap.forge(*sent)
    tap.reached()
    assert durable_state(tap.edge) == settled
    tap.check()


def test_a_reply_to_a_batch_of_an_earlier_process_settles_nothing(tap):
    tap.put(5)
    tap.settle()
    tap.freeze()
    tap.put(10)
    batches = tap.wait_flying()
    tap.edge.kill()
    tap.edge.launch()
    wait_until(lambda: tap.edge.status().get("connected"), 10, "the connection")
    for batch in batches:
        tap.forge(tap.forged_reply(batch))
    tap.reached()
    assert tap.pending() == 40
    tap.thaw()
    assert tap.check()["rows"] == 60


def test_a_reply_to_a_batch_from_before_the_last_hello_settles_nothing(tap):
    tap.put(5)
    tap.settle()
    tap.freeze()
    tap.put(10)
    batches = tap.wait_flying()
    hellos = tap.edge.status()["hellos"]
    tap.forger.publish(f"sb/v1/down/{DEVICE}/notify", b'{"v":1,"kind":"notify","hello":true}')
    wait_until(lambda: tap.edge.status()["hellos"] > hellos, 10, "a hello")
    for batch in batches:
        tap.forge(tap.forged_reply(batch))
    tap.reached()
    assert tap.pending() == 40
    tap.thaw()
    assert tap.check()["rows"] == 60


def test_old_replies_do_not_settle_what_a_cloud_rolled_back_has_to_get_again(tap):
    """They were true once, for these very numbers; the cloud has forgotten what they tell of."""
    copy = tap.stack.folder / "old.db"
    tap.ingest.cli("device", "revoke", DEVICE, "--user", USER)
    tap.put(5, [PLAIN])
    tap.settle()
    backup(tap.ingest.database, copy)
    tap.ingest.cli("device", "grant", DEVICE, USER)
    tap.put(5, [HISTORY, SETTINGS])
    tap.settle()
    old = tap.replies()
    tap.ingest.stop()
    swap(copy, tap.ingest.database)  # without the grant: nothing of the user is taken
    tap.ingest.start()
    wait_until(lambda: len(tap.edge.status()["parked"]) == 2, 20, "the user's streams parked")
    assert tap.edge.status()["restored"] == 1 and tap.pending() == 10
    for sent in old * 2:
        tap.forge(*sent)
    tap.reached()
    assert tap.pending() == 10
    tap.edge.kill()
    tap.edge.start()
    for sent in old:
        tap.forge(*sent)
    tap.reached()
    assert tap.pending() == 10
    tap.ingest.cli("device", "grant", DEVICE, USER)
    assert tap.check()["rows"] == 15


def test_a_reply_to_an_unknown_batch_settles_nothing(tap):
    tap.put(5)
    tap.settle()
    tap.freeze()
    tap.put(10)
    batches = tap.wait_flying()
    before = durable_state(tap.edge)
    for batch in batches:
        for result in ("stored", "duplicate", "rejected", "conflict", "retry"):
            seqs = range(batch["first_seq"], batch["last_seq"] + 1)
            rejected = [{"seq": seq, "code": "bad_value", "reason": "no"} for seq in seqs]
            tap.forge(tap.forged_reply(
                batch, batch_id=str(uuid.uuid4()), result=result, accepted=0,
                rejected=rejected if result == "rejected" else [],
                code="revoked" if result == "retry" else None))
    tap.reached()
    assert durable_state(tap.edge) == before
    assert tap.edge.status()["parked"] == []
    tap.thaw()
    tap.check()


@pytest.mark.parametrize("result", ["stored", "rejected"])
def test_a_reply_cannot_settle_more_than_its_batch(tap, result):
    """Who holds an ingest's key can lie about a batch that flies; not about numbers beyond it."""
    tap.put(5, [PLAIN])
    tap.settle()
    tap.freeze()
    tap.put(10, [PLAIN])
    batch = tap.wait_flying([PLAIN])[-1]
    tap.put(10, [PLAIN])  # pending, never sent in that batch
    assert (batch["first_seq"], batch["last_seq"]) == (6, 15)
    beyond = [{"seq": 16, "last": 1000, "code": "bad_value", "reason": "no"}]
    tap.forge(tap.forged_reply(batch, first_seq=1, last_seq=1000, result=result,
                               accepted=1000 if result == "stored" else 15,
                               rejected=beyond if result == "rejected" else []))
    tap.reached()
    (settled, refused), = read_rows(tap.edge.state / "outbox.db",
                                    "SELECT settled, refused FROM streams")
    assert json.loads(settled) == [[1, 15]] and json.loads(refused) == []
    assert tap.pending() == 10 and tap.edge.status()["failed_count"] == 0
    # and the lie is found: the device says it is settled, the cloud has never seen it
    tap.ingest.kill()
    tap.broker.kill()
    tap.broker.wipe_state()
    tap.broker.start()
    tap.ingest.start()
    tap.settle()
    report = tap.ingest.verify(fresh=10)
    assert not report["success"] and report["total"]["missing"] == 10, report


def test_a_forged_receipt_makes_the_device_send_all_again(tap):
    """Commit numbers that the cloud never had look like a cloud that was rolled back."""
    tap.put(5)
    tap.settle()
    tap.freeze()
    tap.put(5)
    batch = tap.wait_flying()[-1]
    tap.forge(tap.forged_reply(batch, commit=10 ** 9))
    tap.reached()
    tap.thaw()
    tap.edge.restart()
    wait_until(lambda: tap.edge.status()["restored"] == 1, 10, "the resend")
    assert tap.check()["rows"] == 40


def test_retained_replies_change_nothing(tap):
    tap.put(5)
    tap.settle()
    old = tap.replies()[-1]
    tap.freeze()
    tap.put(5)
    batch = tap.wait_flying()[-1]
    tap.edge.kill()
    for payload in (old.payload, json.dumps(tap.forged_reply(batch)).encode(), b"{"):
        tap.forge(payload, batch["batch_id"].encode(), retain=True)
        tap.edge.launch()
        wait_until(lambda: tap.edge.status().get("connected"), 10, "the connection")
        tap.reached()
        assert tap.pending() == 20
        tap.edge.kill()
    tap.thaw()
    tap.edge.start()
    tap.check()
    tap.edge.restart()
    tap.check()


# ---- damaged ----

def mangled(rng, payload):
    """One of many ways to be wrong."""
    data = bytearray(gzip.decompress(payload) if payload[:2] == b"\x1f\x8b" else payload)
    way = rng.randrange(6)
    if way == 0:
        data = data[:rng.randrange(len(data))]
    elif way == 1:
        data[rng.randrange(len(data))] = rng.randrange(256)
    elif way == 2:
        reply = json.loads(data)
        name = rng.choice(list(reply))
        reply[name] = rng.choice([None, -1, 0, 2 ** 53, 2 ** 64, 1e400, "", "x" * 70000, [], {},
                                  [[1, 2]], [{"seq": 1}], True])
        data = json.dumps(reply).encode()
    elif way == 3:
        reply = json.loads(data)
        del reply[rng.choice(list(reply))]
        data = json.dumps(reply).encode()
    elif way == 4:
        data = bytearray(gzip.compress(bytes(data)))
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        data = gzip.compress(b"[" * rng.choice([40, 10 ** 6]) + bytes(data))
    return bytes(data)


def test_damaged_replies_change_nothing(tap):
    """Copies of real replies of every kind with something wrong, for batches that were answered."""
    rng = random.Random(seed_of_run())
    tap.put(10)
    tap.edge.restart()  # welcomes are among them
    tap.put(5)
    tap.settle()
    originals = [m.payload for m in tap.spy.messages if m.topic == REPLIES]
    tap.freeze()
    tap.put(5)
    tap.wait_flying()
    before = durable_state(tap.edge)
    for _ in range(5000 if is_long() else 300):
        payload = mangled(rng, rng.choice(originals))
        tap.forger.send(REPLIES, payload, correlation=b"x" * rng.randrange(200))
    tap.reached()
    assert durable_state(tap.edge) == before
    assert tap.pending() == 20 and tap.edge.running()
    tap.thaw()
    tap.check()
