"""Daemons that are stopped, started without each other, refused, or not let in: what they say of
themselves, how soon they go on, and that nothing is lost meanwhile."""

import json
import os
import random
import signal
import socket
import sqlite3
import time

import pytest

from lib.certs import Certs
from lib.flow import (HISTORY, PLAIN, TYPED, USER, Flow, Ledger, is_long, read_rows, reading,
                      seed_of_run, settings_in_order, wait_for_progress)
from lib.mqtt import Client
from lib.stack import Stack
from lib.wait import wait_until

DEVICE = "edge-001"
SOON = 8  # seconds: the outage is young, so the longest pause between attempts is 2 s


@pytest.fixture
def stack(certs):
    stack = Stack(certs, broker__flap_wait="20ms")
    stack.edge(DEVICE, broker__flap_wait="20ms")
    try:
        yield stack
    finally:
        stack.close()


def put_marks(stack, ledger, prefix, count, stream=PLAIN, edge=None):
    marks = [f"{prefix}-{number:03}" for number in range(count)]
    edge = edge or stack.edge()
    if stream.startswith("history/"):
        edge.put("history", [{"command_id": mark, "mark": mark} for mark in marks],
                 "--user", stream.split("/")[1])
    else:
        edge.put(stream, [reading(stream, mark) for mark in marks])
    ledger.promise(stream, marks)


def ask(edge, call, timeout=10):
    """One call on the daemon's socket, None while it does not listen."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(edge.state / "agent.sock"))
        except OSError:
            return None
        connection.sendall(json.dumps(call).encode() + b"\n")
        with connection.makefile() as answers:
            line = answers.readline()
    return json.loads(line) if line else None


def terminate(part):
    """SIGTERM; the seconds it took."""
    begin = time.monotonic()
    part.stop()
    return time.monotonic() - begin


def memory(pid, field="VmRSS"):
    """KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))


# ---- SIGTERM ----

def test_sigterm_in_mid_stream_ends_each_in_time_and_loses_nothing(stack):
    seed = seed_of_run()
    rng = random.Random(seed)
    stack.start()
    stack.ingest.cli("device", "grant", DEVICE, USER)
    stack.edge().start()
    with Flow(stack.edge(), seed) as flow:
        for _ in range(20 if is_long() else 3):
            wait_for_progress(stack)
            for part in rng.sample([stack.edge(), stack.ingest, stack.broker], 3):
                time.sleep(rng.uniform(0, 0.1))  # any moment
                assert terminate(part) < 5
                time.sleep(rng.uniform(0, 0.1))
                part.start() if part is stack.broker else part.launch()
        wait_for_progress(stack)
        flow.finish()
    stack.wait_settled(60)
    flow.ledger.check(stack)
    report = stack.verified()["total"]
    assert report["pending"] == report["holes"] == report["branched"] == 0
    order = settings_in_order(stack.ingest.database)
    assert order == sorted(order)


def test_sigterm_ends_them_while_the_broker_says_nothing(stack):
    """It takes connections and stands still."""
    stack.start()
    stack.edge().start()
    os.kill(stack.broker.pid, signal.SIGSTOP)
    try:
        put_marks(stack, Ledger(), "a", 50)
        assert terminate(stack.edge()) < 5
        stack.edge().launch()
        wait_until(lambda: ask(stack.edge(), {"verb": "status"}), 5, "the agent's socket")
        assert terminate(stack.edge()) < 5
        assert terminate(stack.ingest) < 5
    finally:
        os.kill(stack.broker.pid, signal.SIGCONT)


