#!/usr/bin/python3
"""The merge, the places of documents and the stamps give what the executable model gives.

usage: merge_model.py MERGE_LINES [COUNT [SEED]]

COUNT generated triples (100,000 by default), as Python's json.dumps writes them, each merged under
one of the policies merge, latest, server and local (manual has no model; test_merge.c has it):
text, undecided, lost and won pointers are compared, with the two sides swapped too where the result
must not depend on them. Each third triple also goes through changed, put, reapply and apply. The
model is looked for beside the data; exit status 77 when it is not there.
"""

import collections
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import merge_lines as kit  # noqa: E402

MODEL = kit.DATA.parent / "model"
if not (MODEL / "versions.py").exists():
    kit.skip(f"{MODEL}/versions.py is not there")
sys.dont_write_bytecode = True
sys.path.insert(0, str(MODEL))
import versions as model  # noqa: E402

RULES = dict.fromkeys(model.RULES, True)
KEYS = ["a", "b", "c", "a/b", "~", "m~1n", "", "é", "名", "\U0001f600", "a\"b", "A\tB"]
SCALARS = [None, True, False, 0, 1, 2, 1.0, 2.5, 1e300, 2**63, -2**63, 0.1, 12345678901234567, "",
           "x", "1", "é", "\u202eשלום", "\U0001f600", "a\nb", {}, []]
