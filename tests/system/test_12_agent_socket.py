"""The daemon without a cloud: its socket, its lock, its end, and a disk that fills up."""

import json
import os
import signal
import socket
import subprocess

import pytest

from lib.agent_daemon import Agent, ask, open_to_a_group
from lib.wait import wait_until

AIR = "sensors/air_quality"


@pytest.fixture
def agents(tmp_path, certs):
    """A function that makes one; all are ended with the test."""
    made = []

    def make(folder=tmp_path, **values):
        made.append(Agent(folder, certs.device("edge-001"), **values))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def agent(agents):
    return agents().start()


def test_status_comes_from_the_daemon(agent):
    agent.cli.ok("put", AIR, '{"pm10":1}')
    status = wait_until(lambda: agent.cli.status()["pending_count"] == 1 and agent.cli.status(), 5,
                        "the daemon's figures")
    assert status["running"] and not status["is_online"] and status["sync_status"] == "offline"
    assert status["device"] == "edge-001"
    assert "daemon       running" in agent.cli.ok("status")


def test_wait_ends_without_an_answer_and_the_record_is_kept(agent):
    receipt = agent.cli.json("put", AIR, '{"pm10":1}', "--id", "a", "--wait", "200ms")
    assert receipt["success"] and receipt["queued"] and receipt["cached"] and not receipt["synced"]
    assert receipt["task_id"] == receipt["op_id"] == "a" and receipt["message"]
    assert receipt["result"] is None and receipt["updated_at"] is None
    assert agent.cli.pending() == 1


def test_flush_says_what_remains(agent):
    agent.cli.ok("put", AIR, stdin='{"a":1}\n{"a":2}\n')
    result = agent.cli.run("flush", "--timeout", "300ms", "--json")
    assert result.returncode == 3 and "[not_reachable]" in result.stderr
    counts = json.loads(result.stdout)
    assert counts.pop("last_error")["code"] == "not_reachable"
    assert counts == {"success": False, "total": 2, "synced": 0, "failed": 0, "sent": 0,
                      "remaining": 2}


def test_restore_without_a_cloud_is_not_reachable(agent):
    result = agent.cli.run("settings", "restore", "--user", "user-1", "--timeout", "300ms", "--json")
    assert result.returncode == 3 and result.stdout == ""


def test_one_daemon_a_state_folder(agent):
    second = agent.cli.run("run")
    assert second.returncode == 1 and "already running" in second.stderr
    assert agent.process.running() and agent.cli.status()["running"]


def test_sigterm_ends_it_and_nothing_is_lost(agent):
    agent.cli.ok("put", AIR, '{"pm10":1}')
    assert agent.process.terminate(5) == 0
    assert not (agent.cli.state / "agent.sock").exists()
    status = agent.cli.status()
    assert not status["running"] and status["pending_count"] == 1


def test_after_a_kill_it_starts_again(agent):
    agent.process.kill()
    assert (agent.cli.state / "agent.sock").exists()
    assert agent.cli.run("flush").returncode == 3
    agent.start()
    assert agent.cli.status()["running"]


def test_the_machines_own_readings_are_enqueued(agents):
    agent = agents(**{"collector.enabled": "yes", "collector.interval": "20ms"}).start()
    wait_until(lambda: agent.cli.pending() >= 5, 10, "five readings")
    assert agent.process.terminate(5) == 0
    rows = list(agent.cli.rows("sensors/system"))
    assert all(int(row["memory_total"]) > 0 and float(row["disk_percent"]) >= 0 for row in rows)
    assert any(row["cpu_percent"] is not None for row in rows)
    times = [row["ts"] for row in rows]
    assert times == sorted(times)


def test_garbage_on_the_socket_is_answered(agent):
    for line, code in ((b"nonsense", "bad_json"), (b"[]", "unknown_op"), (b'{"verb":1}', "unknown_op"),
                       (b'{"verb":"put"}', "missing_field"),
                       (b'{"verb":"put","stream":"x","record":{}}', "bad_stream"),
                       (b'{"verb":"wait"}', "missing_field"),
                       (b'{"verb":"settings.restore","user":"a/b"}', "bad_id")):
        assert ask(agent, line)["code"] == code, line
    assert agent.cli.status()["running"]


def test_callers_that_went_away_leave_their_places(agent):
    """As many as can wait at once come, ask for an hour and are interrupted."""
    agent.cli.ok("put", AIR, '{"pm10":1}')
    line = b'{"verb":"flush","timeout":3600}\n'
    for _ in range(4):
        clients = [socket.socket(socket.AF_UNIX) for _ in range(16)]
        for client in clients:
            client.connect(str(agent.cli.state / "agent.sock"))
            client.sendall(line)
        assert agent.cli.status()["running"]  # the daemon has read them: it answers in turn
        for client in clients:
            client.close()
    counts = ask(agent, b'{"verb":"flush","timeout":0.3}')
    counts.pop("last_error", None)
    assert counts == {"success": False, "total": 1, "synced": 0, "failed": 0, "sent": 0,
                      "remaining": 1}


