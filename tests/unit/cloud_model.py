#!/usr/bin/python3
"""The cloud's verdicts on operations are those of the executable model.

usage: cloud_model.py CLOUD_LINES [COUNT [SEED]]

COUNT generated histories (2000 by default) of one user each: three devices submit operations on two
documents, on bases of every kind (own operations applied or in conflict, tags of any version, tags
nobody knows, none), some of them again, and tombstones are purged in between. Compared after each
operation: the outcome, its code, the version it made, the pointers, and the document in force with
its tag (which covers the texts of all results so far) and its stamps. The model is looked for
beside the data; exit status 77 when it is not there.
"""

import base64
import json
import os
import random
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
MODEL = Path(os.environ.get("SB_SHARED_DATA", SOURCE.parent / "shared" / "data")).parent / "model"
if not (MODEL / "versions.py").exists():
    print(f"skipped: {MODEL}/versions.py is not there")
    sys.exit(77)
sys.dont_write_bytecode = True
sys.path.insert(0, str(MODEL))
import versions as model  # noqa: E402

RULES = {**dict.fromkeys(model.RULES, True), **dict.fromkeys(model.VARIANTS, False)}
PLACES = ("/a", "/b~1x", "/o", "/o/p", "/o/q", "/m~0n/z", "/名")
USERS = 500  # of one database: a device has a limit of streams
DEVICES = ("X", "Y", "Z")
MIXES = (("merge", False), ("latest", False), ("server", False), ("local", False), ("merge", True))


class Silent:
    """The model reports to its own checks, which are not run here."""

    def __getattr__(self, name):
        return lambda *args: None


class History:
    """One user's operations, and what the model says of each."""

    def __init__(self, seed, policy, encrypted):
        self.random = random.Random(f"{seed} {policy} {encrypted}")
        self.user, self.encrypted = f"u{seed}", encrypted
        self.cloud = model.Cloud(RULES, policy, encrypted, Silent())
        self.ops, self.seqs = [], dict.fromkeys(DEVICES, 0)

    def token(self):
        raw = b"\x80" + self.random.randbytes(8 + 16 + 16 * self.random.randint(1, 3) + 32)
        return base64.urlsafe_b64encode(raw).decode()

    def value(self):
        kind = self.random.random()
        if kind < .12:
            return None
        if kind < .25:
            return [self.random.randint(0, 2), {"b": 1, "a": 2}]
        if kind < .4:
            return {self.random.choice("pq"): self.random.randint(0, 2)}
        return self.random.randint(0, 3) if kind < .85 else "\u684c\u9762 \U0001f600 \\ \" /"

    def document(self, doc, base):
        """Mostly the base document, or another that was there once, with a few places changed."""
        there = self.cloud.current(doc).content is not model.ABSENT
        if self.random.random() < .15 and (there or not self.encrypted):
            return model.ABSENT  # (nothing is encrypted where nothing meets nothing)
        if self.encrypted:
            return self.token()
        known = [op.submitted for op in self.ops if op.doc == doc]
        new = self.random.choice(known + [base]) if self.random.random() < .2 else base
        new = {} if new is model.ABSENT else new
        for _ in range(self.random.choice((0, 1, 1, 1, 2))):
            gone = self.random.random() < .15
            new = model.put(new, self.random.choice(PLACES), model.ABSENT if gone else self.value())
        if not isinstance(new, dict):
            new = {}
        return dict(reversed(list(new.items()))) if self.random.random() < .3 else new

    def base(self, device, doc):
        kind = self.random.random()
        current = self.cloud.docs.get(doc)
        if self.random.random() < .04:
            return model.Base("?", f"{self.random.getrandbits(64):016x}", 0)
        if kind < .2 and current:
            return model.Base("?", current.tag, 0)
        own = [op for op in self.ops if op.device == device and op.doc == doc]
        if self.random.random() < .9:
            own = [op for op in own if self.cloud.ops[op.id].outcome == "applied"]
        if kind < .5 and own:
            return model.Base(self.random.choice(own[-3:]).id)
        tags = [v.tag for v in self.cloud.history.values() if v.doc == doc]
        if kind < .9 and tags:
            return model.Base("?", self.random.choice(tags[-3:]), 0)
        return None

    def new_op(self):
        device, doc = self.random.choice(DEVICES), self.random.choice(("d0", "d1"))
        self.seqs[device] += 1
        seq, base = self.seqs[device], self.base(device, doc)
        op = model.Operation(f"{self.user}-{device}{seq}", device, seq, doc, base, model.ABSENT,
                             model.ABSENT, self.random.randint(1, 30), [])
        known, document = self.cloud.base_document(op)
        op.submitted = self.document(doc, document if known else model.ABSENT)
        self.ops.append(op)
        return op

    def steps(self):
        """(command, operation or None, what the model answers)"""
        for _ in range(self.random.randint(4, 24)):
            kind = self.random.random()
            if kind < .06:
                self.cloud.purge_tombstones()
                yield ["purge"], None, None, None
                continue
            again = kind < .18 and len(self.ops) > 0
            op = self.random.choice(self.ops) if again else self.new_op()
            reply = self.cloud.submit(op)
            yield self.command(op), op, reply, again

    def command(self, op):
        if op.base is None:
            base = "null"
        elif op.base.tag is None:
            base = json.dumps({"op_id": op.base.op_id})
        else:
            base = json.dumps({"tag": op.base.tag})
        return ["op", op.device, self.user, str(op.seq), op.id, f"{op.hlc:016x}", "docs", op.doc,
                base, model.text(op.submitted)]


