#!/usr/bin/python3
"""The cloud's verdicts and answers are those of the executable model.

usage: cloud_model.py CLOUD_LINES [COUNT [SEED]]

COUNT generated histories (1500 by default) of one user each. Three devices send batches of
operations on two documents, on bases of every kind (own operations applied or in conflict, tags of
any version, tags nobody knows, none); some numbers come again, some operations under a new number,
some numbers with another operation. In between documents and changes are read from cursors of every
kind, page by page, conflicts are listed, shown and resolved by operators and devices, with request
ids that come again, tombstones are purged and the ingest starts anew; runs of messages share one
transaction. Compared with each answer: outcomes, codes, pointers, versions, and documents with
their tags (which cover the texts of all results so far), HLCs and stamps; pages and cursors;
conflicts and what a decision made of them. The model is looked for beside the data; exit status 77
when it is not there.
"""

import base64
import collections
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
USERS = 250  # of one database: a device has a limit of streams
DEVICES = ("X", "Y", "Z")
DOCS = ("d0", "d1", "d2")
OPERATORS = ("_op-a", "_op-b")
MIXES = (("merge", False), ("latest", False), ("server", False), ("local", False), ("merge", True))
WORDS = ("undecided", "base_unknown", "cursor_unknown", "forbidden", "not_found", "bad_value",
         "resolved", "decided", "id_reused")  # that must have been told
START_MS, PURGE_MS = 1767323045000, 2  # cloud_lines' clock, and what a purge takes


class Silent:
    """The model reports to its own checks, which are not run here."""

    def __getattr__(self, name):
        return lambda *args: None


def refused(code):
    return {"success": False, "code": code}


def encrypted(document):
    return isinstance(document, str)


class Database:
    """What all users of one database share: the clock and the numbers of conflicts."""

    def __init__(self):
        self.now_ms, self.conflicts, self.batches, self.requests = START_MS, 0, 0, 0

    def request_id(self):
        self.requests += 1
        return f"01930000-0000-7000-9000-{self.requests:012d}"


class Conflict:
    def __init__(self, number, op, code, pointers, current):
        self.number, self.op, self.code = number, op, code
        self.pointers = sorted(pointers, key=lambda p: p.encode())
        self.server_version = current.version if current else None
        self.resolution = self.by = None


