"""records put | get | list | delete and settings on one device, with and without its daemon: what was
put comes back as it was, what is wrong is named, and nothing else changes."""

import json

import pytest

from lib.agent_cli import AgentCli
from lib.agent_daemon import Agent, ask, open_to_a_group

U = ("--user", "user-1")
T = ("--table", "projects", *U)


@pytest.fixture
def cli(tmp_path):
    return AgentCli(tmp_path)


@pytest.fixture
def agents(tmp_path, certs):
    """A function that makes a daemon; all are ended with the test."""
    made = []

    def make(folder=tmp_path, **values):
        made.append(Agent(folder, certs.device("edge-001"), **values))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def names(tmp_path):
    """A folder with a file of names for projects."""
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / "projects.json").write_text(
        '{"table":"projects","fields":{"title":"project_name","owner":"owner_id"}}')
    return folder


def operations(cli, stream="records/user-1"):
    return list(cli.rows(stream))


# ---- one document ----

DOCUMENT = ('{ "名": "\\u684c\u9762 \U0001f600 \u202eabc", "n": 9007199254740993, "x": 1.10,\n'
            '"e":1E5,"z": null, "deep": {"a":[1,{"b":[]}]} }')


def test_a_document_comes_back_as_it_went_in(cli):
    receipt = cli.json("records", "put", *T, "--id", "p1", DOCUMENT)
    assert receipt["success"] and receipt["queued"] and receipt["stream"] == "records/user-1"
    assert receipt["seq"] == 1 and receipt["op_id"] and len(receipt["epoch"]) == 16
    assert cli.ok("records", "get", *T, "--id", "p1") == DOCUMENT + "\n"
    got = cli.json("records", "get", *T, "--id", "p1")
    assert got["data"] == json.loads(DOCUMENT) and got["user_id"] == "user-1"
    assert got["table"] == "projects" and got["id"] == "p1" and got["op_id"] == receipt["op_id"]
    assert got["updated_at"] and got["server_version"] is None and got["pending"]
    assert not got["unsent"] and got["trouble"] is None and got["open_conflicts"] == []
    assert cli.status()["pending_by_type"] == {"records": 1}


def test_a_document_may_come_from_a_file_and_name_itself(cli, tmp_path):
    (tmp_path / "p.json").write_text('{"id":"p/1","name":"bridge"}\n')
    cli.ok("records", "put", *T, f"@{tmp_path}/p.json")
    assert cli.ok("records", "get", *T, "--id", "p/1") == '{"id":"p/1","name":"bridge"}\n'
    (tmp_path / "cut.json").write_bytes(b'{"id":"cut"}\0')
    refused = cli.run("records", "put", *T, f"@{tmp_path}/cut.json")
    assert refused.returncode == 1 and "[bad_json]" in refused.stderr
    assert cli.pending() == 1


def test_operations_build_on_each_other(cli):
    first = cli.json("records", "put", *T, "--id", "p1", '{"v":1}')
    second = cli.json("records", "put", *T, "--id", "p1", '{"v":2}')
    cli.ok("records", "put", *T, "--id", "p2", '{"v":1}')
    cli.ok("records", "delete", *T, "--id", "p1")
    made = [(row["id"], row["operation"], row["base"], row.get("data")) for row in operations(cli)]
    assert made == [
        ("p1", "add", None, {"v": "1"}), ("p1", "update", {"op_id": first["op_id"]}, {"v": "2"}),
        ("p2", "add", None, {"v": "1"}), ("p1", "delete", {"op_id": second["op_id"]}, None)]
    assert [item["operation"] for item in cli.json("queue")["items"]] == [
        "add", "update", "add", "delete"]
    assert cli.run("records", "get", *T, "--id", "p1").returncode == 5
    assert cli.run("records", "delete", *T, "--id", "p1").returncode == 5
    assert [item["id"] for item in cli.json("records", "list", *T)["items"]] == ["p2"]