def pointers_of(history):
    """The model answers with no pointers; what it called undecided the last time is kept here."""
    kept = {}

    def conflict(op, code, pointers):
        kept[op.id] = sorted(pointers, key=lambda p: p.encode())
        return original(op, code, pointers)

    original, history.cloud.conflict = history.cloud.conflict, conflict
    return kept


def server_of(current, policy, encrypted):
    if current is None:
        return None
    expected = {"version": current.version, "tag": current.tag, "op_id": current.op_id,
                "data": model.text(current.content)}
    if policy == "latest" and not encrypted:
        stamps = {p: [f"{h:016x}", d] for p, (h, d) in current.stamps.items() if p != "*"}
        if current.content is model.ABSENT and stamps:
            stamps = {"": max(stamps.values())}  # a tombstone is one place
        expected["stamps"] = stamps
    return expected


def server_told(server):
    if server is None:
        return None
    told = {k: server[k] for k in ("version", "tag", "op_id")}
    told["data"] = "" if server.get("deleted") else json.dumps(server["data"])
    if "stamps" in server:
        told["stamps"] = server["stamps"]
    return told


def expected_of(op, reply, again, pointers, policy, encrypted):
    if reply.outcome == "applied":
        return {"result": "duplicate" if again else "stored", "version": reply.version}
    return {"result": "conflict", "code": reply.code, "pointers": pointers[op.id], "as_of": reply.as_of,
            "server": server_of(reply.server, policy, encrypted), "policy": policy}


def told_of(reply):
    if reply["result"] != "conflict":
        return {"result": reply["result"], "version": (reply["versions"] or [[0, 0]])[0][1]}
    entry = reply["conflicts"][0]
    return {"result": "conflict", "code": entry["code"], "pointers": entry["pointers"],
            "as_of": entry["as_of"], "server": server_told(entry["server"]), "policy": entry["policy"]}


def run_mix(program, seeds, policy, encrypted):
    commands, expected, seen = [], [], {"applied": 0, "merge": 0, "base_unknown": 0}
    for seed in seeds:
        history = History(seed, policy, encrypted)
        pointers = pointers_of(history)
        for command, op, reply, again in history.steps():
            commands.append(json.dumps(command))
            expected.append(op and expected_of(op, reply, again, pointers, policy, encrypted))
            if op:
                seen[reply.code or ("merge" if reply.outcome == "conflict" else "applied")] += 1
    run = subprocess.run([program, policy], input="\n".join(commands) + "\n", stdout=subprocess.PIPE,
                         encoding="utf-8", check=True)
    answers = run.stdout.splitlines()
    assert len(answers) == len(commands), (len(answers), len(commands))
    for command, answer, wanted in zip(commands, answers, expected):
        if wanted is not None and told_of(json.loads(answer)) != wanted:
            print(f"{policy}{' encrypted' if encrypted else ''}\n  {command}\n  told   {answer}"
                  f"\n  wanted {wanted}")
            return 1
    print(f"{policy}{' encrypted' if encrypted else ''}: {len(commands)} lines, {seen}")
    assert seen["applied"] > len(seeds), seen  # else nothing was compared
    return 0


def main():
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    end = first + max(1, count // len(MIXES))
    chunks = [range(at, min(at + USERS, end)) for at in range(first, end, USERS)]
    return max(run_mix(program, seeds, *mix) for mix in MIXES for seeds in chunks)


if __name__ == "__main__":
    sys.exit(main())