DEVICES = ["X", "Y", "Z-1"]
POLICIES = ["merge", "merge", "latest", "latest", "server", "local"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def keys(self):
        return self.random.sample(KEYS, self.random.randint(0, 4))

    def value(self, depth):
        kind = self.random.random()
        if depth > 0 and kind < .35:
            return {k: self.value(depth - 1) for k in self.keys()}
        if depth > 0 and kind < .45:
            return [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
        return self.random.choice(SCALARS)

    def document(self):
        kind = self.random.random()
        if kind < .08:
            return model.ABSENT
        if kind < .12:
            return self.value(2)
        return {k: self.value(3) for k in self.random.sample(KEYS, self.random.randint(0, 6))}

    def changed(self, value, depth=0):
        """The value with a few things changed, or one of its own."""
        if not isinstance(value, dict) or self.random.random() < .05:
            return self.value(2)
        items = list(value.items())
        if self.random.random() < .15:
            self.random.shuffle(items)
        value = dict(items)
        for _ in range(self.random.randint(0, 3 if depth == 0 else 2)):
            key = self.random.choice(list(value) or KEYS)
            kind = self.random.random()
            if kind < .25:
                value.pop(key, None)
            elif kind < .4:
                value[self.random.choice(KEYS)] = self.value(2)
            elif key in value:
                value[key] = self.changed(value[key], depth + 1)
        return value

    def triple(self):
        base = self.document()
        sides = []
        for _ in range(2):
            kind = self.random.random()
            if kind < .05:
                sides.append(model.ABSENT)
            elif kind < .1:
                sides.append(self.document())
            else:
                sides.append(base if base is model.ABSENT else self.changed(base))
        if self.random.random() < .1 and sides[0] is not model.ABSENT:
            sides[1] = self.changed(sides[0])
        return base, sides[0], sides[1]

    def stamp(self):
        return self.random.randint(1, 6), self.random.choice(DEVICES)

    def stamps(self, *documents):
        """Stamps at places of these documents, above and below them."""
        places = [""]
        for document in documents:
            places += model.leaves(document, "")
        result = {}
        for place in self.random.sample(places, min(len(places), self.random.randint(0, 5))):
            if self.random.random() < .2:
                place = place.rpartition("/")[0]
            if self.random.random() < .1:
                place = model.step(place, self.random.choice(KEYS))
            result[place] = self.stamp()
        return result


def stamps_text(stamps):
    return json.dumps({p: [f"{hlc:016x}", device] for p, (hlc, device) in stamps.items()})


def places(pointers):
    return sorted(pointers, key=str.encode)


def expected_merge(policy, base, local, server, local_stamps, own, server_stamps):
    def local_stamp(pointer):
        return max((local_stamps[p] for p in model.related(pointer, local_stamps)), default=own)
    decide = model.decider(policy, local_stamp, server_stamps, RULES)
    merge = model.Merge(RULES, base, local, server, decide)
    return [model.text(merge.result), places(merge.undecided), places(merge.lost),
            places(merge.won)]


def merge_command(policy, base, local, server, local_stamps, own, server_stamps):
    return ["merge", policy, "", model.text(base), model.text(local), model.text(server),
            stamps_text(local_stamps), f"{own[0]:x}", own[1], stamps_text(server_stamps)]


def cases_of(generator, number):
    """Yields (command, expected answer)."""
    base, local, server = generator.triple()
    policy = POLICIES[number % len(POLICIES)]
    own = generator.stamp()
    local_stamps = generator.stamps(base, local) if generator.random.random() < .5 else {}
    server_stamps = generator.stamps(base, server)
    arguments = base, local, server, local_stamps, own, server_stamps
    expected = expected_merge(policy, *arguments)
    yield merge_command(policy, *arguments), expected
    swapped = expected_merge(policy, base, server, local, local_stamps, own, server_stamps)
    yield merge_command(policy, base, server, local, local_stamps, own, server_stamps), swapped
    if policy == "merge" and not expected[1]:
        assert expected == swapped, arguments
    if number % 3:
        return
    yield ["changed", "", model.text(base), model.text(local)], [
        places(model.changed(base, local))]
    document = server
    for place in model.changed(base, local):
        document = model.put(document, place, model.get(local, place))
    yield (["reapply", "", model.text(base), model.text(local), model.text(server)],
           [model.text(document)])
    ascii_keys = [k for k in KEYS if k.isascii()]  # of new members: we write UTF-8
    pointer = "".join(model.step("", generator.random.choice(ascii_keys))
                      for _ in range(generator.random.randint(0, 3)))
    yield ["get", "", model.text(base), pointer], [model.text(model.get(base, pointer))]
    value = generator.document()
    yield (["put", "", model.text(base), pointer, model.text(value)],
           [model.text(model.put(base, pointer, value))])
    stamps = dict(server_stamps)
    for place in model.stamped(base, local):
        if model.holds(model.get(server, place), model.get(local, place)):
            stamps[place] = max(stamps.get(place, (0, "")), own)
    yield (["apply", "", stamps_text(server_stamps), model.text(base), model.text(local),
            model.text(server), f"{own[0]:x}", own[1]],
           [[[p, [f"{stamps[p][0]:016x}", stamps[p][1]]] for p in places(stamps)]])


def read(part):
    """Lists of places and stamps as values: their spacing is not Python's."""
    pairs = json.loads(part, object_pairs_hook=list)
    return [list(p) if isinstance(p, tuple) else p for p in pairs]


def main(program, count="100000", seed="1"):
    generator = Generator(int(seed))
    asked = collections.deque()
    seen = collections.Counter()

    def commands():
        for number in range(int(count)):
            for command, expected in cases_of(generator, number):
                asked.append((command, expected))
                yield command

    for answer in kit.ask(program, commands()):
        command, expected = asked.popleft()
        got = [read(part) if isinstance(wanted, list) else part
               for part, wanted in zip(answer, expected)]
        if got != expected or len(answer) != len(expected):
            sys.exit(f"{command}\n  expected {expected}\n  got      {got}")
        seen[command[0]] += 1
        if command[0] == "merge":
            seen.update(name for name, part in zip(("undecided", "lost", "won"), got[1:]) if part)
    print(", ".join(f"{n} {name}" for name, n in seen.items()))
    assert not asked and seen["merge"] == 2 * int(count)
    if int(count) >= 10000:  # both outcomes are common
        assert all(seen[name] > int(count) / 20 for name in ("undecided", "lost", "won")), seen
        assert seen["merge"] - sum(seen[n] for n in ("undecided", "lost", "won")) > int(count) / 4


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
