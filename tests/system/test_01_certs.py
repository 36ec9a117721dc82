"""Stage 0: who gets into the broker at all. Real certificates, a real mosquitto."""

import stat
import subprocess

import pytest

from lib.broker import Broker
from lib.certs import Certs
from lib.mqtt import NO_SUBSCRIBERS, NOT_AUTHORIZED, SUCCESS, Client, TlsRefused

UP = "sb/v1/up/3f"


@pytest.fixture(scope="module")
def other_certs(tmp_path_factory):
    """Two more roots: same script, same names, other keys."""
    return Certs(tmp_path_factory.mktemp("other-certs"))


def wearing(identity, trust):
    """The identity as a client that trusts this root."""
    return identity._replace(ca=trust)


def openssl(*args):
    return subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True,
                          check=False)


# --- the script ---


@pytest.mark.parametrize("name", [
    "", "/", "edge-001/x", "_edge", "_ingest-1", "_op-alice", "a+b", "a#", "a b", "a.b", "a%u",
    "a\nb", "é", "Ａ", "a\\", "a=b,CN", "x" * 65])
def test_device_names_outside_the_rule_are_not_made(certs, name):
    result = Certs.run("device", certs.folder, name)
    assert result.returncode == 1
    assert "device id" in result.stderr
    assert not (certs.folder / "devices" / f"{name}.crt").exists()


@pytest.mark.parametrize("name", ["a", "7", "Edge_7-b", "-x", "x" * 64])
def test_device_names_inside_the_rule_become_the_cn(certs, name):
    result = Certs.run("device", "--quiet", certs.folder, "--", name)
    assert result.returncode == 0, result.stderr
    subject = openssl("x509", "-noout", "-subject", "-nameopt", "multiline",
                      "-in", certs.folder / "devices" / f"{name}.crt").stdout
    assert subject.split("= ")[1].rstrip() == name


@pytest.mark.parametrize("command, name", [
    ("ingest", "x"), ("ingest", "01"), ("ingest", "-1"), ("ingest", "10000"),
    ("operator", "a/b"), ("operator", ""), ("operator", "x" * 61),
    ("broker", "a/b"), ("broker", "a,DNS:b"), ("broker", "*")])
def test_other_names_outside_their_rule_are_not_made(certs, command, name):
    assert Certs.run(command, certs.folder, name).returncode in (1, 2)


def test_nothing_is_replaced_unless_forced(tmp_path):
    certs = Certs(tmp_path / "pki")
    device = certs.device("edge-001")
    before = certs.device_ca.read_bytes(), device.cert.read_bytes()
    assert Certs.run("init", certs.folder).returncode == 1
    assert Certs.run("device", certs.folder, "edge-001").returncode == 1
    assert (certs.device_ca.read_bytes(), device.cert.read_bytes()) == before

    assert Certs.run("device", "--force", certs.folder, "edge-001").returncode == 0
    assert device.cert.read_bytes() != before[1]
    assert openssl("verify", "-CAfile", certs.device_ca, device.cert).returncode == 0
    assert Certs.run("init", "--force", certs.folder).returncode == 0
    assert openssl("verify", "-CAfile", certs.device_ca, device.cert).returncode != 0


def test_keys_are_for_their_owner_alone_and_roots_differ(certs):
    for made in (certs.device("edge-001"), certs.ingest(1), certs.operator("alice")):
        assert made.key.exists()
    certs.broker("localhost", "127.0.0.1")
    keys = list(certs.folder.glob("*/*.key"))
    assert len(keys) >= 6
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert len({key.read_bytes() for key in keys}) == len(keys)
    assert not list(certs.folder.glob(".new*"))


def test_a_certificate_serves_one_purpose(certs):
    server, device = certs.broker("localhost", "127.0.0.1"), certs.device("edge-001")

    def fits(purpose, root, identity):
        return openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", root,
                       identity.cert).returncode == 0

    assert fits("sslserver", certs.device_ca, server)
    assert fits("sslclient", certs.device_ca, device)
    assert fits("sslclient", certs.operator_ca, certs.operator("alice"))
    assert not fits("sslserver", certs.device_ca, device)
    assert not fits("sslclient", certs.device_ca, server)
    assert not fits("sslclient", certs.device_ca, certs.operator("alice"))
    assert not fits("sslclient", certs.operator_ca, device)


def test_usage_errors_exit_with_2(certs):
    for args in ([], ["init"], ["device", certs.folder], ["device", certs.folder, "a", "b"],
                 ["nonsense", certs.folder], ["--days", "x", "init", certs.folder],
                 ["--what", "init", certs.folder], ["init", certs.folder, "--expired"]):
        assert Certs.run(*args).returncode == 2, args
    assert "operator DIR NAME" in Certs.run("--help").stdout


# --- the handshake ---


