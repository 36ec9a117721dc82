"""The commands of the README's section on settings and records, one after another as they stand."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from lib.stack import SOURCE, Stack
from lib.wait import wait_until

USER = "user-1"


def commands():
    """Every indented line of the section, without what explains it."""
    text = (Path(os.environ.get("SB_SOURCE_DIR", SOURCE)) / "README.md").read_text()
    section = re.search(r"^## Two-way settings and records\n(.*?)^## ", text, re.M | re.S).group(1)
    return [re.split(r" {2,}", line[4:])[0] for line in section.splitlines()
            if re.match(r"    (edge_agent|cloud_ingest) ", line)]


@pytest.fixture
def stack(certs):
    stack = Stack(certs, records__tables="projects, contents")
    try:
        yield stack.start()
    finally:
        stack.close()


def lose_an_edit(stack, edge):
    """An edit of this device meets one of another device's."""
    other = stack.edge("edge-002").start()
    stack.ingest.cli("device", "grant", other.device, USER)
    edge.stop()
    edge.cli("settings", "put", "--user", USER, '{"theme":"here"}')
    other.cli("user", "add", USER)
    wait_until(lambda: other.cli("settings", "get", "--user", USER, check=False).returncode == 0, 10,
               "the settings on the other device")
    for theme in ("there", "there again"):
        other.cli("settings", "put", "--user", USER, "--wait", "10s", json.dumps({"theme": theme}))
    edge.start()
    wait_until(lambda: edge.json("conflicts", "list")["conflicts"], 10, "a conflict")


def test_the_commands_of_the_readme_do_what_they_say(stack):
    edge = stack.edge("edge-001").start()
    run = commands()
    assert len(run) > 15
    for command in run:
        command, _, redirected = command.partition(" < ")
        program, *args = shlex.split(command)
        if args[:2] == ["conflicts", "list"]:
            lose_an_edit(stack, edge)
        if args[:2] == ["user", "remove"]:
            assert edge.json("flush", "--timeout", "20s")["remaining"] == 0
        stdin = '{"id":"p2"}\n{"id":"p3"}\n' if redirected else None
        result = (edge if program == "edge_agent" else stack.ingest).cli(*args, stdin=stdin)
        assert result.stdout or args[:2] == ["device", "grant"], command
    assert edge.json("user", "list")["users"] == []
    assert edge.cli("settings", "get", "--user", USER, check=False).returncode == 5
    assert stack.ingest.settings(USER)["settings"]
