"""Stages 3 and 5: the link to MQTT (common/mqtt_link.c), as link_probe drives it.

A real mosquitto wherever it can do what is to be tested; what it never answers by itself (a refused
subscription, some reason codes, silence) comes from a broker with a script.
"""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from lib.broker import ADDRESS, HOST, Broker, free_ports, mosquitto_path
from lib.certs import Certs, Identity
from lib.mqtt import Client
from lib.proc import Proc
from lib.probe import Probe
from lib.wait import wait_until

DEVICE = "edge-001"
UP = f"sb/v1/up/3f/{DEVICE}/ctl"
OTHERS = "sb/v1/up/3f/edge-002/ctl"
REPLY = f"sb/v1/down/{DEVICE}/reply"
STATE = f"sb/v1/state/{DEVICE}"


@pytest.fixture
def start():
    """start(url, identity, ...): a Probe that is ended, and asked how it fared, after the test."""
    probes = []

    def make(*args, **options):
        probes.append(Probe(*args, **options))
        return probes[-1]

    yield make
    for probe in probes:
        probe.close()


@pytest.fixture
def own_broker(certs):
    """own_broker(...): a broker for this test alone, running."""
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed")
    brokers = []

    def make(**arguments):
        brokers.append(Broker(certs, **arguments))
        return brokers[-1].start()

    yield make
    for broker in brokers:
        broker.close()


def url_of(broker, host=HOST):
    return f"mqtts://{host}:{broker.device_port}"


@pytest.fixture
def device(broker, certs, start):
    """A link of the device, connected, subscribed to its replies."""
    probe = start(url_of(broker), certs.device(DEVICE), sub=REPLY)
    probe.connect()
    return probe


@pytest.fixture
def ingest(broker, certs):
    """A subscriber of what devices publish, who may write replies."""
    with Client(certs.ingest(1), broker.device_port) as client:
        client.subscribe("sb/v1/up/+/+/+")
        client.subscribe("sb/v1/state/+")
        yield client


# ---- who is there, and who is it ----


@pytest.mark.parametrize("host", [HOST, ADDRESS])
def test_connects_with_both_certificates_verified(broker, certs, start, host):
    filters = ["sb/v1/down/edge-096/reply", "sb/v1/ingest/+"]
    probe = start(url_of(broker, host), certs.device("edge-096"), sub=filters)
    up = probe.connect()
    assert up["receive_max"] == 20
    assert up["max_packet"] == 1376256
    assert "as edge-096 (p5, c0, k30, u'edge-096')" in broker.log()


def test_another_host_name_is_refused_and_said_so(own_broker, certs, start):
    broker = own_broker(server=certs.broker("other.example"))
    down = start(url_of(broker), certs.device(DEVICE)).connect_fails()
    assert down["code"] == "tls"
    assert "hostname mismatch" in down["message"]
    assert f"localhost:{broker.device_port}" in down["message"]


def test_an_expired_certificate_of_the_broker_is_named(own_broker, certs, start, tmp_path):
    other = Certs(tmp_path / "certs")
    other.make("--expired", "broker", other.folder, HOST)
    expired = Identity(HOST, other.folder / "brokers/localhost.crt",
                       other.folder / "brokers/localhost.key", other.device_ca)
    broker = own_broker(server=expired)
    down = start(url_of(broker), certs.device(DEVICE), ca=other.device_ca).connect_fails()
    assert down["code"] == "tls"
    assert "the broker's certificate is refused: certificate expired" in down["message"]


def test_an_expired_certificate_of_the_device_is_named(broker, certs, start):
    down = start(url_of(broker), certs.device("edge-old", "--expired")).connect_fails()
    assert_refused_by_the_broker(down, "certificate expired")


def assert_refused_by_the_broker(down, alert):
    """With TLS 1.3 the alert comes after the handshake and can be overtaken by the close."""
    assert down["code"] == "identity"
    assert (f"the broker refused this client's certificate: {alert}" in down["message"]
            or "seems to have refused this client's certificate" in down["message"])


def test_a_broker_of_another_ca_is_refused(broker, certs, start):
    down = start(url_of(broker), certs.device(DEVICE), ca=certs.operator_ca).connect_fails()
    assert down["code"] == "tls"
    assert "the broker's certificate is refused: unknown CA" in down["message"]