def test_a_repeat_with_its_op_id_is_safe_and_the_id_cannot_be_reused(cli):
    first = cli.json("records", "put", *T, "--id", "p1", "--op-id", "op-1", '{"v":1}')
    again = cli.json("records", "put", *T, "--id", "p1", "--op-id", "op-1", '{"v":1}')
    assert again == {**first, "repeat": True} and first["op_id"] == "op-1"
    other = cli.run("records", "put", *T, "--id", "p1", "--op-id", "op-1", '{"v":2}', "--json")
    assert other.returncode == 1 and json.loads(other.stdout)["code"] == "id_reused"
    assert cli.pending() == 1 and cli.json("records", "get", *T, "--id", "p1")["data"] == {"v": 1}


def test_what_is_wrong_with_a_document_is_said_and_nothing_changes(cli):
    deep = "{" + '"a":{' * 33 + "}" * 34
    for args, code in (
            (("--id", "p", "[1]"), "bad_type"), (("--id", "p", '{"a":1,"a":2}'), "duplicate_key"),
            (("--id", "p", '{"a":'), "bad_json"), (("--id", "p", deep), "too_deep"),
            (("--id", "", "{}"), "bad_id"), (("--id", "x" * 129, "{}"), "bad_id"),
            (("--id", "a\nb", "{}"), "bad_id"), (('{"name":"x"}',), "missing_field"),
            (('{"id":7}',), "bad_type"), (("--id", "p", "--op-id", "x" * 129, "{}"), "bad_id")):
        result = cli.run("records", "put", *T, *args, "--json")
        answer = json.loads(result.stdout)
        assert result.returncode == 1 and not answer["success"], args
        assert answer["code"] == code and answer["reason"], (args, answer)
        assert code != "too_deep" or answer["reason"].endswith("deeper than 29"), answer
        assert f"[{code}]" in result.stderr
    for table in ("settings", "Projects", "a/b", "x" * 65, ""):
        result = cli.run("records", "put", "--table", table, *U, "--id", "p", "{}")
        assert result.returncode == 1 and result.stdout == "", table
    assert cli.run("records", "put", "--table", "projects", "--user", "a/b", "{}").returncode == 1
    large = json.dumps({"text": 2000000 * "x"})
    result = cli.run("records", "put", *T, stdin=f'{{"id":"l",{large[1:]}\n{{"id":"ok"}}\n')
    assert result.returncode == 1 and "line 1: " in result.stderr and "[too_large]" in result.stderr
    assert [item["id"] for item in cli.json("records", "list", *T)["items"]] == ["ok"]


def test_a_call_that_makes_no_sense_is_a_usage_error(cli):
    for args in (("put",), ("put", "--table", "projects"), ("put", *T, "--id", "x"),
                 ("put", *T, "--wait", "1s"), ("get", *T), ("get", *T, "--id", "x", "y"),
                 ("list",), ("delete", *T), ("put", *T, "--local", "--cloud", "{}"), ("drop",)):
        result = cli.run("records", *args)
        assert result.returncode == 2 and result.stdout == "", args


# ---- many ----

def test_bad_lines_are_named_and_the_others_kept(cli):
    lines = ('{"id":"a","v":1.50}\nnonsense\n{"id":"b","v":2}\n\n[]\n{"v":3}\n{"id":"a","v":4}\n'
             '{"id":"c","id":"d"}\n')
    result = cli.run("records", "put", *T, "--json", stdin=lines)
    assert result.returncode == 1
    answers = {answer["line"]: answer for answer in map(json.loads, result.stdout.splitlines())}
    assert {line: answer.get("code", "") for line, answer in answers.items()} == {
        1: "", 2: "bad_json", 3: "", 5: "bad_type", 6: "missing_field", 7: "", 8: "duplicate_key"}
    assert [answers[line]["seq"] for line in (1, 3, 7)] == [1, 2, 3]
    assert "line 2: " in result.stderr
    assert cli.ok("records", "get", *T, "--id", "a") == '{"id":"a","v":4}\n'
    text = cli.run("records", "put", *T, stdin='{"id":"x"}\nnonsense\n{"id":"y"}\n')
    assert text.returncode == 1 and text.stdout == "2 queued, 1 refused\n"


