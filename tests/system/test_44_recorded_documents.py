"""Real documents and real concurrent edits of them: the merge gives what people wanted, conflicts
name the places that were in conflict, what is not strict JSON is refused with its place, and
whatever is a document comes back as it went in."""

import json
import lzma
import os
import random
import re
import tarfile
from pathlib import Path

import pytest

from lib.devices import SETTINGS, Fleet, one_line
from lib.flow import seed_of_run
from lib.wait import wait_until

SOURCE = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SB_SHARED_DATA", SOURCE.parent / "shared" / "data"))
SIDES = ("base", "ours", "theirs")


@pytest.fixture(scope="module", autouse=True)
def recorded():
    if not DATA.is_dir():
        pytest.skip(f"no recorded data in {DATA}")


@pytest.fixture(scope="module")
def fleet(certs, recorded):
    fleet = Fleet(certs, names=("dev-a", "dev-b"), edge={"log__level": "info"}, log__level="info")
    try:
        yield fleet.start()
    finally:
        fleet.close()


@pytest.fixture
def home(fleet, request):
    fleet.recover()
    user = request.node.name.removeprefix("test_")
    user = "".join(c if c.isalnum() else "-" for c in user)[:60].strip("-")
    fleet.bind(user)
    yield user
    fleet.unbind(user)


def records_of(folder, pattern="*.jsonl.xz"):
    for path in sorted((DATA / folder).glob(pattern)):
        with lzma.open(path, "rt", encoding="utf-8", newline="") as lines:
            for line in lines:
                yield path.name.split(".")[0], json.loads(line)


@pytest.fixture(scope="module")
def cases(recorded):
    """{name: record}. A document is an object: what is a list there becomes a member of one."""
    found = {f"{name} {record['id']}": record for name, record in records_of("json-threeway-merges")}
    for record in found.values():
        if any(record[side].lstrip()[:1] == "[" for side in SIDES):
            for side in (*SIDES, "merged"):
                if record.get(side) is not None:
                    record[side] = f'{{"list":{record[side]}}}'
            for place in record["conflicts"]:
                place["pointer"] = f"/list{place['pointer']}"
    return found


def strict(record):
    return all(record["parse"][side] == "ok" for side in SIDES)


def has_duplicates(record):
    return record["class"] == "clean" and record["clean_matches_merged"] and any(
        record["parse"][side] == "dup-keys" for side in SIDES)


# ---- real concurrent edits ----

@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_concurrent_edits_end_as_people_wanted(fleet, home, cases, order):
    """Every case is a record; a saves ours offline and b theirs, both on base."""
    a, b = fleet.devices
    clean = {id_: r for id_, r in cases.items()
             if strict(r) and r["class"] == "clean" and r["clean_matches_merged"]}
    conflicting = {id_: r for id_, r in cases.items() if strict(r) and r["class"] == "conflict"}
    assert (len(clean), len(conflicting)) == (275, 40)
    ids = [*clean, *conflicting]
    a.put_many(home, "task", {id_: cases[id_]["base"] for id_ in ids})
    wait_documents(fleet, b, home, "task", {id_: json.loads(cases[id_]["base"]) for id_ in ids})
    a.unplug()
    b.unplug()
    a.put_many(home, "task", {id_: cases[id_]["ours"] for id_ in ids})
    b.put_many(home, "task", {id_: cases[id_]["theirs"] for id_ in ids})
    first, second, side, other = ((a, b, "ours", "theirs") if order == "ours first"
                                  else (b, a, "theirs", "ours"))
    first.plug()
    first.wait_settled(60)
    second.plug()
    second.wait_settled(60)
    wanted = {**{id_: json.loads(r["merged"]) for id_, r in clean.items()},
              **{id_: json.loads(r[side]) for id_, r in conflicting.items()}}
    for device in (second, first):
        wait_documents(fleet, device, home, "task", wanted)
    there = fleet.cloud_table(home, "task")
    check_documents({id_: json.loads(text) for id_, text in there.items()}, wanted)
    check_conflicts(fleet, second, home, conflicting, other)
    assert first.conflicts(home) == []


def wait_documents(fleet, device, user, table, wanted):
    """Until this device has the texts that the cloud has; then the values are compared."""
    device.wait_settled(60)
    wait_until(lambda: local_table(device, user, table) == fleet.cloud_table(user, table), 60,
               lambda: f"{device} as the cloud: {device.status()} {device.edge.log()[-3000:]}")
    check_documents(device.all_texts(user, table), wanted)


