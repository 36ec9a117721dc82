"""The whole path on this machine: broker, cloud_ingest on SQLite and edge agents, each in a folder
of its own that is gone after close(), with waits shortened by configuration."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib.broker import HOST, Broker, mosquitto_path
from lib.proc import Proc
from lib.wait import wait_until

SOURCE = Path(__file__).resolve().parents[3]


def _program(variable, name):
    path = os.environ.get(variable) or SOURCE / "build" / "ci" / "bin" / name
    if not os.access(path, os.X_OK):
        pytest.skip(f"{name} is not built ({variable})")
    return str(path)


def ingest_program():
    return _program("SB_CLOUD_INGEST", "cloud_ingest")


def edge_program():
    return _program("SB_EDGE_AGENT", "edge_agent")


def bucket_of(device):
    """The <bucket> segment, counted here by itself."""
    return f"{hashlib.sha256(device.encode()).digest()[0] & 0x3f:02x}"


def up_topic(device, cls="sensors"):
    return f"sb/v1/up/{bucket_of(device)}/{device}/{cls}"


def reply_topic(device):
    return f"sb/v1/down/{device}/reply"


def write_ini(path, values):
    """values: {"section.key": value}."""
    sections = {}
    for name, value in values.items():
        section, key = name.split(".")
        sections.setdefault(section, []).append(f"{key} = {value}")
    path.write_text("".join(f"[{section}]\n" + "\n".join(lines) + "\n"
                            for section, lines in sections.items()))
    return path


def clean_environment():
    """Without SB_* variables: those of the test run are no configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SB_")}


class _Daemon:
    """A program of ours with its configuration file; the command line reads the same one."""

    def __init__(self, program, folder, config):
        self.program = program
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.values = config
        self.config = write_ini(self.folder / "program.conf", config)
        self.log_path = self.folder / "program.log"
        self._proc = None

    def configure(self, **values):
        """Changes values, section__key=value; taken up by the next start."""
        self.values.update({name.replace("__", ".", 1): value for name, value in values.items()})
        write_ini(self.config, self.values)

    def cli(self, *args, stdin=None, timeout=60, check=True, env=None):
        """Runs a verb. check=True: exit status 0 is expected; else the result has returncode."""
        result = subprocess.run([self.program, "--config", self.config, *map(str, args)],
                                input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=timeout, check=False,
                                env=clean_environment() if env is None else env)
        if check:
            assert result.returncode == 0, (f"{' '.join(map(str, args))} ended with "
                                            f"{result.returncode}: {result.stderr}{result.stdout}")
        return result

    def json(self, *args, **options):
        """The JSON that a verb prints, whatever its exit status."""
        result = self.cli(*args, "--json", check=False, **options)
        try:
            return json.loads(result.stdout)
        except ValueError:
            raise AssertionError(f"{args} ended with {result.returncode} and no JSON: "
                                 f"{result.stdout!r} {result.stderr!r}") from None

    def launch(self):
        """Starts without waiting for anything."""
        assert not self.running()
        self._proc = Proc([self.program, "run", "--config", self.config], self.log_path,
                          cwd=self.folder, env=clean_environment())
        return self

    def start(self, timeout=10):
        """Returns when it is connected to the broker."""
        self.launch()
        wait_until(self._connected, timeout, lambda: f"a connection:\n{self.log()}")
        return self

    def _connected(self):
        assert self.running(), f"{self.program} ended:\n{self.log()}"
        result = self.cli("status", "--json", check=False)
        return result.returncode == 0 and self.is_connected(json.loads(result.stdout))

    @staticmethod
    def is_connected(status):
        raise NotImplementedError

    def stop(self):
        """SIGTERM; ends within 5 s with status 0."""
        assert self._proc.terminate(5) == 0, self.log()

    def kill(self):
        """kill -9."""
        self._proc.kill()

    def restart(self):
        self.stop()
        return self.start()

    def running(self):
        return self._proc is not None and self._proc.running()

    @property
    def proc(self):
        return self._proc

    @property
    def pid(self):
        return self._proc.pid

    def log(self):
        return self._proc.log() if self._proc is not None else ""

    def close(self):
        if self.running():
            self._proc.kill()