class History:
    """One user's messages, and what the model says of each."""

    def __init__(self, seed, policy, sealed, database):
        self.random = random.Random(f"{seed} {policy} {sealed}")
        self.user, self.policy, self.sealed, self.database = f"u{seed}", policy, sealed, database
        self.cloud = model.Cloud(RULES, policy, sealed, Silent())
        self.cloud.conflict, self.cloud.apply = self.open_conflict, self.apply
        self.ops, self.at = [], {device: [] for device in DEVICES}  # at: operations by number - 1
        self.conflicts, self.answered, self.tops = {}, [], {}

    # -- what the model does not keep

    def open_conflict(self, op, code, pointers):
        self.database.conflicts += 1
        self.conflicts[op.id] = Conflict(self.database.conflicts, op, code, pointers,
                                         self.cloud.docs.get(op.doc))
        return model.Cloud.conflict(self.cloud, op, code, pointers)

    def apply(self, op, *more):
        stamp = (op.hlc, op.device)
        there = op.doc in self.cloud.docs
        self.tops[op.doc] = max(stamp, self.tops[op.doc]) if there else stamp
        return model.Cloud.apply(self.cloud, op, *more)

    # -- making operations

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

    def changed(self, document):
        for _ in range(self.random.choice((0, 1, 1, 1, 2))):
            gone = self.random.random() < .15
            document = model.put(document, self.random.choice(PLACES),
                                 model.ABSENT if gone else self.value())
        if not isinstance(document, dict):
            document = {}
        return dict(reversed(list(document.items()))) if self.random.random() < .3 else document

    def document(self, doc, base):
        """Mostly the base document, or another that was there once, with a few places changed."""
        there = self.cloud.current(doc).content is not model.ABSENT
        if self.random.random() < .15 and (there or not self.sealed):
            return model.ABSENT  # (nothing is encrypted where nothing meets nothing)
        if self.sealed:
            return self.token()
        known = [op.submitted for op in self.ops if op.doc == doc]
        return self.changed(self.random.choice(known + [base]) if self.random.random() < .2 else base)

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

    def new_op(self, device):
        doc = self.random.choice(DOCS[:2])
        hlc = self.random.randint(1, 30)
        if self.random.random() < .3:  # about as high as an operator's
            hlc = (self.database.now_ms << 16) + self.random.randint(-2, 3)
        base = self.base(device, doc)
        op = model.Operation(f"{self.user}-{device}{len(self.ops)}", device, 0, doc, base,
                             model.ABSENT, model.ABSENT, hlc, [])
        known, document = self.cloud.base_document(op)
        op.submitted = self.document(doc, document if known else model.ABSENT)
        self.ops.append(op)
        return op

    # -- batches

    def next_op(self, device, number):
        """The operation under this number: mostly the one it had, or a new one."""
        at, kind = self.at[device], self.random.random()
        if number <= len(at) and kind < .9:
            return at[number - 1]
        own = [op for op in self.ops if op.device == device]
        op = self.random.choice(own) if own and kind > .97 else self.new_op(device)
        if number > len(at):
            at.append(op)
        return op

    def batch(self):
        device = self.random.choice(DEVICES)
        made = len(self.at[device])
        first = self.random.randint(1, made) if made and self.random.random() < .15 else made + 1
        told, records = {"accepted": 0, "duplicates": 0, "versions": [], "conflicts": []}, []
        for number in range(first, first + self.random.choice((1, 1, 1, 2, 3))):
            op = self.next_op(device, number)
            again = op.id in self.cloud.ops
            self.tell(told, number, op, again, self.cloud.submit(op))
            records.append(self.record(op))
        self.database.batches += 1
        text = json.dumps({"v": 1, "batch_id": f"01930000-0000-7000-8000-{self.database.batches:012d}",
                           "device": device, "epoch": "00000000000000e1",
                           "stream": f"records/{self.user}", "first_seq": first,
                           "last_seq": number, "sent_at": "2026-01-01T00:00:00Z",
                           "records": ["@"]})
        text = text.replace('"@"', ",".join(records))
        return ["batch", device, self.user, text], told, told_of_ack

    def record(self, op):
        base = None
        if op.base is not None:
            base = {"op_id": op.base.op_id} if op.base.tag is None else {"tag": op.base.tag}
        record = {"op_id": op.id, "hlc": f"{op.hlc:016x}", "table": "docs", "id": op.doc,
                  "operation": "delete" if op.submitted is model.ABSENT else "update", "base": base}
        if op.submitted is not model.ABSENT:
            record["data"] = op.submitted
        return json.dumps(record)

    def tell(self, told, number, op, again, reply):
        if reply.outcome == "applied":
            told["duplicates" if again else "accepted"] += 1
            told["versions"].append([number, reply.version])
            return
        told["conflicts"].append(
            {"seq": number, "op_id": op.id, "code": reply.code, "as_of": reply.as_of,
             "pointers": self.conflicts[op.id].pointers, "policy": self.policy,
             "server": self.told_document(op.doc, reply.server)})

    # -- documents as they are told

    def told_document(self, doc, current):
        if current is None:
            return None
        told = {"version": current.version, "tag": current.tag, "op_id": current.op_id,
                "hlc": f"{self.tops[doc][0]:016x}", "data": model.text(current.content)}
        if self.policy == "latest" and not self.sealed:
            told["stamps"] = self.told_stamps(doc, current)
        return told

    def told_stamps(self, doc, current):
        stamps = {p: [f"{h:016x}", d] for p, (h, d) in current.stamps.items() if p != "*"}
        if current.content is model.ABSENT:  # a tombstone is one place
            stamps = {"": max(stamps.values())} if stamps else {}
        return stamps

    # -- reading

    def ask(self, op, args, expected, told_of, who=None, request_id=None):
        bound = tuple(device for device in DEVICES if self.at[device])
        who = who or self.random.choice(bound + OPERATORS)
        text = json.dumps({"v": 1, "kind": "request", "id": request_id or self.database.request_id(),
                           "op": op, "args": args})
        return ["ask", who, text], expected, told_of

    def any_cursor(self):
        kind = self.random.random()
        if kind < .3:
            return model.ZERO
        number = self.random.randint(0, self.cloud.version)
        cursor = model.Cursor(number, self.cloud.history[number].tag)
        if kind < .4 and number:
            cursor = cursor._replace(tag=f"{self.random.getrandbits(64):016x}")
        return cursor if kind < .95 else cursor._replace(version=self.cloud.version + 1)

    def pages(self):
        """All pages from a cursor, or the first one alone: with writes between two pages."""
        cursor, limit = self.any_cursor(), self.random.randint(1, 3)
        while cursor:
            if cursor.version and not cursor.tag:
                cursor = cursor._replace(tag="0" * 16)
            page = self.cloud.changes(cursor, limit)
            since = {"version": cursor.version, "tag": cursor.tag} if cursor.version else None
            args = {"user": self.user, "table": "docs", "since": since, "limit": limit}
            yield self.ask("changes", args, self.expected_page(page), told_of_page)
            cursor = page[1] if page and page[2] and self.random.random() < .7 else None

    def expected_page(self, page):
        if page is None:
            return refused("cursor_unknown")
        rows, cursor, more = page
        return {"changes": [{"id": doc, **self.told_document(doc, current)} for doc, current in rows],
                "cursor": [cursor.version, cursor.tag] if cursor.version else None,
                "latest_version": self.cloud.version, "has_more": more}

    def get_document(self):
        doc = self.random.choice(DOCS)
        current = self.cloud.docs.get(doc)
        expected = {"id": doc, "exists": current is not None, "as_of": self.cloud.version,
                    "document": self.told_document(doc, current)}
        args = {"user": self.user, "table": "docs", "id": doc}
        return self.ask("document.get", args, expected, told_of_get)

    def get_version(self):
        number, doc = self.random.randint(1, self.cloud.version + 1), self.random.choice(DOCS)
        version = self.cloud.history.get(number)
        expected = refused("not_found")
        if version and version.doc == doc:
            expected = {"version": number, "tag": version.tag, "op_id": version.op_id,
                        "data": model.text(version.result)}
        args = {"user": self.user, "table": "docs", "id": doc, "version": number}
        return self.ask("version.get", args, expected, told_of_version)

    def get_foreign(self):
        args = {"user": self.user, "table": "docs", "id": "d0", "since": None}
        op = self.random.choice(("changes", "document.get", "versions", "settings.get",
                                 "conflicts.list"))
        return self.ask(op, args, refused("forbidden"), told_of_refusal, who="stranger")

    # -- conflicts

    def list_conflicts(self):
        opened = self.random.random() < .5
        told = [self.told_conflict(c) for c in self.conflicts.values() if not (opened and c.by)]
        args = {"user": self.user, "open": opened, "limit": 1000}
        return self.ask("conflicts.list", args, {"conflicts": told}, told_of_list)

    def told_conflict(self, c):
        return {"id": c.number, "op_id": c.op.id, "document": c.op.doc, "code": c.code,
                "pointers": c.pointers, "server_version": c.server_version,
                "resolution": c.resolution, "resolved_by": c.by}

    def show_conflict(self):
        c = self.random.choice(list(self.conflicts.values()))
        known, base = self.cloud.base_document(c.op)
        expected = {**self.told_conflict(c),
                    "base": model.text(base) if known and c.op.base else None,
                    "submitted": model.text(c.op.submitted), "as_of": self.cloud.version,
                    "server": self.told_document(c.op.doc, self.cloud.docs.get(c.op.doc))}
        return self.ask("conflicts.show", {"id": c.number}, expected, told_of_view)

    def resolve(self):
        if self.answered and self.random.random() < .3:
            return self.resolve_again()
        if self.random.random() < .3:
            who, args, expected = self.resolve_own()
        else:
            who, args, expected = self.resolve_as_operator()
        asked = self.ask("conflicts.resolve", args, expected, told_of_resolved, who)
        self.answered.append((who, args, expected, json.loads(asked[0][2])["id"]))
        return asked

    def resolve_again(self):
        """The same id: the same answer, or none to something else."""
        who, args, expected, request_id = self.random.choice(self.answered)
        if self.random.random() < .4:
            args, expected = {**args, "note": "another"}, refused("id_reused")
        return self.ask("conflicts.resolve", args, expected, told_of_resolved, who, request_id)

    def resolve_own(self):
        device, choice = self.random.choice(DEVICES), self.random.choice(("local", "server", "merge"))
        own = [op.id for op in self.ops if op.device == device]
        ids = self.random.sample(own, min(len(own), 3)) + [f"{self.user}-never"]
        found = [self.conflicts[i] for i in ids if i in self.conflicts]
        closed = [c for c in found if c.by is None]
        for c in closed:
            c.resolution, c.by = choice, device
        expected = {"resolved": len(closed), "already": len(found) - len(closed),
                    "unknown": len(ids) - len(found), "version": None, "tag": None}
        return device, {"ops": ids, "choice": choice}, expected

    def resolve_as_operator(self):
        who, choice = self.random.choice(OPERATORS), self.random.choice(("local", "server", "merge"))
        c = self.random.choice(list(self.conflicts.values()))
        args = {"id": c.number, "choice": choice}
        current = self.cloud.current(c.op.doc).content
        result = current
        if choice == "merge":
            # (the model has users whose documents are all encrypted, or none)
            gone = self.random.random() < .2 or (self.sealed and not encrypted(current))
            result = model.ABSENT if gone else self.changed({} if encrypted(current) else current)
            args["data"] = None if gone else result
        if c.by:
            return who, args, {"resolved": 0, "already": 1, "unknown": 0, "version": None, "tag": None}
        code = self.why_not(c, choice, current)
        if code:
            return who, args, refused(code)
        if choice == "local":
            result = self.set_again(c, current)
        told = {"resolved": 1, "already": 0, "unknown": 0, "version": None, "tag": None}
        if model.text(result) != model.text(current) and not (choice == "local" and
                                                              model.same(result, current)):
            reply = self.write(who, c.op.doc, result)
            told["version"], told["tag"] = reply.version, reply.tag
        c.resolution, c.by = choice, who
        return who, args, told

    def why_not(self, c, choice, current):
        if choice == "server":
            return None
        if encrypted(current):
            return "bad_value"
        if choice == "merge":
            return None
        known, base = self.cloud.base_document(c.op)
        if not known:
            return "base_unknown"
        return "bad_value" if encrypted(base) or encrypted(c.op.submitted) else None

    def set_again(self, c, document):
        """V8, as the model's device does it."""
        base = self.cloud.base_document(c.op)[1]
        for place in model.changed(base, c.op.submitted):
            document = model.put(document, place, model.get(c.op.submitted, place))
        return document

    def write(self, who, doc, result):
        """An operation on the document in force, under the id of the request that comes now."""
        current = self.cloud.docs.get(doc)
        now, top = self.database.now_ms << 16, self.tops[doc][0] if current else 0
        base = model.Base("?", current.tag, 0) if current else None
        op = model.Operation(f"01930000-0000-7000-9000-{self.database.requests + 1:012d}", who, 0, doc,
                             base, model.ABSENT, result, now if now > top else top + 1, [])
        return self.cloud.submit(op)

    # -- all of it

    def steps(self):
        """(command, what the model answers, how that is read from the answer)"""
        for _ in range(self.random.randint(4, 24)):
            kind = self.random.random()
            if kind < .05:
                self.cloud.purge_tombstones()
                self.database.now_ms += PURGE_MS
                yield ["purge"], None, None
            elif kind < .06:
                yield ["restart"], None, None
            elif kind < .13:
                yield from self.pages()
            elif kind < .2:
                yield self.random.choice((self.get_document, self.get_version, self.get_foreign))()
            elif kind < .23:
                yield self.list_conflicts()
            elif kind < .38 and self.conflicts:
                yield self.random.choice((self.show_conflict, self.resolve, self.resolve))()
            else:
                yield self.batch()
        yield from self.pages()
        yield self.list_conflicts()


