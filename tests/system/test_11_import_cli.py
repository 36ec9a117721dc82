"""Files into the outbox: every row once however often the import is killed, every torn line counted."""

import gzip
import json
import os
import random
import re
import signal
import subprocess
from pathlib import Path

import pytest

from lib.agent_cli import AgentCli

AIR = "sensors/air_quality"
SOURCE = Path(__file__).resolve().parents[2]
MAPS = SOURCE / "tests" / "data" / "maps"
COUNT = SOURCE / "tests" / "data" / "count_wellformed.py"
DATA = Path(os.environ.get("SB_SHARED_DATA", SOURCE.parent / "shared" / "data"))


@pytest.fixture
def cli(tmp_path):
    return AgentCli(tmp_path, **{"sync.sync_history": "on", "outbox.max_bytes": "4G"})


@pytest.fixture
def write(tmp_path):
    def to_file(name, text):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to_file


def test_a_csv_file_with_a_header_needs_no_map(cli, write):
    file = write("a.csv", "timestamp;pm10;note\r\n2026-01-01 00:00:01;1.50;\"a;b\"\r\n"
                          "2026-01-01T00:00:02+08:00;;\r\n")
    result = cli.json("import", "--stream", AIR, file)
    assert result["success"] and result["enqueued"] == 2 and result["rejected"] == 0
    assert result["files"][0]["file"] == str(file) and result["files"][0]["rejects"] == {}
    assert list(cli.rows(AIR)) == [
        {"ts": "2026-01-01T00:00:01Z", "pm10": "1.50", "note": "a;b"},
        {"ts": "2026-01-01T00:00:02+08:00", "pm10": None, "note": None}]


def test_ndjson_becomes_history(cli, write):
    file = write("a.jsonl", '{"command_id":"c-1","n":9007199254740993}\nnonsense\n'
                            '{"status":"no id"}\n{"command_id":"c-1"}')
    result = cli.run("import", "--stream", "history", "--user", "user-1", file, "--json")
    counts = json.loads(result.stdout)
    assert result.returncode == 0 and counts["enqueued"] == 2
    assert counts["files"][0]["rejects"] == {"json": 1, "missing_field": 1}
    assert [row.get("n") for row in cli.rows("history/user-1")] == ["9007199254740993", None]


def test_refused_lines_are_named_and_strict_makes_them_a_failure(cli, write):
    file = write("a.csv", "time,a\n2026-01-01 00:00:01,1\nyesterday,1\n2026-01-01 00:00:02\n")
    result = cli.run("import", "--stream", AIR, file)
    assert result.returncode == 0
    assert f"{file}:3: " in result.stderr and "[time]" in result.stderr
    assert f"{file}:4: " in result.stderr and "[columns]" in result.stderr
    assert "time 1" in result.stdout and "columns 1" in result.stdout and "\x1b" not in result.stdout
    strict = cli.run("import", "--stream", AIR, file, "--strict", "--again", "--json", "--quiet")
    assert strict.returncode == 1 and strict.stderr == ""
    assert json.loads(strict.stdout)["rejected"] == 2


def test_one_line_of_many_reasons_is_not_drowned(cli, write):
    file = write("a.csv", "time,a\n" + 500 * "x,1\n")
    result = cli.run("import", "--stream", AIR, file)
    assert len(result.stderr.splitlines()) == 11  # ten lines, and that there are more


def test_usage_and_files_are_checked(cli, write):
    file = write("a.csv", "time,a\n")
    assert cli.run("import", file).returncode == 2
    assert cli.run("import", "--stream", "settings/u", file).returncode == 2
    assert cli.run("import", "--stream", AIR, "--format", "xml", file).returncode == 2
    assert cli.run("import", "--stream", AIR, "/nonexistent").returncode == 5
    result = cli.run("import", "--stream", "history", "--user", "a/b", file)
    assert result.returncode == 1 and "user id 'a/b'" in result.stderr
    bad_map = write("map.json", '{"fileds":[]}')
    result = cli.run("import", "--stream", AIR, "--map", bad_map, file)
    assert result.returncode == 6 and "'fileds'" in result.stderr
    result = cli.run("import", "--stream", AIR, write("b.csv", "1,2\n"), "--json")
    assert result.returncode == 6 and json.loads(result.stdout)["files"][0]["code"] == "config"