def test_lists_have_pages(cli):
    lines = "".join(f'{{"id":"r{n:04}","n":{n}}}\n' for n in range(1200))
    assert cli.ok("records", "put", *T, stdin=lines) == "1200 queued, 0 refused\n"
    cli.ok("records", "put", "--table", "agent", *U, "--id", "first", "{}")
    cli.ok("settings", "put", *U, "{}")
    found, offset = [], 0
    while offset is not None:
        page = cli.json("records", "list", *U, "--limit", 500, "--offset", offset)
        assert page["shown"] == len(page["items"]) <= 500
        assert page["has_more"] == (page["next_offset"] is not None)
        found += [(item["table"], item["id"]) for item in page["items"]]
        offset = page["next_offset"]
    assert found == [("agent", "first")] + [("projects", f"r{n:04}") for n in range(1200)]
    assert len(cli.json("records", "list", *T)["items"]) == 100  # unless told otherwise
    text = cli.ok("records", "list", *T, "--limit", 2)
    assert "r0001" in text and "there are more: --offset 2" in text
    large = "".join(json.dumps({"id": f"l{n}", "text": 900000 * "x"}) + "\n" for n in range(5))
    cli.ok("records", "put", "--table", "skill", *U, stdin=large)
    page = cli.json("records", "list", "--table", "skill", *U)
    assert page["has_more"] and page["next_offset"] == 3  # an answer has its limit


def test_nobody_has_no_records(cli):
    assert cli.run("records", "list", *U).returncode == 5  # there is no outbox yet
    cli.ok("settings", "put", *U, "{}")
    assert cli.json("records", "list", *U)["items"] == []
    assert cli.ok("records", "list", *U) == "no records\n"
    nobody = cli.run("records", "list", "--user", "nobody")
    assert nobody.returncode == 5 and "nobody" in nobody.stderr
    assert cli.run("records", "get", "--table", "projects", "--user", "nobody", "--id",
                   "x").returncode == 5


# ---- names ----

def test_members_have_their_local_names_here_and_the_clouds_on_the_wire(cli, names):
    with_names = {"records.mappings": names}
    put = ("records", "put", *T, "--id", "p1")
    cli.ok(*put, '{"title":"bridge","owner":"ann","n":{"title":1}}', **with_names)
    assert operations(cli)[0]["data"] == {"project_name": "bridge", "owner_id": "ann",
                                          "n": {"title": "1"}}
    get = ("records", "get", *T, "--id", "p1")
    assert cli.ok(*get, **with_names) == '{"title":"bridge","owner":"ann","n":{"title":1}}\n'
    assert cli.ok(*get, "--local", **with_names) == cli.ok(*get, **with_names)
    cloud = '{"project_name":"bridge","owner_id":"ann","n":{"title":1}}\n'
    assert cli.ok(*get, "--cloud", **with_names) == cloud == cli.ok(*get)
    listed = cli.json("records", "list", *T, **with_names)["items"][0]["data"]
    assert listed == {"title": "bridge", "owner": "ann", "n": {"title": 1}}
    cli.ok(*put, "--cloud", '{"project_name":"tower"}', **with_names)
    assert cli.ok(*get, **with_names) == '{"title":"tower"}\n'
    refused = cli.run(*put, '{"project_name":"x"}', **with_names)
    assert refused.returncode == 1 and "'title'" in refused.stderr
    cli.ok("records", "put", "--table", "contents", *U, "--id", "c", '{"title":1}', **with_names)
    assert operations(cli)[-1]["data"] == {"title": "1"}  # of a table without a file