# ---- the same from the cloud's answers

def text_of(told):
    if told.get("deleted"):
        return ""
    return json.dumps(told["data"])


def told_document(told):
    if told is None:
        return None
    document = {k: told[k] for k in ("version", "tag", "op_id", "hlc", "stamps") if k in told}
    document["data"] = text_of(told)
    return document


def told_of_ack(ack):
    conflicts = [{**{k: c[k] for k in ("seq", "op_id", "code", "as_of", "pointers", "policy")},
                  "server": told_document(c["server"])} for c in ack["conflicts"]]
    assert ack["rejected"] == [] and ack["revised"] == 0, ack
    word = "conflict" if conflicts else "stored" if ack["accepted"] else "duplicate"
    assert ack["result"] == word, ack
    return {"accepted": ack["accepted"], "duplicates": ack["duplicates"], "versions": ack["versions"],
            "conflicts": conflicts}


def told_of_refusal(answer):
    return {"success": answer["success"], "code": answer.get("code")}


def unless_refused(read):
    return lambda answer: read(answer["data"]) if answer["success"] else told_of_refusal(answer)


@unless_refused
def told_of_page(data):
    changes = []
    for change in data["changes"]:
        assert change["operation"] == ("delete" if change.get("deleted") else "update")
        changes.append({"id": change["id"], **told_document(change)})
    cursor = data["cursor"] and [data["cursor"]["version"], data["cursor"]["tag"]]
    return {"changes": changes, "cursor": cursor, "latest_version": data["latest_version"],
            "has_more": data["has_more"]}