@pytest.mark.parametrize("who, alert", [("self-signed", "unknown CA"), ("operator", "unknown CA"),
                                        ("nobody", "it requires one")])
def test_a_client_the_broker_refuses_is_told_so(broker, certs, start, who, alert):
    identity = {"self-signed": lambda: certs.self_signed(DEVICE),
                "operator": lambda: certs.operator("alice"),
                "nobody": certs.nobody}[who]()
    down = start(url_of(broker), identity).connect_fails()
    assert_refused_by_the_broker(down, alert)


def test_a_refusal_is_told_for_sure_with_tls_1_2(own_broker, certs, start, tmp_path):
    """There the broker looks at the certificate within the handshake."""
    server = certs.broker(HOST, ADDRESS)
    (port,) = free_ports(1)
    process = Proc(["openssl", "s_server", "-accept", f"{ADDRESS}:{port}", "-cert", server.cert,
                    "-key", server.key, "-www", "-tls1_2", "-CAfile", certs.device_ca, "-Verify", "1",
                    "-verify_return_error"], tmp_path / "s_server.log")
    process.wait_for_log("ACCEPT")
    down = start(f"mqtts://{HOST}:{port}", certs.device("edge-old", "--expired")).connect_fails()
    process.kill()
    assert down["code"] == "identity", down
    assert "the broker refused this client's certificate: certificate expired" in down["message"]


def protected_key(source, folder):
    path = folder / "protected.pem"
    subprocess.run(["openssl", "pkey", "-in", source, "-aes256", "-passout", "pass:x", "-out",
                    path], check=True, capture_output=True)
    path.chmod(0o600)
    return path


def test_files_that_cannot_be_used_are_named(broker, certs, start, tmp_path):
    device = certs.device(DEVICE)
    text = tmp_path / "text.pem"
    text.write_text("no certificate\n", encoding="ascii")
    text.chmod(0o600)
    for options, path, reason in [
            ({"key": certs.device("edge-002").key}, certs.device("edge-002").key, "key values mismatch"),
            ({"key": text}, text, ""), ({"cert": text}, text, ""), ({"ca": text}, text, ""),
            ({"key": protected_key(device.key, tmp_path)}, tmp_path / "protected.pem", "")]:
        result = start(url_of(broker), device, **options).next()
        assert (result["event"], result["code"]) == ("new", "tls")
        assert f"{path}: " in result["message"]
        assert reason in result["message"]


def test_an_identity_the_broker_does_not_accept_is_told(broker, certs, start):
    """The broker guards its client ids: it takes none from a device but the certificate's."""
    down = start(url_of(broker), certs.device(DEVICE), client_id="edge-007").connect_fails()
    assert down["code"] == "identity"
    assert "0x87 not authorized" in down["message"]


@pytest.mark.parametrize("which", ["ca", "cert", "key"])
def test_a_missing_file_is_named_before_and_at_the_connect(broker, certs, start, tmp_path, which):
    device = certs.device(DEVICE)
    result = start(url_of(broker), device, **{which: tmp_path / "none.pem"}).next()
    assert (result["event"], result["code"]) == ("new", "tls")
    assert f"{tmp_path}/none.pem: No such file" in result["message"]

    path = tmp_path / "there.pem"
    path.write_bytes(getattr(device, which).read_bytes())
    path.chmod(0o600)
    probe = start(url_of(broker), device, **{which: path})
    probe.connect()
    probe.do("drop")
    probe.expect("down")
    path.unlink()
    down = probe.connect_fails()
    assert down["code"] == "tls"
    assert str(path) in down["message"]
    path.write_bytes(getattr(device, which).read_bytes())
    path.chmod(0o600)
    probe.connect()


@pytest.mark.parametrize("mode, code", [(0o644, "tls"), (0o620, "tls"), (0o640, None)])
def test_a_key_that_others_can_read_is_refused(broker, certs, start, tmp_path, mode, code):
    device = certs.device(DEVICE)
    key = tmp_path / "key.pem"
    key.write_bytes(device.key.read_bytes())
    key.chmod(mode)
    probe = start(url_of(broker), device, key=key)
    if code is None:
        probe.connect()
    else:
        result = probe.next()
        assert (result["event"], result["code"]) == ("new", code)
        assert str(key) in result["message"]


