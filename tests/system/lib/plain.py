"""A plain client: no outbox, just numbers, batches and the replies to them (PROTOCOL.md section 11)."""

import gzip
import json
import secrets
import uuid

from lib.mqtt import Client
from lib.stack import reply_topic, up_topic
from lib.wait import wait_until


def new_epoch():
    return secrets.token_hex(8)


def unpack(payload):
    """The JSON of a message, packed or not."""
    return json.loads(gzip.decompress(payload) if payload[:2] == b"\x1f\x8b" else payload)


class PlainClient:
    """One device. Connects when made; replies are kept by correlation data."""

    def __init__(self, stack, device="meter-7", epoch=None):
        self.device = device
        self.epoch = epoch or new_epoch()
        self._stack = stack
        self._client = None
        self.connect()

    def connect(self):
        self._client = Client(self._stack.certs.device(self.device),
                              self._stack.broker.device_port, clean_start=False,
                              session_expiry=3600)
        assert self._client.subscribe(reply_topic(self.device)) == [1]

    @property
    def mqtt(self):
        return self._client

    def batch(self, stream, first, records, **more):
        """An envelope. Sensors: records are rows with `fields` in more; None leaves a member out."""
        body = {"v": 1, "batch_id": str(uuid.uuid4()), "device": self.device, "epoch": self.epoch,
                "stream": stream, "first_seq": first, "last_seq": first + len(records) - 1}
        if stream.startswith("sensors/"):
            body["fields"] = more.pop("fields", ["ts", "value"])
            body["rows"] = records
        else:
            body["records"] = records
        body.update(more)
        return {name: value for name, value in body.items() if value is not None}

    def publish(self, payload, cls="sensors", correlation=None, topic=None, properties=()):
        """Without waiting for a reply; returns the correlation data."""
        if isinstance(payload, dict):
            correlation = correlation or payload.get("batch_id", str(uuid.uuid4())).encode()
            payload = json.dumps(payload, ensure_ascii=False).encode()
        correlation = correlation or str(uuid.uuid4()).encode()
        self._client.send(topic or up_topic(self.device, cls), payload, correlation=correlation,
                          properties=properties)
        return correlation

    def reply(self, correlation):
        """The reply that has come with it, or None."""
        for message in list(self._client.messages):
            if message.correlation == correlation and message.topic == reply_topic(self.device):
                return unpack(message.payload)
        return None

    def wait_reply(self, correlation, timeout=5):
        return wait_until(lambda: self.reply(correlation), timeout, f"a reply to {correlation}")

    def ask(self, payload, cls="sensors", timeout=5, **options):
        """Publishes and returns the reply."""
        return self.wait_reply(self.publish(payload, cls, **options), timeout)

    def send(self, stream, first, records, timeout=5, **more):
        """One batch; returns the reply."""
        return self.ask(self.batch(stream, first, records, **more), stream.split("/")[0], timeout)

    def close(self):
        if self._client.connected():
            self._client.disconnect()