def test_each_kind_connects_on_its_listener(broker, certs):
    with Client(certs.device("edge-001"), broker.device_port) as device:
        assert device.assigned_id == "edge-001"
    with Client(certs.ingest(1), broker.device_port) as ingest:
        assert ingest.assigned_id == "_ingest-1"
    with Client(certs.operator("alice"), broker.operator_port) as operator:
        assert operator.assigned_id.startswith("_op-")


def test_the_broker_is_known_by_its_address_too(broker, certs):
    with Client(certs.device("edge-001"), broker.device_port, host="127.0.0.1") as device:
        assert device.connected()


def refused(identity, port):
    with pytest.raises(TlsRefused):
        Client(identity, port)


def test_expired_certificates_are_refused(broker, certs):
    refused(certs.device("late", "--expired"), broker.device_port)
    broker.wait_for_log("certificate verify failed")
    refused(certs.operator("late", "--expired"), broker.operator_port)


def test_certificates_of_another_root_are_refused(broker, certs, other_certs):
    refused(wearing(other_certs.device("edge-001"), certs.device_ca), broker.device_port)
    refused(wearing(other_certs.operator("alice"), certs.device_ca), broker.operator_port)


def test_self_signed_certificates_are_refused(broker, certs):
    refused(certs.self_signed("edge-001"), broker.device_port)
    refused(certs.self_signed("_op-alice"), broker.operator_port)


def test_no_certificate_is_refused(broker, certs):
    refused(certs.nobody(), broker.device_port)
    refused(certs.nobody(), broker.operator_port)


def test_the_listeners_do_not_take_each_others_certificates(broker, certs):
    refused(certs.operator("alice"), broker.device_port)
    refused(certs.device("edge-001"), broker.operator_port)
    refused(certs.ingest(1), broker.operator_port)


def test_the_brokers_own_certificate_opens_nothing(broker, certs):
    refused(certs.broker("localhost", "127.0.0.1"), broker.device_port)


def test_a_client_refuses_a_broker_of_another_root(broker, certs, other_certs):
    with pytest.raises(TlsRefused, match="unable to get local issuer|self.signed|verify failed"):
        Client(wearing(certs.device("edge-001"), other_certs.device_ca), broker.device_port)


def test_a_client_refuses_a_broker_of_another_name(certs):
    elsewhere = Broker(certs, server=certs.broker("broker.example", "192.0.2.1"))
    try:
        elsewhere.start()
        with pytest.raises(TlsRefused, match="Hostname mismatch"):
            Client(certs.device("edge-001"), elsewhere.device_port)
        with pytest.raises(TlsRefused, match="IP address mismatch"):
            Client(certs.device("edge-001"), elsewhere.device_port, host="127.0.0.1")
    finally:
        elsewhere.close()


# --- names that only another tool would sign ---


def test_a_slash_in_the_name_reaches_nothing_an_ingest_or_operator_reads(broker, certs):
    """Its own patterns are deeper than any topic that is read."""
    slash = certs.device("slash", "--unchecked-name", "edge-001/sensors")
    with Client(certs.ingest(1), broker.device_port) as ingest, \
            Client(certs.operator("alice"), broker.operator_port) as operator, \
            Client(certs.device("edge-001"), broker.device_port) as edge, \
            Client(slash, broker.device_port) as wrong:
        ingest.subscribe("sb/v1/up/+/+/+", "sb/v1/state/+", "sb/v1/#")
        operator.subscribe("sb/v1/state/+", "sb/v1/#")
        # What the broker grants under its name is where nobody may read.
        assert wrong.publish(f"{UP}/edge-001/sensors/ctl") == SUCCESS
        assert wrong.publish("sb/v1/state/edge-001/sensors", retain=True) == SUCCESS
        for topic in (f"{UP}/edge-001/sensors", f"{UP}/edge-001/ctl", "sb/v1/state/edge-001"):
            assert wrong.publish(topic) == NOT_AUTHORIZED, topic
        assert edge.publish(f"{UP}/edge-001/sensors", b"last") == SUCCESS
        assert edge.publish("sb/v1/state/edge-001", b"last") == SUCCESS
        ingest.wait_message("sb/v1/state/edge-001", b"last")
        operator.wait_message("sb/v1/state/edge-001", b"last")
        assert set(ingest.topics()) == {f"{UP}/edge-001/sensors", "sb/v1/state/edge-001"}
        assert set(operator.topics()) == {"sb/v1/state/edge-001"}
        assert {m.payload for m in ingest.messages + operator.messages} == {b"last"}


@pytest.mark.parametrize("file, name", [("plus", "+"), ("hash", "#"), ("end", "edge-001/#")])
def test_a_wildcard_in_the_name_may_write_nothing(broker, certs, file, name):
    with Client(certs.device(file, "--unchecked-name", name), broker.device_port) as wrong:
        for topic in (f"{UP}/edge-001/sensors", "sb/v1/state/edge-001"):
            assert wrong.publish(topic) == NOT_AUTHORIZED
    with Client(certs.device("edge-001"), broker.device_port) as edge:
        assert edge.publish(f"{UP}/edge-001/sensors") == NO_SUBSCRIBERS