@pytest.mark.parametrize("url, code", [
    ("", "not_configured"), ("localhost:8883", "config"), ("tcp://localhost", "config"),
    ("mqtts://", "config"), ("mqtts://a:0", "config"), ("mqtts://a:70000", "config"),
    ("mqtts://a:1/x", "config"), ("mqtt://example.org:1883", "config"),
    ("mqtt://127.example.org", "config"), ("ws://localhost", "config")])
def test_an_url_that_cannot_be_is_refused(start, url, code):
    result = start(url).next()
    assert (result["event"], result["code"]) == ("new", code)


OLD_TLS_ALLOWED = """openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = old
[old]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
"""


def test_a_tls_older_than_1_2_is_refused_even_where_the_system_allows_it(certs, start, tmp_path):
    server = certs.broker(HOST, ADDRESS)
    config = tmp_path / "openssl.cnf"
    config.write_text(OLD_TLS_ALLOWED, encoding="ascii")
    env = os.environ | {"OPENSSL_CONF": str(config)}
    (port,) = free_ports(1)
    process = Proc(["openssl", "s_server", "-accept", f"{ADDRESS}:{port}", "-cert", server.cert,
                    "-key", server.key, "-www", "-tls1_1"], tmp_path / "s_server.log", env=env)
    process.wait_for_log("ACCEPT")
    client = subprocess.run(["openssl", "s_client", "-connect", f"{ADDRESS}:{port}", "-brief"],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env,
                            check=False, timeout=10)
    assert "Protocol version: TLSv1.1" in client.stderr
    down = start(f"mqtts://{HOST}:{port}", certs.device(DEVICE), env=env).connect_fails()
    process.kill()
    assert down["code"] == "tls"
    assert "no common TLS" in down["message"]


# ---- nobody is there ----


def test_no_broker_is_unreachable_and_the_next_attempt_works(own_broker, certs, start):
    broker = own_broker()
    probe = start(url_of(broker), certs.device(DEVICE))
    broker.stop()
    for _ in range(3):
        down = probe.connect_fails()
        assert down["code"] == "not_reachable"
        assert f"localhost:{broker.device_port}: no connection" in down["message"]
    broker.start()
    probe.connect()
    assert [e["event"] for e in probe.events] == ["down"] * 3 + ["up"]


def test_a_name_without_an_address_is_told(certs, start):
    probe = start("mqtts://no-such-host.invalid:8883", certs.device(DEVICE))
    down = probe.connect_fails(60)
    assert down["code"] == "not_reachable"
    assert "the name has no address" in down["message"]


@contextlib.contextmanager
def listener():
    with socket.socket() as server:
        server.bind((ADDRESS, 0))
        server.listen(4)
        yield server, server.getsockname()[1]


def test_a_broker_that_says_nothing_is_given_up(certs, start):
    with listener() as (_, port):
        probe = start(f"mqtts://{HOST}:{port}", certs.device(DEVICE), timeout=1)
        before = time.monotonic()
        down = probe.connect_fails()
    assert down["code"] == "not_reachable"
    assert "no answer in time" in down["message"]
    assert time.monotonic() - before < 6  # Paho looks every 3 s


def test_an_end_that_hangs_up_at_once_is_told(start):
    with listener() as (server, port):
        probe = start(f"mqtt://{HOST}:{port}")
        probe.do("connect")
        server.accept()[0].close()
        down = probe.expect("down")
    assert down["code"] == "not_reachable"
    assert "closed the connection" in down["message"]


def test_free_is_bounded_while_a_connect_hangs(certs, start):
    with listener() as (server, port):
        probe = start(f"mqtts://{HOST}:{port}", certs.device(DEVICE))
        probe.do("connect")
        server.accept()
        assert probe.ask("free graceful")["ms"] < 2500


