#!/usr/bin/python3
"""Measures the whole bridge on this machine, in one run, on the real components.

usage: tests/bench/bench.py [--rows N] [--documents N] [--latency-s S] [--repeat R] [--json] [BUILD_DIR]

Prints: raw SQLite insert rate of the same rows (the yardstick), end-to-end readings/s over TLS from
the outbox to settled for a backlog of N readings, their ratio, CPU seconds per million readings and
peak memory of each process, start time with the backlog queued, bytes on the wire per reading, and
p50/p99 from put to settled at 10 readings/s; then versions/s of N documents pushed, changes/s pulled
by a second device, the time from a put to the other device, and one three-way merge. Nothing here
passes or fails. BUILD_DIR is build/release unless told; what is missing there is built first (needs
cmocka, as the tests do). --rows 0 or --documents 0 leaves that part out.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))
sys.path.insert(0, str(ROOT / "tests" / "bench"))

import documents  # noqa: E402
from lib.broker import Broker  # noqa: E402
from lib.certs import Certs  # noqa: E402
from lib.proc import Proc  # noqa: E402
from lib.wait import wait_until  # noqa: E402

DEVICE = "bench-001"
TICK = os.sysconf("SC_CLK_TCK")
LEVELS = ("good", "moderate", "unhealthy")


def readings(count):
    """The rows that raw_sqlite inserts, value for value, as NDJSON lines."""
    for i in range(count):
        wave = ((i * 7919) % 1000) / 10.0
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1767225600 + i))
        yield (f'{{"ts":"{when}","pm1_0":{wave!r},"pm2_5":{round(wave * 1.5, 2)!r},'
               f'"pm10":{wave * 2!r},"aqi":{int(wave)},"aqi_level":"{LEVELS[i % 3]}"}}\n')


class Watch:
    """CPU time and peak memory of processes, sampled while they run."""

    def __init__(self, pids):
        self.pids = pids
        self.start = {name: self._cpu(pid) for name, pid in pids.items()}
        self.peak = {name: {"VmRSS": 0, "RssAnon": 0} for name in pids}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    @staticmethod
    def _cpu(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def _look(self):
        for name, pid in self.pids.items():
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                for line in file:
                    key = line.split(":", 1)[0]
                    if key in self.peak[name]:
                        self.peak[name][key] = max(self.peak[name][key], int(line.split()[1]))

    def _sample(self):
        while not self._stop.wait(0.02):
            self._look()

    def end(self):
        self._stop.set()
        self._thread.join()
        self._look()
        return {name: self._cpu(pid) - self.start[name] for name, pid in self.pids.items()}


class Bridge:
    """mosquitto, cloud_ingest and edge_agent in one temporary folder."""

    def __init__(self, build):
        self.bin = Path(build) / "bin"
        self.folder = Path(tempfile.mkdtemp(prefix="sb-bench-"))
        os.chmod(self.folder, 0o755)
        self.certs = Certs(self.folder / "certs")
        self.broker = Broker(self.certs).start()
        self.edge_conf = self._edge_conf()
        self.cloud_conf = self._cloud_conf()
        self.cloud = self.edge = None

    def _url(self):
        return f"mqtts://{self.broker.host}:{self.broker.device_port}"

    def write_conf(self, name, identity, more):
        path = self.folder / name
        path.write_text(
            f"[broker]\nurl = {self._url()}\nca_file = {identity.ca}\n"
            f"cert_file = {identity.cert}\nkey_file = {identity.key}\n{more}", encoding="utf-8")
        return path

    def _edge_conf(self):
        state = self.folder / "edge"
        state.mkdir()
        return self.write_conf("edge.conf", self.certs.device(DEVICE),
                           f"[agent]\nstate_dir = {state}\n[collector]\nenabled = no\n")

    def _cloud_conf(self):
        state = self.folder / "cloud"
        state.mkdir()
        return self.write_conf("cloud.conf", self.certs.ingest(1), f"[ingest]\nstate_dir = {state}\n")

    def edge_command(self, *args):
        return [str(self.bin / "edge_agent"), "--config", str(self.edge_conf), *map(str, args)]

    def cloud_command(self, *args):
        return [str(self.bin / "cloud_ingest"), "--config", str(self.cloud_conf), *map(str, args)]

    def run(self, command, **kwargs):
        return subprocess.run(command, check=True, capture_output=True, text=True, **kwargs)

    def start_cloud(self):
        self.cloud = Proc(self.cloud_command("run"), self.folder / "cloud.log")
        wait_until(lambda: self.ask("cloud"), 10, "cloud_ingest to answer")

    def start_edge(self):
        """Returns the seconds until the daemon answers on its socket."""
        begin = time.monotonic()
        self.edge = Proc(self.edge_command("run"), self.folder / "edge.log")
        wait_until(lambda: self.ask("edge"), 30, "edge_agent to answer")
        return time.monotonic() - begin

    def ask(self, which):
        """The status verb of a daemon through its socket, None while it does not listen."""
        path = self.folder / which / ("agent.sock" if which == "edge" else "ingest.sock")
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(str(path))
            except OSError:
                return None
            sock.sendall(b'{"verb":"status"}\n')
            with sock.makefile() as file:
                line = file.readline()
        return json.loads(line) if line else None

    def pids(self):
        return {"edge_agent": self.edge.pid, "mosquitto": self.broker.pid,
                "cloud_ingest": self.cloud.pid}

    def close(self):
        for proc in (self.edge, self.cloud):
            if proc is not None and proc.running():
                proc.terminate()
        self.broker.close()
        shutil.rmtree(self.folder)


def wire_bytes(pid):
    """Bytes the process has sent on its TCP connections (TLS included), None without `ss`."""
    if shutil.which("ss") is None:
        return None
    out = subprocess.run(["ss", "-tinpH", "state", "established"], capture_output=True, text=True,
                         check=False).stdout.splitlines()
    total = 0
    for head, detail in zip(out, out[1:]):
        if f"pid={pid}," in head:
            total += sum(int(word.split(":")[1]) for word in detail.split()
                         if word.startswith("bytes_sent:"))
    return total or None


def raw_rate(build, folder, rows, kind):
    file = folder / f"raw-{kind}.db"
    out = subprocess.run([Path(build) / "bin" / "raw_sqlite", file, str(rows), kind], check=True,
                         capture_output=True, text=True).stdout
    for path in folder.glob(f"raw-{kind}.db*"):
        path.unlink()
    return float(out)


def measure_drain(bridge, rows, result):
    bridge.start_cloud()
    begin = time.monotonic()
    subprocess.run(bridge.edge_command("import", "--stream", "sensors/air_quality", "--format",
                                       "ndjson", "--json", bridge.folder / "rows.ndjson"),
                   check=True, capture_output=True)
    result["import_readings_per_s"] = rows / (time.monotonic() - begin)
    result["start_s_with_backlog"] = bridge.start_edge()
    watch = Watch(bridge.pids())
    begin = time.monotonic()
    wait_until(lambda: bridge.ask("edge")["pending_count"] == 0, 600, "the backlog to drain")
    took = time.monotonic() - begin + result["start_s_with_backlog"]
    cpu = watch.end()
    result["end_to_end_readings_per_s"] = rows / took
    result["cpu_s_per_million"] = {name: seconds / rows * 1e6 for name, seconds in cpu.items()}
    result["peak_kib"] = watch.peak
    sent = wire_bytes(bridge.edge.pid)
    result["wire_bytes_per_reading"] = sent / rows if sent else None
    verify = json.loads(bridge.run(bridge.cloud_command("verify", "--fresh", "5", "--json")).stdout)
    result["verify"] = {key: verify["total"][key] for key in ("stored", "missing", "doubles")}


def measure_latency(bridge, seconds, result):
    """One persistent caller, 10 readings a second, each waited for until it is settled."""
    path = bridge.folder / "edge" / "agent.sock"
    samples = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        file = sock.makefile()
        due = time.monotonic()
        for i in range(int(seconds * 10)):
            call = {"verb": "put", "stream": "sensors/air_quality", "record": {"pm2_5": i + 0.5},
                    "wait": 10}
            begin = time.monotonic()
            sock.sendall(json.dumps(call).encode() + b"\n")
            answer = json.loads(file.readline())
            samples.append(time.monotonic() - begin)
            assert answer.get("synced"), answer
            due += 0.1
            time.sleep(max(0, due - time.monotonic()))
    samples.sort()
    result["put_to_settled_ms"] = {
        "p50": statistics.median(samples) * 1e3,
        "p99": samples[min(len(samples) - 1, int(len(samples) * 0.99))] * 1e3,
        "max": samples[-1] * 1e3, "samples": len(samples)}


def measure_readings(bridge, args, result):
    with open(bridge.folder / "rows.ndjson", "w", encoding="utf-8") as file:
        file.writelines(readings(args.rows))
    result["raw_obvious"] = raw_rate(args.build, bridge.folder, args.rows, "obvious")
    result["raw_clustered"] = raw_rate(args.build, bridge.folder, args.rows, "clustered")
    measure_drain(bridge, args.rows, result)
    if args.latency_s > 0:
        measure_latency(bridge, args.latency_s, result)
    result["ratio"] = result["end_to_end_readings_per_s"] / result["raw_obvious"]


def one_round(args):
    bridge = Bridge(args.build)
    try:
        result = {}
        if args.rows > 0:
            measure_readings(bridge, args, result)
        if args.documents > 0:
            if bridge.cloud is None:
                bridge.start_cloud()
            documents.measure(bridge, args.build, args.documents, args.latency_s, result)
        return result
    finally:
        bridge.close()


def line(what, value):
    print(f"{what:<62} {value}")


def report(result, args):
    line("machine", f"{os.cpu_count()} cores, Linux {platform.release()}")
    if args.rows > 0:
        report_readings(result, args.rows)
    if args.documents > 0:
        documents.report(result, args.documents, line)


def report_readings(result, rows):
    line("readings", f"{rows:,}")
    line("raw SQLite, obvious schema with UNIQUE index, rows/s", f"{result['raw_obvious']:,.0f}")
    line("raw SQLite, WITHOUT ROWID integer key, rows/s", f"{result['raw_clustered']:,.0f}")
    line("import into the outbox, readings/s", f"{result['import_readings_per_s']:,.0f}")
    line("outbox to settled over TLS, readings/s", f"{result['end_to_end_readings_per_s']:,.0f}")
    line("ratio to raw (obvious)", f"{result['ratio']:.2f}")
    line("start with the backlog queued, s", f"{result['start_s_with_backlog']:.3f}")
    for name, seconds in result["cpu_s_per_million"].items():
        line(f"CPU s per million readings, {name}", f"{seconds:.2f}")
    for name, peak in result["peak_kib"].items():
        line(f"peak memory of {name}, VmRSS / RssAnon MiB",
             f"{peak['VmRSS'] / 1024:.1f} / {peak['RssAnon'] / 1024:.1f}")
    if result["wire_bytes_per_reading"]:
        line("bytes on the wire per reading (sent by the edge, TLS)",
             f"{result['wire_bytes_per_reading']:.1f}")
    if "put_to_settled_ms" in result:
        latency = result["put_to_settled_ms"]
        line("put to settled at 10/s, p50 / p99 / max ms",
             f"{latency['p50']:.2f} / {latency['p99']:.2f} / {latency['max']:.2f}")
    line("verify: stored, missing, doubles", "{stored}, {missing}, {doubles}".format(**result["verify"]))


def build_programs(build):
    """demo.sh leaves a build folder without tests, in which the yardstick has no target."""
    if not (build / "CMakeCache.txt").exists():
        subprocess.run(["cmake", "--preset", "release", "-B", build], check=True, cwd=ROOT,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "-DBUILD_TESTING=ON", build], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", build, "--target", "edge_agent", "cloud_ingest", "raw_sqlite",
                    "merge_lines"],
                   check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", metavar="BUILD_DIR", nargs="?", type=Path,
                        default=ROOT / "build" / "release")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--latency-s", type=float, default=20)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.build = args.build.resolve()
    build_programs(args.build)
    for i in range(args.repeat):
        result = one_round(args)
        if args.json:
            print(json.dumps(result))
        else:
            report(result, args)
        if i + 1 < args.repeat:
            print()


if __name__ == "__main__":
    main()