def local_table(device, user, table):
    """{id: text}"""
    return dict(device.rows("SELECT id, doc FROM documents WHERE user = ? AND tbl = ? AND doc IS NOT"
                            " NULL", user, table))


def check_documents(found, wanted):
    assert found.keys() == wanted.keys()
    wrong = [id_ for id_, value in wanted.items() if found[id_] != value]
    assert not wrong, f"{len(wrong)} of {len(wanted)}: {wrong[:10]}"


def check_conflicts(fleet, loser, user, cases, side):
    """On both ends, with the places that the recorded case names and the text that lost."""
    found = {conflict["document"]: conflict for conflict in loser.conflicts(user)}
    assert found.keys() == cases.keys()
    there = {doc: (json.loads(pointers), submitted) for doc, pointers, submitted in fleet.rows(
        "SELECT doc, pointers, submitted FROM conflicts WHERE user = ? AND resolved_ms IS NULL",
        user)}
    assert there.keys() == {f"task/{id_}" for id_ in cases}
    for id_, record in cases.items():
        pointers = sorted({place["pointer"] for place in record["conflicts"]}, key=str.encode)
        assert found[id_]["pointers"] == pointers, id_
        in_cloud, submitted = there[f"task/{id_}"]
        assert in_cloud == pointers, id_
        assert json.loads(submitted) == json.loads(record[side]), id_
        shown = loser.edge.json("conflicts", "show", found[id_]["id"])
        assert shown["local"] == json.loads(record[side]), id_


def test_documents_with_a_key_twice_are_refused_with_their_place(fleet, home, cases):
    a, _ = fleet.devices
    refused = 0
    for id_, record in cases.items():
        if not has_duplicates(record):
            continue
        refused += 1
        for side in SIDES:
            if record["parse"][side] != "dup-keys":
                continue
            result = a.put(home, record[side], "task", id_, check=False)
            assert result.returncode == 1, id_
            answer = json.loads(result.stdout)
            assert answer["code"] == "duplicate_key" and re.search(r"\d", answer["reason"]), answer
            answer, = a.calls([f'{{"verb":"document.put","user":"{home}","table":"task",'
                               f'"id":"x","data":{one_line(record[side])}}}'])
            assert not answer["success"] and answer["code"] == "duplicate_key", answer
    assert refused == 16
    assert a.list(home, "task") == {} and a.status()["pending_count"] == 0


def test_other_documents_that_are_not_strict_json_are_refused(fleet, home, cases):
    a, _ = fleet.devices
    odd = [(id_, r) for id_, r in cases.items() if r["class"] == "not-strict-json"]
    assert odd
    for id_, record in odd:
        for side in SIDES:
            if record["parse"][side] not in ("ok", "dup-keys"):
                result = a.put(home, record[side], "task", id_, check=False)
                assert result.returncode == 1 and json.loads(result.stdout)["reason"]


# ---- saves, one after another ----

def refused_codes(parse):
    return {"dup-keys": {"duplicate_key"}, "invalid": {"bad_json"}, "bom": {"bad_json", "bad_utf8"},
            "bad-utf8": {"bad_utf8"}}[parse]


def test_settings_that_people_saved_are_replayed_with_offline_phases(fleet, home):
    """Each file is a user. What cannot be parsed is refused and holds nothing up."""
    a, b = fleet.devices
    rng = random.Random(f"{seed_of_run()} settings")
    files = {}
    for name, record in records_of("settings-history"):
        files.setdefault(record["path"], []).append(record)
    users = {path: f"{home[:40]}-{n}" for n, path in enumerate(files)}
    for user in users.values():
        fleet.bind(user)
    for device in (a, b):
        device.stop()  # each save is the command line's: half of them without a daemon
    a.start()
    saved = {path: [] for path in files}
    waiting = {path: list(records) for path, records in files.items()}
    while any(waiting.values()):
        path = rng.choice([path for path, records in waiting.items() if records])
        record = waiting[path].pop(0)
        if rng.random() < 0.04:
            a.stop() if a.edge.running() else a.edge.launch()
        result = a.put(users[path], record["text"], check=False)
        if record["parse"] == "ok" and record["text"].lstrip()[:1] == "{":
            assert result.returncode == 0, (path, record["commit"], result.stderr)
            saved[path].append(record["text"].strip())  # white space around it is no part of it
            continue
        answer = json.loads(result.stdout)
        assert result.returncode == 1 and answer["reason"], (path, record["commit"])
        if record["parse"] != "ok":
            assert answer["code"] in refused_codes(record["parse"]), (path, answer)
        else:
            assert answer["code"] == "bad_type", answer  # a list of key bindings
    fleet.recover()
    a.wait_settled(30)
    assert a.status()["failed_count"] == 0
    for path, user in users.items():
        versions = [text for _, _, text, _ in fleet.versions(user)]
        assert versions == saved[path], path
        if not saved[path]:
            assert fleet.cloud_text(user) is None and a.text(user) is None
            continue
        wait_until(lambda user=user, path=path: b.text(user) == saved[path][-1], 15,
                   f"the last version of {path}")
        assert a.text(user) == saved[path][-1]
    assert sum(map(len, saved.values())) == 82 + 60
    assert fleet.rows("SELECT count(*) FROM conflicts WHERE user LIKE ?", f"{home[:40]}%") == [(0,)]


