"""The recorded data through the whole bridge: the cloud holds the well-formed rows, each once, with
their values and in their order; an empty value is null."""

import importlib.util
import os
from pathlib import Path

import pytest

from lib.stack import Stack
from lib.wait import wait_until

SOURCE = Path(__file__).resolve().parents[2]
MAPS = SOURCE / "tests" / "data" / "maps"
DATA = Path(os.environ.get("SB_SHARED_DATA", SOURCE.parent / "shared" / "data"))
FOLDERS = {"aq-sensor-community": "air-1", "aq-madavi-device": "air-2", "aq-esp32-pms7003": "air-3",
           "system-metrics-nab": "sys-1"}
HISTORIES = {"robot-commands-opentrons": "robots", "eventlog-git": "commits"}
# Every file is counted; of larger ones every value is compared only in the long run.
COMPARED = 10**9 if os.environ.get("SB_LONG") == "1" else 50000


def load_rules():
    """tests/data/count_wellformed.py"""
    spec = importlib.util.spec_from_file_location(
        "count_wellformed", SOURCE / "tests" / "data" / "count_wellformed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RULES = load_rules()


@pytest.fixture(scope="module")
def stack(certs):
    if not DATA.is_dir():
        pytest.skip(f"no recorded data in {DATA}")
    stack = Stack(certs)
    try:
        yield stack.start()
    finally:
        stack.close()


def files_of(folder):
    """(path, name of the map or None, stream, the well-formed rows) of every file with a rule."""
    for path in sorted((DATA / folder).glob("*.gz")):
        file = str(path.relative_to(DATA))
        for rule in RULES.TABLES:
            if RULES.fnmatch.fnmatch(file, rule[0]):
                yield path, rule[1], rule[2], [r for r in RULES.table_rows(path, rule) if r]
        for pattern in RULES.HISTORY:
            if RULES.fnmatch.fnmatch(file, pattern):
                yield path, None, "history", [r for r in RULES.history_rows(path) if r]


def as_number(value):
    """The script gives numbers as the texts they are."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def comparable(row):
    """Absent and null are the same; integers and doubles are numbers."""
    return {key: as_number(value) if key not in ("ts", "signature") else value
            for key, value in row.items() if value is not None}


def received(row):
    values = {key: float(value) if type(value) is int else value
              for key, value in row["values"].items() if value is not None}
    return {"ts": row["ts"], **values}


def import_file(edge, path, map_name, stream, rows):
    options = ["--map", MAPS / f"{map_name}.json"] if map_name else []
    result = edge.json("import", "--stream", stream, "--quiet", *options, path, timeout=120)
    assert result["enqueued"] == len(rows), (path, result)


@pytest.mark.parametrize("folder", FOLDERS)
def test_readings_arrive_as_they_were(stack, folder):
    edge = stack.edge(FOLDERS[folder], outbox__max_bytes="4G").start()
    wanted = {}
    for path, map_name, stream, rows in files_of(folder):
        import_file(edge, path, map_name, stream, rows)
        wanted.setdefault(stream, []).append((path, rows))
    wait_until(edge.settled, 120, lambda: f"settled: {edge.status()}")
    for stream, files in wanted.items():
        got = iter(stack.ingest.readings(edge.device, stream.partition("/")[2], "--limit", 10**9))
        for path, rows in files:
            for number, row in enumerate(rows):
                there = next(got)
                if len(rows) <= COMPARED:
                    assert received(there) == comparable(row), (path, number)
        assert next(got, None) is None
    assert edge.status()["failed_count"] == 0
    edge.stop()


@pytest.mark.parametrize("folder", HISTORIES)
def test_command_history_arrives_as_it_was(stack, folder):
    user = HISTORIES[folder]
    edge = stack.edge(f"dev-{user}").start()
    stack.ingest.cli("device", "grant", edge.device, user)
    wanted = {}
    for path, map_name, _, rows in files_of(folder):
        import_file(edge, path, map_name, f"history/{user}", rows)
        wanted.update({identity(row): row for row in rows})
    wait_until(edge.settled, 60, lambda: f"settled: {edge.status()}")
    records = stack.ingest.history(user)
    assert len(records) == len({identity(record) for record in records}) == len(wanted)
    for record in records:
        row = wanted[identity(record)]
        assert {name: record[name] for name in row} == row
    assert edge.status()["failed_count"] == 0
    edge.stop()


def identity(record):
    return record["command_id"], record.get("robot_id"), record.get("trace_id")


def test_nothing_is_missing_and_nothing_double(stack):
    report = stack.ingest.verify()
    assert report["success"], report
    total = report["total"]
    assert total["missing"] == total["doubles"] == 0 and total["made"] == total["stored"] > 0