class Ingest(_Daemon):
    """cloud_ingest with a SQLite database in its folder."""

    def __init__(self, broker, identity, folder, **values):
        state = Path(folder) / "state"
        config = {"broker.url": f"mqtts://{HOST}:{broker.device_port}",
                  "broker.ca_file": identity.ca, "broker.cert_file": identity.cert,
                  "broker.key_file": identity.key, "broker.flap_wait": "200ms",
                  "ingest.state_dir": state, "log.level": "debug"}
        config.update({name.replace("__", ".", 1): value for name, value in values.items()})
        super().__init__(ingest_program(), folder, config)
        self.state = state

    @property
    def database(self):
        return Path(self.values.get("store.path", self.state / "ingest.db"))

    @staticmethod
    def is_connected(status):
        return status["broker"]["connected"]

    def status(self):
        return self.json("status")

    def counters(self):
        return self.status()["counters"]

    def readings(self, device, type_, *args):
        """The rows of `readings`, as objects; [] where there are none."""
        result = self.cli("readings", "--device", device, "--type", type_, *args, check=False)
        assert result.returncode in (0, 5), result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    def history(self, user, *args):
        return self.json("history", "--user", user, "--limit", 100000, *args)["records"]

    def settings(self, user):
        return self.json("settings", "--user", user)

    def quarantine(self, *args):
        return self.json("quarantine", "list", *args)["quarantine"]

    def verify(self, fresh=None, device=None):
        """The audit's JSON; `success` says whether the exit status was 0."""
        args = ["verify"]
        args += ["--fresh", fresh] if fresh is not None else []
        args += ["--device", device] if device is not None else []
        result = self.cli(*args, "--json", check=False)
        report = json.loads(result.stdout)
        assert report["success"] == (result.returncode == 0), result.stderr
        return report


class Edge(_Daemon):
    """edge_agent for one device, with waits of fractions of a second."""

    WAITS = {"pacer.retry_min": "200ms", "pacer.retry_max": "1s", "pacer.rto_min": "200ms",
             "pacer.rto_max": "1s", "pacer.hello_refused_min": "200ms",
             "broker.flap_wait": "200ms", "broker.connect_timeout": "2s"}

    def __init__(self, broker, identity, folder, **values):
        state = Path(folder) / "state"
        config = {"broker.url": f"mqtts://{HOST}:{broker.device_port}",
                  "broker.ca_file": identity.ca, "broker.cert_file": identity.cert,
                  "broker.key_file": identity.key, "agent.state_dir": state,
                  "sync.sync_history": "yes", "collector.enabled": "no", "log.level": "debug",
                  **self.WAITS}
        config.update({name.replace("__", ".", 1): value for name, value in values.items()})
        super().__init__(edge_program(), folder, config)
        self.state = state
        self.device = identity.name

    @staticmethod
    def is_connected(status):
        return status["is_online"]

    def status(self):
        return self.json("status")

    def put(self, stream, records, *args, check=True):
        """records: one object, or a list that goes in as NDJSON. The result of `put --json`."""
        if isinstance(records, dict):
            result = self.cli("put", stream, *args, "--json", json.dumps(records), check=check)
        else:
            lines = "".join(json.dumps(record) + "\n" for record in records)
            result = self.cli("put", stream, *args, "--json", stdin=lines, check=check)
        return result

    def settled(self):
        return self.status()["pending_count"] == 0


class Stack:
    """Broker and ingest, not started yet, and a maker of edges."""

    def __init__(self, certs, broker_options=None, **ingest_values):
        if mosquitto_path() is None:
            pytest.skip("mosquitto is not installed")
        ingest_program()  # skips before anything is made
        self.certs = certs
        self.folder = Path(tempfile.mkdtemp(prefix="sb-stack-"))
        self.broker = Broker(certs, **(broker_options or {}))
        self.ingest = Ingest(self.broker, certs.ingest(1), self.folder / "ingest", **ingest_values)
        self.edges = {}

    def start(self):
        self.broker.start()
        self.ingest.start()
        return self

    def open_to_alice(self):
        """Before the broker starts: the operator alice may also read what devices send and get."""
        with open(self.broker.acl, "a", encoding="ascii") as acl:
            acl.write("\nuser _op-alice\ntopic read sb/v1/up/+/+/+\ntopic read sb/v1/down/+/+\n")

    def edge(self, device="edge-001", **values):
        """The agent of that device, made at the first call; not started."""
        if device not in self.edges:
            self.edges[device] = Edge(self.broker, self.certs.device(device),
                                      self.folder / device, **values)
        return self.edges[device]

    def wait_settled(self, timeout=30):
        """Until no edge has anything pending."""
        for edge in self.edges.values():
            wait_until(edge.settled, timeout,
                       lambda edge=edge: f"{edge.device} settled: {edge.status()}\n{edge.log()[-3000:]}")

    def verified(self, fresh=10):
        """verify --fresh; fails unless nothing is missing or double. Returns the report."""
        report = self.ingest.verify(fresh=fresh)
        assert report["success"] and report["fresh"], report
        return report

    def tool_args(self, identity, operator=False):
        """What every stock mosquitto client of that identity needs."""
        port = self.broker.operator_port if operator else self.broker.device_port
        return ["-h", HOST, "-p", str(port), "--cafile", str(identity.ca), "--cert",
                str(identity.cert), "--key", str(identity.key), "-V", "5"]

    def close(self):
        for daemon in [*self.edges.values(), self.ingest]:
            daemon.close()
        self.broker.close()
        shutil.rmtree(self.folder)