def test_sigterm_ends_the_agent_while_another_process_holds_the_outbox(stack):
    stack.start()
    stack.edge().start()
    with sqlite3.connect(stack.edge().state / "outbox.db", isolation_level=None) as writer:
        put_marks(stack, Ledger(), "a", 5)
        stack.wait_settled()
        stack.ingest.proc.signal(signal.SIGSTOP)
        put_marks(stack, Ledger(), "b", 5)
        wait_until(lambda: stack.edge().status()["in_flight"], 5, "a batch in flight")
        writer.execute("BEGIN IMMEDIATE")
        stack.ingest.proc.signal(signal.SIGCONT)  # now there is something to settle
        wait_until(lambda: read_rows(stack.ingest.database, "SELECT sum(stored) FROM streams")
                   == [(10,)], 10, "the commit")
        assert terminate(stack.edge()) < 5
        writer.execute("ROLLBACK")
    writer.close()
    stack.edge().start()
    stack.wait_settled()
    assert stack.verified()["total"]["rows"] == 10


# ---- states ----

def states(client, topic):
    """Words of the state documents seen so far, in order."""
    return [json.loads(m.payload)["state"] for m in client.messages if m.topic == topic]


def test_states_are_retained_documents(stack, certs):
    """online, offline after a clean end, lost after a kill; of the device and of the ingest."""
    stack.start()
    edge, parts = stack.edge(), {f"sb/v1/state/{DEVICE}": stack.edge(),
                                 "sb/v1/ingest/1": stack.ingest}
    edge.start()
    put_marks(stack, Ledger(), "a", 3)
    stack.wait_settled()
    with Client(certs.operator("alice"), stack.broker.operator_port) as operator:
        operator.subscribe(*parts)
        for topic, part in parts.items():
            wait_until(lambda: states(operator, topic) == ["online"], 5, "online")
            part.stop()
            wait_until(lambda: states(operator, topic)[-1] == "offline", 5, "offline")
            part.start()
            wait_until(lambda: states(operator, topic)[-1] == "online", 5, "online again")
            part.kill()
            wait_until(lambda: states(operator, topic)[-1] == "lost", 5, "lost")
        with Client(certs.operator("bob"), stack.broker.operator_port) as newcomer:
            newcomer.subscribe(*parts)
            for topic in parts:
                retained = newcomer.wait_message(topic)
                assert retained.retain and json.loads(retained.payload)["state"] == "lost"
    device = json.loads(next(m.payload for m in reversed(operator.messages)
                             if m.topic == f"sb/v1/state/{DEVICE}"))
    assert device["v"] == 1 and device["kind"] == "state" and device["device"] == DEVICE
    assert device["epoch"] == edge.status()["epoch"] and device["boot"] and device["version"]
    assert {"pending", "dead", "at"} <= device.keys()
    ingest = json.loads(next(m.payload for m in reversed(operator.messages)
                             if m.topic == "sb/v1/ingest/1"))
    assert ingest["kind"] == "ingest" and ingest["n"] == 1 and ingest["buckets"] == "00-3f"


# ---- a backlog ----

def start_and_time(edge):
    """Seconds from the start to the first answer on the socket."""
    begin = time.monotonic()
    edge.launch()
    wait_until(lambda: ask(edge, {"verb": "status"}), 10, "the agent's socket")
    return time.monotonic() - begin


def put_and_time(edge):
    begin = time.monotonic()
    edge.put(PLAIN, {"a": 1})
    return time.monotonic() - begin


@pytest.mark.parametrize("shape", ["a thousand in a row", "one in a row"])
def test_a_backlog_costs_neither_time_nor_memory_at_the_start(stack, shape):
    """100,000 readings, as chunks or each in a row of its own; no broker there."""
    edge = stack.edge()
    start_and_time(edge)
    wait_until(lambda: edge.status()["last_error"], 10, "an attempt to connect")
    empty = memory(edge.pid, "RssAnon")
    edge.stop()
    fields = ["a", "b"] if shape == "one in a row" else ["a"]
    edge.put(PLAIN, [{fields[i % len(fields)]: i, "mark": f"m{i}"} for i in range(100_000)])
    rows = read_rows(edge.state / "outbox.db", "SELECT count(*) FROM outbox")[0][0]
    assert rows == 100_000 if shape == "one in a row" else rows < 1000
    took = start_and_time(edge)
    wait_until(lambda: edge.status()["last_error"], 10, "an attempt to connect")
    loaded = memory(edge.pid, "RssAnon")
    assert took < 2
    assert loaded < empty + 1024, f"{empty} KiB empty, {loaded} KiB with the backlog"
    assert ask(edge, {"verb": "status"})["pending_count"] == 100_000
    assert min(put_and_time(edge) for _ in range(3)) < 1