@pytest.mark.parametrize("days", [2, 30, 10_000])
def test_whoever_waits_for_days_is_not_answered_at_once(agent, days):
    """A day is the most; 25 days of milliseconds are more than an int holds."""
    receipt = json.loads(agent.cli.ok("put", AIR, '{"pm10":1}', "--json"))
    call = {"verb": "wait", "stream": AIR, "epoch": receipt["epoch"], "seq": receipt["seq"],
            "timeout": days * 86400}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(agent.cli.state / "agent.sock"))
        client.sendall(json.dumps(call).encode() + b"\n")
        assert agent.cli.status()["running"]  # the daemon has read it
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(4096)
    with pytest.raises(subprocess.TimeoutExpired):
        agent.cli.run("put", AIR, '{"pm10":2}', "--wait", f"{days}d", timeout=1.5)


# ---- others than the owner ----

@pytest.fixture
def shared(agents):
    """A daemon whose socket is open to a group, and a function that runs verbs as one of it."""
    with open_to_a_group(agents) as pair:
        yield pair


def test_who_may_not_write_the_file_goes_through_the_socket(shared):
    agent, as_member = shared
    result = as_member("put", AIR, '{"ts":"2026-01-01T00:00:00Z","pm10":1.50}', "--id", "m", "--json")
    assert result.returncode == 0, result.stderr
    receipt = json.loads(result.stdout)
    assert receipt["queued"] and receipt["op_id"] == "m" and receipt["seq"] == 1
    again = as_member("put", AIR, '{"ts":"2026-01-01T00:00:00Z","pm10":1.50}', "--id", "m", "--json")
    assert json.loads(again.stdout)["repeat"]
    reused = as_member("put", AIR, '{"pm10":2}', "--id", "m")
    assert reused.returncode == 1 and "[id_reused]" in reused.stderr
    lines = as_member("put", AIR, stdin='{"a":1}\nnonsense\n{"id":"x","a":2}\n{"a":3}\n')
    assert lines.returncode == 1 and lines.stdout == "3 queued, 1 refused\n"
    assert "line 2: " in lines.stderr and "[bad_json]" in lines.stderr
    assert as_member("settings", "put", "--user", "user-1", '{"a":1}').returncode == 0
    assert as_member("status", "--json").returncode == 0
    assert [row.get("a", row.get("pm10")) for row in agent.cli.rows(AIR)] == ["1.50", "1", "2", "3"]
    assert agent.cli.ok("settings", "get", "--user", "user-1") == '{"a":1}\n'


def test_who_is_not_of_the_group_is_refused(shared):
    agent, as_member = shared
    result = as_member("put", AIR, '{"pm10":1}', extra=())
    assert result.returncode != 0 and result.stderr
    assert agent.cli.pending() == 0


def test_without_the_daemon_there_is_no_way_for_them(shared):
    agent, as_member = shared
    agent.process.terminate()
    result = as_member("put", AIR, '{"pm10":1}')
    assert result.returncode == 3 and "no right to write" in result.stderr


# ---- a full disk ----

def test_the_daemon_outlives_a_full_disk(agents, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    agent = agents(**{"agent.state_dir": folder / "state", "collector.enabled": "yes",
                      "collector.interval": "20ms"})
    agent.cli.state = folder / "state"
    try:
        agent.start()
        record = json.dumps({"text": 20000 * "x"})
        wait_until(lambda: "[disk_full]" in agent.cli.run("put", AIR, record).stderr, 20, "no room")
        agent.process.wait_for_log("disk_full|full", 10)
        subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)
        agent.cli.ok("put", AIR, record)
        before = agent.cli.pending()
        wait_until(lambda: agent.cli.pending() >= before + 5, 10, "readings after the disk has room")
        assert agent.process.running()
        assert agent.process.terminate(5) == 0
    finally:
        agent.close()
        subprocess.run(["umount", folder], check=False, capture_output=True)


def test_a_signal_in_mid_work_ends_it_in_time(agents):
    agent = agents(**{"collector.enabled": "yes", "collector.interval": "10ms"}).start()
    writer = agent.cli.start("put", AIR)
    writer.stdin.write(b"".join(b'{"n":%d}\n' % n for n in range(20000)))
    agent.process.signal(signal.SIGTERM)
    writer.stdin.close()
    wait_until(lambda: agent.process.returncode() is not None, 5, "the end of the daemon")
    assert agent.process.returncode() == 0
    assert writer.wait(30) == 0
    writer.stdout.close()
    writer.stderr.close()
    assert len(list(agent.cli.rows(AIR))) == 20000