def test_free_is_bounded_while_a_name_is_looked_up(broker, certs, start):
    """Paho holds its lock meanwhile; the link is left to a thread that ends it later."""
    probe = start(url_of(broker), certs.device(DEVICE), env={"SB_PROBE_SLOW_LOOKUP": "4"})
    probe.do("connect")
    probe.ask("lookup")
    assert 1900 < probe.ask("free graceful")["ms"] < 2500
    probe.connect()


# ---- the connection ends ----


def test_a_killed_broker_is_one_down_and_voids_what_is_in_flight(own_broker, certs, start):
    broker = own_broker()
    probe = start(url_of(broker), certs.device(DEVICE), sub=REPLY)
    probe.connect()
    os.kill(broker.pid, signal.SIGSTOP)
    for _ in range(10):
        assert probe.ask(f"publish {UP} x")["code"] == "ok"
    broker.kill()
    down = probe.expect("down")
    assert down["code"] == "closed"
    assert "the connection was lost" in down["message"]
    assert probe.ask(f"publish {UP} x")["code"] == "closed"
    broker.start()
    probe.connect()
    assert probe.publish(UP)["token"] == 11
    events = [e["event"] for e in probe.events]
    assert events.count("down") == 1 and events.count("published") == 1


def test_a_broker_that_is_stopped_is_one_down(own_broker, certs, start):
    broker = own_broker()
    probe = start(url_of(broker), certs.device(DEVICE))
    probe.connect()
    broker.restart()
    assert probe.expect("down")["code"] == "closed"
    probe.connect()
    assert [e["event"] for e in probe.events] == ["up", "down", "up"]


def test_a_session_is_there_again_or_gone(own_broker, certs, start):
    broker = own_broker()
    probe = start(url_of(broker), certs.device(DEVICE), sub=REPLY)
    assert not probe.connect()["session_present"]
    broker.restart()
    probe.expect("down")
    assert probe.connect()["session_present"]
    broker.stop()
    probe.expect("down")
    broker.wipe_state()
    broker.start()
    assert not probe.connect()["session_present"]
    with Client(certs.ingest(1), broker.device_port) as ingest:
        assert ingest.publish(REPLY, b"subscribed again") == 0
    assert probe.expect("message")["payload"] == "subscribed again"


def test_a_session_without_expiry_is_gone_with_the_connection(broker, certs, start):
    probe = start(url_of(broker), certs.device("edge-099"), expiry=0)
    probe.connect()
    probe.do("drop")
    probe.expect("down")
    assert not probe.connect()["session_present"]


def test_what_came_while_away_is_delivered(broker, certs, start, ingest):
    probe = start(url_of(broker), certs.device("edge-098"), sub="sb/v1/down/edge-098/reply")
    probe.connect()
    probe.do("drop")
    probe.expect("down")
    broker.wait_for_log("Client edge-098 (disconnected|closed)")
    for number in range(5):
        assert ingest.publish("sb/v1/down/edge-098/reply", b"%d" % number) == 0
    probe.do("connect")
    events = [probe.next() for _ in range(6)]
    assert [e["payload"] for e in events if e["event"] == "message"] == ["0", "1", "2", "3", "4"]
    assert [e["session_present"] for e in events if e["event"] == "up"] == [True]


def test_a_drop_is_one_down_and_nothing_comes_after_it(broker, certs, start, ingest):
    reply = "sb/v1/down/edge-097/reply"
    device = start(url_of(broker), certs.device("edge-097"), sub=reply)
    device.connect()
    device.do("drop")
    assert device.expect("down")["message"].endswith("the connection was ended on request")
    assert device.ask(f"publish {UP} x")["code"] == "closed"
    # before the broker knows of it, Paho may still acknowledge what nobody takes
    broker.wait_for_log("Client edge-097 (disconnected|closed)")
    ingest.publish(reply, b"for later")
    assert device.nothing_waits()
    device.do("drop")
    assert device.nothing_waits()
    device.do("connect")
    assert sorted(device.next()["event"] for _ in range(2)) == ["message", "up"]


def test_another_client_with_the_same_id_is_a_down(broker, certs, start, device):
    """mosquitto 2.0.11 closes without a word; a broker that says 0x8e: see the scripted one."""
    second = start(url_of(broker), certs.device(DEVICE), sub=REPLY)
    second.connect()
    assert device.expect("down")["code"] in ("closed", "identity")
    assert second.publish(UP)["code"] == "not_reachable"
    assert device.nothing_waits()


