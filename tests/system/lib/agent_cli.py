"""edge_agent's command line on a state folder of its own, without a daemon."""

import json
import os
import sqlite3
import subprocess

import pytest


def program():
    path = os.environ.get("SB_EDGE_AGENT")
    if not path:
        pytest.skip("SB_EDGE_AGENT is not set")
    return path


class AgentCli:
    """Values of the configuration go by --set; nothing of this machine's own is read."""

    def __init__(self, folder, **values):
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "agent.conf"
        self.config.write_text("")
        self.values = {"agent.state_dir": self.state, **values}
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("SB_")}
        self.env.pop("NO_COLOR", None)

    def args(self, *args, **values):
        settings = [f"--set={key}={value}" for key, value in {**self.values, **values}.items()]
        return [program(), "--config", str(self.config), *settings, *map(str, args)]

    def run(self, *args, stdin=None, timeout=60, **values):
        """The result has returncode, stdout and stderr as texts."""
        return subprocess.run(
            self.args(*args, **values), capture_output=True, text=True, check=False,
            timeout=timeout, env=self.env, input="" if stdin is None else stdin)

    def start(self, *args, **values):
        """In the background, with pipes."""
        return subprocess.Popen(self.args(*args, **values), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)

    def ok(self, *args, **keywords):
        """Must end with 0; returns standard output."""
        result = self.run(*args, **keywords)
        assert result.returncode == 0, f"{args}: {result.returncode}\n{result.stderr}"
        return result.stdout

    def json(self, *args, **keywords):
        return json.loads(self.ok(*args, "--json", **keywords))

    def lines(self, *args, **keywords):
        return [json.loads(line) for line in self.ok(*args, "--json", **keywords).splitlines()]

    def status(self):
        return self.json("status")

    def pending(self):
        return self.status()["pending_count"]

    def rows(self, stream):
        """Every record of a stream as it lies in the outbox, in the order of its numbers: readings
        as dicts of fields, others as dicts. Numbers are texts, as they were written."""
        database = sqlite3.connect(f"file:{self.state}/outbox.db?mode=ro", uri=True)
        query = ("SELECT fields.text, outbox.body FROM outbox JOIN streams ON streams.s = "
                 "outbox.key >> 43 LEFT JOIN fields ON fields.f = outbox.f "
                 "WHERE streams.stream = ? ORDER BY outbox.key")
        try:
            for fields, body in database.execute(query, (stream,)):
                records = json.loads(f"[{body}]", parse_float=str, parse_int=str)
                names = json.loads(fields) if fields else None
                for record in records:
                    yield dict(zip(names, record, strict=True)) if names else record
        finally:
            database.close()