def test_a_file_of_names_that_makes_no_sense_is_a_configuration_error(cli, names):
    (names / "projects.json").write_text('{"table":"projects","fields":{"a":"x","b":"x"}}')
    for args in (("put", *T, "--id", "p", "{}"), ("put", *T)):
        result = cli.run("records", *args, stdin='{"id":"p"}\n', **{"records.mappings": names})
        assert result.returncode == 6 and "projects.json" in result.stderr, args
    assert cli.run("records", "put", *T, "--id", "p", "--cloud", "{}",
                   **{"records.mappings": names}).returncode == 0


# ---- settings ----

def test_settings_have_their_losing_edits_and_versions(cli):
    cli.ok("settings", "put", *U, '{"a":1}')
    for verb in (("get", "--conflict"), ("rollback", "--to", "1")):
        result = cli.run("settings", verb[0], *U, *verb[1:])
        assert result.returncode == 5 and result.stdout == "", verb
    assert cli.json("settings", "history", *U)["versions"] == []
    assert cli.ok("settings", "history", *U) == "nothing was replaced here\n"
    assert cli.run("settings", "rollback", *U, "--to", "0").returncode == 2
    for verb in (("diff",), ("history", "--cloud"), ("rollback", "--to", "1", "--cloud")):
        result = cli.run("settings", verb[0], *U, *verb[1:])
        assert result.returncode == 6 and "not configured" in result.stderr, verb
    assert cli.json("settings", "get", *U)["settings"] == {"a": 1}
    assert cli.run("settings", "get", "--user", "nobody").returncode == 5


def test_a_state_folder_that_cannot_be_made_is_a_failure(cli):
    for verb in (("settings", "put", *U, "{}"), ("records", "put", *T, "--id", "p", "{}"),
                 ("put", "sensors/air_quality", '{"pm10":1}'), ("user", "add", "user-1")):
        result = cli.run(*verb, **{"agent.state_dir": "/proc/no-such/state"})
        assert result.returncode == 1 and "/proc/no-such" in result.stderr, verb


# ---- through the daemon ----

def test_the_socket_answers_the_same_calls(agents):
    agent = agents().start()
    put = {"verb": "document.put", "user": "user-1", "table": "projects", "id": "p1"}
    receipt = ask(agent, line({**put, "data": {"v": 1}, "op_id": "op-1"}))
    assert receipt["success"] and receipt["queued"] and receipt["op_id"] == "op-1"
    assert ask(agent, line({**put, "data": {"v": 1}, "op_id": "op-1"}))["repeat"]
    assert ask(agent, line({"verb": "document.get", "user": "user-1", "table": "projects",
                            "id": "p1"}))["data"] == {"v": 1}
    listed = ask(agent, line({"verb": "document.list", "user": "user-1"}))
    assert [item["id"] for item in listed["items"]] == ["p1"] and not listed["has_more"]
    settings = ask(agent, line({"verb": "document.put", "user": "user-1", "data": {"theme": 1}}))
    assert settings["stream"] == "settings/user-1"
    assert agent.cli.json("settings", "get", *U)["settings"] == {"theme": 1}
    assert ask(agent, line({**put, "operation": "delete"}))["queued"]
    assert ask(agent, line({"verb": "document.get", "user": "user-1", "table": "projects",
                            "id": "p1"}))["code"] == "not_found"
    assert ask(agent, line({"verb": "user.add", "user": "user-1"}))["added"]
    assert ask(agent, line({"verb": "user.list"}))["users"][0]["user_id"] == "user-1"
    assert ask(agent, line({"verb": "conflict.list"}))["conflicts"] == []


def line(call):
    return json.dumps(call).encode()