def test_a_backlog_drains_in_flat_memory(stack):
    edge, ledger = stack.edge(), Ledger()
    marks = [f"m{i}" for i in range(100_000)]
    edge.put(PLAIN, [reading(PLAIN, mark) for mark in marks])
    ledger.promise(PLAIN, marks)
    stack.start()
    edge.start()
    stack.wait_settled(60)
    assert memory(edge.pid, "VmHWM") < 16 * 1024
    ledger.check(stack)
    assert stack.verified()["total"]["rows"] == 100_000


# ---- who is there first ----

def test_without_a_broker_both_wait_and_go_on_when_it_comes(stack):
    ledger, edge, ingest = Ledger(), stack.edge(), stack.ingest
    edge.launch()
    ingest.launch()
    put_marks(stack, ledger, "early", 20)
    wait_until(lambda: (ask(edge, {"verb": "status"}) or {}).get("last_error"), 5, "the cause")
    status = edge.status()
    assert status["sync_status"] == "offline" and not status["connected"]
    assert status["last_error"]["code"] == "not_reachable", status
    wait_until(lambda: ingest.status()["broker"]["error"], 5, "the cause")
    assert ingest.status()["broker"]["error"]["code"] == "not_reachable"
    waited = edge.cli("flush", "--timeout", "200ms", check=False)
    assert waited.returncode == 3 and "not_reachable" in waited.stderr, waited
    stack.broker.start()
    wait_until(edge.settled, SOON, lambda: f"settled: {edge.status()}")
    ledger.check(stack)
    stack.verified()


def test_without_an_ingest_only_the_hello_goes(stack, certs):
    ledger, edge = Ledger(), stack.edge(DEVICE)
    edge.configure(pacer__retry_min="300ms", pacer__retry_max="600ms")
    stack.open_to_alice()
    stack.broker.start()
    with Client(certs.operator("alice"), stack.broker.operator_port) as spy:
        spy.subscribe("sb/v1/up/+/+/+")
        edge.launch()
        put_marks(stack, ledger, "early", 20)
        put_marks(stack, ledger, "early", 20, TYPED)

        def hellos():
            return [m for m in spy.messages if b'"kind":"hello"' in m.payload]

        wait_until(lambda: len(hellos()) == 2, 5, "two hellos")
        begin = time.monotonic()
        wait_until(lambda: len(hellos()) == 6, 10, "more hellos")
        assert 4 * 0.5 < time.monotonic() - begin < 4 * 1.5  # at retry_delay
        assert edge.status()["retry_delay"] == 0.6
        assert len(hellos()) == len(spy.messages), "something else was sent"
        status = edge.status()
        assert status["connected"] and not status["ingest_online"] and not status["is_online"]
        assert status["pending_count"] == 40 and status["sync_status"] == "offline"
        stack.ingest.start()
        wait_until(edge.settled, SOON, lambda: f"settled: {edge.status()}")
        # and when it goes again, the same
        stack.ingest.stop()
        wait_until(lambda: not edge.status()["ingest_online"], 5, "offline noticed")
        sent = len(spy.messages) - len(hellos())
        put_marks(stack, ledger, "late", 20)
        before = len(hellos())
        wait_until(lambda: len(hellos()) >= before + 2, 5, "hellos again")
        assert len(spy.messages) - len(hellos()) == sent
        stack.ingest.start()
    wait_until(edge.settled, SOON, lambda: f"settled: {edge.status()}")
    ledger.check(stack)
    stack.verified()