@unless_refused
def told_of_get(data):
    document = told_document(data) if data["exists"] else None
    return {**{k: data[k] for k in ("id", "exists", "as_of")}, "document": document}


@unless_refused
def told_of_version(data):
    return {**{k: data[k] for k in ("version", "tag", "op_id")}, "data": text_of(data)}


ENTRY = ("id", "op_id", "document", "code", "pointers", "server_version", "resolution", "resolved_by")


@unless_refused
def told_of_list(data):
    assert data["has_more"] is False
    return {"conflicts": [{k: c[k] for k in ENTRY} for c in data["conflicts"]]}


@unless_refused
def told_of_view(data):
    return {**{k: data[k] for k in ENTRY}, "as_of": data["as_of"],
            "base": data["base_document"] and text_of(data["base_document"]),
            "submitted": text_of(data["submitted"]), "server": told_document(data["server"])}


@unless_refused
def told_of_resolved(data):
    return data


# ---- running

def in_groups(steps, chance):
    """Some runs of messages are held back for one transaction."""
    held = 0
    for step in steps:
        message = step[1] is not None
        if held and not message:
            yield ["flush"], None, None
            held = 0
        if not held and message and chance.random() < .15:
            yield ["hold"], None, None
            held = chance.randint(2, 6) + 1
        yield step
        if held:
            held -= 1
            if held == 1:
                yield ["flush"], None, None
                held = 0
    if held:
        yield ["flush"], None, None


