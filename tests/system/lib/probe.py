"""link_probe: one MQTT link of ours, driven by commands; see link_probe.c for them."""

import json
import os
import subprocess
import threading

import pytest

from lib.wait import wait_until


class Probe:
    """options: the fields of struct sb_mqtt_config as link_probe.c names them; sub may be a list."""

    def __init__(self, url, identity=None, env=None, **options):
        path = os.environ.get("SB_LINK_PROBE")
        if not path:
            pytest.skip("SB_LINK_PROBE does not name a link_probe")
        if identity is not None:
            options = {"ca": identity.ca, "cert": identity.cert, "key": identity.key} | options
        filters = options.pop("sub", [])
        args = [f"url={url}"] + [f"{k}={v}" for k, v in options.items() if v is not None]
        args += [f"sub={f}" for f in ([filters] if isinstance(filters, str) else filters)]
        self.events = []
        self._taken = 0
        self._popen = subprocess.Popen([path, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=os.environ | (env or {}))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._popen.stdout:
            self.events.append(json.loads(line))

    def do(self, command):
        self._popen.stdin.write(command.encode() + b"\n")
        self._popen.stdin.flush()

    def next(self, timeout=20):
        """The next event that was not yet taken."""
        wait_until(lambda: len(self.events) > self._taken or not self._reader.is_alive(), timeout,
                   "an event of the link")
        assert len(self.events) > self._taken, self.error()
        self._taken += 1
        return self.events[self._taken - 1]

    def expect(self, kind, timeout=20):
        event = self.next(timeout)
        assert event["event"] == kind, event
        return event

    def ask(self, command, timeout=20):
        """A command that is answered by an event of its own name."""
        self.do(command)
        return self.expect(command.split()[0], timeout)

    def connect(self):
        self.do("connect")
        return self.expect("up")

    def connect_fails(self, timeout=20):
        self.do("connect")
        return self.expect("down", timeout)

    def publish(self, topic, payload="x", *options):
        """The PUBLISHED event; the message's token is checked."""
        sent = self.ask(" ".join(["publish", topic, payload, *options]))
        assert sent["code"] == "ok", sent
        published = self.expect("published")
        assert published["token"] == sent["token"]
        return published

    def nothing_waits(self):
        """No event is left, asked in such a way that one under way would have come before."""
        self.ask("sockets")
        return True

    @property
    def pid(self):
        return self._popen.pid

    def kill(self):
        self._popen.kill()
        self._popen.wait()

    def error(self):
        return self._popen.stderr.read().decode("utf-8", "replace")

    def close(self):
        """Ends it; fails where it says that something is wrong (a leak, a race, a lost event)."""
        if self._popen.poll() is None:
            self._popen.stdin.close()
            status = self._popen.wait(20)
            assert status == 0, self.error()
        self._reader.join()
        self._popen.stdout.close()
        self._popen.stderr.close()