def test_a_broken_file_does_not_hold_up_the_others(cli, write):
    good = write("good.csv", "time,a\n2026-01-01 00:00:01,1\n")
    torn = write("torn.csv.gz", gzip.compress(b"time,a\n" + 9999 * b"2026-01-01 00:00:01,1\n")[:-20])
    result = cli.run("import", "--stream", AIR, torn, "/nonexistent", good, "--json")
    counts = json.loads(result.stdout)
    assert result.returncode == 1 and not counts["success"]
    assert [one["success"] for one in counts["files"]] == [False, False, True]
    assert counts["files"][0]["code"] == "bad_gzip"


def test_standard_input_and_gzip(cli, write):
    text = "time,a\n2026-01-01 00:00:01,1\n"
    assert cli.json("import", "--stream", AIR, "-", stdin=text)["enqueued"] == 1
    assert cli.json("import", "--stream", AIR, "-", stdin=text)["enqueued"] == 1  # nothing to remember
    file = write("a.csv.gz", gzip.compress(text.encode()))
    assert cli.json("import", "--stream", AIR, file)["enqueued"] == 1


def test_a_file_is_read_once_and_from_where_it_ended(cli, write):
    text = "time,a\n2026-01-01 00:00:01,1\n"
    file = write("a.csv", text)
    assert cli.json("import", "--stream", AIR, file)["enqueued"] == 1
    again = cli.json("import", "--stream", AIR, file)
    assert again["enqueued"] == 0 and again["read_before"] == 2
    write("a.csv", text + "2026-01-01 00:00:02,2\n2026-01-01 00:00:0")
    grown = cli.json("import", "--stream", AIR, file)
    assert grown["enqueued"] == 1 and grown["rejected"] == 1
    write("a.csv", text + "2026-01-01 00:00:02,2\n2026-01-01 00:00:03,3\n")
    assert cli.json("import", "--stream", AIR, file)["enqueued"] == 1
    assert [row["a"] for row in cli.rows(AIR)] == ["1", "2", "3"]
    write("a.csv", "time,a\n2027-01-01 00:00:01,1\n2027-01-01 00:00:02,1\n2027-01-01 00:00:03,1\n")
    other = cli.run("import", "--stream", AIR, file)
    assert other.returncode == 1 and "--again" in other.stderr
    assert cli.json("import", "--stream", AIR, file, "--again")["enqueued"] == 3
    assert cli.json("import", "--stream", "sensors/other", file)["enqueued"] == 3


def dirty_lines(count, seed):
    """A capture as a buffer overrun leaves it: (text, the values of its good lines)."""
    chance = random.Random(seed)
    lines, good = ["time,n,text"], []
    for n in range(count):
        line = f"2026-01-01 {n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02},{n},\"SIG {n}\""
        kind = chance.random()
        if kind < 0.02:
            lines.append(line[:chance.randrange(1, len(line))])  # torn
        elif kind < 0.04:
            lines.append(line[:30] + line)  # glued
        elif kind < 0.05:
            lines.append(line[:line.index('"') + 2])  # a quote left open
        elif kind < 0.06:
            lines.append("\N{POLICE CARS REVOLVING LIGHT} ALERT")
        elif kind < 0.07:
            lines.append("")
        else:
            lines.append(line)
            good.append((str(n), f"SIG {n}"))
    return "\r\n".join(lines) + "\r\n", good


def rows_of(cli):
    return [(row["n"], row["text"]) for row in cli.rows(AIR)]


