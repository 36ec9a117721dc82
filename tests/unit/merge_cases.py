#!/usr/bin/python3
"""Real concurrent edits of JSON documents (json-threeway-merges of the recorded data).

usage: merge_cases.py MERGE_LINES

Each case has base, ours, theirs and what people made of them. Clean cases whose texts are strict JSON
must give what people wanted, whichever side is local, in one text; conflict cases must report exactly
the places that are listed; texts with a key twice are refused. Exit status 77 without the data.
"""

import collections
import json
import lzma
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import merge_lines as kit  # noqa: E402

FOLDER = kit.DATA / "json-threeway-merges"
SIDES = ("base", "ours", "theirs")


def records():
    for path in sorted(FOLDER.glob("*.jsonl.xz")):
        with lzma.open(path) as file:
            for line in file:
                yield json.loads(line)


def merge(base, local, server):
    return ["merge", "merge", "", base, local, server, "", "1", "X", ""]


def same(a, b):
    """Equal with types, numbers by value and whole or not."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def check_strict(record, answers, seen):
    there, back = next(answers), next(answers)
    text, undecided = there[0], json.loads(there[1])
    wanted = sorted((c["pointer"] for c in record.get("conflicts") or []), key=str.encode)
    assert undecided == wanted, (record["id"], undecided, wanted)
    assert there[1:] == back[1:] and (undecided or there == back), record["id"]
    seen[record["class"]] += 1
    seen.update(c["kind"] for c in record.get("conflicts") or [])
    if record["class"] == "clean":
        assert same(json.loads(next(answers)[0]), json.loads(text))
        if record["clean_matches_merged"]:
            assert same(json.loads(text), json.loads(record["merged"])), record["id"]
            seen["as people wanted"] += 1


def check_texts(record, answers, seen):
    """Whether the scanner takes what the record says; False where a side is no document."""
    strict = True
    for side in SIDES:
        answer, kind = next(answers), record["parse"][side]
        if kind == "ok":
            assert answer == ["ok"], (record["id"], side, answer)
        else:
            strict = False
            code = "duplicate_key" if kind == "dup-keys" else "bad_json"
            assert answer[0] == code and answer[1].startswith("at byte "), (record["id"], answer)
    if not strict:
        seen["refused"] += 1
        if "dup-keys" in (record["parse"][s] for s in SIDES):
            seen["refused for a key twice"] += 1
    return strict


def main(program):
    if not FOLDER.exists():
        kit.skip(f"{FOLDER} is not there")
    seen = collections.Counter()
    for record in records():
        base, ours, theirs = (record[side] for side in SIDES)
        seen["cases"] += 1
        if not check_texts(record, kit.ask(program, [["check", t] for t in (base, ours, theirs)]),
                           seen):
            continue
        commands = [merge(base, ours, theirs), merge(base, theirs, ours)]
        if record["class"] == "clean":  # what came of it is taken by a device that saw only base
            merged = next(kit.ask(program, commands[:1]))[0]
            commands.append(merge(base, base, merged))
        check_strict(record, kit.ask(program, commands), seen)
    print(", ".join(f"{n} {name}" for name, n in seen.items()))
    assert seen == {"cases": 339, "clean": 282, "as people wanted": 275, "conflict": 40,
                    "refused": 17, "refused for a key twice": 16, "modify/modify": 157,
                    "add/add": 90, "delete/modify": 22, "array/array": 3}, seen


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