def test_bad_calls_are_refused_and_spoil_nothing(agents):
    agent = agents().start()
    good = {"verb": "document.put", "user": "u", "table": "projects", "id": "p", "data": {}}
    for change, code in (
            ({"user": None}, "missing_field"), ({"user": "a/b"}, "bad_id"),
            ({"table": "No"}, "bad_id"), ({"table": "settings", "id": "other"}, "bad_id"),
            ({"id": ""}, "bad_id"), ({"id": 7}, "bad_type"), ({"data": []}, "bad_type"),
            ({"data": None}, "bad_type"), ({"operation": "upsert"}, "bad_value"),
            ({"names": "own"}, "bad_value"), ({"op_id": ""}, "bad_id"),
            ({"verb": "document.nothing"}, "unknown_op"), ({"verb": "user.set"}, "missing_field"),
            ({"verb": "user.set", "sync": "no"}, "bad_type"),
            ({"verb": "user.set", "user": "nobody", "sync": False}, "not_found"),
            ({"verb": "user.remove", "user": "nobody"}, "not_found"),
            ({"verb": "conflict.show", "id": 1}, "not_found"),
            ({"verb": "conflict.show", "id": 0}, "bad_value"),
            ({"verb": "conflict.resolve", "id": 1, "choice": "mine"}, "bad_value"),
            ({"verb": "conflict.resolve", "id": 1, "choice": "local"}, "not_found"),
            ({"verb": "document.kept", "n": 4}, "not_found"),
            ({"verb": "document.reencrypt", "user": "nobody"}, "not_found"),
            ({"verb": "status", "user": "nobody"}, "not_found"),
            ({"verb": "status", "user": "a b"}, "bad_id"),
            ({"verb": "sync", "table": "No"}, "bad_id"),
            ({"verb": "sync", "user": "nobody"}, "not_found"),
            ({"verb": "cloud.version", "user": "a b"}, "bad_id")):
        call = {key: value for key, value in {**good, **change}.items() if value is not None}
        if change.get("data", 0) is None:
            call["data"] = None
        answer = ask(agent, line(call))
        assert not answer["success"] and answer["code"] == code, (change, answer)
        assert answer["message"], change
    assert agent.cli.pending() == 0
    assert ask(agent, line(good))["queued"]


@pytest.fixture
def shared(agents):
    with open_to_a_group(agents) as pair:
        yield pair


def test_who_may_not_write_the_file_has_every_verb_by_the_socket(shared):
    agent, as_member = shared

    def member(*args, code=0, stdin=""):
        result = as_member(*args, stdin=stdin)
        assert result.returncode == code, (args, result)
        return result

    receipt = json.loads(member("records", "put", *T, "--id", "p1", DOCUMENT, "--json").stdout)
    assert receipt["queued"] and receipt["seq"] == 1
    got = json.loads(member("records", "get", *T, "--id", "p1", "--json").stdout)
    assert got["data"] == json.loads(DOCUMENT)
    lines = member("records", "put", *T, stdin='{"id":"a"}\nnonsense\n{"id":"b"}\n', code=1)
    assert lines.stdout == "2 queued, 1 refused\n" and "line 2: " in lines.stderr
    assert "p1" in member("records", "list", *T).stdout
    member("records", "delete", *T, "--id", "a")
    member("records", "delete", *T, "--id", "a", code=5)
    member("user", "add", "user-1")
    assert "user-1" in member("user", "list").stdout
    member("user", "set", "user-1", "--stream", "records", "sync=no")
    kept = json.loads(member("records", "put", *T, "--id", "x", "{}", "--json").stdout)
    assert kept["result"] == "local" and not kept["queued"]
    member("settings", "put", *U, '{"a":1}')
    assert member("settings", "get", *U).stdout == '{"a":1}\n'
    assert json.loads(member("conflicts", "list", "--json").stdout)["conflicts"] == []
    member("conflicts", "show", "1", code=5)
    assert json.loads(member("status", *U, "--json").stdout)["user_id"] == "user-1"
    member("user", "remove", "user-1")
    agent.process.terminate()
    down = member("records", "put", *T, "--id", "y", "{}", code=3)
    assert "no right to write" in down.stderr