def test_a_text_that_is_written_for_years_is_stored_version_by_version(fleet, home):
    """An update storm of one record; the writer goes offline in between."""
    a, b = fleet.devices
    rng = random.Random(f"{seed_of_run()} content")
    texts = [json.dumps({"title": "README", "n": n, "body": record["text"]}, ensure_ascii=False)
             for n, (_, record) in enumerate(records_of("content-history"))]
    assert len(texts) == 118
    at = 0
    while at < len(texts):
        some = texts[at:at + rng.randint(1, 40)]
        if rng.random() < 0.3:
            a.unplug()
        for answer in a.calls([f'{{"verb":"document.put","user":"{home}","table":"contents",'
                               f'"id":"readme","data":{text}}}' for text in some]):
            assert answer["success"], answer
        a.plug()
        at += len(some)
    a.wait_settled(30)
    assert [text for _, _, text, _ in fleet.versions(home, "contents", "readme")] == texts
    fleet.wait_same(home, "contents", "readme", text=texts[-1])
    assert fleet.open_conflicts(home) == []


def test_flow_diagrams_are_added_changed_and_removed(fleet, home):
    """The name of the file is the id; blanks, brackets and all."""
    a, b = fleet.devices
    with tarfile.open(DATA / "skills-node-red-flows" / "flows.tar.gz") as tar:
        flows = {member.name: tar.extractfile(member).read().decode()
                 for member in tar.getmembers() if member.isfile()}
    assert len(flows) == 76
    a.put_many(home, "skill", {name: f'{{"name":{json.dumps(name)},"diagram":{text}}}'
                               for name, text in flows.items()})
    a.wait_settled(60)
    wanted = {name: {"name": name, "diagram": json.loads(text)} for name, text in flows.items()}
    wait_documents(fleet, b, home, "skill", wanted)
    names = sorted(flows)
    b.stop()
    for name in names[::7]:
        b.delete(home, "skill", name)
        del wanted[name]
    for name in names[1::7]:
        value = b.get(home, "skill", name)
        for node in value["diagram"]:
            node["x"] = node.get("x", 0) + 20
        wanted[name] = value
        b.put(home, value, "skill", name)
    for name in names[1::7]:  # and elsewhere, the same ones
        value = a.get(home, "skill", name)
        value["enabled"] = wanted[name]["enabled"] = True
        a.put(home, value, "skill", name)
    b.start()
    b.wait_settled()
    wait_until(lambda: a.list(home, "skill") == wanted == b.list(home, "skill"), 20, "the same")
    check_documents({id_: json.loads(text) for id_, text in
                     fleet.cloud_table(home, "skill").items()}, wanted)
    assert fleet.open_conflicts(home) == []


# ---- texts that break things ----

def naughty():
    return json.loads((DATA / "naughty-strings" / "blns.json").read_text(encoding="utf-8"))


def test_naughty_strings_are_values_and_keys_like_any_other(fleet, home):
    strings = [text for text in naughty() if "\0" not in text]
    document = {**{text: n for n, text in enumerate(strings)}, "all": strings}
    for ascii_ in (False, True):
        text = json.dumps(document, ensure_ascii=ascii_)
        fleet.devices[0].put(home, text)
        fleet.wait_same(home, text=text)
    # and when something is merged into them
    a, b = fleet.devices
    b.stop()
    b.put(home, json.dumps({**document, "theirs": 1}, ensure_ascii=False))
    a.put(home, json.dumps({**document, "mine": 1}, ensure_ascii=True))
    a.wait_settled()
    b.start()
    fleet.wait_same(home, value={**document, "mine": 1, "theirs": 1})


