"""Files of the current documents and the command that is run when one changed."""

import json
import os
import signal
import stat

import pytest

from lib.stack import Stack
from lib.wait import wait_until


@pytest.fixture(scope="module")
def stack(certs):
    stack = Stack(certs, records__tables="projects")
    try:
        yield stack.start()
    finally:
        stack.close()


@pytest.fixture
def user(stack, request):
    return request.node.name.replace("_", "-")[5:60]


@pytest.fixture
def edge(stack, request, user):
    """A device of the test's own, not started."""
    name = "h-" + request.node.name.replace("_", "-")[5:60]
    edge = stack.edge(name)
    stack.ingest.cli("device", "grant", edge.device, user)
    edge.cli("user", "add", user)
    yield edge
    edge.close()


@pytest.fixture
def other(stack, user):
    edge = stack.edge("h-other")
    if not edge.running():
        edge.start()
    stack.ingest.cli("device", "grant", edge.device, user)
    edge.cli("user", "add", user)
    return edge


def read(path):
    return json.loads(path.read_text()) if path.exists() else None


def wait_file(path, wanted, edge):
    wait_until(lambda: read(path) == wanted, 10,
               lambda: f"{wanted} in {path}: {read(path)}\n{edge.log()[-2000:]}")


def test_files_follow_the_documents(edge, other, user, tmp_path):
    folder = tmp_path / "documents"
    edge.configure(documents__export_dir=folder)
    edge.cli("settings", "put", "--user", user, '{"before":"the start"}')
    edge.start()
    settings = folder / user / "settings.json"
    wait_file(settings, {"before": "the start"}, edge)
    assert stat.S_IMODE(settings.stat().st_mode) == 0o640
    assert settings.read_text().endswith("}\n")
    edge.cli("settings", "put", "--user", user, '{ "n": 9007199254740993,\n"x":1.10 }')
    wait_until(lambda: settings.read_text() == '{ "n": 9007199254740993,\n"x":1.10 }\n', 10, "the text")
    wait_until(edge.settled, 10, "in the cloud")
    other.cli("sync", "--user", user)
    other.cli("settings", "put", "--user", user, '{"from":"afar"}')
    wait_file(settings, {"from": "afar"}, edge)

    record = ("--table", "projects", "--user", user, "--id", "../../p 1")
    edge.cli("records", "put", *record, '{"v":1}')
    path = folder / user / "projects" / "%2E.%2F..%2Fp%201.json"
    wait_file(path, {"v": 1}, edge)
    edge.cli("records", "delete", *record)
    wait_until(lambda: not path.exists(), 10, "no file of a removed record")
    assert sorted(each.name for each in folder.rglob("*") if each.is_file()) == ["settings.json"]


def test_the_command_runs_once_a_change_and_one_at_a_time(edge, user, tmp_path):
    script = tmp_path / "hook.sh"
    script.write_text(f"""#!/bin/sh
exec 9>{tmp_path}/lock
flock -n 9 || echo "two at once" >> {tmp_path}/log
echo "$SB_USER $SB_TABLE $SB_ID $(cat "$SB_FILE" 2>/dev/null) $1" >> {tmp_path}/log
""")
    script.chmod(0o755)
    edge.configure(documents__export_dir=tmp_path / "d", documents__on_change=f"{script} 'an argument'")
    edge.start()
    for n in range(5):
        edge.cli("records", "put", "--table", "projects", "--user", user, "--id", f"p{n}", f'{{"n":{n}}}')
    edge.cli("records", "delete", "--table", "projects", "--user", user, "--id", "p0")
    log = tmp_path / "log"
    last = f"{user} projects p0  an argument"
    wait_until(lambda: log.exists() and log.read_text().splitlines()[-1] == last, 10,
               lambda: f"the removal: {log.read_text() if log.exists() else ''}\n{edge.log()[-2000:]}")
    lines = log.read_text().splitlines()
    assert set(lines) >= {f'{user} projects p{n} {{"n":{n}}} an argument' for n in range(1, 5)}
    assert "two at once" not in lines


def test_many_changes_of_one_document_are_one(edge, user, tmp_path):
    edge.configure(documents__on_change=f"sh -c 'sleep 1; echo $SB_USER >> {tmp_path}/log'")
    edge.start()
    for n in range(30):
        edge.cli("settings", "put", "--user", user, f'{{"n":{n}}}')
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and not edge.status()["pending_count"], 20, "the first run")
    edge.proc.wait_for_log("ready", 1)
    wait_until(lambda: len(log.read_text().splitlines()) >= 2, 10, "the last run")
    assert len(log.read_text().splitlines()) < 15