def test_a_dead_peer_is_noticed_by_keep_alive(own_broker, certs, start):
    broker = own_broker()
    probe = start(url_of(broker), certs.device(DEVICE), keepalive=1)
    probe.connect()
    os.kill(broker.pid, signal.SIGSTOP)
    down = probe.expect("down", 15)
    os.kill(broker.pid, signal.SIGCONT)
    assert down["code"] == "closed"


# ---- messages ----


def test_messages_arrive_with_correlation_data_and_payload_as_sent(device, ingest):
    assert ingest.publish(REPLY, "grüße".encode(), correlation=b"batch-1") == 0
    assert ingest.publish(REPLY, b"") == 0
    assert ingest.publish(REPLY, b"z" * 1000000) == 0
    first, second, third = (device.expect("message") for _ in range(3))
    assert first == {"event": "message", "topic": REPLY, "payload": "grüße",
                     "correlation": "batch-1", "retained": False}
    assert (second["payload"], second["correlation"]) == ("", "")
    assert third["payload"] == "z" * 1000000


def test_retained_messages_are_marked(broker, certs, start, ingest):
    assert ingest.publish("sb/v1/ingest/1", b"online", retain=True) in (0, 0x10)
    probe = start(url_of(broker), certs.device("edge-097"), sub="sb/v1/ingest/+")
    probe.do("connect")
    events = {probe.next()["event"]: probe.events[-1] for _ in range(2)}
    assert events["message"]["retained"]
    assert ingest.publish("sb/v1/ingest/1", b"", retain=True) == 0
    assert not probe.expect("message")["retained"]


def test_what_is_published_has_its_properties(broker, device, ingest):
    before = len(ingest.messages)
    assert device.publish(UP, "{}", "corr=id-1", "expiry=77", "gzip", "retain")["code"] == "ok"
    assert device.ask(f"publish {UP} - qos=0")["code"] == "ok"
    wait_until(lambda: len(ingest.messages) == before + 2, 5, "both messages")
    first, second = ingest.messages[before:]
    assert (first.payload, first.qos, first.correlation) == (b"{}", 1, b"id-1")
    assert first.properties == [("content-encoding", "gzip")]
    assert (second.payload, second.correlation, second.properties) == (b"", None, [])
    ingest.publish(UP, b"", retain=True)


def test_a_refusal_by_the_acl_is_reported_with_its_cause(device, ingest):
    published = device.publish(OTHERS)
    assert published["code"] == "forbidden"
    assert published["message"].startswith("0x87 not authorized")
    assert device.publish(UP)["code"] == "ok"


def test_a_message_without_a_reader_is_reported_and_no_failure(device):
    published = device.publish(UP)
    assert published["code"] == "not_reachable"
    assert published["message"].startswith("0x10 no matching subscribers")
    assert device.publish(UP)["code"] == "not_reachable"
    assert [e["event"] for e in device.events].count("down") == 0


def test_a_message_beyond_the_brokers_limits_is_refused_and_the_link_stays(device, ingest):
    refused = device.ask(f"publish {UP} - size=1376256")
    assert (refused["code"], refused["event"]) == ("too_large", "publish")
    published = device.publish(UP, "-", "size=1370000")  # over message_size_limit alone
    assert published["code"] == "too_large"
    assert published["message"].startswith("0x95")
    assert device.publish(UP, "-", "size=1000000")["code"] == "ok"


def test_nothing_is_taken_before_the_connection(broker, certs, start):
    probe = start(url_of(broker), certs.device(DEVICE))
    assert probe.ask(f"publish {UP} x")["code"] == "closed"
    assert probe.ask(f"publish {UP} x qos=0")["code"] == "closed"
    probe.connect()
    probe.do("connect")
    assert probe.nothing_waits()


# ---- speed ----


def test_pahos_socket_has_tcp_nodelay(device):
    assert device.ask("sockets")["nodelay"] == [True]


