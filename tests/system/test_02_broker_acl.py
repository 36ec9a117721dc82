"""Stage 4: who may publish and read what, and whose client id is whose.

A subscription is always granted by mosquitto; what counts is what is delivered. That nothing came
is shown by a message sent last, which the same client may read: the broker keeps the order.
"""

import subprocess

import pytest

from lib.broker import RENDER, Broker
from lib.mqtt import NO_SUBSCRIBERS, NOT_AUTHORIZED, SUCCESS, TOO_LARGE, Client, Refused
from lib.wait import wait_until

UP = "sb/v1/up/3f"
ALLOWED = (SUCCESS, NO_SUBSCRIBERS)


@pytest.fixture
def connect(broker, certs):
    """connect("edge-001"), connect("_ingest-1"), connect("_op-alice"): a client on its listener."""
    clients = []

    def make(name, to=broker, **options):
        if name.startswith("_ingest-"):
            client = Client(certs.ingest(name[len("_ingest-"):]), to.device_port, **options)
        elif name.startswith("_op-"):
            client = Client(certs.operator(name[len("_op-"):]), to.operator_port, **options)
        else:
            client = Client(certs.device(name), to.device_port, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        if client.connected():
            client.disconnect()


@pytest.fixture
def own_broker(certs):
    """own_broker(...): a broker for this test alone, running."""
    brokers = []

    def make(**arguments):
        brokers.append(Broker(certs, **arguments))
        return brokers[-1].start()

    yield make
    for broker in brokers:
        broker.close()


def may_publish(client, *topics):
    for topic in topics:
        assert client.publish(topic, b"x") in ALLOWED, topic


def may_not_publish(client, *topics):
    for topic in topics:
        assert client.publish(topic, b"x") == NOT_AUTHORIZED, topic


# --- publishing ---


def test_a_device_writes_its_own_topics_and_no_others(connect):
    device = connect("edge-001")
    may_publish(device, *(f"{UP}/edge-001/{name}" for name in (
        "sensors", "history", "settings", "records", "library", "ctl")),
        "sb/v1/up/00/edge-001/ctl", "sb/v1/state/edge-001")
    may_not_publish(
        device,
        f"{UP}/edge-002/sensors", "sb/v1/state/edge-002",
        f"{UP}/edge-001", f"{UP}/edge-001/sensors/deeper", f"{UP}/x/edge-001/sensors",
        "sb/v1/up/edge-001/sensors", "sb/v1/state/edge-001/deeper", "sb/v1/state",
        "sb/v1/down/edge-001/reply", "sb/v1/down/edge-002/reply",
        "sb/v1/ingest/1", "sb/v1/event/edge-001", "sb/v1/out/edge-001/sensors",
        "sb/v1/admin/edge-001/req", "sb/v1/admin/_op-alice/req", "sb/v1/admin/_op-alice/reply",
        "sb/v2/state/edge-001", "elsewhere", "$SYS/broker/uptime", "$CONTROL/dynamic-security/v1")


def test_an_ingest_answers_anybody_and_poses_as_nobody(connect):
    ingest = connect("_ingest-1")
    may_publish(ingest, "sb/v1/down/edge-001/reply", "sb/v1/down/edge-002/notify",
                "sb/v1/event/edge-001", "sb/v1/out/edge-001/sensors", "sb/v1/ingest/1",
                "sb/v1/admin/_op-alice/reply")
    may_not_publish(ingest, f"{UP}/edge-001/sensors", f"{UP}/_ingest-1/sensors",
                    "sb/v1/state/edge-001", "sb/v1/state/_ingest-1", "sb/v1/down/_ingest-1/reply",
                    "sb/v1/ingest/2", "sb/v1/admin/_op-alice/req", "sb/v1/down/edge-001/a/b",
                    "sb/v1/event/edge-001/deeper", "elsewhere")


def test_an_operator_asks_under_its_own_name_and_writes_nothing_else(connect):
    operator = connect("_op-alice")
    may_publish(operator, "sb/v1/admin/_op-alice/req")
    may_not_publish(operator, f"{UP}/edge-001/sensors", f"{UP}/_op-alice/sensors",
                    "sb/v1/down/edge-001/reply", "sb/v1/down/_op-alice/reply",
                    "sb/v1/state/edge-001", "sb/v1/state/_op-alice", "sb/v1/event/edge-001",
                    "sb/v1/out/edge-001/sensors", "sb/v1/ingest/1", "sb/v1/admin/_op-bob/req",
                    "sb/v1/admin/_op-alice/reply", "sb/v1/admin/_op-alice/req/deeper")


# --- reading ---


def test_an_ingest_reads_batches_requests_and_states(connect):
    ingest, device = connect("_ingest-1"), connect("edge-001")
    operator = connect("_op-alice")
    ingest.subscribe("sb/v1/up/+/+/+", "sb/v1/admin/+/req", "sb/v1/state/+")
    assert device.publish(f"{UP}/edge-001/sensors", b"1", correlation=b"\x00id",
                          response_topic="sb/v1/down/edge-002/reply",
                          properties=[("content-encoding", "gzip")]) == SUCCESS
    assert device.publish("sb/v1/state/edge-001", b"2") == SUCCESS
    assert operator.publish("sb/v1/admin/_op-alice/req", b"3") == SUCCESS
    batch = ingest.wait_message(f"{UP}/edge-001/sensors", b"1")
    assert batch.correlation == b"\x00id"
    assert batch.properties == [("content-encoding", "gzip")]
    ingest.wait_message("sb/v1/state/edge-001", b"2")
    ingest.wait_message("sb/v1/admin/_op-alice/req", b"3")


WIDE = ("#", "sb/v1/#", "+/+/+/+/+/+", "sb/v1/up/+/+/+", "sb/v1/down/+/+", "sb/v1/down/edge-001/+",
        "sb/v1/state/+", "sb/v1/event/+", "sb/v1/out/+/+", "sb/v1/admin/+/+", "$SYS/#",
        "$share/g/sb/v1/up/+/+/+", "$share/g/sb/v1/down/+/+", "$share/g/#")


def everybody_speaks(connect):
    """One message on every kind of topic that is not edge-002's own."""
    ingest, operator, device = connect("_ingest-1"), connect("_op-alice"), connect("edge-001")
    for topic in ("sb/v1/down/edge-001/reply", "sb/v1/down/edge-001/notify", "sb/v1/event/edge-001",
                  "sb/v1/event/edge-002", "sb/v1/out/edge-002/sensors",
                  "sb/v1/admin/_op-alice/reply"):
        assert ingest.publish(topic, b"secret") in ALLOWED, topic
    for topic in (f"{UP}/edge-001/sensors", f"{UP}/edge-001/ctl", "sb/v1/state/edge-001"):
        assert device.publish(topic, b"secret") in ALLOWED, topic
    assert operator.publish("sb/v1/admin/_op-alice/req", b"secret") in ALLOWED
    assert ingest.publish("sb/v1/ingest/1", b"public") in ALLOWED
    return ingest


def test_a_device_is_sent_nothing_of_others_whatever_it_subscribes_to(connect):
    device = connect("edge-002")
    assert device.subscribe(*WIDE) == [1] * len(WIDE)
    ingest = everybody_speaks(connect)
    # Its own writing does not come back either.
    may_publish(device, f"{UP}/edge-002/ctl", "sb/v1/state/edge-002")
    assert ingest.publish("sb/v1/down/edge-002/reply", b"last") == SUCCESS
    device.wait_message("sb/v1/down/edge-002/reply", b"last")
    assert {(m.topic, m.payload) for m in device.messages} == {
        ("sb/v1/ingest/1", b"public"), ("sb/v1/down/edge-002/reply", b"last")}


def test_a_shared_subscription_of_a_device_takes_no_batch_away(connect):
    """A member that may not read must not swallow what others of the group may."""
    thief, ingest, device = connect("edge-002"), connect("_ingest-1"), connect("edge-001")
    thief.subscribe("$share/g/sb/v1/up/+/+/+")
    ingest.subscribe("sb/v1/up/+/+/+")
    for number in range(10):
        assert device.publish(f"{UP}/edge-001/sensors", b"%d" % number) == SUCCESS
    ingest.wait_message(payload=b"9")
    assert [m.payload for m in ingest.messages] == [b"%d" % number for number in range(10)]
    assert thief.messages == []


def test_a_device_hears_that_an_ingest_is_there(connect):
    ingest, device = connect("_ingest-1"), connect("edge-001")
    assert ingest.publish("sb/v1/ingest/1", b"online", retain=True) in ALLOWED
    device.subscribe("sb/v1/ingest/+")
    assert device.wait_message("sb/v1/ingest/1", b"online").retain
    ingest.publish("sb/v1/ingest/1", b"", retain=True)


def test_an_operator_watches_and_reads_no_data(connect):
    operator = connect("_op-bob")
    operator.subscribe("sb/v1/state/+", "sb/v1/event/+", "sb/v1/out/+/+", "sb/v1/ingest/+",
                       "sb/v1/up/+/+/+", "sb/v1/down/+/+", "sb/v1/admin/+/+",
                       "$share/g/sb/v1/up/+/+/+")
    ingest = everybody_speaks(connect)
    # Its own name as a device's: what the patterns would give it.
    assert ingest.publish("sb/v1/down/_op-bob/reply", b"secret") in ALLOWED
    assert ingest.publish("sb/v1/admin/_op-bob/reply", b"last") == SUCCESS
    operator.wait_message("sb/v1/admin/_op-bob/reply", b"last")
    wait_until(lambda: {*operator.topics()} >= {"sb/v1/state/edge-001"}, 5, "the state")
    assert {(m.topic, m.payload) for m in operator.messages} == {
        ("sb/v1/state/edge-001", b"secret"), ("sb/v1/event/edge-001", b"secret"),
        ("sb/v1/event/edge-002", b"secret"), ("sb/v1/out/edge-002/sensors", b"secret"),
        ("sb/v1/ingest/1", b"public"), ("sb/v1/admin/_op-bob/reply", b"last")}


def test_requests_of_operators_reach_ingests_and_answers_who_asked(connect):
    """Nobody reads another's questions or answers, whatever is subscribed to."""
    alice, bob, device = connect("_op-alice"), connect("_op-bob"), connect("edge-001")
    ingest = connect("_ingest-1")
    for client in (alice, bob, device, ingest):
        client.subscribe("sb/v1/admin/+/req", "sb/v1/admin/+/reply", "sb/v1/admin/+/+",
                         "sb/v1/ingest/+")
    for client in (alice, bob, device):
        client.subscribe("sb/v1/admin/_op-alice/req", "sb/v1/admin/_op-alice/reply")
    assert alice.publish("sb/v1/admin/_op-alice/req", b"asked") == SUCCESS
    ingest.wait_message("sb/v1/admin/_op-alice/req", b"asked")
    assert ingest.publish("sb/v1/admin/_op-alice/reply", b"answered") == SUCCESS
    alice.wait_message("sb/v1/admin/_op-alice/reply", b"answered")
    assert ingest.publish("sb/v1/ingest/1", b"last") == SUCCESS
    for client in (alice, bob, device, ingest):
        client.wait_message("sb/v1/ingest/1", b"last")
    # two subscriptions that fit may bring a message twice
    assert {*alice.topics()} == {"sb/v1/admin/_op-alice/reply", "sb/v1/ingest/1"}
    assert {*ingest.topics()} == {"sb/v1/admin/_op-alice/req", "sb/v1/ingest/1"}
    assert {*bob.topics()} == {*device.topics()} == {"sb/v1/ingest/1"}


def test_an_operator_sees_the_brokers_figures(connect):
    operator = connect("_op-alice")
    operator.subscribe("$SYS/#")
    operator.wait_message("$SYS/broker/version")


def test_an_operator_without_lines_in_the_acl_reads_no_device(connect):
    """A certificate of the operator CA alone opens nearly nothing."""
    stranger = connect("_op-stranger")
    stranger.subscribe(*WIDE)
    ingest = everybody_speaks(connect)
    assert ingest.publish("sb/v1/ingest/1", b"last") == SUCCESS
    stranger.wait_message("sb/v1/ingest/1", b"last")
    assert {m.topic for m in stranger.messages} == {"sb/v1/ingest/1"}
    may_not_publish(stranger, "sb/v1/admin/_op-stranger/req", "sb/v1/admin/_op-alice/req",
                    f"{UP}/edge-001/sensors", "sb/v1/state/edge-001")


def test_a_reload_takes_rights_away_from_live_connections(own_broker, connect):
    broker = own_broker(operators=("alice",))
    operator, device = connect("_op-alice", to=broker), connect("edge-001", to=broker)
    operator.subscribe("sb/v1/state/+", "sb/v1/ingest/+")
    assert device.publish("sb/v1/state/edge-001", b"seen") == SUCCESS
    operator.wait_message("sb/v1/state/edge-001", b"seen")
    broker.acl.write_text(broker.acl.read_text().replace("user _op-alice\n", "user _op-gone\n"))
    broker.reload()
    device.publish("sb/v1/state/edge-001", b"unseen")
    assert connect("_ingest-1", to=broker).publish("sb/v1/ingest/1", b"last") == SUCCESS
    operator.wait_message("sb/v1/ingest/1", b"last")
    assert [m.payload for m in operator.messages] == [b"seen", b"last"]


# --- client ids ---


def test_a_device_is_its_cn_whatever_it_asks_for(connect):
    other, first = connect("edge-002"), connect("edge-001")
    assert first.assigned_id == "edge-001"
    # Not a second client beside the first, but the same one again.
    second = connect("edge-001", client_id="_op-edge-002")
    first.wait_closed()
    assert second.connected() and other.connected()


@pytest.mark.parametrize("asked", ["edge-002", "_ingest-1", "edge-001", "anything", "_op", "_OP-"])
def test_an_id_without_the_prefix_is_refused_to_a_device(connect, asked):
    victims = connect("edge-002"), connect("_ingest-1")
    with pytest.raises(Refused) as refusal:
        connect("edge-001", client_id=asked)
    assert refusal.value.code == NOT_AUTHORIZED
    assert all(victim.publish("sb/v1/state/edge-002") is not None for victim in victims)


@pytest.mark.parametrize("asked", ["edge-001", "_ingest-1", "anything", "_op", "op-alice"])
def test_an_operator_cannot_take_the_id_of_a_device_or_an_ingest(connect, asked):
    victims = connect("edge-001"), connect("_ingest-1")
    with pytest.raises(Refused) as refusal:
        connect("_op-alice", client_id=asked)
    assert refusal.value.code == NOT_AUTHORIZED
    assert all(victim.publish("sb/v1/state/edge-001") is not None for victim in victims)


def test_tools_of_one_operator_run_side_by_side(connect):
    tools = [connect("_op-alice"), connect("_op-alice"),
             connect("_op-alice", client_id="_op-alice-1"),
             connect("_op-alice", client_id="_op-alice-2")]
    may_publish(tools[0], "sb/v1/admin/_op-alice/req")
    assert len({tool.assigned_id for tool in tools[:2]}) == 2
    for tool in tools:
        may_publish(tool, "sb/v1/admin/_op-alice/req")


def test_the_session_of_another_operator_yields_nothing_new(connect):
    """The gap that stays: an operator can throw off another's tool. It does not read its answers."""
    bob = connect("_op-bob", client_id="_op-bob-1", session_expiry=60)
    bob.subscribe("sb/v1/admin/_op-bob/reply")
    bob.drop()
    ingest = connect("_ingest-1")
    assert ingest.publish("sb/v1/admin/_op-bob/reply", b"for bob") == SUCCESS
    alice = connect("_op-alice", client_id="_op-bob-1", clean_start=False)
    assert alice.session_present
    alice.subscribe("sb/v1/event/+")
    assert ingest.publish("sb/v1/admin/_op-bob/reply", b"for bob") in ALLOWED
    assert ingest.publish("sb/v1/event/edge-001", b"last") == SUCCESS
    alice.wait_message(payload=b"last")
    assert alice.topics() == ["sb/v1/event/edge-001"]


def test_without_the_guard_an_operator_takes_ids_over_but_no_rights(own_broker, connect):
    """--client-ids any: what the guard closes, and what holds without it."""
    broker = own_broker(options=("--client-ids", "any"))
    victim = connect("edge-002", to=broker, session_expiry=60)
    victim.subscribe("sb/v1/down/edge-002/+")
    device = connect("edge-001", to=broker, client_id="edge-002")
    may_publish(device, "sb/v1/state/edge-001")
    assert victim.connected()
    operator = connect("_op-alice", to=broker, client_id="edge-002", clean_start=False)
    victim.wait_closed()
    assert operator.session_present
    may_not_publish(operator, "sb/v1/state/edge-002", f"{UP}/edge-002/sensors")
    operator.subscribe("sb/v1/event/+")
    ingest = connect("_ingest-1", to=broker)
    assert ingest.publish("sb/v1/down/edge-002/reply", b"secret") in ALLOWED
    assert ingest.publish("sb/v1/event/edge-002", b"last") == SUCCESS
    operator.wait_message(payload=b"last")
    assert operator.topics() == ["sb/v1/event/edge-002"]


# --- last wills ---


@pytest.mark.parametrize("name, topic", [("edge-001", "sb/v1/state/edge-001"),
                                         ("_ingest-1", "sb/v1/ingest/1")])
def test_the_last_will_is_delivered_and_kept(connect, name, topic):
    operator = connect("_op-alice")
    operator.subscribe("sb/v1/state/+", "sb/v1/ingest/+")
    client = connect(name, session_expiry=60, will=(topic, b"lost", True))
    client.publish(topic, b"online", retain=True)
    operator.wait_message(topic, b"online")
    client.drop()
    operator.wait_message(topic, b"lost")
    late = connect("_op-bob")
    late.subscribe("sb/v1/state/+", "sb/v1/ingest/+")
    assert late.wait_message(topic, b"lost").retain
    connect(name).publish(topic, b"", retain=True)


def test_a_last_will_for_a_foreign_topic_is_not_delivered(connect):
    operator, device, ingest = connect("_op-alice"), connect("edge-001"), connect("_ingest-1")
    operator.subscribe("sb/v1/state/+", "sb/v1/event/+")
    ingest.subscribe("sb/v1/up/+/+/+")
    for topic in ("sb/v1/state/edge-001", "sb/v1/event/edge-001", f"{UP}/edge-001/sensors"):
        connect("edge-002", will=(topic, b"forged", True)).drop()
    assert device.publish("sb/v1/state/edge-001", b"last") == SUCCESS
    assert device.publish(f"{UP}/edge-001/sensors", b"last") == SUCCESS
    operator.wait_message(payload=b"last")
    ingest.wait_message(payload=b"last")
    assert {m.payload for m in operator.messages + ingest.messages} == {b"last"}


# --- sessions and limits ---


def test_sessions_and_retained_states_survive_a_restart_but_not_a_kill(own_broker, connect):
    broker = own_broker()
    options = {"to": broker, "clean_start": False, "session_expiry": 3600}
    device = connect("edge-001", **options)
    assert not device.session_present
    device.subscribe("sb/v1/down/edge-001/+")
    device.publish("sb/v1/state/edge-001", b"offline", retain=True)
    device.disconnect()
    assert connect("_ingest-1", to=broker).publish("sb/v1/down/edge-001/reply", b"1") == SUCCESS
    broker.restart()
    # Queued for somebody who is away, both before and after the restart.
    assert connect("_ingest-1", to=broker).publish("sb/v1/down/edge-001/reply", b"2") == SUCCESS
    device = connect("edge-001", **options)
    assert device.session_present
    device.wait_message(payload=b"2")
    assert [m.payload for m in device.messages] == [b"1", b"2"]
    operator = connect("_op-alice", to=broker)
    operator.subscribe("sb/v1/state/+")
    assert operator.wait_message("sb/v1/state/edge-001", b"offline").retain

    broker.kill()
    broker.wipe_state()
    broker.start()
    assert not connect("edge-001", **options).session_present


def test_the_limits_are_announced_and_the_largest_document_passes(connect):
    ingest, device = connect("_ingest-1"), connect("edge-001")
    properties = device.connack_properties
    assert properties.MaximumPacketSize == 1376256
    assert properties.ReceiveMaximum == 20
    ingest.subscribe("sb/v1/up/+/+/+")
    limit = 1310720
    assert limit > 1048576 + 65536
    assert device.publish(f"{UP}/edge-001/settings", b"x" * limit) == SUCCESS
    assert len(ingest.wait_message(f"{UP}/edge-001/settings").payload) == limit
    assert device.publish(f"{UP}/edge-001/settings", b"x" * (limit + 1)) == TOO_LARGE
    may_publish(device, "sb/v1/state/edge-001")
    device.send(f"{UP}/edge-001/settings", b"x" * 1376256)
    device.wait_closed()


def test_beyond_1000_queued_messages_the_newest_are_dropped(own_broker, connect):
    """Stock behaviour that the bridge is built for; the figures are mosquitto's defaults."""
    broker = own_broker()
    options = {"to": broker, "clean_start": False, "session_expiry": 3600}
    ingest = connect("_ingest-1", **options)
    ingest.subscribe("sb/v1/up/+/+/+")
    ingest.disconnect()
    device = connect("edge-001", to=broker)
    for number in range(1099):
        device.send(f"{UP}/edge-001/sensors", b"%d" % number)
    assert device.publish(f"{UP}/edge-001/sensors", b"1099") == SUCCESS
    ingest = connect("_ingest-1", **options)
    # A device's request travels behind all that was queued.
    device.publish(f"{UP}/edge-001/ctl", b"last")
    ingest.wait_message(f"{UP}/edge-001/ctl")
    kept = [int(m.payload) for m in ingest.messages if m.payload != b"last"]
    assert kept == list(range(1000))


# --- the templates ---


def render(*args):
    return subprocess.run([RENDER, *map(str, args)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("wrong", [
    ("--operator", "a/b"), ("--operator", "+"), ("--operator", ""), ("--operator", "x" * 61),
    ("--operator", "a\nuser _op-b"), ("--ingest", "01"), ("--ingest", "+"), ("--ingest", ""),
    ("--device-port", "0"), ("--device-port", "65536"), ("--device-port", "8884"),
    ("--client-ids", "maybe"), ("--bind", "127.0.0.1\nlistener 1883"), ("--bind",), ("--what", "1")])
def test_values_that_would_open_something_are_not_rendered(tmp_path, wrong):
    result = render("--cert-dir", "certs", "--persistence-dir", "state", tmp_path, *wrong)
    assert result.returncode == 2, result.stderr
    assert not list(tmp_path.iterdir())


def test_a_snippet_leaves_the_main_files_settings_alone(tmp_path):
    assert render("--conf-d", "--cert-dir", "/etc/x", tmp_path).returncode == 0
    words = [line.split()[0] for line in (tmp_path / "mosquitto.conf").read_text().splitlines()
             if line and not line.startswith("#")]
    assert words.count("listener") == 2
    assert not {"persistence_location", "pid_file", "user", "log_dest"} & set(words)


def test_the_rendered_configuration_equals_the_stock_limits(broker):
    lines = broker.config.read_text().splitlines()
    for line in ("persistence true", "autosave_interval 1800", "max_queued_messages 1000",
                 "max_inflight_messages 20", "set_tcp_nodelay true", "allow_anonymous false"):
        assert line in lines
    assert "tls_version tlsv1.2" in lines and "tls_version tlsv1.1" not in lines
