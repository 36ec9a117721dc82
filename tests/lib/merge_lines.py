"""Drives the program merge_lines: commands in, answers out, in the same order."""

import json
import os
import subprocess
import sys
from pathlib import Path

SKIPPED = 77
SOURCE = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SB_SHARED_DATA", SOURCE.parent / "shared" / "data"))
CHUNK = 4000


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIPPED)


def ask(program, commands):
    """Yields the answer (a list of strings) to each command (a list of strings)."""
    commands = iter(commands)
    while True:
        chunk = [json.dumps(c, ensure_ascii=False) for _, c in zip(range(CHUNK), commands)]
        if not chunk:
            return
        run = subprocess.run([program], input="\n".join(chunk) + "\n", stdout=subprocess.PIPE,
                             encoding="utf-8", check=True)
        answers = run.stdout.splitlines()
        assert len(answers) == len(chunk), (len(answers), len(chunk))
        for answer in answers:
            yield json.loads(answer)