def test_a_round_trip_is_not_held_up(own_broker, certs, start):
    """Without TCP_NODELAY it is 44 ms: a publish waits for the delayed acknowledgement of what the
    broker sent before. An ingest may both write and read its own topic."""
    broker = own_broker()
    probe = start(url_of(broker), certs.ingest(1), sub="sb/v1/ingest/1")
    probe.connect()
    times = probe.ask("ping sb/v1/ingest/1 200")
    assert times["p50_ms"] < 5


def test_a_window_of_16_does_not_stall(broker, certs, start, ingest):
    """At the Receive Maximum Paho sends 20 messages a second, so these would take 25 s."""
    probe = start(url_of(broker), certs.device(DEVICE))
    probe.connect()
    for size in (100, 10000):
        burst = probe.ask(f"burst {UP} 500 16 {size}", 60)
        assert burst["seconds"] < 5


def test_the_window_ends_at_the_receive_maximum_without_a_stall(broker, certs, start, ingest):
    probe = start(url_of(broker), certs.device(DEVICE))
    probe.connect()
    before = time.monotonic()
    for _ in range(5):
        full = probe.ask(f"fill {UP}")
        assert full["code"] == "busy"
        assert full["taken"] >= 20
        for _ in range(full["taken"]):
            assert probe.expect("published")["code"] == "ok"
    assert time.monotonic() - before < 5


# ---- will and end ----


@pytest.mark.parametrize("end, state", [("graceful", None), ("hard", b"lost"), ("kill", b"lost"),
                                        ("drop", b"lost")])
def test_the_will_is_published_unless_it_says_goodbye(broker, certs, start, ingest, end, state):
    ingest.publish(STATE, b"", retain=True)
    seen = len(ingest.messages)
    probe = start(url_of(broker), certs.device(DEVICE), will_topic=STATE, will="lost")
    probe.connect()
    probe.publish(STATE, "online", "retain")
    if end == "kill":
        probe.kill()
    elif end == "drop":
        probe.do("drop")
        probe.expect("down")
    else:
        probe.do(f"publish {UP} last")
        probe.do(f"free {end}")
        while probe.next()["event"] != "free":
            pass
        probe.connect()
    expected = [b"online"] + ([state] if state else [])

    def states():
        return [m.payload for m in ingest.messages[seen:] if m.topic == STATE and m.payload]

    wait_until(lambda: states() == expected, 5, lambda: f"{expected}, not {states()}")
    if end == "graceful":
        assert b"last" in [m.payload for m in ingest.messages[seen:]]


def test_a_new_will_counts_from_the_next_connect(broker, certs, start, ingest):
    seen = len(ingest.messages)
    probe = start(url_of(broker), certs.device(DEVICE), will_topic=STATE, will="old")
    probe.connect()
    probe.do("will new")
    probe.do("drop")
    probe.expect("down")
    probe.connect()
    probe.do("drop")
    probe.expect("down")

    def wills():
        return [m.payload for m in ingest.messages[seen:] if m.topic == STATE]

    wait_until(lambda: wills() == [b"old", b"new"], 5, lambda: f"both wills, not {wills()}")


def test_fifty_links_leave_nothing_behind(broker, certs, start, ingest):
    """Under ASan the probe's end fails on a leak; file descriptors are counted here."""
    probe = start(url_of(broker), certs.device(DEVICE), sub=REPLY, will_topic=STATE, will="lost")
    probe.ask(f"cycle 4 {UP}", 60)
    before = len(os.listdir(f"/proc/{probe.pid}/fd"))
    probe.ask(f"cycle 50 {UP}", 120)
    assert len(os.listdir(f"/proc/{probe.pid}/fd")) == before


def test_many_connections_of_one_link_leave_nothing_behind(broker, certs, start):
    probe = start(url_of(broker), certs.device(DEVICE), sub=REPLY, will_topic=STATE, will="lost")
    probe.connect()
    before = len(os.listdir(f"/proc/{probe.pid}/fd"))
    probe.ask("reconnect 5", 60)
    assert len(os.listdir(f"/proc/{probe.pid}/fd")) == before
    assert probe.publish(UP)["code"] in ("ok", "not_reachable")


def test_a_web_proxy_is_not_asked(broker, certs, start):
    proxies = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    start(url_of(broker), certs.device(DEVICE), env=proxies).connect()


