"""Writers that note what they were promised, and the comparison of that with what the cloud holds.

Every record carries a mark of its own, so that a double shows. A put that returned success is
promised: its mark must be in the cloud once. One that failed or was killed is in doubt: once or not
at all. Nothing else may be there.
"""

import itertools
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import threading
from collections import Counter

from lib.stack import clean_environment
from lib.wait import wait_until

TYPED = "sensors/air_quality"  # the mark is in a column
PLAIN = "sensors/marks"        # a type without a mapping
USER = "user-1"
HISTORY = f"history/{USER}"
SETTINGS = f"settings/{USER}"


def seed_of_run():
    """From SB_SEED, else random; printed, so that a failure can be repeated in its random part."""
    seed = int(os.environ.get("SB_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SB_SEED={seed}")
    return seed


def is_long():
    return os.environ.get("SB_LONG") == "1"


class Ledger:
    """Marks by stream."""

    def __init__(self):
        self._lock = threading.Lock()
        self.promised, self.doubtful = {}, {}

    def promise(self, stream, marks):
        with self._lock:
            self.promised.setdefault(stream, set()).update(marks)

    def doubt(self, stream, marks):
        with self._lock:
            self.doubtful.setdefault(stream, set()).update(marks)

    def count(self):
        with self._lock:
            return sum(map(len, self.promised.values()))

    def problems(self, found):
        """found: {stream: Counter of marks}. Texts, none where all is as promised."""
        texts = []
        for stream in sorted({*self.promised, *self.doubtful, *found}):
            promised = self.promised.get(stream, set())
            doubtful = self.doubtful.get(stream, set())
            there = found.get(stream, Counter())
            for what, marks in (
                    ("lost", promised - there.keys()),
                    ("twice", {mark for mark, times in there.items() if times > 1}),
                    ("from nowhere", there.keys() - promised - doubtful)):
                if marks:
                    texts.append(f"{stream}: {len(marks)} {what}: {sorted(marks, key=str)[:5]}")
        return texts

    def check(self, stack):
        """Fails unless the cloud holds what was promised, once, and nothing but what was given."""
        problems = self.problems(cloud_marks(stack.ingest.database))
        assert not problems, "\n".join(problems)


def read_rows(database, query):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def cloud_marks(database):
    """Every record that the cloud holds, from its tables, branches included."""
    found = {}
    tables = {name for name, in read_rows(database, "SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "sensor_air_quality" in tables:
        _count(found, read_rows(database, "SELECT s.stream, t.aqi_level FROM sensor_air_quality t"
                                      " JOIN streams s ON s.sn = t.sn"))
    for query in ("SELECT s.stream, t.extra ->> 'mark' FROM readings_json t"
                  " JOIN streams s ON s.sn = t.sn",
                  "SELECT s.stream, r.body ->> 'mark' FROM history_rev r"
                  " JOIN streams s ON s.sn = r.sn",
                  "SELECT s.stream, v.submitted ->> 'mark' FROM versions v"
                  " JOIN streams s ON s.sn = v.sn"):
        _count(found, read_rows(database, query))
    return found


def _count(found, rows):
    for stream, mark in rows:
        found.setdefault(stream, Counter())[mark] += 1


def cloud_total(database):
    """Records decided so far; 0 while there is no database."""
    try:
        (total,), = read_rows(database, "SELECT coalesce(sum(stored + revised), 0) FROM streams")
    except sqlite3.Error:
        return 0
    return total


def settings_in_order(database):
    """Marks of the settings documents in the order in which they came into force."""
    return [mark for mark, in read_rows(
        database, f"SELECT submitted ->> 'mark' FROM versions WHERE user = '{USER}' ORDER BY version")]


# ---- writers ----

def reading(stream, mark):
    field = "aqi_level" if stream == TYPED else "mark"
    return {"ts": "2026-01-02T03:04:05Z", field: mark}


class Writer(threading.Thread):
    """Puts until it is told to stop."""

    serial = itertools.count()

    def __init__(self, edge, ledger, seed):
        super().__init__(daemon=True)
        self.edge, self.ledger = edge, ledger
        self.name = f"w{next(self.serial)}"
        self.rng = random.Random(f"{seed} {self.__class__.__name__}")
        self.numbers = itertools.count()
        self.stopping = threading.Event()
        self.error = None

    def mark(self):
        return f"{self.name}-{next(self.numbers):06}"

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
        except BaseException as error:  # shown by finish()
            self.error = error

    def step(self):
        raise NotImplementedError

    def finish(self):
        self.stopping.set()
        self.join(60)
        assert not self.is_alive(), f"{self.name} hangs"
        if self.error is not None:
            raise self.error

    def start_put(self, *args, **options):
        return subprocess.Popen([self.edge.program, "--config", self.edge.config, *args],
                                env=clean_environment(), stderr=subprocess.PIPE, text=True,
                                **options)


class PutWriter(Writer):
    """One process per record; a share of them is killed at any moment, and half of those records
    are put again under their id until that succeeds."""

    def __init__(self, edge, ledger, seed, stream, kill=0.2):
        super().__init__(edge, ledger, seed)
        self.stream, self.kill = stream, kill

    def command(self, mark, put_id):
        if self.stream.startswith("settings/"):
            return ["settings", "put", "--user", USER, "--id", put_id, json.dumps({"mark": mark})]
        if self.stream.startswith("history/"):
            record = {"command_id": mark, "mark": mark, "status": "running"}
            return ["put", "history", "--user", USER, "--id", put_id, json.dumps(record)]
        return ["put", self.stream, "--id", put_id, json.dumps(reading(self.stream, mark))]

    def step(self):
        mark = self.mark()
        repeat = self.rng.random() < 0.5
        while not self.put(mark, f"id-{mark}"):
            if not repeat or self.stopping.is_set():
                self.ledger.doubt(self.stream, [mark])
                return
        self.ledger.promise(self.stream, [mark])

    def put(self, mark, put_id):
        process = self.start_put(*self.command(mark, put_id), stdout=subprocess.DEVNULL,
                                 stdin=subprocess.DEVNULL)
        if self.rng.random() < self.kill:
            try:
                process.wait(self.rng.uniform(0, 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
        _, stderr = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), stderr
        return process.returncode == 0


class LinesWriter(Writer):
    """NDJSON on standard input, many records per process; a share of them is killed. Where the lines
    carry ids they are all put again then, those that were answered too."""

    def __init__(self, edge, ledger, seed, stream, kill=0.3):
        super().__init__(edge, ledger, seed)
        self.stream, self.kill = stream, kill

    def step(self):
        marks = [self.mark() for _ in range(self.rng.randint(1, 1500))]
        with_ids = self.rng.random() < 0.5
        text = "".join(self.line(mark, with_ids) for mark in marks)
        ended_well = self.put(marks, text, self.rng.random() < self.kill)
        if with_ids and not ended_well:
            assert self.put(marks, text, False)
        self.stopping.wait(self.rng.uniform(0, 0.05))

    def line(self, mark, with_ids):
        more = {"id": f"id-{mark}"} if with_ids else {}
        return json.dumps({**reading(self.stream, mark), **more}) + "\n"

    def put(self, marks, text, kill):
        process = self.start_put("put", self.stream, "--json", stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
        killer = threading.Timer(self.rng.uniform(0, 0.05), process.kill)
        if kill:
            killer.start()
        out, stderr = process.communicate(text, timeout=60)
        killer.cancel()
        assert process.returncode in (0, -signal.SIGKILL), stderr
        self.note(marks, out, process.returncode == 0)
        return process.returncode == 0

    def note(self, marks, out, ended_well):
        """A printed receipt stands for its line, whatever became of the process."""
        whole = out[:out.rfind("\n") + 1]
        receipts = {answer["line"] for answer in map(json.loads, whole.splitlines())
                    if answer["success"]}
        assert not ended_well or receipts == set(range(1, len(marks) + 1)), len(receipts)
        self.ledger.promise(self.stream, [marks[line - 1] for line in receipts])
        self.ledger.doubt(self.stream, [mark for line, mark in enumerate(marks, 1)
                                        if line not in receipts])


class SocketWriter(Writer):
    """A local application on the daemon's socket, several calls at once. What is not answered when
    the daemon goes is called again under its id, half of it."""

    def __init__(self, edge, ledger, seed, stream):
        super().__init__(edge, ledger, seed)
        self.stream = stream
        self.open = {}  # id: mark
        self.connection = self.answers = None

    def step(self):
        if self.connection is None and not self.connect():
            self.stopping.wait(0.01)
            return
        try:
            self.call()
        except OSError:
            self.lose()

    def connect(self):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(30)
        try:
            self.connection.connect(str(self.edge.state / "agent.sock"))
        except OSError:
            self.connection.close()
            self.connection = None
            return False
        self.answers = self.connection.makefile("rb")
        return True

    def lose(self):
        self.answers.close()
        self.connection.close()
        self.connection = None
        for put_id in list(self.open):
            if self.rng.random() < 0.5:
                self.ledger.doubt(self.stream, [self.open.pop(put_id)])

    def call(self):
        for _ in range(self.rng.randint(1, 8)):
            mark = self.mark()
            self.open[f"id-{mark}"] = mark
        calls = [{"verb": "put", "stream": self.stream, "id": put_id,
                  "record": reading(self.stream, mark)} for put_id, mark in self.open.items()]
        self.connection.sendall(b"".join(json.dumps(call).encode() + b"\n" for call in calls))
        for _ in calls:
            line = self.answers.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("the daemon is gone")
            answer = json.loads(line)
            assert answer["success"], answer
            self.ledger.promise(self.stream, [self.open.pop(answer["op_id"])])

    def finish(self):
        super().finish()
        self.ledger.doubt(self.stream, self.open.values())
        if self.connection is not None:
            self.answers.close()
            self.connection.close()


class Flow:
    """Writers on one device, and what they were promised. Usable in `with`: they end with it."""

    def __init__(self, edge, seed, documents=True):
        self.edge = edge
        self.ledger = Ledger()
        self.writers = [PutWriter(edge, self.ledger, seed, TYPED),
                        LinesWriter(edge, self.ledger, seed, PLAIN),
                        SocketWriter(edge, self.ledger, seed, TYPED)]
        if documents:
            self.writers += [PutWriter(edge, self.ledger, seed, HISTORY),
                             PutWriter(edge, self.ledger, seed, SETTINGS, kill=0.1)]

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.stopping.set()
        for writer in self.writers:
            writer.join(60)

    def finish(self):
        for writer in self.writers:
            writer.stopping.set()
        for writer in self.writers:
            writer.finish()

    def check_alive(self):
        for writer in self.writers:
            assert writer.is_alive(), writer.error


def wait_for_progress(stack, timeout=60):
    """Until the cloud has decided more than now."""
    before = cloud_total(stack.ingest.database)
    wait_until(lambda: cloud_total(stack.ingest.database) > before, timeout,
               lambda: f"more than {before} records in the cloud; "
                       + "; ".join(f"{edge.device}: {edge.cli('status', check=False).stdout}"
                                   f"{edge.log()[-3000:]}" for edge in stack.edges.values())
                       + stack.ingest.log()[-3000:])