def test_naughty_strings_as_ids_travel_or_are_refused(fleet, home):
    a, _ = fleet.devices
    strings = sorted(set(naughty()))
    answers = a.calls([{"verb": "document.put", "user": home, "table": "task", "id": text,
                        "data": {"id": text}} for text in strings])
    taken = [text for text, answer in zip(strings, answers) if answer["success"]]
    for text, answer in zip(strings, answers):
        if not 1 <= len(text.encode()) <= 128 or re.search("[\0-\x1f\x7f]", text):
            assert not answer["success"] and answer["code"] in ("bad_id", "bad_value"), text
        elif not re.search("[\x80-\x9f]", text):
            assert answer["success"], (text, answer)
    assert len(taken) > 300
    wanted = {text: {"id": text} for text in taken}
    for device in fleet.devices:
        wait_until(lambda device=device: device.all_texts(home, "task") == wanted, 20,
                   f"all of them on {device}")
    legal = re.compile(r"[A-Za-z0-9_-]{1,64}")
    for text, answer in zip(strings, a.calls([
            {"verb": "document.put", "user": text, "table": "task", "id": "x", "data": {}}
            for text in strings if not legal.fullmatch(text)])):
        assert not answer["success"] and answer["code"] in ("bad_id", "bad_value"), text
    for answer in a.calls([{"verb": "document.put", "user": home, "table": text, "id": "x",
                            "data": {}} for text in strings
                           if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", text)]):
        assert not answer["success"] and answer["code"] in ("bad_id", "bad_value")


NUMBERS = ('{"z":9007199254740993,"y":-9223372036854775808,"x":18446744073709551615,\n'
           ' "w":123456789012345678901234567890, "v":0.1000, "u":1e5,"t":1E+05 ,"s":-0,"r":-0.0,\n'
           '\t"q":3.1415926535897931,"p":2.2250738585072014e-308,"o":1.7976931348623157e308,\n'
           ' "n":[0.30000000000000004,5e-324,100000000000000000000000000000000000000],'
           ' "m":{"b":1.0,"a":1},  "l":null, "k":"\\u0041\\/\\ud83d\\ude00\\b", "":{"":[[],{}]} }')


def test_numbers_escapes_and_the_order_of_members_stay_as_they_are(fleet, home):
    a, b = fleet.devices
    for table, id_ in ((SETTINGS, None), ("task", "n")):
        a.put(home, NUMBERS, table, id_)
        fleet.wait_same(home, table, id_, text=NUMBERS)
        # merged: untouched members keep order and spelling
        b.stop()
        b.put(home, NUMBERS.replace('"l":null', '"l":[1.50]'), table, id_)
        a.put(home, NUMBERS.replace('"a":1}', '"a":2.0,"c":1e0}'), table, id_)
        a.wait_settled()
        b.start()
        wanted = NUMBERS.replace('"l":null', '"l":[1.50]').replace('"a":1}', '"a":2.0,"c":1e0}')
        text = fleet.wait_same(home, table, id_, timeout=15, value=json.loads(wanted))
        assert spelled(text) == spelled(wanted)


def spelled(text):
    """Members in their order and numbers in their spelling; strings as characters."""
    return json.loads(text, parse_int=lambda n: ("int", n), parse_float=lambda n: ("float", n),
                      object_pairs_hook=list)


def test_a_document_of_a_quarter_of_a_megabyte_and_one_at_the_limit(fleet, home):
    a, _ = fleet.devices
    rng = random.Random(f"{seed_of_run()} large")
    for size in (264000, 1000000):
        text = json.dumps({f"k{n}": f"{rng.getrandbits(512):0128x}漢" for n in range(size // 160)},
                          ensure_ascii=False)
        a.put(home, text, "task", f"large-{size}")
        fleet.wait_same(home, "task", f"large-{size}", text=text, timeout=20)
    b = fleet.devices[1]
    b.stop()
    value = json.loads(text)
    a.put(home, json.dumps({**value, "k0": "a"}, ensure_ascii=False), "task", f"large-{size}")
    b.put(home, json.dumps({**value, "k1": "b"}, ensure_ascii=False), "task", f"large-{size}")
    a.wait_settled()
    b.start()
    fleet.wait_same(home, "task", f"large-{size}", value={**value, "k0": "a", "k1": "b"},
                    timeout=20)
