"""A real mosquitto with the project's own configuration, on free loopback ports."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from lib.proc import Proc

RENDER = Path(__file__).resolve().parents[3] / "cloud_ingest" / "broker" / "render.sh"
HOST = "localhost"
ADDRESS = "127.0.0.1"


def mosquitto_path():
    """Debian keeps it in /usr/sbin, which is not in everybody's PATH. None if it is missing."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


_claims = []  # sockets that hold the claims of this process, until it ends


def _claim(port):
    """Whether no other test process uses that port, who may have none of its listeners up just now.
    An abstract name is as wide as ports are: the network namespace."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0sb-test-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def free_ports(count):
    """Ports nobody listens on and no other test gets, below those the kernel gives to outgoing
    connections: one of those could take a broker's port while it is down."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        top = int(file.read().split()[0])
    ports = []
    for port in random.sample(range(min(10240, top - 1000), top), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
        if not _claim(port):
            continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise AssertionError("no free ports")


def _unprivileged_user():
    """Whom a broker started by root runs as, like a packaged one; (None, None) if not root, or
    where no other user gets below / (a chroot whose root is root's alone)."""
    if os.geteuid() != 0 or not os.stat("/").st_mode & 0o001:
        return None, None
    entry = pwd.getpwnam("mosquitto")
    return entry.pw_uid, entry.pw_gid


class Broker:
    """Not started yet when made. Its folder is gone after close()."""

    def __init__(self, certs, ingests=(1,), operators=("alice", "bob"), options=(), server=None):
        """options: further ones for render.sh. server: its certificate, by default for `host`."""
        self.host = HOST
        self.device_port, self.operator_port = free_ports(2)
        self.folder = Path(tempfile.mkdtemp(prefix="sb-broker-"))
        self.state = self.folder / "state"
        self.config = self.folder / "mosquitto.conf"
        self.acl = self.folder / "acl"
        self._ingests, self._operators, self._options = ingests, operators, options
        self._user, self._group = _unprivileged_user()
        self._proc = None
        self._install(certs, server or certs.broker(HOST, ADDRESS))
        self.render()

    def _install(self, certs, server):
        """What a broker needs, and only that, as its own user's files."""
        folder = self.folder / "certs"
        folder.mkdir()
        self.state.mkdir()
        for source, name in ((server.cert, "broker.crt"), (server.key, "broker.key"),
                             (certs.device_ca, "device-ca.crt"),
                             (certs.operator_ca, "operator-ca.crt")):
            shutil.copy(source, folder / name)
        if self._user is not None:
            for path in (self.folder, folder, self.state, folder / "broker.key"):
                os.chown(path, self._user, self._group)

    def render(self):
        """Writes configuration and ACL anew; a running broker takes the ACL up by reload()."""
        args = [RENDER, "--cert-dir", self.folder / "certs", "--persistence-dir", self.state,
                "--device-port", self.device_port, "--operator-port", self.operator_port,
                "--bind", ADDRESS, "--log-type", "all"]
        if self._user is None and os.geteuid() == 0:
            args += ["--user", "root"]
        for ingest in self._ingests:
            args += ["--ingest", ingest]
        for operator in self._operators:
            args += ["--operator", operator]
        result = subprocess.run([str(arg) for arg in [*args, *self._options, self.folder]],
                                capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"render.sh: {result.stderr}"

    def start(self):
        """Returns when both listeners are open."""
        assert not self.running()
        self._proc = Proc([mosquitto_path(), "-c", self.config], self.folder / "mosquitto.log",
                          cwd=self.folder, user=self._user, group=self._group)
        self._proc.wait_for_log(r"mosquitto version \S+ running")
        return self

    def stop(self):
        """SIGTERM: sessions and retained messages are saved."""
        assert self._proc.terminate() == 0

    def kill(self):
        """kill -9: what was not saved is gone."""
        self._proc.kill()

    def restart(self):
        self.stop()
        return self.start()

    def reload(self):
        """SIGHUP: the ACL and the general settings are read again."""
        before = self.log().count("Reloading config")
        self._proc.signal(signal.SIGHUP)
        self._proc.wait_for_log(r"(Reloading config[\s\S]*){%d}" % (before + 1))

    def wipe_state(self):
        """Forgets every session and message. Only while it is down."""
        assert not self.running()
        for path in self.state.iterdir():
            path.unlink()

    def running(self):
        return self._proc is not None and self._proc.running()

    @property
    def pid(self):
        return self._proc.pid

    def log(self):
        """What it has written since it was last started."""
        return self._proc.log()

    def wait_for_log(self, pattern, timeout=5):
        return self._proc.wait_for_log(pattern, timeout)

    def close(self):
        if self.running():
            self.kill()
        shutil.rmtree(self.folder)
