"""edge_agent run without a cloud, on a state folder of its own; its socket; others than its owner."""

import contextlib
import grp
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib.agent_cli import AgentCli
from lib.broker import free_ports
from lib.proc import Proc


class Agent:
    """edge_agent run on a state folder of its own; `cli` talks to it."""

    def __init__(self, folder, identity, **values):
        self.log = folder / "agent.log"
        self.cli = AgentCli(folder, **{
            "broker.url": f"mqtts://localhost:{free_ports(1)[0]}", "broker.ca_file": identity.ca,
            "broker.cert_file": identity.cert, "broker.key_file": identity.key,
            "collector.enabled": "no", **values})
        self.process = None

    def start(self):
        self.process = Proc(self.cli.args("run"), self.log, env=self.cli.env)
        self.process.wait_for_log("ready device=")
        return self

    def close(self):
        if self.process is not None and self.process.running():
            self.process.kill()


def ask(agent, line):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(agent.cli.state / "agent.sock"))
        client.sendall(line + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = client.recv(65536)
            assert part, f"closed after {answer!r}"
            answer += part
    return json.loads(answer)


@contextlib.contextmanager
def open_to_a_group(agents):
    """A daemon, made by agents(folder, **values), whose socket is open to a group; and a function
    that runs verbs as a member of it."""
    if os.geteuid() != 0:
        pytest.skip("running as another user needs root")
    nobody, group = pwd.getpwnam("nobody"), grp.getgrnam("users")
    folder = Path(tempfile.mkdtemp(prefix="sb-agent-"))
    folder.chmod(0o755)
    agent = agents(folder, **{"agent.socket_group": group.gr_name})

    def as_member(*args, stdin="", extra=(group.gr_gid,)):
        return subprocess.run(agent.cli.args(*args), capture_output=True, text=True, check=False,
                              input=stdin, env=agent.cli.env, user=nobody.pw_uid,
                              group=nobody.pw_gid, extra_groups=list(extra), timeout=30)

    try:
        try:
            as_member("--version")
        except PermissionError:
            pytest.skip("another user cannot run the program where it was built")
        yield agent.start(), as_member
    finally:
        agent.close()
        shutil.rmtree(folder)