def test_a_broker_that_was_away_is_used_again_within_seconds(stack):
    ledger, edge = Ledger(), stack.edge()
    stack.start()
    edge.start()
    for number in range(3 if is_long() else 1):
        stack.broker.kill()
        wait_until(lambda: not edge.status()["connected"], 5, "the loss noticed")
        put_marks(stack, ledger, f"away{number}", 20)
        wait_until(lambda: edge.status()["last_error"]["code"] == "not_reachable", 10, "refused")
        stack.broker.start()
        wait_until(edge.settled, SOON, lambda: f"settled: {edge.status()}")
    ledger.check(stack)
    stack.verified()


@pytest.mark.skipif(not is_long(), reason="waits for the keepalive; SB_LONG=1")
def test_a_broker_that_says_nothing_is_left_and_used_again(stack):
    ledger, edge = Ledger(), stack.edge()
    edge.configure(broker__keepalive="5s")
    stack.ingest.configure(broker__keepalive="5s")
    stack.start()
    edge.start()
    os.kill(stack.broker.pid, signal.SIGSTOP)
    put_marks(stack, ledger, "silence", 20)
    wait_until(lambda: not edge.status()["connected"], 20, "the silence noticed")
    os.kill(stack.broker.pid, signal.SIGCONT)
    wait_until(edge.settled, 30, lambda: f"settled: {edge.status()}")
    ledger.check(stack)
    stack.verified()


# ---- identities ----

def other_ca(certs, tmp_path):
    return Certs(tmp_path / "other").device(DEVICE)._replace(ca=certs.device_ca)


def expired(certs, _):
    return certs.device("edge-old", "--expired")


def wrong_trust(certs, tmp_path):
    return certs.device(DEVICE)._replace(ca=Certs(tmp_path / "other").device_ca)


@pytest.mark.parametrize("make, code, text", [
    (other_ca, "identity", "certificate"), (expired, "identity", "certificate"),
    (wrong_trust, "tls", "certificate")])
def test_a_certificate_that_is_refused_is_named(stack, certs, tmp_path, make, code, text):
    identity, edge = make(certs, tmp_path), stack.edge()
    edge.configure(broker__ca_file=identity.ca, broker__cert_file=identity.cert,
                   broker__key_file=identity.key)
    stack.broker.start()
    edge.launch()
    edge.put(PLAIN, {"mark": "m"})
    wait_until(lambda: (ask(edge, {"verb": "status"}) or {}).get("last_error"), 10, "the cause")
    status = edge.status()
    assert status["last_error"]["code"] == code and text in status["last_error"]["message"], status
    assert status["sync_status"] == "offline" and status["pending_count"] == 1
    assert f"[{code}]" in edge.cli("status").stdout
    flush = edge.cli("flush", "--timeout", "200ms", check=False)
    assert flush.returncode == 4 and f"[{code}]" in flush.stderr, flush
    assert edge.running()


def test_a_broker_of_another_name_is_refused(certs, tmp_path):
    stack = Stack(certs, {"server": certs.broker("elsewhere.example")})
    try:
        edge = stack.edge(DEVICE)
        stack.broker.start()
        edge.launch()
        wait_until(lambda: (ask(edge, {"verb": "status"}) or {}).get("last_error"), 10, "the cause")
        error = edge.status()["last_error"]
        assert error["code"] == "tls" and "hostname mismatch" in error["message"], error
    finally:
        stack.close()


def test_certificate_files_that_cannot_be_used_end_the_start(stack, certs, tmp_path):
    edge, identity = stack.edge(), certs.device(DEVICE)
    (tmp_path / "empty.crt").write_text("")
    for values in ({"cert_file": tmp_path / "none.crt"}, {"ca_file": tmp_path / "empty.crt"},
                   {"key_file": certs.device("edge-002").key},
                   {"cert_file": certs.operator("alice").cert,
                    "key_file": certs.operator("alice").key}):
        edge.configure(**{"broker__cert_file": identity.cert, "broker__key_file": identity.key,
                          "broker__ca_file": identity.ca,
                          **{f"broker__{name}": value for name, value in values.items()}})
        result = edge.cli("run", check=False, timeout=10)
        assert result.returncode == 4, (values, result)
        assert str(next(iter(values.values()))) in result.stderr, result.stderr