# ---- user name and password ----


@pytest.fixture
def password_broker(tmp_path):
    """mosquitto that wants a password, without TLS, on loopback."""
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed")
    (port,) = free_ports(1)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "key-1", "correct horse"],
                   check=True, capture_output=True)
    config = tmp_path / "mosquitto.conf"
    run_as = "user root\n" if os.geteuid() == 0 else ""  # its folder is closed to others
    config.write_text(f"{run_as}listener {port} {ADDRESS}\npassword_file {passwords}\n"
                      "allow_anonymous false\n", encoding="ascii")
    process = Proc([mosquitto_path(), "-c", config], tmp_path / "mosquitto.log")
    process.wait_for_log("running")
    yield f"mqtt://{ADDRESS}:{port}"
    process.kill()


@pytest.mark.parametrize("text, code", [("correct horse\n", None), ("correct horse", None),
                                        ("wrong", "identity")])
def test_a_password_comes_from_its_file(password_broker, start, tmp_path, text, code):
    path = tmp_path / "password"
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)
    probe = start(password_broker, client_id="key-1", user="key-1", password=path)
    if code is None:
        probe.connect()
    else:
        down = probe.connect_fails()
        assert down["code"] == code
        assert "user name or password" in down["message"] or "not authorized" in down["message"]


# ---- what mosquitto never does by itself ----


def packet(kind, body):
    return bytes([kind, len(body)]) + body


CONNACK = packet(0x20, b"\x00\x00\x00")


