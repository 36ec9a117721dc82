"""What is enqueued by hand, without a daemon: committed or refused with a reason, never in between."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from lib.agent_cli import AgentCli
from lib.wait import wait_until

AIR = "sensors/air_quality"


@pytest.fixture
def cli(tmp_path):
    return AgentCli(tmp_path)


# ---- one record ----

def test_a_record_is_committed_while_no_daemon_runs(cli):
    receipt = cli.json("put", AIR, '{"ts":"2026-01-02T03:04:05Z","pm2_5":12.50}')
    assert receipt == {"success": True, "queued": True, "stream": AIR, "seq": 1,
                       "epoch": receipt["epoch"], "op_id": receipt["op_id"]}
    assert len(receipt["epoch"]) == 16
    assert list(cli.rows(AIR)) == [{"ts": "2026-01-02T03:04:05Z", "pm2_5": "12.50"}]
    status = cli.status()
    assert status["pending_count"] == 1 and not status["running"]
    assert status["sync_status"] == "offline" and not status["is_online"]


def test_values_keep_their_bytes(cli):
    record = ('{"ts":"2026-01-02T11:04:05.10+08:00","big":9007199254740993,"f":1.10,"e":1E5,'
              '"s":"\\u00e9\u00e9\\/","n":null,"o":{"a":[1, 2]}}')
    cli.ok("put", AIR, record)
    row, = cli.rows(AIR)
    assert row == {"ts": "2026-01-02T11:04:05.10+08:00", "big": "9007199254740993", "f": "1.10",
                   "e": "1E5", "s": "\u00e9\u00e9/", "n": None, "o": {"a": ["1", "2"]}}


def test_a_repeat_with_its_id_is_safe_and_the_id_cannot_be_reused(cli):
    first = cli.json("put", AIR, '{"pm10":1}', "--id", "7f3a")
    again = cli.json("put", AIR, '{"pm10":1}', "--id", "7f3a")
    assert again == {**first, "repeat": True} and first["op_id"] == "7f3a"
    other = cli.run("put", AIR, '{"pm10":2}', "--id", "7f3a", "--json")
    assert other.returncode == 1 and "[id_reused]" in other.stderr
    assert json.loads(other.stdout)["code"] == "id_reused"
    assert cli.pending() == 1


def test_what_is_wrong_with_a_record_is_said(cli):
    for stream, record, code in ((AIR, '{"pm10":', "bad_json"), (AIR, "[1]", "bad_type"),
                                 (AIR, "{}", "missing_field"), (AIR, '{"a":1,"a":1}', "duplicate_key"),
                                 (AIR, '{"ts":"now","a":1}', "bad_value"),
                                 (AIR, '{"a":1e999}', "bad_value"), (AIR, '{"a b":1}', "bad_value"),
                                 ("sensors/a.b", '{"a":1}', "bad_id"),
                                 ("sensors/" + 65 * "a", '{"a":1}', "bad_id"),
                                 ("history/u", "{}", "missing_field"),
                                 ("history/u%2f", '{"command_id":"c"}', "bad_id")):
        result = cli.run("put", stream, record, "--json")
        assert result.returncode == 1, (record, result)
        assert f"[{code}]" in result.stderr
        answer = json.loads(result.stdout)
        assert not answer["success"] and answer["code"] == code and answer["reason"]
    for user in ("a/b", "a.b", "", 65 * "u"):
        result = cli.run("put", "history", "--user", user, '{"command_id":"c"}')
        assert result.returncode == 1 and "user id" in result.stderr and "[bad_id]" in result.stderr
    deep = '{"a":' + 40 * "[" + 40 * "]" + "}"
    assert "[too_deep]" in cli.run("put", AIR, deep).stderr
    assert cli.pending() == 0


def test_usage_is_checked(cli):
    for args in (("put",), ("put", "history", "{}"), ("put", "settings/u", "{}"), ("put", "x", "{}"),
                 ("put", AIR, "--user", "u", "{}"), ("put", AIR, "--id", "x"),
                 ("put", AIR, "{}", "{}"), ("put", AIR, "--nonsense", "{}"), ("nonsense",)):
        result = cli.run(*args)
        assert result.returncode == 2, args
        assert result.stdout == "" and "--help" in result.stderr


def test_history_is_private_until_it_is_switched_on(cli):
    record = '{"command_id":"c-1","status":"running"}'
    local = cli.json("put", "history", "--user", "user-1", record)
    assert local == {"success": True, "queued": False, "op_id": None, "stream": "history/user-1",
                     "epoch": None, "seq": None, "result": "local"}
    cli.values["sync.sync_history"] = "on"
    assert cli.json("put", "history", "--user", "user-1", record)["seq"] == 1
    row, = cli.rows("history/user-1")
    assert row["command_id"] == "c-1" and len(row["hlc"]) == 16 and "created_at" in row


def test_wait_says_that_nobody_answers(cli):
    receipt = cli.json("put", AIR, '{"pm10":1}', "--id", "w-1", "--wait", "1s")
    assert receipt["queued"] and receipt["cached"] and not receipt["synced"]
    assert receipt["task_id"] == "w-1" and receipt["result"] is None
    assert receipt["updated_at"] is None and "not running" in receipt["message"]


# ---- many records on standard input ----

def test_bad_lines_are_named_and_the_others_kept(cli):
    lines = ['{"pm10":1}', "nonsense", "", '{"id":"x","pm10":2}', '{"id":"x","pm10":2}',
             '{"id":"x","pm10":3}', '{"id":7,"pm10":3}', '{"pm10":4}']
    result = cli.run("put", AIR, "--json", stdin="\n".join(lines))
    assert result.returncode == 1
    answers = {answer["line"]: answer for answer in map(json.loads, result.stdout.splitlines())}
    assert {line: answer.get("code") for line, answer in answers.items()} == {
        1: None, 2: "bad_json", 4: None, 5: None, 6: "id_reused", 7: "bad_type", 8: None}
    assert answers[5]["repeat"] and answers[5]["seq"] == answers[4]["seq"] == 2
    for line, code in ((2, "bad_json"), (6, "id_reused"), (7, "bad_type")):
        assert f"line {line}: " in result.stderr and f"[{code}]" in result.stderr
    assert [row["pm10"] for row in cli.rows(AIR)] == ["1", "2", "4"]


def test_an_id_on_a_line_of_history_stays_in_the_record(cli):
    cli.values["sync.sync_history"] = "on"
    record = '{"id":"x","command_id":"c"}\n'
    assert cli.ok("put", "history/user-1", stdin=record + record) == "2 queued, 0 refused\n"
    row, = cli.rows("history/user-1")
    assert row["id"] == "x"


def test_a_hundred_thousand_lines(cli):
    lines = "".join(f'{{"ts":"2026-01-01T00:00:00Z","n":{n}}}\n' for n in range(100000))
    assert cli.ok("put", AIR, stdin=lines) == "100000 queued, 0 refused\n"
    assert [row["n"] for row in cli.rows(AIR)] == [str(n) for n in range(100000)]


def test_a_line_that_is_too_long_costs_only_itself(cli):
    lines = '{"a":1}\n{"a":"' + 3000000 * "x" + '"}\n{"a":2}\n'
    result = cli.run("put", AIR, stdin=lines)
    assert result.returncode == 1 and "line 2: " in result.stderr
    assert "[too_large]" in result.stderr and result.stdout == "2 queued, 1 refused\n"
    assert [row["a"] for row in cli.rows(AIR)] == ["1", "2"]


def test_what_was_typed_is_committed_when_the_input_pauses(cli):
    process = cli.start("put", AIR)
    try:
        for count in (1, 2):
            process.stdin.write(b'{"pm10":1}\n{"pm10":')
            process.stdin.flush()
            wait_until(lambda: (cli.state / "outbox.db").exists() and cli.pending() == count, 10,
                       f"{count} committed records")
            process.stdin.write(b"2")
            if count == 1:
                process.stdin.write(b"x\n")
        process.stdin.write(b"}")
        out, error = process.communicate(timeout=10)
        assert out == b"3 queued, 1 refused\n" and b"line 2: " in error
    finally:
        process.kill()
        process.wait()


def test_killed_at_any_moment_what_was_answered_is_there(cli):
    """A receipt that was printed stands for a record in the file."""
    lines = b"".join(b'{"ts":"2026-01-01T00:00:00Z","n":%d}\n' % n for n in range(200000))
    process = cli.start("put", AIR, "--json")
    feeder = threading.Thread(target=_feed, args=(process, lines))
    feeder.start()
    answered = [json.loads(process.stdout.readline()) for _ in range(5000)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().splitlines()[:-1]  # the last one may be cut
    process.wait()
    feeder.join()
    process.stderr.close()
    answered += [json.loads(line) for line in rest]
    rows = [int(row["n"]) for row in cli.rows(AIR)]
    assert len(rows) >= len(answered) and rows == list(range(len(rows)))
    assert [answer["seq"] for answer in answered] == list(range(1, len(answered) + 1))


def _feed(process, data):
    try:
        process.stdin.write(data)
        process.stdin.close()
    except BrokenPipeError:
        pass


def test_many_at_once_lose_nothing(cli):
    """Several processes write the one file; numbers stay without gaps and repeats."""
    processes = [cli.start("put", AIR) for _ in range(8)]
    for number, process in enumerate(processes):
        process.stdin.write(b"".join(b'{"ts":"2026-01-01T00:00:00Z","p":%d,"n":%d}\n' % (number, n)
                                     for n in range(500)))
    for process in processes:
        process.stdin.close()
    for process in processes:
        assert process.wait(60) == 0, process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    rows = [(int(row["p"]), int(row["n"])) for row in cli.rows(AIR)]
    assert sorted(rows) == [(p, n) for p in range(8) for n in range(500)]
    for number in range(8):
        assert [n for p, n in rows if p == number] == list(range(500))


def test_the_first_ones_at_once_make_one_outbox(tmp_path):
    for number in range(15):
        folder = tmp_path / str(number)
        folder.mkdir()
        cli = AgentCli(folder)
        processes = [cli.start("put", AIR, '{"pm10":%d}' % n) for n in range(8)]
        for process in processes:
            _, error = process.communicate(timeout=30)
            assert process.returncode == 0, error
        assert cli.pending() == 8
        assert sorted(int(row["pm10"]) for row in cli.rows(AIR)) == list(range(8))


# ---- settings ----

def test_settings_are_kept_as_they_are(cli, tmp_path):
    document = '{"theme": "dark","n":9007199254740993,"list":[1.0,  2]}'
    receipt = cli.json("settings", "put", "--user", "user-1", document)
    assert receipt["queued"] and receipt["stream"] == "settings/user-1" and receipt["op_id"]
    assert cli.ok("settings", "get", "--user", "user-1") == document + "\n"
    (tmp_path / "next.json").write_text('{"theme":"light"}')
    cli.ok("settings", "put", "--user", "user-1", f"@{tmp_path}/next.json")
    cli.ok("settings", "put", "--user", "user-2", stdin='{"theme":"blue"}')
    got = cli.json("settings", "get", "--user", "user-1")
    assert got["settings"] == {"theme": "light"} and got["user_id"] == "user-1" and got["updated_at"]
    assert {"device", "edge_id"} <= got.keys()
    assert [row["base"] for row in cli.rows("settings/user-1")] == [
        None, {"op_id": receipt["op_id"]}]
    assert cli.pending() == 3


def test_bad_settings_are_refused(cli):
    for document in ("[]", "{", '{"a":1}{', '"text"'):
        result = cli.run("settings", "put", "--user", "user-1", document, "--json")
        assert result.returncode == 1 and not json.loads(result.stdout)["success"]
    assert cli.run("settings", "put", "--user", "a.b", "{}").returncode == 1
    assert cli.run("settings", "put", "{}").returncode == 2
    result = cli.run("settings", "get", "--user", "user-1")
    assert result.returncode == 5 and result.stdout == ""


# ---- what needs the daemon or a broker ----

def test_without_a_broker_it_says_what_is_not_configured(cli):
    for verb in (("run",), ("flush",), ("settings", "restore", "--user", "user-1")):
        result = cli.run(*verb)
        assert result.returncode == 6, verb
        assert "not configured: [broker] url" in result.stderr and result.stdout == ""


def test_without_the_daemon_it_says_so(cli):
    cli.values["broker.url"] = "mqtts://localhost:1"
    for verb in (("flush",), ("settings", "restore", "--user", "user-1")):
        result = cli.run(*verb)
        assert result.returncode == 3, verb
        assert "edge_agent run is not running" in result.stderr


def test_wrong_configuration_is_named(cli):
    cli.config.write_text("[sync]\nsync_histroy = on\n")
    result = cli.run("status")
    assert result.returncode == 6
    assert "agent.conf:2" in result.stderr and "sync.sync_history" in result.stderr
    cli.config.write_text("[outbox]\nmax_record_bytes = 5T\n")
    assert cli.run("config", "check").returncode == 6
    cli.config.write_text("[device]\nid = edge-001\n")
    assert cli.json("status")["device"] == "edge-001"


# ---- looking ----

def test_an_empty_device_shows_zeros(cli):
    status = cli.status()
    assert status["pending_count"] == status["failed_count"] == status["conflicts"] == 0
    assert status["pending_by_type"] == {} and status["last_sync"] is None
    assert cli.json("queue") == {"items": [], "shown": 0, "pending_count": 0}
    assert cli.json("dead", "list") == {"items": [], "failed_count": 0}
    assert cli.run("dead", "show", "1").returncode == 5
    assert not cli.state.exists()  # looking makes nothing


def test_the_contract_of_status_and_queue(cli):
    cli.ok("put", AIR, stdin='{"a":1}\n{"a":2}\n')
    receipt = cli.json("settings", "put", "--user", "user-1", "{}")
    status = cli.status()
    assert {"sync_status", "is_online", "pending_count", "pending_by_type", "failed_count",
            "last_sync", "retry_delay", "conflicts", "device", "epoch", "running"} <= status.keys()
    assert status["pending_count"] == 3 and status["pending_by_type"] == {"sensors": 2,
                                                                          "settings": 1}
    queue = cli.json("queue", "list")
    assert queue["pending_count"] == 3 and queue["shown"] == 2
    readings, settings = queue["items"]
    assert {"op_id", "stream", "operation", "created_at", "retry_count", "last_retry",
            "sync_status", "error_message"} <= readings.keys()
    assert readings["stream"] == AIR and readings["operation"] == "add"
    assert (readings["first_seq"], readings["last_seq"], readings["records"]) == (1, 2, 2)
    assert settings["op_id"] == receipt["op_id"] and settings["operation"] == "update"
    assert cli.json("queue", "--limit", "1")["shown"] == 1


def test_errors_go_to_standard_error_alone(cli):
    for verb in (("dead", "show", "7"), ("settings", "get", "--user", "nobody"),
                 ("dead", "retry"), ("dead", "drop", "x")):
        result = cli.run(*verb, "--json")
        assert result.returncode != 0 and result.stdout == "" and result.stderr, verb


def test_no_colour_in_pipes_and_on_request(cli):
    cli.ok("put", AIR, '{"pm10":1}')
    assert "\x1b" not in cli.ok("queue") + cli.ok("status")
    cli.env["TERM"] = "xterm"
    coloured = _on_terminal(cli, "queue")
    cli.env["NO_COLOR"] = "1"
    plain = _on_terminal(cli, "queue")
    assert "\x1b" in coloured and AIR in coloured
    assert "\x1b" not in plain and AIR in plain


def _on_terminal(cli, *args):
    master, slave = pty.openpty()
    process = subprocess.Popen(cli.args(*args), stdin=slave, stdout=slave, stderr=slave,
                               env=cli.env)
    os.close(slave)
    output = b""
    try:
        while chunk := os.read(master, 65536):
            output += chunk
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert process.wait(10) == 0
    return output.decode()


def test_help_has_examples_and_every_verb_explains_itself(cli):
    whole = cli.ok("--help")
    for verb in ("run", "put", "import", "settings get", "status", "queue", "dead list", "flush",
                 "config sample"):
        assert f"  {verb} " in whole
        text = cli.ok(*verb.split(), "--help")
        assert text.startswith(f"usage: edge_agent {verb}") and "--config" in text
    for verb in ("put", "import", "settings put", "dead list"):
        assert "examples:\n  edge_agent " in cli.ok(*verb.split(), "--help")
    assert cli.ok("--version").startswith("edge_agent ")


# ---- the disk ----

def test_a_full_outbox_refuses_and_takes_again_when_it_may_grow(cli):
    cli.values["outbox.max_bytes"] = "1M"
    record = json.dumps({"text": 100000 * "x"})
    kept = 0
    for _ in range(20):
        result = cli.run("put", AIR, record, "--json")
        if result.returncode != 0:
            break
        kept += 1
    assert result.returncode == 1 and 5 <= kept < 20
    assert "[disk_full]" in result.stderr and json.loads(result.stdout)["code"] == "disk_full"
    result = cli.run("put", AIR, stdin=record + "\n" + record + "\n")
    assert result.returncode == 1 and "nothing was stored from line 1 on" in result.stderr
    assert cli.pending() == kept
    cli.values["outbox.max_bytes"] = "2M"
    cli.ok("put", AIR, record)
    assert cli.pending() == kept + 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, and a function that mounts it anew with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
                              capture_output=True, text=True, check=False)

    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    result = mount("size=1m")
    if result.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {result.stderr.strip()}")
    try:
        yield folder, lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", folder], check=False, capture_output=True)


def test_a_full_disk_refuses_and_takes_again_when_there_is_room(small_disk, tmp_path):
    folder, remount = small_disk
    cli = AgentCli(tmp_path, **{"agent.state_dir": folder / "state"})
    cli.state = folder / "state"
    record = json.dumps({"text": 20000 * "x"})
    kept = 0
    for _ in range(100):
        result = cli.run("put", AIR, record)
        if result.returncode != 0:
            break
        kept += 1
    assert result.returncode == 1 and "[disk_full]" in result.stderr and kept > 5
    assert remount("size=4m").returncode == 0
    cli.ok("put", AIR, record)
    assert cli.pending() == kept + 1
    assert len(list(cli.rows(AIR))) == kept + 1


def test_a_read_only_disk_refuses_and_takes_again_when_it_is_writable(small_disk, tmp_path):
    folder, remount = small_disk
    cli = AgentCli(tmp_path, **{"agent.state_dir": folder / "state"})
    cli.ok("put", AIR, '{"pm10":1}')
    assert remount("ro").returncode == 0
    result = cli.run("put", AIR, '{"pm10":2}')
    assert result.returncode == 1 and "[read_only]" in result.stderr
    result = cli.run("put", AIR, stdin='{"pm10":2}\n')
    assert result.returncode == 1 and "[read_only]" in result.stderr
    assert remount("rw").returncode == 0
    cli.ok("put", AIR, '{"pm10":3}')
    assert cli.pending() == 2


def test_a_folder_that_cannot_be_made_is_named(cli, tmp_path):
    (tmp_path / "file").write_text("")
    result = cli.run("put", AIR, '{"a":1}', **{"agent.state_dir": tmp_path / "file" / "state"})
    assert result.returncode == 1 and str(tmp_path / "file") in result.stderr


def test_a_file_that_is_no_outbox_is_left_alone(cli):
    cli.state.mkdir()
    for content in (b"not", b"SQLite format 3\0" + 100 * b"x"):
        (cli.state / "outbox.db").write_bytes(content)
        result = cli.run("put", AIR, '{"a":1}')
        assert result.returncode == 1 and "[corrupt]" in result.stderr
        assert (cli.state / "outbox.db").read_bytes() == content


# ---- configuration ----

def test_the_sample_is_the_example_in_the_tree_and_a_valid_file(cli):
    sample = cli.ok("config", "sample")
    source = Path(__file__).resolve().parents[2]
    assert sample == (source / "edge_agent" / "edge_agent.conf.example").read_text()
    cli.config.write_text(sample)
    assert cli.ok("config", "check")
    for line in sample.splitlines():  # every default is what its key takes
        if match := re.fullmatch(r"#(\w+) = (\S+)", line):
            cli.config.write_text(sample.replace(line, line[1:], 1))
            assert cli.run("config", "check").returncode == 0, match


def test_what_run_would_refuse_is_found_by_the_check(cli, certs):
    device, other = certs.device("checked"), certs.device("checked-2")
    good = {"broker.url": "mqtts://localhost:8883", "broker.ca_file": device.ca,
            "broker.cert_file": device.cert, "broker.key_file": device.key}
    cli.values.update(good)
    assert "good" in cli.ok("config", "check")
    for key, value, status in (("url", "ftp://localhost", 6), ("url", "mqtts://localhost:99999", 6),
                               ("ca_file", "/nowhere/ca", 4), ("cert_file", "/nowhere/cert", 4),
                               ("key_file", "/nowhere/key", 4), ("key_file", other.key, 4)):
        cli.values.update(good)
        cli.values[f"broker.{key}"] = value
        result = cli.run("config", "check")
        assert result.returncode == status and str(value) in result.stderr, (key, result)
    cli.values.update(good)
    cli.values["device.id"] = "somebody"
    result = cli.run("config", "check")
    assert result.returncode == 6 and "somebody" in result.stderr and "checked" in result.stderr


def test_config_get_says_where_a_value_comes_from(cli):
    cli.config.write_text("[pacer]\nwindow = 20\n")
    cli.env["SB_PACER_RETRY_MIN"] = "45s"
    values = cli.json("config", "get")
    assert values["pacer.window"] == {"value": 20, "origin": f"{cli.config}:2"}
    assert values["pacer.retry_min"]["origin"] == "SB_PACER_RETRY_MIN"
    assert values["pacer.retry_max"]["origin"] == "default"
    assert values["agent.state_dir"]["origin"] == "--set"
    assert "20" in cli.ok("config", "get", "pacer.window")
    assert cli.run("config", "get", "pacer.windwo").returncode == 5