# ---- who may ----

def test_an_unbound_users_stream_holds_nobody_up_and_goes_on_after_the_grant(stack):
    ledger, edge = Ledger(), stack.edge()
    edge.configure(pacer__retry_min="20s", pacer__retry_max="60s")  # so that the grant must tell it
    stack.start()
    stack.ingest.cli("device", "grant", DEVICE, USER)
    edge.start()
    put_marks(stack, ledger, "unbound", 30, "history/stranger")
    wait_until(lambda: edge.status()["parked"], 10, "a parked stream")
    edge.cli("settings", "put", "--user", "stranger", '{"mark":"s"}')
    ledger.promise("settings/stranger", ["s"])
    for stream in (PLAIN, TYPED, HISTORY):
        put_marks(stack, ledger, "others", 30, stream)
    wait_until(lambda: edge.status()["pending_count"] == 31, 5,
               lambda: f"the others through: {edge.status()}")
    wait_until(lambda: len(edge.status()["parked"]) == 2, 10, "both streams of the user parked")
    assert {p["code"] for p in edge.status()["parked"]} == {"forbidden"}
    assert edge.status()["sync_status"] == "syncing"
    assert stack.ingest.verify(fresh=5)["total"]["pending"] == 31
    stack.ingest.cli("device", "grant", DEVICE, "stranger")
    wait_until(edge.settled, SOON, lambda: f"settled: {edge.status()}")
    assert edge.status()["parked"] == [] and edge.status()["failed_count"] == 0
    ledger.check(stack)
    stack.verified()


def test_a_revoked_device_waits_and_loses_nothing(stack):
    ledger, edge = Ledger(), stack.edge()
    edge.configure(pacer__retry_min="20s", pacer__retry_max="60s")
    stack.start()
    stack.ingest.cli("device", "grant", DEVICE, USER)
    edge.start()
    put_marks(stack, ledger, "before", 10)
    stack.wait_settled()
    stack.ingest.cli("device", "revoke", DEVICE)
    for stream in (PLAIN, TYPED, HISTORY):
        put_marks(stack, ledger, "revoked", 10, stream)
    wait_until(lambda: len(edge.status()["parked"]) == 3, 10, lambda: f"parked: {edge.status()}")
    assert {p["code"] for p in edge.status()["parked"]} == {"revoked"}
    edge.stop()
    edge.launch()  # from the start it is not let in
    wait_until(lambda: (ask(edge, {"verb": "status"}) or {}).get("last_error"), 10, "the cause")
    assert edge.status()["last_error"]["code"] == "revoked", edge.status()
    assert edge.status()["pending_count"] == 30
    flush = edge.cli("flush", "--timeout", "200ms", check=False)
    assert flush.returncode == 4 and "[revoked]" in flush.stderr, flush
    stack.ingest.cli("device", "revoke", DEVICE, "--undo")
    wait_until(edge.settled, SOON, lambda: f"settled: {edge.status()}")
    assert edge.status()["failed_count"] == 0
    ledger.check(stack)
    stack.verified()


def test_without_auto_register_a_device_waits_to_be_added(stack):
    ledger, edge = Ledger(), stack.edge()
    edge.configure(pacer__retry_min="20s", pacer__retry_max="60s")
    stack.ingest.configure(ingest__auto_register="no")
    stack.start()
    edge.launch()
    put_marks(stack, ledger, "early", 10)
    wait_until(lambda: (ask(edge, {"verb": "status"}) or {}).get("last_error"), 10, "the cause")
    assert edge.status()["last_error"]["code"] == "unauthorized", edge.status()
    assert edge.status()["pending_count"] == 10
    assert stack.ingest.json("devices")["devices"] == []
    stack.ingest.cli("device", "add", DEVICE)
    wait_until(edge.settled, SOON, lambda: f"settled: {edge.status()}")
    ledger.check(stack)
    stack.verified()