class ScriptedBroker:
    """Answers each packet of one client with what `answers` has for its first nibble."""

    def __init__(self, answers):
        self._answers = answers
        self._server = socket.create_server((ADDRESS, 0))
        self.url = f"mqtt://{ADDRESS}:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with client:
                    self._serve(client)

    def _serve(self, client):
        while head := client.recv(1):
            length = shift = 0
            while True:
                byte = client.recv(1)[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            body = b""
            while len(body) < length:
                body += client.recv(length - len(body))
            answer = self._answers.get(head[0] >> 4)
            if answer is not None:
                client.sendall(answer(head[0], body) if callable(answer) else answer)

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def scripted():
    brokers = []

    def make(**answers):
        kinds = {"connect": 1, "publish": 3, "subscribe": 8}
        brokers.append(ScriptedBroker({kinds[k]: v for k, v in answers.items()}))
        return brokers[-1].url

    yield make
    for broker in brokers:
        broker.close()


def suback(*codes):
    return lambda _, body: packet(0x90, body[:2] + b"\x00" + bytes(codes))


def puback(code):
    def answer(_, body):
        at = 2 + int.from_bytes(body[:2], "big")
        return packet(0x40, body[at:at + 2] + bytes([code]))
    return answer


@pytest.mark.parametrize("codes", [[0x87], [0x01, 0x87], [0x87, 0x01]])
def test_a_refused_subscription_is_a_down(scripted, start, codes):
    url = scripted(connect=CONNACK, subscribe=suback(*codes))
    down = start(url, sub=[f"topic/{n}" for n in range(len(codes))]).connect_fails()
    assert down["code"] == "forbidden"
    assert f"subscription topic/{codes.index(0x87)}: 0x87" in down["message"]


@pytest.mark.parametrize("reason, code, text", [
    (0x84, "not_reachable", "protocol version"), (0x85, "identity", "client identifier"),
    (0x86, "identity", "bad user name or password"), (0x87, "identity", "0x87"),
    (0x88, "not_reachable", "server unavailable"), (0x8A, "identity", "banned"),
    (0x9F, "not_reachable", "rate exceeded"), (0xE0, "not_reachable", "0xe0")])
def test_a_refused_connection_is_explained(scripted, start, reason, code, text):
    url = scripted(connect=packet(0x20, bytes([0, reason, 0])))
    down = start(url).connect_fails()
    assert down["code"] == code
    assert text in down["message"]


@pytest.mark.parametrize("reason, code", [(0x80, "internal"), (0x83, "internal"),
                                          (0x90, "bad_topic"), (0x97, "busy"), (0x99, "bad_value")])
def test_every_refusal_of_a_message_has_its_meaning(scripted, start, reason, code):
    probe = start(scripted(connect=CONNACK, publish=puback(reason)))
    probe.connect()
    published = probe.publish("t")
    assert published["code"] == code
    assert published["message"].startswith(f"0x{reason:02x} ")


def test_the_brokers_limits_are_read_from_its_answer(scripted, start):
    """Receive Maximum 3, Maximum Packet Size 300, session present; absent ones have defaults."""
    limits = packet(0x20, b"\x01\x00\x08\x21\x00\x03\x27\x00\x00\x01\x2c")
    probe = start(scripted(connect=limits))
    up = probe.connect()
    assert (up["receive_max"], up["max_packet"], up["session_present"]) == (3, 300, True)
    assert probe.ask("publish t - size=300")["code"] == "too_large"
    assert probe.ask("fill t")["taken"] == 3

    up = start(scripted(connect=CONNACK)).connect()
    assert (up["receive_max"], up["max_packet"], up["session_present"]) == (65535, 0, False)


def test_without_a_receive_maximum_the_window_has_a_limit_of_its_own(scripted, start):
    probe = start(scripted(connect=CONNACK))
    probe.connect()
    full = probe.ask("fill t")
    assert (full["taken"], full["code"]) == (1024, "busy")


def test_a_new_connection_takes_the_new_limits(scripted, start):
    """On a handle that is used again Paho would keep the lowest it has seen."""
    answers = [packet(0x20, b"\x00\x00\x03\x21\x00\x02"), packet(0x20, b"\x00\x00\x03\x21\x00\x28")]
    probe = start(scripted(connect=lambda *_: answers.pop(0), publish=puback(0)))
    assert probe.connect()["receive_max"] == 2
    probe.do("drop")
    probe.expect("down")
    assert probe.connect()["receive_max"] == 40
    assert probe.ask("burst t 200 40 10")["seconds"] < 3


def test_a_silent_subscription_can_be_dropped(scripted, start):
    probe = start(scripted(connect=CONNACK), sub="t")
    probe.do("connect")
    deadline = time.monotonic() + 5
    while "down" not in [e["event"] for e in probe.events]:  # before the CONNACK it does nothing
        assert time.monotonic() < deadline
        probe.do("drop")
        probe.do("sockets")
        probe.next()
    assert probe.events[-1]["event"] in ("down", "sockets")


@pytest.mark.parametrize("reason, code", [(0x8E, "identity"), (0x8B, "closed"), (0x98, "closed"),
                                          (0x00, "closed")])
def test_a_disconnect_of_the_broker_is_one_down_with_its_reason(scripted, start, reason, code):
    url = scripted(connect=CONNACK, publish=packet(0xE0, bytes([reason])))
    probe = start(url)
    probe.connect()
    assert probe.ask("publish t x")["code"] == "ok"
    down = probe.expect("down")
    assert down["code"] == code
    assert f"0x{reason:02x} " in down["message"]
    assert probe.nothing_waits()


@pytest.mark.parametrize("answer", [
    b"\x20\x02\x00\x01",          # MQTT 3.1.1: unacceptable protocol version
    b"\x20\x03\x00\x00\x05",      # properties shorter than they say
    b"\xff\xff\xff\xff\xff\xff",  # no MQTT
    b"\x30\x02\x00\x05",          # a message before the CONNACK, its topic cut off
    b"\x00\x00", b""])
def test_an_answer_that_is_no_mqtt_is_a_down(scripted, start, answer):
    probe = start(scripted(connect=answer), timeout=1)
    down = probe.connect_fails()
    assert down["code"] == "not_reachable"


@pytest.mark.parametrize("garbage", [b"\x40\x01\x00", b"\x30\x00", b"\x30\x03\x00\x05a",
                                     b"\x90\x01\x00", b"\xf0\x00", b"\x31\xff\xff\xff\xff\x01"])
def test_garbage_from_the_broker_is_one_down_or_nothing(scripted, start, garbage):
    probe = start(scripted(connect=CONNACK, publish=garbage), keepalive=1)
    probe.connect()
    assert probe.ask("publish t x")["code"] == "ok"
    assert probe.expect("down", 15)["code"] == "closed"