def run_mix(program, seeds, policy, sealed):
    """How often each word was told, or None after printing the first difference."""
    database, steps = Database(), []
    name = policy + (" encrypted" if sealed else "")
    for seed in seeds:
        steps += list(History(seed, policy, sealed, database).steps())
    steps = list(in_groups(steps, random.Random(f"{seeds[0]} groups")))
    lines = "\n".join(json.dumps(command) for command, _, _ in steps) + "\n"
    run = subprocess.run([program, policy], input=lines, stdout=subprocess.PIPE, encoding="utf-8")
    answers = run.stdout.splitlines()
    seen = collections.Counter()
    for (command, wanted, read), answer in zip(steps, answers):
        told = read(json.loads(answer)) if read else None
        if told != wanted:
            print(f"{name}\n  {command}\n  answer {answer}\n  told   {told}\n  wanted {wanted}")
            return None
        seen.update(words_of(told or {}))
    assert run.returncode == 0 and len(answers) == len(steps), (len(answers), len(steps))
    assert seen["versions"] > len(seeds), seen  # else nothing was compared
    print(f"{name}: {len(steps)} lines, {dict(seen)}")
    return seen


def words_of(told):
    yield from (c["code"] or "undecided" for c in told.get("conflicts", []) if "seq" in c)
    if told.get("code") and "success" in told:
        yield told["code"]
    if told.get("versions"):
        yield "versions"
    if told.get("resolved"):
        yield "resolved" if told["version"] is None else "decided"


def main():
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1500
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    end = first + max(1, count // len(MIXES))
    chunks = [range(at, min(at + USERS, end)) for at in range(first, end, USERS)]
    total = collections.Counter()
    for mix in MIXES:
        for seeds in chunks:
            seen = run_mix(program, seeds, *mix)
            if seen is None:
                return 1
            total.update(seen)
    missing = [word for word in WORDS if count >= 500 and not total[word]]
    assert not missing, missing  # else too little was compared
    return 0


if __name__ == "__main__":
    sys.exit(main())
