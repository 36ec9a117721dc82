"""The rows of bench.py about documents: versions, changes, merging, and the way to another device."""

import json
import os
import socket
import statistics
import subprocess
import time

from lib.proc import Proc
from lib.wait import wait_until

USER = "bench-user"
TABLE = "contents"


class Device:
    """A further device of the bench's user; `bridge` gives broker, certificates and folders."""

    def __init__(self, bridge, name):
        self.bridge, self.name = bridge, name
        self.folder = bridge.folder / name
        self.folder.mkdir()
        self.conf = bridge.write_conf(
            f"{name}.conf", bridge.certs.device(name),
            f"[agent]\nstate_dir = {self.folder}\n[collector]\nenabled = no\n"
            f"[documents]\nexport_dir = {self.folder / 'export'}\n")
        self.proc = None

    def command(self, *args):
        return [str(self.bridge.bin / "edge_agent"), "--config", str(self.conf), *map(str, args)]

    def run(self, *args, **kwargs):
        done = subprocess.run(self.command(*args), capture_output=True, text=True, **kwargs)
        assert done.returncode == 0, (args, done.returncode, done.stderr)
        return done.stdout

    def start(self):
        self.proc = Proc(self.command("run"), self.bridge.folder / f"{self.name}.log")
        wait_until(lambda: self.call({"verb": "status"}), 30, "edge_agent to answer")

    def stop(self):
        if self.proc is not None and self.proc.running():
            self.proc.terminate()

    def call(self, call):
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(str(self.folder / "agent.sock"))
            except OSError:
                return None
            sock.sendall(json.dumps(call).encode() + b"\n")
            with sock.makefile() as file:
                line = file.readline()
        return json.loads(line) if line else None


def record(number, turn):
    return json.dumps({"id": f"c{number:06}", "title": f"content {number}", "state": "draft",
                       "turn": turn, "tags": ["a", "b", str(number % 97)],
                       "body": "lorem ipsum " * 8})


def push(device, count, turn):
    """Seconds from the start of the daemon with the backlog queued until all of it is settled."""
    lines = "\n".join(record(i, turn) for i in range(count)) + "\n"
    device.run("records", "put", "--table", TABLE, "--user", USER, input=lines)
    begin = time.monotonic()
    device.start()
    wait_until(lambda: device.call({"verb": "status"})["pending_count"] == 0, 600, "the pushes")
    took = time.monotonic() - begin
    device.stop()
    return took


def measure_pushes(bridge, count, result):
    device = Device(bridge, "bench-a")
    bridge.run(bridge.cloud_command("device", "grant", device.name, USER))
    result["adds_per_s"] = count / push(device, count, 0)
    result["updates_per_s"] = count / push(device, count, 1)
    return device


def measure_pull(bridge, count, result):
    device = Device(bridge, "bench-b")
    bridge.run(bridge.cloud_command("device", "grant", device.name, USER))
    device.start()
    wait_until(lambda: device.call({"verb": "status"})["is_online"], 10, "the second device")
    begin = time.monotonic()
    device.run("user", "add", USER)
    device.run("sync", "--user", USER, "--timeout", "300", "--json")
    result["changes_pulled_per_s"] = count / (time.monotonic() - begin)
    return device


def file_of(device, number):
    return device.folder / "export" / USER / TABLE / f"c{number:06}.json"


def measure_other(author, reader, count, seconds, result):
    """From the call of put on one device to the file that the application on the other one sees."""
    author.start()
    wait_until(lambda: author.call({"verb": "status"})["is_online"], 10, "the first device")
    author.run("user", "add", USER)
    author.run("sync", "--user", USER, "--timeout", "300", "--json")
    path, samples = file_of(reader, 1), []
    wait_until(lambda: len(os.listdir(path.parent)) >= count, 600, "the first export of all documents")
    due = time.monotonic()
    for turn in range(int(seconds * 5)):
        data = {"title": "content 1", "turn": f"turn {turn}"}
        begin = time.monotonic()
        answer = author.call({"verb": "document.put", "user": USER, "table": TABLE, "id": "c000001",
                              "data": data})
        assert answer and answer.get("success"), answer
        while data["turn"] not in path.read_text(encoding="utf-8"):
            assert time.monotonic() - begin < 10, "the other device has not seen it for 10 s"
            time.sleep(0.0003)
        samples.append(time.monotonic() - begin)
        due += 0.2
        time.sleep(max(0, due - time.monotonic()))
    samples.sort()
    result["put_to_other_device_ms"] = {
        "p50": statistics.median(samples) * 1e3,
        "p99": samples[min(len(samples) - 1, int(len(samples) * 0.99))] * 1e3,
        "max": samples[-1] * 1e3, "samples": len(samples)}


def big_document():
    """About 226 kB: texts of an application in nested groups, as settings and translations are."""
    return {f"group {g}": {f"entry {e}": {"text": f"the text of entry {e} in group {g} " * 2,
                                          "done": e % 3 == 0, "n": g * 1000 + e}
                           for e in range(40)} for g in range(42)}


def measure_merge(build, result):
    base, local, server = big_document(), big_document(), big_document()
    for n in range(40):
        local[f"group {n}"][f"entry {n}"]["text"] = "changed here"
        server[f"group {n}"][f"entry {39 - n}"]["n"] = -n
    del local["group 40"]["entry 7"]
    server["group 41"]["entry new"] = {"text": "added there"}
    texts = [json.dumps(document) for document in (base, local, server)]
    line = json.dumps(["time", "200", *texts])
    program = next(path for path in build.rglob("merge_lines") if os.access(path, os.X_OK))
    out = subprocess.run([program], input=line + "\n", check=True,
                         capture_output=True, text=True).stdout
    result["merge_bytes"] = len(texts[0])
    result["merge_ms"] = float(json.loads(out)[0]) / 1000


def measure(bridge, build, count, seconds, result):
    author = measure_pushes(bridge, count, result)
    reader = measure_pull(bridge, count, result)
    try:
        measure_other(author, reader, count, seconds, result)
    finally:
        author.stop()
        reader.stop()
    measure_merge(build, result)


def report(result, count, line):
    line(f"documents pushed as new ones ({count:,}), versions/s", f"{result['adds_per_s']:,.0f}")
    line("... edited once more, versions/s", f"{result['updates_per_s']:,.0f}")
    line("changes pulled by a second device, documents/s", f"{result['changes_pulled_per_s']:,.0f}")
    latency = result["put_to_other_device_ms"]
    line("put on one device to the file on the other, p50 / p99 / max ms",
         f"{latency['p50']:.2f} / {latency['p99']:.2f} / {latency['max']:.2f}")
    line(f"three-way merge of a document of {result['merge_bytes'] / 1000:.0f} kB, ms",
         f"{result['merge_ms']:.2f}")
