"""A small MQTT 5 client for tests. Every call waits for the broker's answer."""

import socket
import ssl
import threading
from collections import namedtuple

import pytest

from lib.wait import wait_until

paho = pytest.importorskip("paho.mqtt.client", reason="python3-paho-mqtt is not installed")
PacketTypes = pytest.importorskip("paho.mqtt.packettypes").PacketTypes
Properties = pytest.importorskip("paho.mqtt.properties").Properties

SUCCESS = 0x00
NO_SUBSCRIBERS = 0x10
NOT_AUTHORIZED = 0x87
TOO_LARGE = 0x95

# correlation: bytes or None; properties: list of (name, value) as sent.
Message = namedtuple("Message", "topic payload qos retain correlation response_topic properties")


class Refused(Exception):
    """The broker answered the CONNECT with this reason code."""

    def __init__(self, code):
        super().__init__(f"CONNACK 0x{code:02x}")
        self.code = code


class TlsRefused(Exception):
    """One side did not accept the other's certificate; no CONNACK was seen."""


class _Paho(paho.Client):
    """Paho 1.6 keeps the reason code of a PUBACK to itself, and dies of mosquitto's 0x95 in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.puback_codes = {}

    def _handle_pubackcomp(self, cmd):
        packet = self._in_packet["packet"]
        self.puback_codes[int.from_bytes(packet[:2], "big")] = packet[2] if len(packet) > 2 else 0
        self._in_packet["packet"], self._in_packet["remaining_length"] = packet[:2], 2
        return super()._handle_pubackcomp(cmd)


class Client:
    """One connection. Connects when made; raises Refused or TlsRefused. Usable in `with`.

    identity: see lib.certs. client_id "" asks for none. will: (topic, payload[, retain]).
    """

    def __init__(self, identity, port, host="localhost", client_id="", clean_start=True,
                 session_expiry=0, will=None, keepalive=60, timeout=5):
        self.identity = identity
        self.timeout = timeout
        self.messages = []
        self._connack = self._error = None
        self._subacks = {}
        self._closed = threading.Event()
        self._paho = self._make_paho(client_id, will)
        self._connect(host, port, clean_start, session_expiry, keepalive)

    def _make_paho(self, client_id, will):
        client = _Paho(client_id=client_id, protocol=paho.MQTTv5, reconnect_on_failure=False)
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.identity.ca)
        if self.identity.cert:
            context.load_cert_chain(self.identity.cert, self.identity.key)
        client.tls_set_context(context)
        if will:
            topic, payload, *retain = will
            client.will_set(topic, payload, qos=1, retain=bool(retain and retain[0]))
        # With this set Paho leaves all writing to the thread below.
        client.on_socket_register_write = lambda *_: None
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        # Paho's own limit would hold publishes back; the broker's Receive Maximum still holds.
        client.max_inflight_messages_set(0)
        client.max_queued_messages_set(0)
        return client

    def _connect(self, host, port, clean_start, session_expiry, keepalive):
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = session_expiry
        try:
            self._paho.connect(host, port, keepalive, clean_start=clean_start,
                               properties=properties)
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
            raise TlsRefused(str(error)) from error
        # A request and its answer are small: without this each takes 40 ms.
        self._paho.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._connack or self._closed.is_set(), self.timeout, "a CONNACK")
        if self._connack is None:
            self._thread.join()
            raise TlsRefused(self._error or "closed before a CONNACK")
        if self.connack_code != SUCCESS:
            self._thread.join()
            raise Refused(self.connack_code)

    def _run(self):
        try:
            while self._paho.loop(timeout=1) == paho.MQTT_ERR_SUCCESS:
                pass
        except OSError as error:  # with TLS 1.3 a refused certificate is noticed while reading
            self._error = str(error)
        finally:
            self._closed.set()

    # Callbacks, on the thread above.

    def _on_connect(self, _client, _userdata, flags, code, properties):
        self._connack = flags, code.value, properties

    def _on_subscribe(self, _client, _userdata, mid, codes, _properties):
        self._subacks[mid] = [code.value for code in codes]

    def _on_message(self, _client, _userdata, message):
        properties = message.properties
        self.messages.append(Message(
            message.topic, message.payload, message.qos, bool(message.retain),
            getattr(properties, "CorrelationData", None),
            getattr(properties, "ResponseTopic", None),
            getattr(properties, "UserProperty", [])))

    # What the broker said to the CONNECT.

    @property
    def connack_code(self):
        return self._connack[1]

    @property
    def session_present(self):
        return bool(self._connack[0]["session present"])

    @property
    def connack_properties(self):
        """Attributes named as in paho: AssignedClientIdentifier, MaximumPacketSize, ..."""
        return self._connack[2]

    @property
    def assigned_id(self):
        return getattr(self.connack_properties, "AssignedClientIdentifier", None)

    # Calls.

    def subscribe(self, *filters, qos=1):
        """Returns the reason codes of the SUBACK."""
        _, mid = self._paho.subscribe([(topic, paho.SubscribeOptions(qos=qos))
                                       for topic in filters])
        return wait_until(lambda: self._subacks.get(mid) or self._check_open("a SUBACK"),
                          self.timeout, "a SUBACK")

    def publish(self, topic, payload=b"", retain=False, correlation=None, response_topic=None,
                properties=()):
        """QoS 1; returns the reason code of the PUBACK."""
        info = self.send(topic, payload, 1, retain, correlation, response_topic, properties)
        codes = self._paho.puback_codes
        wait_until(lambda: info.mid in codes or self._check_open(f"the PUBACK for {topic}"),
                   self.timeout, f"the PUBACK for {topic}")
        return codes.pop(info.mid)

    def send(self, topic, payload=b"", qos=1, retain=False, correlation=None, response_topic=None,
             properties=()):
        """As publish(), without waiting."""
        packed = Properties(PacketTypes.PUBLISH)
        if correlation is not None:
            packed.CorrelationData = correlation
        if response_topic is not None:
            packed.ResponseTopic = response_topic
        if properties:
            packed.UserProperty = list(properties)
        return self._paho.publish(topic, payload, qos, retain, packed)

    def wait_message(self, topic=None, payload=None, timeout=None):
        """Returns the first message with this topic and payload (None: any), old or new."""

        def found():
            return next((m for m in list(self.messages)
                         if topic in (None, m.topic) and payload in (None, m.payload)), None)

        return wait_until(found, timeout or self.timeout,
                          lambda: f"message {topic} {payload}, had "
                                  f"{[(m.topic, m.payload) for m in self.messages]}")

    def topics(self):
        return [message.topic for message in self.messages]

    def connected(self):
        return not self._closed.is_set()

    def wait_closed(self, timeout=None):
        """Until the broker or drop() has closed the connection."""
        wait_until(self._closed.is_set, timeout or self.timeout, "the end of the connection")

    def disconnect(self):
        """A clean DISCONNECT: no Last Will."""
        self._paho.disconnect()
        self._thread.join(self.timeout)

    def drop(self):
        """Closes the socket without a word: the Last Will is due."""
        if self.connected():
            raw = self._paho.socket()
            socket.socket.shutdown(raw, socket.SHUT_RDWR)
        self._thread.join(self.timeout)

    def _check_open(self, what):
        if self._closed.is_set():
            raise AssertionError(f"the connection of {self.identity.name} ended before {what}")
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.connected():
            self.disconnect()