def test_a_command_that_fails_or_hangs_stops_nothing(edge, user, tmp_path):
    edge.configure(documents__export_dir=tmp_path / "d", documents__on_change="sh -c 'exit 3'")
    edge.start()
    edge.cli("settings", "put", "--user", user, '{"n":1}')
    edge.proc.wait_for_log(r"on_change: .*ended with status 3", 10)
    wait_file(tmp_path / "d" / user / "settings.json", {"n": 1}, edge)
    edge.configure(documents__on_change=f"sh -c 'echo $$ > {tmp_path}/pid; sleep 600'",
                   documents__on_change_timeout="1s")
    edge.cli("reload")
    edge.cli("settings", "put", "--user", user, '{"n":2}')
    wait_until(lambda: (tmp_path / "pid").exists(), 10, "the command")
    receipt = edge.json("settings", "put", "--user", user, "--wait", "10s", '{"n":3}')
    assert receipt["synced"]  # while it hangs
    edge.proc.wait_for_log(r"on_change: .*killed after 1 s", 10)
    wait_file(tmp_path / "d" / user / "settings.json", {"n": 3}, edge)
    assert edge.running() and edge.status()["is_online"]
    edge.stop()  # with a command that runs: within 5 s


def test_a_folder_that_cannot_be_written_is_tried_again(edge, user, tmp_path):
    folder = tmp_path / "d"
    folder.write_text("in the way")
    edge.configure(documents__export_dir=folder)
    edge.start()
    edge.cli("settings", "put", "--user", user, '{"n":1}')
    edge.proc.wait_for_log("documents: not exported", 10)
    folder.unlink()
    wait_file(folder / user / "settings.json", {"n": 1}, edge)
    assert edge.running()


def test_what_was_due_at_a_kill_is_done_at_the_next_start(edge, user, tmp_path):
    edge.configure(documents__export_dir=tmp_path / "d",
                   documents__on_change=f"sh -c 'echo {'$SB_ID'} >> {tmp_path}/log; sleep 600'")
    edge.start()
    edge.cli("settings", "put", "--user", user, '{"n":1}')
    wait_until(lambda: (tmp_path / "log").exists(), 10, "the command")
    edge.cli("settings", "put", "--user", user, '{"n":2}')
    edge.kill()
    edge.configure(documents__on_change=f"sh -c 'cp $SB_FILE {tmp_path}/copy'")
    edge.start()
    wait_until(lambda: read(tmp_path / "copy") == {"n": 2}, 10, "the last text")


def test_switched_on_later_all_documents_get_a_file_by_a_reload(edge, user, tmp_path):
    edge.start()
    edge.cli("settings", "put", "--user", user, '{"n":1}')
    for n in range(20):
        edge.cli("records", "put", "--table", "projects", "--user", user, "--id", f"p{n}", "{}")
    edge.configure(documents__export_dir=tmp_path / "d")
    edge.proc.signal(signal.SIGHUP)
    wait_until(lambda: len(list((tmp_path / "d").rglob("*.json"))) == 21, 20, "21 files")
    edge.configure(documents__export_dir=tmp_path / "e")
    assert edge.json("reload")["reloaded"] == ["documents.export_dir"]
    wait_until(lambda: len(list((tmp_path / "e").rglob("*.json"))) == 21, 20, "21 files elsewhere")
    edge.configure(documents__export_dir="relative/path")
    refused = edge.cli("reload", check=False)
    assert refused.returncode == 6 and "absolute" in refused.stderr
    edge.cli("settings", "put", "--user", user, '{"n":2}')
    wait_file(tmp_path / "e" / user / "settings.json", {"n": 2}, edge)


def test_files_have_the_local_names(edge, user, tmp_path):
    names = tmp_path / "names"
    names.mkdir()
    (names / "projects.json").write_text('{"table":"projects","fields":{"title":"project_name"}}')
    edge.configure(documents__export_dir=tmp_path / "d", records__mappings=names)
    edge.start()
    edge.cli("records", "put", "--table", "projects", "--user", user, "--id", "p", '{"title":"x"}')
    wait_file(tmp_path / "d" / user / "projects" / "p.json", {"title": "x"}, edge)


def test_a_bad_configuration_is_found_at_the_start(edge, tmp_path):
    for value, said in (("no-such-program-here", "no-such-program"), ("'open", "quote")):
        edge.configure(documents__on_change=value)
        result = edge.cli("run", check=False)
        assert result.returncode == 6 and said in result.stderr, value
    assert os.listdir(tmp_path) == []