def well_formed(text, good):
    """A torn line may still be a whole row of its own; every good line must be there."""
    for line in text.split("\r\n")[1:]:
        match = re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,(\d+),("SIG \d+"|[^",]*)', line)
        if match and (match[1], match[2].strip('"')) not in good:
            yield match[1], match[2].strip('"') or None


def test_torn_lines_are_refused_and_nothing_shifts(cli, write):
    text, good = dirty_lines(20000, 1)
    result = cli.json("import", "--stream", AIR, write("a.csv", text), "--quiet")
    got = rows_of(cli)
    extra = sorted(set(got) - set(good), key=str)
    assert sorted(set(good) - set(got)) == []
    assert len(got) == len(set(got)) == result["enqueued"]
    assert set(extra) <= set(well_formed(text, set(good)))
    rejects = result["files"][0]["rejects"]
    assert rejects["columns"] > 100 and rejects["quote"] > 50
    assert result["lines"] == 1 + 20000
    assert result["enqueued"] + result["rejected"] + result["skipped"] == result["lines"]


@pytest.mark.parametrize("round_", range(50 if os.environ.get("SB_LONG") else 6))
def test_killed_in_mid_import_every_row_is_there_once(cli, write, round_):
    chance = random.Random(round_)
    text, _ = dirty_lines(60000, round_)
    file = write("a.csv.gz", gzip.compress(text.encode(), 1))
    kills = 0
    for attempt in range(1, 100):
        process = cli.start("import", "--stream", AIR, "--quiet", "--json", file)
        try:
            process.wait(chance.uniform(0, 0.01 * attempt ** 2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        out = process.communicate()[0]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, process
    assert process.returncode == 0 and json.loads(out)["success"] and kills > 0
    assert rows_of(cli) == import_elsewhere(cli, file), f"after {kills} kills"


def import_elsewhere(cli, file):
    folder = cli.folder / "elsewhere"
    folder.mkdir()
    other = AgentCli(folder, **{key: value for key, value in cli.values.items()
                                if key != "agent.state_dir"})
    other.ok("import", "--stream", AIR, "--quiet", file)
    return rows_of(other)


def test_a_full_outbox_stops_an_import_that_goes_on_later(cli, write):
    lines = "".join(f"2026-01-01 00:00:01,{n},{'x' * 200}\n" for n in range(20000))
    file = write("a.csv", "time,n,text\n" + lines)
    cli.values["outbox.max_bytes"] = "1M"
    result = cli.run("import", "--stream", AIR, "--json", file)
    assert result.returncode == 1 and "[disk_full]" in result.stderr
    first = json.loads(result.stdout)["enqueued"]
    assert 0 < first < 20000
    cli.values["outbox.max_bytes"] = "1G"
    assert cli.json("import", "--stream", AIR, file)["enqueued"] == 20000 - first
    assert [row["n"] for row in cli.rows(AIR)] == [str(n) for n in range(20000)]


def test_progress_is_for_terminals(cli, write):
    file = write("a.csv", "time,a\n" + 5000 * "2026-01-01 00:00:01,1\n")
    assert cli.run("import", "--stream", AIR, file).stderr == ""
    master, slave = os.openpty()
    process = subprocess.Popen(cli.args("import", "--stream", AIR, "--again", file), stdin=slave,
                               stdout=subprocess.DEVNULL, stderr=slave, env=cli.env)
    os.close(slave)
    assert process.wait(30) == 0
    assert "enqueued" in os.read(master, 65536).decode()
    os.close(master)


# ---- recorded data ----

def counted(*files):
    if not DATA.is_dir():
        pytest.skip(f"no recorded data in {DATA}")
    result = subprocess.run([COUNT, DATA, *files], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def expected_rows(file):
    result = subprocess.run([COUNT, "--values", DATA, file], capture_output=True, text=True,
                            check=True)
    for line in result.stdout.splitlines():
        yield json.loads(line, parse_float=str, parse_int=str)


# All of it goes through the whole bridge in test_13_recorded_data.py; here, the dirtiest.
@pytest.mark.parametrize("folder", ["aq-esp32-pms7003", "robot-commands-opentrons"])
def test_recorded_data_arrives_as_the_rules_say(cli, folder, tmp_path):
    if not DATA.is_dir():
        pytest.skip(f"no recorded data in {DATA}")
    files = sorted(str(path.relative_to(DATA)) for path in (DATA / folder).glob("*.gz")
                   if ".db" not in path.name)
    for number, rule in enumerate(counted(*files)):
        own = tmp_path / str(number)
        own.mkdir()
        one = AgentCli(own, **{"sync.sync_history": "on", "outbox.max_bytes": "4G"})
        stream = "history/user-1" if rule["stream"] == "history" else rule["stream"]
        options = ["--map", MAPS / f"{rule['map']}.json"] if rule["map"] else []
        result = one.json("import", "--stream", stream, "--quiet", *options, DATA / rule["file"])
        assert result["enqueued"] == rule["wellformed"], rule
        got = list(one.rows(stream))
        for row in got:
            row.pop("hlc", None)
        assert got == list(expected_rows(rule["file"])), rule["file"]
